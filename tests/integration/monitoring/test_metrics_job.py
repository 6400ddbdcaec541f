"""The metrics job over real Delta tables: what is computed again, what stays, and what an odd window says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from backend import clock
from backend.database.session import WriteSession, reading, writing
from backend.errors import Conflict, NotFound
from backend.monitoring.columns import parse_spec
from backend.monitoring.computation import compute_windows
from backend.monitoring.reference_store import load_reference
from backend.monitoring.tables import MetricPoint, WindowProfile
from backend.monitoring.windows import Window
from backend.monitoring.windows_service import mark_dirty
from backend.registry.service import register_model
from backend.registry.tables import Model, Version
from jobs import compute_metrics
from jobs.compute_metrics import compute_due
from tests.integration.monitoring.conftest import SPEC, Monitored, ago, make_monitored, sample
from tests.worlds import SYSTEM


def facts(points: list[MetricPoint]) -> list[dict[str, Any]]:
    """Everything of the points that a second computation must not change."""
    kept = [
        column.name for column in MetricPoint.__table__.columns if column.name not in ("id", "computed_at")
    ]
    return [{name: getattr(point, name) for name in kept} for point in points]


def touch(*days: float) -> None:
    with writing() as session:
        times = [ago(day) + timedelta(hours=1) for day in days]
        mark_dirty(session, model="shopper", environment="production", times=times)


def test_recomputing_a_window_gives_the_same_points_once(shopper: Monitored) -> None:
    rows = sample(ago(2), 120, seed=1)
    shopper.predict(rows)
    shopper.label(rows)
    assert shopper.compute() == 2  # the day of the rows, and yesterday, in which nothing came
    before = facts(shopper.points(ago(2)))
    families = {(point["kind"], point["column"]) for point in before}
    assert families == {
        ("drift", "x"), ("drift", "shop"), ("prediction", "score"), ("prediction", "prediction"), ("quality", "x"),
        ("quality", "shop"), ("quality", "score"), ("quality", "prediction"), ("realised", ""), ("estimated", ""),
    }  # fmt: skip
    assert shopper.compute() == 0
    touch(2)
    assert shopper.compute() == 1
    assert facts(shopper.points(ago(2))) == before
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(WindowProfile)) == 4


def test_late_labels_change_what_is_known_and_not_what_was_seen_when_labels_first_spoke(
    shopper: Monitored,
) -> None:
    old, other = sample(ago(4), 200, seed=2), sample(ago(3), 200, seed=3)
    shopper.predict(old)
    shopper.predict(other)
    shopper.label(old.slice(0, 80))
    shopper.compute()
    early = shopper.point(ago(4), "realised", "roc_auc")
    unlabelled = shopper.point(ago(3), "realised", "roc_auc")
    assert (early.completeness, early.verdict, early.level) == (0.4, "inconclusive", None)
    assert early.value is not None
    assert "80 of about 200 labels have come" in early.reason
    assert (unlabelled.value, unlabelled.verdict, unlabelled.completeness) == (None, "inconclusive", 0.0)
    assert [window.labelled_at for window in shopper.windows()][:2] == [None, None]

    shopper.label(old.slice(80, 90))
    shopper.compute()
    then = shopper.point(ago(4), "realised", "roc_auc")
    assert (then.completeness, then.verdict, then.first_value) == (0.85, "ok", then.value)
    others = facts(shopper.points(ago(3)))
    computed = {window.start: window.computed_at for window in shopper.windows()}
    spoke = shopper.windows()[0].labelled_at
    assert spoke is not None

    shopper.label(old.slice(170, 10))
    shopper.label(old.slice(180), absent=True)
    assert [window.start for window in shopper.windows() if window.dirty_at] == [ago(4)]
    assert shopper.compute() == 1
    now = shopper.point(ago(4), "realised", "roc_auc")
    assert now.value is not None
    assert now.value != then.value
    assert (now.completeness, now.rows) == (1.0, 180)
    assert (now.first_value, now.first_computed_at) == (then.value, then.first_computed_at)
    assert facts(shopper.points(ago(3))) == others
    after = {window.start: window.computed_at for window in shopper.windows()}
    assert [start for start in after if after[start] != computed[start]] == [ago(4)]
    window = shopper.windows()[0]
    assert (window.rows, window.labels_known, window.labels_absent, window.state) == (
        200,
        180,
        20,
        "complete",
    )
    assert window.labelled_at == spoke


def test_a_window_stays_due_when_something_arrives_while_it_is_computed(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 100, seed=4))
    calls = 0

    def arrives(session: WriteSession) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:  # the rows have been read and counted; this transaction stores the result
            times = [ago(2) + timedelta(hours=3)]
            mark_dirty(session, model="shopper", environment="production", times=times)

    shopper.compute(guard=arrives)
    assert calls >= 2
    assert [window.start for window in shopper.windows() if window.dirty_at] == [ago(2)]
    assert shopper.compute() == 1
    assert [window for window in shopper.windows() if window.dirty_at] == []


def test_a_worker_that_lost_its_run_stores_nothing(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 100, seed=5))

    def lost(session: WriteSession) -> None:
        raise NotFound("another worker has this run")

    with pytest.raises(NotFound):
        shopper.compute(guard=lost)
    assert shopper.points(ago(2)) == []
    assert shopper.compute() == 2


def test_silence_is_a_state(shopper: Monitored) -> None:
    shopper.predict(sample(ago(5), 60, seed=6))
    shopper.predict(sample(ago(2), 60, seed=6))
    shopper.compute()
    states = {window.start: (window.state, window.rows) for window in shopper.windows()}
    assert states == {
        ago(5): ("complete", 60), ago(4): ("no_traffic", 0), ago(3): ("no_traffic", 0), ago(2): ("complete", 60),
        ago(1): ("no_traffic", 0),
    }  # fmt: skip
    assert shopper.points(ago(3)) == []
    assert all(window.computed_at and not window.dirty_at for window in shopper.windows())
    shopper.predict(sample(ago(3), 60, seed=7))
    shopper.compute()
    assert [window.state for window in shopper.windows()] == [
        "complete", "no_traffic", "complete", "complete", "no_traffic"
    ]  # fmt: skip


def test_silence_before_the_model_was_watched_and_in_quiet_hours_is_expected(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(
        tmp_path / "files", watched_since=ago(2), live_window="1h", quiet="22:00-04:00", timezone="UTC"
    )
    shopper.predict(sample(ago(4), 60, seed=8, hours=1))
    shopper.predict(sample(ago(1) + timedelta(hours=2), 60, seed=9, hours=1))
    shopper.compute()
    assert [(window.start, window.state) for window in shopper.windows()] == [
        (ago(4), "complete"), (ago(3), "no_traffic_expected"), (ago(2), "no_traffic"), (ago(1), "complete"),
    ]  # fmt: skip
    hours = {window.start: window.state for window in shopper.windows("1h")}
    states = [hours[ago(1) + timedelta(hours=hour)] for hour in range(24)]
    quiet = "no_traffic_expected"
    assert states == [quiet, quiet, "complete", quiet, *["no_traffic"] * 18, quiet, quiet]
    assert {hours[ago(3) + timedelta(hours=hour)] for hour in range(24)} == {quiet}


def test_the_present_window_is_open_and_has_figures_already(shopper: Monitored) -> None:
    now = clock.now()
    elapsed = (now - ago(0)) / timedelta(hours=1)
    shopper.predict(sample(ago(0), 80, seed=10, hours=elapsed * 0.9))
    shopper.compute()
    (window,) = shopper.windows()
    assert (window.state, window.rows, window.version) == ("open", 80, 1)
    assert window.watermark is not None
    assert window.watermark <= now
    assert shopper.point(ago(0), "drift", "psi", "x").rows == 80
    assert shopper.compute() == 0  # nothing new, and not over yet


def test_a_window_of_two_versions_tells_of_the_majority_alone(database: str, tmp_path: Path) -> None:
    shopper = make_monitored(tmp_path / "files", versions=(1, 2))
    few = sample(ago(2), 80, seed=11, shift=50.0)
    many = sample(ago(2) + timedelta(minutes=1), 120, seed=12)
    shopper.predict(few, version=1)
    shopper.predict(many, version=2)
    shopper.label(many)
    shopper.compute()
    window = next(w for w in shopper.windows() if w.start == ago(2))
    assert (window.version, window.rows, window.state) == (2, 200, "complete")
    psi = shopper.point(ago(2), "drift", "psi", "x")
    assert (psi.rows, psi.verdict) == (120, "ok")
    realised = shopper.point(ago(2), "realised", "accuracy")
    assert (realised.rows, realised.completeness) == (120, 1.0)
    shopper.label(few)
    shopper.compute()
    window = next(w for w in shopper.windows() if w.start == ago(2))
    assert (window.labels_known, window.labels_absent) == (200, 0)  # of the window's rows, like `rows`
    assert shopper.point(ago(2), "realised", "accuracy").rows == 120


def test_a_version_without_a_deployment_here_has_no_reference_and_still_counts(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 60, seed=13), version=7)
    shopper.compute()
    window = shopper.windows()[0]
    assert (window.version, window.rows, window.state) == (7, 60, "complete")
    assert shopper.points(ago(2)) == []


def test_a_reference_too_small_for_an_estimate_says_so_on_every_point(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 200, seed=14))
    shopper.compute()
    estimated = shopper.points(ago(2), "estimated")
    assert {point.statistic for point in estimated} == {"roc_auc", "f1", "accuracy"}
    for point in estimated:
        assert (point.value, point.verdict) == (None, "inconclusive")
        assert "400 labelled rows; an estimator needs 500" in point.reason


def test_a_window_with_few_rows_is_inconclusive(shopper: Monitored) -> None:
    rows = sample(ago(2), 19, seed=15)
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    assert {p.verdict for p in shopper.points(ago(2), "drift", "prediction", "realised")} == {"inconclusive"}


def test_drift_that_is_there_is_found(shopper: Monitored) -> None:
    shopper.predict(sample(ago(3), 200, seed=16))
    shopper.predict(sample(ago(2), 200, seed=17, shift=2.0))
    shopper.compute()
    assert shopper.point(ago(3), "drift", "psi", "x").verdict == "ok"
    moved = shopper.point(ago(2), "drift", "psi", "x")
    assert (moved.verdict, moved.level) == ("alarm", "ticket")
    assert moved.value is not None
    assert moved.threshold is not None
    assert moved.value > moved.threshold
    assert shopper.point(ago(2), "drift", "psi", "shop").verdict == "ok"


@pytest.mark.parametrize("fate", ["vanishes", "is all null"])
def test_a_column_that_goes_does_not_stop_the_others(shopper: Monitored, fate: str) -> None:
    rows = sample(ago(2), 150, seed=18)
    at = rows.schema.get_field_index("x")
    gone = (
        rows.drop_columns(["x"])
        if fate == "vanishes"
        else rows.set_column(at, "x", pa.nulls(150, pa.float64()))
    )
    shopper.predict(gone)
    shopper.compute()
    missing = shopper.point(ago(2), "quality", "missing_rate", "x")
    assert (missing.value, missing.verdict, missing.level) == (1.0, "alarm", "page")
    assert shopper.point(ago(2), "drift", "psi", "x").verdict != "ok"
    assert shopper.point(ago(2), "drift", "psi", "shop").verdict == "ok"


def test_scores_that_are_missing_do_not_stop_the_window(shopper: Monitored) -> None:
    rows = sample(ago(2), 150, seed=19)
    shopper.predict(rows.drop_columns(["score"]))
    shopper.label(rows)
    shopper.compute()
    assert shopper.point(ago(2), "quality", "missing_rate", "score").verdict == "alarm"
    assert shopper.point(ago(2), "realised", "accuracy").value is not None
    assert shopper.point(ago(2), "realised", "roc_auc").verdict == "inconclusive"


def test_a_feature_that_is_new_or_gone_from_the_spec_does_not_stop_the_others(shopper: Monitored) -> None:
    shopper.predict(sample(ago(3), 150, seed=20))
    shopper.compute()
    with writing() as session:
        register_model(
            session, SYSTEM, name="shopper", title="Shopper", description="", tier="medium",
            spec={**SPEC, "features": {"shop": "categorical", "age": "numeric"}},
        )  # fmt: skip
    rows = sample(ago(2), 150, seed=21).drop_columns(["x"])
    shopper.predict(rows.append_column("age", pa.array(np.arange(150.0))))
    touch(3)
    shopper.compute()
    for day in (3, 2):
        assert shopper.point(ago(day), "drift", "psi", "shop").verdict == "ok"
        assert {point.column for point in shopper.points(ago(day), "drift")} == {"shop", "age"}
        new = [point for point in shopper.points(ago(day), "drift", "quality") if point.column == "age"]
        assert not [point.statistic for point in new if point.verdict == "alarm"]
    assert shopper.point(ago(2), "drift", "psi", "age").verdict == "inconclusive"


def test_a_feature_cannot_change_its_kind(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 60, seed=20))
    with writing() as session, pytest.raises(Conflict, match="'x' is numeric"):
        register_model(
            session, SYSTEM, name="shopper", title="Shopper", description="", tier="medium",
            spec={**SPEC, "features": {"x": "categorical", "shop": "categorical"}},
        )  # fmt: skip
    shopper.predict(sample(ago(2), 60, seed=21))


def test_an_infinite_score_does_not_stop_the_others(shopper: Monitored) -> None:
    """Ingest refuses one; a table written by another tool may hold it."""
    shopper.predict(sample(ago(2), 150, seed=22))
    shopper.compute()
    with reading() as session:
        reference = load_reference(session, session.get_one(Version, ("shopper", 1)), parse_spec(SPEC))
    assert reference is not None
    rows = sample(ago(2), 150, seed=23)
    score = rows.column("score").to_numpy().copy()
    score[:3] = [np.inf, -np.inf, np.nan]
    at = rows.schema.get_field_index("score")
    odd = rows.set_column(at, "score", pa.array(score))
    for name, values in (("version", pa.repeat(1, 150)), ("injected", pa.nulls(150, pa.string())),
                         ("label_status", pa.repeat("known", 150))):  # fmt: skip
        odd = odd.append_column(name, values)
    (result,) = compute_windows(parse_spec(SPEC), "1d", [Window(ago(2), ago(1))], odd, {1: reference})
    verdicts = {(p.family, p.column, p.statistic): p.verdict for p in result.points}
    assert verdicts["drift", "x", "psi"] == "ok"
    assert verdicts["realised", None, "accuracy"] == "ok"
    values = [p.value for p in result.points if p.value is not None]
    assert np.isfinite(values).all()


def test_windows_are_computed_in_batches_that_survive_an_interruption(
    shopper: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(6, 1, -1):
        shopper.predict(sample(ago(day), 60, seed=30 + day))
    monkeypatch.setattr(compute_metrics, "BATCH_WINDOWS", 2)
    calls = 0

    def dies(session: WriteSession) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # after the first batch was stored
            raise NotFound("killed")

    with pytest.raises(NotFound):
        shopper.compute(guard=dies)
    done = [window.start for window in shopper.windows() if window.computed_at]
    assert done == [ago(2), ago(1)]  # the newest first
    assert shopper.compute() == 4
    assert all(window.computed_at for window in shopper.windows())


def test_an_unknown_model_is_said(database: str) -> None:
    with pytest.raises(NotFound, match="no model named 'none'"):
        compute_due("none")


def test_estimates_follow_the_rows_without_labels(database: str, tmp_path: Path) -> None:
    """NannyML itself: on rows like the reference the estimate is fine, and close to what comes true."""
    shopper = make_monitored(tmp_path / "files", reference_rows=6000)
    rows = sample(ago(2), 600, seed=24)
    shopper.predict(rows)
    shopper.compute()
    estimated = shopper.point(ago(2), "estimated", "roc_auc")
    assert (estimated.verdict, estimated.rows) == ("ok", 600)
    shopper.label(rows)
    shopper.compute()
    realised = shopper.point(ago(2), "realised", "roc_auc")
    assert realised.value is not None
    assert estimated.value is not None
    assert abs(realised.value - estimated.value) < 0.05
    assert (realised.verdict, realised.first_value) == ("ok", realised.value)
    with reading() as session:
        assert session.get_one(Model, "shopper").name == "shopper"
