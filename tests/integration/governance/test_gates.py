"""Gates asked of real versions: scored on live rows or the reference, judged, stored with what people sign."""

from __future__ import annotations

import pickle
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from sqlalchemy import delete

from backend import clock
from backend.database.session import reading, writing
from backend.governance.gates import Asked, evaluate
from backend.governance.kinds import Asked as Wanted
from backend.governance.policy_rules import GateRule
from backend.governance.reading import get_change
from backend.governance.settling import settle_gates
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import MetricPoint, WindowState
from backend.observations.service import accept_batch
from backend.registry.artefacts import artefact_digest
from backend.registry.tables import Model, Version
from jobs.check_gates import evaluate_gates
from jobs.commit_spool import commit_once
from tests.integration.governance.conftest import ask as ask_for
from tests.integration.governance.conftest import put_in_force
from tests.worlds import SYSTEM, World, make_world

PROMOTE = Wanted("promote", "production", "toy", 1)


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import shap  # noqa: F401
    return make_world(tmp_path / "files", trained=(1, 2))


def govern(world: World, *gates: dict[str, Any]) -> None:
    """From now on every change is governed by these gates."""
    rules = [{"name": "test", "rule": {"gates": list(gates)}}]
    with writing() as session:
        put_in_force(session, world, yaml.safe_dump({"rules": rules}))


def ask(actor: Actor, wanted: Wanted = PROMOTE) -> int:
    return ask_for(actor, wanted).id


def results_of(change_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    found = evaluate_gates(change_id, 1)
    assert found is not None
    return {result["gate"]: result for result in found["results"]}, found["flips"]


def serve_rows(count: int, *, labelled: int, seed: int = 5) -> None:
    """Rows that the gateway answered in the last days, the oldest `labelled` with what came true."""
    draw = np.random.default_rng(seed)
    distance, carrier = draw.uniform(50, 3000, count), draw.choice(["AA", "B6", "UA"], count)
    label = (distance / 3000 + draw.normal(0, 0.3, count) > 0.5).astype(int).astype(str)
    start = clock.now() - timedelta(days=3)
    ids = [f"live-{seed}-{number}" for number in range(count)]
    times = [start + number * timedelta(days=2) / count for number in range(count)]
    rows = pa.table({
        "prediction_id": ids, "ts": pa.array(times, pa.timestamp("us", "UTC")), "version": pa.repeat(2, count),
        "score": draw.uniform(0, 1, count), "prediction": pa.repeat("1", count), "distance": distance,
        "carrier": carrier,
    })  # fmt: skip
    labels = pa.table({
        "prediction_id": ids[:labelled], "label": label[:labelled], "status": pa.repeat("known", labelled),
        "label_ts": pa.repeat(pa.scalar(clock.now(), pa.timestamp("us", "UTC")), labelled),
    })  # fmt: skip
    with reading() as session:
        accept_batch(session, SYSTEM, model="toy", stream="predictions", payload=rows, source="api")
        if labelled:
            accept_batch(session, SYSTEM, model="toy", stream="labels", payload=labels, source="api")
    commit_once("test")


@pytest.mark.slow
def test_versions_without_live_rows_are_compared_on_the_candidates_reference(world: World) -> None:
    govern(
        world,
        {"gate": "metric_not_worse"},
        {"gate": "signature_compatible"},
        {"gate": "inference_not_slower"},
    )
    found, flips = results_of(ask(world.engineer))
    metric = found["metric_not_worse"]
    assert metric["verdict"] in ("pass", "inconclusive"), metric["text"]
    assert "reference of version 1" in metric["text"]
    assert metric["rows"] == 600
    assert metric["low"] <= metric["value"] <= metric["high"]
    assert found["signature_compatible"]["verdict"] == "pass"
    assert found["inference_not_slower"]["verdict"] in ("pass", "inconclusive")
    assert sum(flips["counts"].values()) == flips["rows"] == 600
    assert flips["source"] == "reference"
    reasons = flips["reasons"]
    assert reasons.get("why") is None, reasons
    assert reasons["rows"] == min(100, flips["counts"]["stays_positive"])
    assert 0 <= reasons["low"] <= reasons["share"] <= reasons["high"] <= 1


def test_the_newest_labelled_live_rows_come_first(world: World) -> None:
    govern(world, {"gate": "metric_not_worse", "parameters": {"margin": 0.2}})
    serve_rows(900, labelled=700)
    found, flips = results_of(ask(world.engineer))
    assert found["metric_not_worse"]["rows"] == 700
    assert found["metric_not_worse"]["verdict"] == "pass", found["metric_not_worse"]["text"]
    assert "live rows" in found["metric_not_worse"]["text"]
    assert found["metric_not_worse"]["data_until"] is not None
    assert (flips["source"], flips["rows"]) == ("live", 700)
    assert flips["examples"][0]["id"].startswith("live-")


def test_both_versions_are_measured_on_the_same_rows_and_a_day_is_priced(world: World) -> None:
    serve_rows(700, labelled=600)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "costs": {"tp": 10, "fp": -2, "fn": -20, "tn": 0}, "costs_unit": "EUR",
                      "segments": ["carrier"]}  # fmt: skip
        session.execute(delete(MetricPoint))
        session.execute(delete(WindowState))
        for age in (1, 2):
            start = today - timedelta(days=age)
            session.add(
                WindowState(
                    model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1),
                    version=2, rows=1000, labels_known=0, state="complete", computed_at=clock.now(),
                )
            )  # fmt: skip
    govern(world, {"gate": "metric_not_worse"})
    change_id = ask(world.engineer)
    found = evaluate_gates(change_id, 1)
    assert found is not None
    with writing() as session:
        settle_gates(session, SYSTEM, change_id, revision=1, **found)
    with reading() as session:
        evidence = get_change(session, world.lead, change_id).evidence
    compared, risk = evidence["same_rows"], evidence["at_risk"]
    assert compared["metrics"][0]["rows"] == 600
    assert compared["segments"]["looked_at"] == 3
    assert (risk["decisions"], risk["unit"]) == (1000.0, "EUR")
    worth = next(one for one in compared["metrics"] if one["metric"] == "value_per_prediction")
    assert risk["low"] == pytest.approx(1000 * worth["low"])


