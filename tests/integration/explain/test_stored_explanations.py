"""Explanations of single predictions: stored with what made them, answered by id, gone with their rows."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend import clock
from backend.alerting.service import Firing, fire
from backend.data_rights.explanation import explain_prediction
from backend.data_rights.explanation_document import explanation_document
from backend.data_rights.retention import Due, trim_rows
from backend.data_rights.tables import DataRule
from backend.database.session import reading, writing
from backend.deployment.service import start_deployment
from backend.deployment.tables import Deployment
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.explain.asking import ask, look_up
from backend.explain.predictions import find_stored, stored_of, unpack
from backend.explain.tables import AttributionWindow, Explainer, PredictionExplanation
from backend.explain.windows import windows_to_explain
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import WindowState
from backend.queue import JobRun
from backend.registry.tables import Version
from backend.settings import settings
from jobs.explain_prediction import explain_and_keep
from jobs.explain_sample import cutoffs_of, explain_windows
from jobs.explaining.base import Attributed, Prepared
from jobs.explaining.local_linear import LocalLinear
from jobs.explaining.versions import PreparedVersion
from tests.explained import store_explained
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    Here,
    approve,
    carry_out,
    describe,
    move_spool,
    send,
)
from tests.worlds import SPEC, SYSTEM, World, make_world

NO_OPINION = LocalLinear(None, pd.DataFrame())
REASONS = {"distance": "The distance is short.", "carrier": "The carrier has few such flights."}


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    describe(SUBJECT_SPEC)
    return made


def test_a_stored_explanation_is_found_by_its_id_and_says_whether_it_adds_up(world: World) -> None:
    with writing() as session:
        store_explained(session, "p1", moved={"distance": -2.5, "carrier": 0.25}, base=0.1)
        store_explained(session, "p2", gap=0.5)
    with reading() as session:
        view = find_stored(session, "toy", "p1").view()
        assert [(one["column"], one["contribution"]) for one in view["contributions"]] == [
            ("distance", -2.5), ("carrier", 0.25),
        ]  # fmt: skip
        assert view["base_value"] + sum(
            one["contribution"] for one in view["contributions"]
        ) == pytest.approx(view["output"])
        assert view["adds_up"] is True
        assert view["explainer"]["method"] == "shap TreeExplainer, exact"
        assert find_stored(session, "toy", "p2").adds_up is False
        assert (
            len(session.get_one(PredictionExplanation, ("toy", "p1")).contributions) == 8
        )  # four bytes a value
        assert session.query(Explainer).count() == 1


def test_a_complaint_stays_one_when_the_prediction_is_sampled_later(world: World) -> None:
    with writing() as session:
        store_explained(session, "p1", because="complaint")
        assert store_explained(session, "p1", because="sample").because == "complaint"


def test_erasing_a_person_removes_their_explanations_and_no_others(world: World) -> None:
    from backend.data_rights.requests import request_rows

    send({"p1": "Ada", "p2": "Bob"})
    move_spool()
    with writing() as session:
        store_explained(session, "p1")
        store_explained(session, "p2")
        request = request_rows(
            session, world.compliance, kind="erase", model="toy", value="Ada", reason="she asked"
        )
    carry_out(approve(world, request).id)
    with reading() as session:
        assert [one.row.prediction_id for one in stored_of(session, "toy", ["p1", "p2"])] == ["p2"]


def test_an_explanation_goes_at_the_latest_with_its_row(world: World) -> None:
    now = clock.now()
    with writing() as session:
        store_explained(session, "old", ts=now - timedelta(days=40))
        store_explained(session, "new", ts=now - timedelta(days=4))
        store_explained(session, "long", computed_at=now - timedelta(days=90))
        session.add(
            DataRule(model="toy", purposes=[], predictions_days=30, explanations_days=60, payloads_days=None,
                     updated_by=world.compliance.person_id, updated_at=now)
        )  # fmt: skip
        gone = trim_rows(session, Here.actor, Due("toy", (now - timedelta(days=30)).date(), 60, None))
    assert gone == {"explanations": 2}
    with reading() as session:
        assert [one.row.prediction_id for one in stored_of(session, "toy", ["old", "new", "long"])] == ["new"]


def test_only_some_roles_and_models_are_answered(world: World) -> None:
    with writing() as session:
        store_explained(session, "p1")
    for actor in (world.viewer, world.on_call, world.engineer):
        with reading() as session, pytest.raises(NotAllowed):
            look_up(session, actor, prediction_id="p1", model="toy")
    elsewhere = Actor("per_x", "person", frozenset({Role.COMPLIANCE}), models=frozenset({"other"}))
    with reading() as session, pytest.raises(NotFound):
        look_up(session, elsewhere, prediction_id="p1", model="toy")
    with reading() as session, pytest.raises((NotFound, BadInput)):
        look_up(session, elsewhere, prediction_id="p1")
    with reading() as session:
        assert look_up(session, world.compliance, prediction_id="p1").stored is not None


def test_asking_twice_is_one_run_and_a_failure_is_answered_in_words(world: World) -> None:
    send({"p1": "Ada"})
    move_spool()
    with writing() as session:
        first = ask(session, world.compliance, prediction_id="p1", model="toy")
        assert look_up(session, world.compliance, prediction_id="p1").run.id == first.id
        assert ask(session, world.compliance, prediction_id="p1", model="toy").id == first.id
        with pytest.raises(NotFound, match="is stored"):
            ask(session, world.compliance, prediction_id="p7", model="toy")
        run = session.get_one(JobRun, first.id)
        run.state, run.error, run.finished_at = "failed", "the artefact is gone", clock.now()
    with reading() as session, pytest.raises(Conflict, match="the artefact is gone"):
        look_up(session, world.compliance, prediction_id="p1", model="toy")


def test_a_declined_case_is_told_its_reasons_in_the_declared_sentences(world: World) -> None:
    describe({**SUBJECT_SPEC, "favourable": "negative", "reason_codes": REASONS})
    send({"p1": "Ada"})
    move_spool()
    told = ({"sentence": REASONS["distance"], "columns": ["distance"], "contribution": 2.0, "share": 1.0},)

    def found() -> tuple[str, object]:
        with reading() as session:
            explained = explain_prediction(
                session,
                world.compliance,
                model="toy",
                prediction_id="p1",
                observations=settings().observations,
            )
        return explanation_document(explained, "html")[0].decode(), explained

    html, explained = found()
    assert explained.declined
    assert "Its reasons have not been computed" in html
    with writing() as session:
        store_explained(session, "p1", moved={"distance": 2.0, "carrier": -0.5}, reason_codes=told)
    html, explained = found()
    assert "Why it was declined" in html
    assert f"1. {REASONS['distance']}" in html


def test_a_sampled_score_is_held_against_the_cutoff_of_its_time(world: World) -> None:
    """Reasons are of declined cases alone: a score of 0.6 was declined (the favourable decision is the negative one)
    by the cut-off of the first hours, and not by the one that came then. A feature of that name is no cut-off."""
    spec = {**SPEC, "features": {**SPEC["features"], "cutoff": "numeric"}, "favourable": "negative",
            "reason_codes": {"distance": REASONS["distance"]}}  # fmt: skip
    now = clock.now()
    with writing() as session:
        served = session.query(Deployment).filter_by(model="toy", ended_at=None, role="champion").one()
        served.ended_at, served.state = now - timedelta(hours=2), "ended"
        start_deployment(session, SYSTEM, model="toy", environment="production", version=2, change_id=None,
                         reason="another cut-off", cutoff=0.9, at=now - timedelta(hours=2))  # fmt: skip
        version = session.get_one(Version, ("toy", 2))
        session.expunge_all()
    version.cutoff = 0.5
    prepared = PreparedVersion(
        version,
        parse_spec(spec),
        Prepared(Steady(), parse_spec(spec), "log-odds", "", NO_OPINION),
        (),
    )
    rows = pd.DataFrame(
        {"prediction_id": ["before", "after", "answered"], "environment": "production", "role": "champion",
         "version": 2, "score": 0.6, "prediction": [None, None, "1"], "distance": 1.0, "carrier": "UA", "cutoff": 0.7,
         "ts": pd.to_datetime([now - timedelta(hours=3), now - timedelta(hours=1), now], utc=True)}
    )  # fmt: skip
    cutoffs = cutoffs_of(prepared, rows)
    assert cutoffs == [served.cutoff, 0.9, 0.5]
    explained = prepared.explain(rows, because="sample", cutoffs=cutoffs)
    assert [one.reason_codes is not None for one in explained] == [True, False, True]
    assert [one.inputs[-1] for one in explained] == [0.7] * 3


def test_a_second_opinion_stays_beside_the_same_explainers_values_and_goes_with_others(world: World) -> None:
    opinion = {
        "known": True, "r2": 0.31, "held_fixed": [], "weights": [],
        "agreement": {"columns": 2, "rank_correlation": None, "top": 2, "shared": ["distance"],
                      "same_direction": [], "same_first": True},
    }  # fmt: skip
    with writing() as session:
        store_explained(session, "p1", because="asked", second_opinion=opinion)
        store_explained(session, "p1", because="sample")
    with reading() as session:
        kept = find_stored(session, "toy", "p1")
    assert kept.row.because == "asked"
    assert "R² 0.31), which is little: do not lean on it." in kept.second_opinion["words"]
    assert "both put the same input first; 1 of the 2 largest are the same" in kept.second_opinion["words"]
    with writing() as session:
        store_explained(session, "p1", version=1)
    with reading() as session:
        assert find_stored(session, "toy", "p1").second_opinion is None


def test_whatever_shap_raises_is_a_reason_that_can_be_kept() -> None:
    class Lost(Steady):
        def values(self, rows: pd.DataFrame) -> Attributed:
            raise Exception("Additivity check failed in TreeExplainer!")  # noqa: TRY002 - as shap raises it

    spec = parse_spec(SPEC)
    prepared = PreparedVersion(
        Version(model="toy", version=2),
        spec,
        Prepared(Lost(), spec, "log-odds", "", NO_OPINION),
        (),
    )
    with pytest.raises(
        BadInput, match="version 2 of toy cannot be explained: Exception: Additivity check failed"
    ):
        prepared.explain(pd.DataFrame({"distance": [1.0], "carrier": ["UA"]}))


class Steady:
    """Every row is moved alike."""

    kind: Any = "permutation"
    method = "always the same"
    background_rows = 0

    def values(self, rows: pd.DataFrame) -> Attributed:
        return Attributed(np.full(rows.shape, 0.5), np.zeros(1), np.full(len(rows), 0.5 * rows.shape[1]))


@pytest.mark.slow
def test_the_job_explains_samples_alerts_and_what_somebody_asks_for(
    migrated_home: Path, tmp_path: Path
) -> None:
    """With a real model: the values are shap's own, sum to the prediction, and the window's figures are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        from backend.serving.loader import load_estimator
    world = make_world(tmp_path / "files", trained=(2,))
    numeric = {**SPEC, "features": {"distance": "numeric", "carrier": "categorical"}, "segments": ["carrier"]}
    describe({**numeric, "explanations": {"sample": 40, "always": 10}, "favourable": "negative",
              "reason_codes": REASONS})  # fmt: skip
    send({f"p{number}": "Ada" for number in range(60)}, days_ago=1, model_has_subject=False)
    move_spool()
    start = (clock.now() - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    with writing() as session:
        window = WindowState(
            model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
            rows=60, labels_known=60, state="complete", computed_at=clock.now(),
        )  # fmt: skip
        session.add(window)
        fire(session, Here.actor, Firing("toy", "production", 2, "realised", "page", "AUC fell", "roc_auc",
                                         start + timedelta(hours=2), {}))  # fmt: skip
    explain_windows(Here(), "toy")  # type: ignore[arg-type]
    with reading() as session:
        rows = session.query(PredictionExplanation).all()
        assert {because: sum(one.because == because for one in rows) for because in ("sample", "alert")} == {
            "sample": 40, "alert": 10,
        }  # fmt: skip
        model = load_estimator(world.artefact(2))
        given = pd.DataFrame({"distance": [100.0], "carrier": ["UA"]})
        output = float(model.decision_function(given)[0])
        for one in rows:
            assert one.base_value + sum(unpack(one.contributions)) == pytest.approx(output, abs=1e-5)
            assert abs(one.gap) < 1e-6
        whole = session.query(AttributionWindow).filter_by(segment="", start=start).one()
        assert (whole.rows, whole.window_rows) == (40, 60)
        place = session.get_one(Explainer, rows[0].explainer_id).columns.index("distance")
        sizes = {one["column"]: one["mean_abs"] for one in whole.columns}
        assert sizes["distance"] == pytest.approx(
            np.mean([abs(unpack(one.contributions)[place]) for one in rows if one.because == "sample"])
        )
        assert session.query(AttributionWindow).filter_by(segment="carrier=UA", start=start).one().rows == 40
        spec = parse_spec({**numeric, "explanations": {"sample": 40}})
        due = windows_to_explain(session, model="toy", environment="production", spec=spec)
        assert start not in {one.start for one in due}
    left = next(f"p{n}" for n in range(60) if f"p{n}" not in {one.prediction_id for one in rows})
    here = Here()
    here.arguments = {"complaint": True}
    assert explain_and_keep(here, "toy", left) == 2  # type: ignore[arg-type]
    with reading() as session:
        asked = find_stored(session, "toy", left)
        assert asked.row.because == "complaint"
        assert asked.explainer.background_rows in (0, 50)
        assert asked.explainer.background_digest.startswith("sha256:") or asked.explainer.kind == "tree"
        # The score 0.7 is at or above the cut-off and the favourable decision is the negative one: declined.
        assert asked.row.reason_codes is not None
        assert session.get_one(Version, ("toy", 2)).artefact_digest == asked.explainer.artefact_digest
        opinion = asked.view()["second_opinion"]
        assert opinion["known"], opinion
        assert {one["column"] for one in opinion["weights"]} == {"distance", "carrier"}
        assert "R²" in opinion["words"]
        assert "Beside SHAP" in opinion["words"]
        assert all(one.second_opinion is None for one in rows if one.because == "sample"), "asked for alone"
    assert shap.__version__
