"""Who is on hold stays, whichever way their rows, their explanations or what names them would go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import destroy_key, erase_payloads
from backend.audit.log import record
from backend.audit.tables import AuditPayload
from backend.data_rights.documents import documents_folder
from backend.data_rights.handing_out import forget_documents, open_document
from backend.data_rights.requests import request_erasure_of_person, request_rows
from backend.data_rights.rules import set_rule
from backend.data_rights.tables import DataRequest
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.explain.reports import list_reports
from backend.explain.tables import PredictionExplanation
from backend.governance.execution import begin
from backend.holds.rows import count_held
from backend.holds.service import Held, place_hold, release_hold
from backend.holds.tables import Hold
from backend.identity.roles import Role
from backend.observations.pseudonyms import pseudonym
from jobs.data_requests import carry_out as carry_out_outside
from jobs.keep_data import trim_models
from tests.explained import store_explained
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    Here,
    approve,
    carry_out,
    change_of,
    describe,
    ids_of,
    move_spool,
    send,
    write_report_file,
)
from tests.worlds import SPEC, SYSTEM, World

IN_CLEAR = {**SUBJECT_SPEC, "pseudonymise": []}
DESCRIBED = pytest.mark.parametrize("spec", [SUBJECT_SPEC, IN_CLEAR], ids=["pseudonyms", "in clear"])


def hold(world: World, name: str = "Ada L.", *, kind: str = "person", model: str | None = "toy") -> Hold:
    with writing() as session:
        return place_hold(
            session, world.compliance, kind=kind, object_id=name, reason="court file 7", model=model
        )


def release(world: World, made: Hold) -> None:
    with writing() as session:
        other = replace(world.lead, roles=frozenset({Role.COMPLIANCE}))
        release_hold(session, other, made.id, why="settled")


def ask(world: World, **by: object) -> DataRequest:
    with writing() as session:
        return request_rows(
            session, world.compliance, kind="erase", model="toy", reason="she wrote", **by  # type: ignore[arg-type]
        )  # fmt: skip


@DESCRIBED
@pytest.mark.parametrize("by", [{"value": "Ada L."}, {"prediction_ids": ["p1", "p2"]}], ids=["value", "ids"])
def test_a_hold_on_a_person_placed_after_the_approval_voids_the_erasure(
    world: World, spec: dict[str, object], by: dict[str, object]
) -> None:
    describe(spec)
    send({"p1": "Ada L.", "p2": "Bob"})
    request = ask(world, **by)
    approve(world, request)
    hold(world)
    with writing() as session:
        assert begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}") is None
    change = change_of(request.change_id or 0)
    assert change.state == "void"
    assert "on hold" in change.outcome
    for secret in ("Ada", pseudonym("toy", "Ada L."), "court file"):  # everybody reads the outcome
        assert secret not in change.outcome
    assert ids_of(ids=["p1", "p2"]) == ["p1", "p2"]


@pytest.mark.parametrize("by", [{"value": "Ada L."}, {"prediction_ids": ["p1", "p2"]}], ids=["value", "ids"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_hold_on_a_person_placed_while_the_erasure_is_under_way_keeps_the_rows(
    world: World, by: dict[str, object], moved: bool
) -> None:
    send({"p1": "Ada L.", "p2": "Bob"})
    if moved:
        move_spool()
    request = ask(world, **by)
    approve(world, request)
    with writing() as session:
        assert begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}") is not None
    hold(world)
    with pytest.raises(Held):
        carry_out_outside(Here(), request.change_id or 0)  # type: ignore[arg-type]
    assert ids_of(ids=["p1", "p2"]) == ["p1", "p2"]


def test_a_hold_placed_at_the_last_moment_before_rows_go_still_keeps_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import data_requests

    send({"p1": "Ada L."})
    request = ask(world, value="Ada L.")
    approve(world, request)
    with writing() as session:
        begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}")
    monkeypatch.setattr(data_requests, "pass_kill_point", lambda *at: at[-1] == "spool_moved" and hold(world))
    with pytest.raises(Held):
        carry_out_outside(Here(), request.change_id or 0)  # type: ignore[arg-type]
    assert ids_of(ids=["p1"]) == ["p1"]


@DESCRIBED
def test_asking_by_prediction_ids_goes_round_no_hold(world: World, spec: dict[str, object]) -> None:
    describe(spec)
    send({"p1": "Ada L.", "p2": "Bob"})
    made = hold(world)
    with pytest.raises(Held, match="court file 7"):
        ask(world, prediction_ids=["p1"])
    with pytest.raises(Held):
        ask(world, value="Ada L.")
    other = ask(world, prediction_ids=["p2"])
    approve(world, other)
    assert carry_out(other.change_id or 0).state == "executed"
    assert ids_of(ids=["p1", "p2"]) == ["p1"]
    release(world, made)
    ask(world, prediction_ids=["p1"])


def test_a_hold_outlives_the_spec_that_said_whose_rows_are_whose(world: World) -> None:
    send({"p1": "Ada L."})
    hold(world)
    describe(SPEC)
    with pytest.raises(Held):
        ask(world, prediction_ids=["p1"])


@DESCRIBED
def test_retention_by_rule_keeps_the_rows_and_explanations_of_who_is_on_hold(
    world: World, spec: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(spec)
    send({"a1": "Ada L.", "b1": "Bob"}, days_ago=40)
    move_spool()
    with writing() as session:
        for one in ("a1", "b1"):
            store_explained(session, one, computed_at=clock.now() - timedelta(days=40))
        set_rule(
            session, world.compliance, model="toy", purposes=[], why="agreed", predictions_days=30,
            explanations_days=30,
        )  # fmt: skip
    made = hold(world)
    assert trim_models(Here()) == {"toy": {"predictions": 1, "labels": 1, "explanations": 1}}  # type: ignore[arg-type]
    assert trim_models(Here()) == {"toy": {}}  # type: ignore[arg-type]
    assert ids_of(ids=["a1", "b1"]) == ["a1"]
    with reading() as session:
        assert session.scalars(select(PredictionExplanation.prediction_id)).all() == ["a1"]
    release(world, made)
    assert trim_models(Here()) == {"toy": {"predictions": 1, "labels": 1, "explanations": 1}}  # type: ignore[arg-type]


def test_the_models_rule_keeps_payloads_of_who_is_on_hold_and_of_other_models_logs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.worlds import add_model

    add_model(world, "other", versions=1)
    with writing() as session:
        theirs = record(session, world.lead, Action.BATCH_INGESTED, object_kind="model", object_id="toy")
        naming = record(
            session, SYSTEM, Action.BATCH_INGESTED, object_kind="model", object_id="toy", payload={"with": "other"}
        )  # fmt: skip
        free = record(session, SYSTEM, Action.BATCH_INGESTED, object_kind="model", object_id="toy")
        set_rule(session, world.compliance, model="toy", purposes=[], why="agreed", payloads_days=30)
    hold(world, world.lead.person_id, model=None)
    hold(world, "other", kind="log", model=None)
    later = clock.now() + timedelta(days=40)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert trim_models(Here())["toy"]["payloads"] > 0  # type: ignore[arg-type]
    with reading() as session:
        left = set(session.scalars(select(AuditPayload.seq)))
    assert {theirs, naming} <= left
    assert free not in left


def test_no_caller_erases_payloads_or_keys_that_a_hold_keeps(world: World) -> None:
    with writing() as session:
        seq = record(session, world.lead, Action.BATCH_INGESTED, object_kind="model", object_id="toy")
    hold(world, "toy", kind="log", model=None)
    with writing() as session, pytest.raises(Held):
        erase_payloads(session, SYSTEM, [seq], why="by hand")
    with writing() as session, pytest.raises(Held):
        destroy_key(session, SYSTEM, world.lead.person_id, why="by hand", request="dsr_1")


def test_somebody_whom_a_held_log_names_is_not_erased(world: World) -> None:
    with writing() as session:
        record(session, world.other_lead, Action.BATCH_INGESTED, object_kind="model", object_id="toy")
    made = hold(world, "toy", kind="log", model=None)
    with writing() as session, pytest.raises(Held, match="log toy"):
        request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="she left"
        )
    release(world, made)
    with writing() as session:
        request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="she left"
        )


@DESCRIBED
def test_how_many_predictions_are_held_tells_a_misspelt_person(world: World, spec: dict[str, object]) -> None:
    describe(spec)
    send({"p1": "Ada L.", "p2": "Ada L.", "p3": "Bob"})
    counts = [hold(world, name) for name in ("Ada L.", "Ada M.")]
    counts += [hold(world, world.lead.person_id), hold(world, "toy", kind="predictions", model=None)]
    with reading() as session:
        assert [count_held(session, one) for one in counts] == [2, 0, 0, None]


def test_whose_rows_are_on_hold_is_nowhere_in_clear(world: World) -> None:
    made = hold(world)
    assert made.object_id == pseudonym("toy", "Ada L.")
    with reading() as session:
        kept = str(session.execute(text("SELECT object_id, reason FROM holds")).all())
        kept += str(session.execute(text("SELECT payload FROM audit_payloads")).all())
    assert "Ada" not in kept


@DESCRIBED
def test_an_erasure_takes_the_documents_that_were_handed_out_of_the_same_person(
    world: World, spec: dict[str, object]
) -> None:
    describe(spec)
    send({"p1": "Ada L.", "p2": "Bob"})
    move_spool()
    documents = {}
    for who in ("Ada L.", "Bob"):
        with writing() as session:
            documents[who] = request_rows(
                session, world.compliance, kind="access", model="toy", value=who, reason="they asked"
            )
        approve(world, documents[who])
        carry_out(documents[who].change_id or 0)
    request = ask(world, value="Ada L.")
    approve(world, request)
    carry_out(request.change_id or 0)
    with reading() as session:
        assert open_document(session, world.compliance, documents["Bob"].id, "json")
        with pytest.raises(NotFound):
            open_document(session, world.compliance, documents["Ada L."].id, "json")
        done = session.get_one(DataRequest, request.id)
        assert done.counts == {"predictions": 1, "labels": 1, "access documents": 1}
    assert [one.name for one in documents_folder().iterdir()] == [f"{documents['Bob'].id}.json"]


@DESCRIBED
def test_an_erasure_takes_the_reports_of_the_model(world: World, spec: dict[str, object]) -> None:
    describe(spec)
    send({"p1": "Ada L.", "p2": "Bob"})
    move_spool()
    path = write_report_file("toy")
    request = ask(world, value="Ada L.")
    approve(world, request)
    carry_out(request.change_id or 0)
    with reading() as session:
        assert list_reports(session, world.viewer, "toy") == []
        assert (session.get_one(DataRequest, request.id).counts or {})["reports"] == 1
    assert not path.exists()


def test_documents_are_not_let_go_while_rows_of_their_model_are_on_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send({"p1": "Ada L."})
    with writing() as session:
        request = request_rows(
            session, world.compliance, kind="access", model="toy", value="Ada L.", reason="she asked"
        )
    approve(world, request)
    carry_out(request.change_id or 0)
    made = hold(world, "toy", kind="predictions", model=None)
    later = clock.now() + timedelta(days=40)
    monkeypatch.setattr(clock, "now", lambda: later)
    with writing() as session:
        assert forget_documents(session) == 0
    release(world, made)
    with writing() as session:
        assert forget_documents(session) == 1