def test_few_labels_leave_flips_to_live_rows_and_the_metric_to_the_reference(world: World) -> None:
    govern(world, {"gate": "metric_not_worse"})
    serve_rows(300, labelled=20)
    found, flips = results_of(ask(world.engineer))
    assert (flips["source"], flips["rows"]) == ("live", 300)
    assert "reference of version 1" in found["metric_not_worse"]["text"]


def test_rows_that_a_version_was_trained_on_do_not_count(world: World) -> None:
    govern(world, {"gate": "metric_not_worse"})
    serve_rows(800, labelled=800)
    with writing() as session:
        for number in (1, 2):
            version = session.get_one(Version, ("toy", number))
            version.training = {**version.training, "to": clock.to_iso(clock.now())}
    _, flips = results_of(ask(world.engineer))
    assert flips["source"] == "reference"


def test_a_worse_version_fails(world: World) -> None:
    retrain_badly(world, 1)
    govern(world, {"gate": "metric_not_worse"})
    found, flips = results_of(ask(world.engineer))
    assert found["metric_not_worse"]["verdict"] == "fail", found["metric_not_worse"]["text"]
    assert found["metric_not_worse"]["high"] < found["metric_not_worse"]["limit"]
    assert flips["counts"]["becomes_positive"] + flips["counts"]["becomes_negative"] > 0


def retrain_badly(world: World, number: int) -> None:
    """A version that learned the opposite."""
    from backend.monitoring.columns import parse_spec
    from jobs.demo.training import build_pipeline, dump_pipeline
    from tests.worlds import SPEC

    frame = pd.read_parquet(world.reference(number))
    pipeline = build_pipeline(parse_spec(SPEC), {"max_iter": 8, "min_samples_leaf": 20, "random_state": 1})
    pipeline.fit(frame[["distance", "carrier"]], 1 - frame["label"].astype(int))
    dump_pipeline(pipeline, world.artefact(number) / "model.skops")
    with writing() as session:
        session.get_one(Version, ("toy", number)).artefact_digest = artefact_digest(world.artefact(number))


