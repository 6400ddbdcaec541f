"""One prediction explained: what went in and came out, by which version, and who let it decide."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from backend.data_rights.explanation import (
    explain_prediction,
    request_explanation,
)
from backend.data_rights.explanation_document import explanation_document
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.settings import settings
from jobs.explain_prediction import explain_and_keep
from tests.explained import store_explained
from tests.integration.data_rights.conftest import Here, describe, move_spool, send
from tests.worlds import SPEC, World, make_world


def explained(world: World, prediction_id: str = "p1"):  # type: ignore[no-untyped-def]
    with reading() as session:
        return explain_prediction(
            session,
            world.compliance,
            model="toy",
            prediction_id=prediction_id,
            observations=settings().observations,
        )


def test_a_prediction_tells_inputs_score_cut_off_version_and_label(world: World) -> None:
    send({"p1": "Ada", "p2": "Bob"})
    move_spool()
    found = explained(world)
    assert (found.version, found.score, found.cutoff) == (2, 0.7, 0.5)
    assert found.inputs["distance"] == 100.0
    assert found.inputs["passenger"].startswith("psn_")
    assert "row_digest" not in found.inputs
    assert found.decision.startswith("The score was 0.7, at or above the cut-off 0.5")
    assert found.facts["label"] == "1"
    assert found.deployment_id is not None


def test_what_is_not_stored_is_said_and_a_quote_in_an_id_harms_nothing(world: World) -> None:
    send({"p1": "Ada"})
    move_spool()
    for unknown in ("p7", "p1' OR '1'='1"):
        with pytest.raises(NotFound, match="is stored"):
            explained(world, unknown)


def test_only_some_roles_look_at_single_predictions(world: World) -> None:
    for actor in (world.viewer, world.on_call, world.engineer):
        with reading() as session, pytest.raises(NotAllowed):
            explain_prediction(
                session, actor, model="toy", prediction_id="p1", observations=settings().observations
            )


def test_contributions_are_asked_for_once_and_shown_largest_first(world: World) -> None:
    send({"p1": "Ada"})
    move_spool()
    with writing() as session:
        first = request_explanation(session, world.compliance, model="toy", prediction_id="p1")
        again = request_explanation(session, world.compliance, model="toy", prediction_id="p1")
        assert first.id == again.id
        store_explained(session, "p1", moved={"carrier": 0.1, "distance": -2.0})
    assert [one["column"] for one in explained(world).contributions] == ["distance", "carrier"]


def test_the_document_names_version_and_numbers_in_each_form(world: World) -> None:
    send({"p1": "Ada"})
    move_spool()
    found = explained(world)
    html, _ = explanation_document(found, "html")
    pdf, media_type = explanation_document(found, "pdf")
    assert b"version 2" in html
    assert b"at or above the cut-off 0.5" in html
    assert (pdf[:4], media_type) == (b"%PDF", "application/pdf")
    assert b'"version": 2' in explanation_document(found, "json")[0]
    with pytest.raises(NotFound):
        explanation_document(found, "docx")


def test_an_explanation_of_another_answer_than_the_recorded_one_says_so(world: World) -> None:
    """The version answered 0.7 then; explained is what it answers to the stored inputs."""
    send({"p1": "Ada"})
    move_spool()
    for output, same in ((0.8473, True), (0.85, True), (-2.15, False)):
        with writing() as session:
            store_explained(session, "p1", moved={"distance": output}, base=0.0)
        found = explained(world)
        assert found.is_of_answer is same
        assert ("0.1043, and 0.7 was recorded" in found.method) is not same
        assert (b"explain another answer" in explanation_document(found, "html")[0]) is not same


@pytest.mark.slow
def test_the_job_computes_what_moved_a_prediction_with_the_version_that_made_it(
    database: str, tmp_path: Path
) -> None:
    """A real pipeline that decides by the distance alone; a column stored as a pseudonym cannot be asked again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: F401
    world = make_world(tmp_path / "files", trained=(2,))
    send({"p1": "Ada"}, model_has_subject=False)
    move_spool()
    assert explain_and_keep(Here(), "toy", "p1") == 2  # type: ignore[arg-type]
    found = explained(world)
    assert [one["column"] for one in found.contributions] == ["distance", "carrier"]
    assert found.contributions[0]["contribution"] < 0  # 100 miles is short in this world
    describe({**SPEC, "pseudonymise": ["carrier"]})
    with pytest.raises(BadInput, match="stored as a pseudonym"):
        explain_and_keep(Here(), "toy", "p1")  # type: ignore[arg-type]


def test_where_nothing_is_recorded_nothing_is_made_up(world: World) -> None:
    """Only a score was sent, and no change brought the version into service; who trained it is known all the same."""
    send({"p1": "Ada"})
    move_spool()
    found = explained(world)
    assert found.prediction is None
    assert found.change is None
    said = explanation_document(found, "html")[0].decode()
    assert "Which answer was given is not recorded" in said
    assert "No change is recorded that brought this version into service" in said
    assert "Trained by Engineer" in said
    assert "None" not in said
    assert "from the start" not in said