def test_another_cutoff_is_compared_with_the_same_version(world: World) -> None:
    govern(
        world,
        {"gate": "metric_not_worse", "parameters": {"metric": "accuracy"}},
        {"gate": "inference_not_slower"},
    )
    found, flips = results_of(ask(world.engineer, Wanted("cutoff", "production", "toy", to_cutoff=0.8)))
    assert flips["before"] == {"version": 2, "cutoff": 0.5}
    assert flips["after"] == {"version": 2, "cutoff": 0.8}
    assert flips["counts"]["becomes_positive"] == 0 < flips["counts"]["becomes_negative"]
    assert found["metric_not_worse"]["verdict"] == "fail", found["metric_not_worse"]["text"]
    assert found["inference_not_slower"]["verdict"] == "pass"


def test_files_that_are_not_the_recorded_ones_are_never_loaded(world: World, tmp_path: Path) -> None:
    govern(
        world, {"gate": "artefact_scanned"}, {"gate": "metric_not_worse"}, {"gate": "signature_compatible"}
    )
    change_id = ask(world.engineer)
    (world.artefact(1) / "model.skops").write_bytes(b"altered")
    found, flips = results_of(change_id)
    assert found["artefact_scanned"]["verdict"] == "fail"
    assert found["metric_not_worse"]["verdict"] == "inconclusive"
    assert "cannot be loaded" in found["metric_not_worse"]["text"]
    assert found["signature_compatible"]["verdict"] == "inconclusive"
    assert flips["known"] is False


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_an_artefact_that_would_run_something_is_refused_before_it_is_loaded(
    world: World, tmp_path: Path
) -> None:
    folder, mark = world.artefact(1), tmp_path / "ran"
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(pickle.dumps(Touches(mark)))
    (folder / "MLmodel").write_text(
        "flavors: {sklearn: {pickled_model: model.pkl, serialization_format: pickle}}\n"
    )
    with writing() as session:
        session.get_one(Version, ("toy", 1)).artefact_digest = artefact_digest(folder)
    govern(world, {"gate": "artefact_scanned"}, {"gate": "metric_not_worse"})
    found, _ = results_of(ask(world.engineer))
    assert found["artefact_scanned"]["verdict"] == "fail"
    assert "model.pkl: pathlib" in found["artefact_scanned"]["text"]
    assert "would use model.pkl" in found["metric_not_worse"]["text"]
    assert not mark.exists()


def test_stub_files_are_inconclusive_with_the_reason(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")
    govern(world, {"gate": "signature_compatible"}, {"gate": "metric_not_worse"})
    found, flips = results_of(ask(world.engineer))
    assert {result["verdict"] for result in found.values()} == {"inconclusive"}
    assert "neither MLmodel nor model.skops" in found["metric_not_worse"]["text"]
    assert "neither MLmodel nor model.skops" in flips["why"]


def test_a_feature_the_candidate_never_saw_fails_its_signature(world: World) -> None:
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "features": {**model.spec["features"], "seats": "numeric"}}
    govern(world, {"gate": "signature_compatible"})
    found, _ = results_of(ask(world.engineer))
    assert found["signature_compatible"]["verdict"] == "fail"
    assert "seats" in found["signature_compatible"]["text"]


def test_results_and_flips_are_part_of_what_is_signed(world: World) -> None:
    govern(world, {"gate": "metric_not_worse", "required": False})
    change_id = ask(world.engineer)
    found = evaluate_gates(change_id, 1)
    assert found is not None
    with writing() as session:
        before = session.get_one(Change, change_id).digest
        settle_gates(session, SYSTEM, change_id, revision=1, results=found["results"], flips=found["flips"])
    with reading() as session:
        change = get_change(session, world.viewer, change_id)
        assert change.state == "waiting"
        assert change.digest != before
        assert change.evidence["flips"]["rows"] == 600
    assert evaluate_gates(change_id, 1) is None  # it no longer waits for them


# Gates that read what monitoring stored.


def window(
    age_days: float = 0.5, *, points: dict[tuple[str, str, str], str], importance: float | None = 0.1
) -> None:
    end = clock.now() - timedelta(days=age_days)
    with writing() as session:
        session.execute(delete(MetricPoint))
        session.execute(delete(WindowState))
        row = WindowState(
            model="toy", environment="production", size="1d", start=end - timedelta(days=1), end=end, version=2,
            rows=500, state="complete", computed_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        for (kind, column, statistic), verdict in points.items():
            session.add(MetricPoint(
                window_id=row.id, model="toy", environment="production", size="1d", window_start=row.start, kind=kind,
                column=column, statistic=statistic, value=0.4, verdict=verdict, text=f"{statistic} of {column}",
                rows=500, importance=importance, first_computed_at=clock.now(), computed_at=clock.now(),
            ))  # fmt: skip


def verdict_of(gate: str, **parameters: Any) -> tuple[str, str]:
    with reading() as session:
        model = session.get_one(Model, "toy")
        asked = Asked(
            session=session, model=model, spec=parse_spec(model.spec), environment="production", before=None,
            before_cutoff=None, after=session.get_one(Version, ("toy", 2)), after_cutoff=0.5,
        )  # fmt: skip
        found = evaluate(GateRule(gate=gate, parameters=parameters), asked).finding
        return found.verdict, found.text


QUALITY = {("quality", "distance", "missing_rate"): "ok", ("quality", "carrier", "unseen"): "ok"}


def test_data_checks_follow_the_newest_window(world: World) -> None:
    window(points=QUALITY)
    assert verdict_of("data_checks_passed")[0] == "pass"
    assert verdict_of("data_checks_passed", windows=3)[0] == "inconclusive"
    window(points={**QUALITY, ("quality", "carrier", "missing_rate"): "alarm"})
    assert verdict_of("data_checks_passed")[0] == "fail"
    assert verdict_of("data_checks_passed", tolerate=["carrier"])[0] == "pass"
    window(points={("quality", "distance", "missing_rate"): "inconclusive"})
    assert verdict_of("data_checks_passed")[0] == "inconclusive"
    window(9, points=QUALITY)
    verdict, text = verdict_of("data_checks_passed")
    assert (verdict, "more than 72 h ago" in text) == ("inconclusive", True)
    with writing() as session:
        session.execute(delete(MetricPoint))
        session.execute(delete(WindowState))
    assert verdict_of("data_checks_passed") == ("inconclusive", "no finished window has been computed yet")


def test_drift_is_held_against_the_share_and_the_weight_of_features(world: World) -> None:
    calm = {("drift", "distance", "jensen_shannon"): "ok", ("drift", "carrier", "jensen_shannon"): "ok"}
    window(points=calm)
    assert verdict_of("drift_under_bound")[0] == "pass"
    one = {**calm, ("drift", "carrier", "jensen_shannon"): "alarm"}
    window(points=one)
    assert verdict_of("drift_under_bound")[0] == "fail"
    assert verdict_of("drift_under_bound", share=0.5)[0] == "pass"
    window(points=one, importance=0.6)
    assert verdict_of("drift_under_bound", share=0.5)[0] == "fail"
    unjudged = {("drift", "distance", "jensen_shannon"): "ok", ("drift", "carrier", "x"): "inconclusive"}
    window(points=unjudged)
    assert verdict_of("drift_under_bound")[0] == "inconclusive"


def test_what_the_model_may_lean_on_most_is_no_pass_where_nobody_can_tell(world: World) -> None:
    calm = {("drift", "distance", "jensen_shannon"): "ok", ("drift", "carrier", "jensen_shannon"): "ok"}
    one = {**calm, ("drift", "carrier", "jensen_shannon"): "alarm"}
    unjudged = {**calm, ("drift", "carrier", "jensen_shannon"): "inconclusive"}
    window(points=one, importance=None)  # its weight is not known
    verdict, text = verdict_of("drift_under_bound", share=0.5)
    assert (verdict, "may lean on carrier most" in text) == ("inconclusive", True)
    window(points=unjudged, importance=0.1)
    assert verdict_of("drift_under_bound", share=0.5)[0] == "pass"
    for importance in (0.6, None):  # it might drift, and is heavy, or may be
        window(points=unjudged, importance=importance)
        assert verdict_of("drift_under_bound", share=0.5)[0] == "inconclusive"
    window(points=calm, importance=None)
    assert verdict_of("drift_under_bound")[0] == "pass"
