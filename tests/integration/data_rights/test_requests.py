"""Requests of data subjects: four eyes, holds, a record of what and how many, and nothing left of whom."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from backend import clock
from backend.access.reviews import start_review
from backend.access.tables import AccessItem
from backend.alerting.handling import assign, open_incident
from backend.alerting.tables import IncidentEntry
from backend.audit.actions import Action
from backend.audit.erasure import erased_on_request
from backend.audit.log import record
from backend.audit.reading import entry_detail, search_entries
from backend.audit.saved_searches import save_search
from backend.audit.searching import Search
from backend.audit.tables import SavedSearch
from backend.audit.verification import verify
from backend.backups.tables import Backup
from backend.data_rights.documents import documents_folder
from backend.data_rights.explanation import request_explanation
from backend.data_rights.handing_out import open_document
from backend.data_rights.people import ERASED_NAME
from backend.data_rights.requests import (
    get_request,
    list_requests,
    request_erasure_of_person,
    request_erasure_of_texts,
    request_rows,
)
from backend.data_rights.tables import DataRequest
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.explain.tables import PredictionExplanation
from backend.governance.execution import apply_record, begin, restore
from backend.governance.tables import Change
from backend.holds.service import Held, place_hold
from backend.identity.tables import IdempotencyKey, Person
from backend.observations.pseudonyms import pseudonym
from backend.registry.artefacts import ArtefactAltered
from jobs import data_requests
from tests.explained import store_explained
from tests.integration.data_rights.conftest import (
    Here,
    approve,
    carry_out,
    change_of,
    describe,
    ids_of,
    move_spool,
    send,
)
from tests.worlds import SPEC, SYSTEM, World


def ask_to_erase(world: World, value: str = "Ada L.", **more: object) -> DataRequest:
    with writing() as session:
        return request_rows(
            session, world.compliance, kind="erase", model="toy", value=value, reason="she wrote", **more,  # type: ignore[arg-type]
        )  # fmt: skip


def request_now(world: World, request: DataRequest) -> DataRequest:
    with reading() as session:
        return get_request(session, world.compliance, request.id)


def test_rows_of_a_subject_are_erased_by_a_change_that_another_person_agrees_to(world: World) -> None:
    send({"p1": "Ada L.", "p2": "Bob"})
    move_spool()
    send({"p3": "Ada L."})
    with writing() as session:
        store_explained(session, "p1")
    request = ask_to_erase(world)
    assert change_of(request.change_id or 0).state == "waiting"
    approve(world, request)
    change = carry_out(request.change_id or 0)
    assert change.state == "executed"
    assert ids_of(ids=["p1", "p2", "p3"]) == ["p2"]
    done = request_now(world, request)
    assert done.counts == {
        "predictions": 1, "labels": 1, "predictions in the spool": 1, "labels in the spool": 1, "explanations": 1,
    }  # fmt: skip
    assert (done.selector, done.found) == (None, None)
    with reading() as session:
        (entry,) = search_entries(session, world.compliance, action="data:rows:erase")
        assert session.scalar(select(PredictionExplanation.prediction_id)) is None
    assert entry.payload is not None
    assert (entry.payload["rows"], entry.payload["predictions"]) == (done.counts, 2)
    assert verify().ok


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_erasure_that_fails_half_way_says_what_is_gone_and_leaves_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for again it finds no rows of them, and so not what hangs on those."""
    send({"p1": "Ada L.", "p2": "Bob"})
    with writing() as session:
        store_explained(session, "p1")
    request = ask_to_erase(world)
    approve(world, request)

    def breaks(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken, pytest.raises(OSError):
        broken.setattr(data_requests, "forget_copies_of", breaks)
        carry_out(request.change_id or 0)
    with writing() as session:
        restore(session, SYSTEM, request.change_id or 0, why="no space left")
    change, failed = change_of(request.change_id or 0), request_now(world, request)
    assert change.state == "failed"
    assert "up to 3 rows of 1 predictions had been erased by then: ask again" in change.outcome
    assert (failed.selector, failed.found, failed.done_at) == (None, None, None)
    with reading() as session:
        (entry,) = search_entries(session, world.compliance, action="data:rows:erase")
        assert session.scalar(select(PredictionExplanation.prediction_id)) is None
    assert entry.payload is not None
    assert entry.payload["complete"] is False
    never_begun = ask_to_erase(world, "Bob")
    approve(world, never_begun)
    with writing() as session:
        begin(session, SYSTEM, never_begun.change_id or 0, f"change-{never_begun.change_id}")
        restore(session, SYSTEM, never_begun.change_id or 0, why="the store is away")
    assert change_of(never_begun.change_id or 0).outcome == "the store is away; nothing was erased"


def change_time() -> object:
    return clock.now()


def test_who_it_is_about_is_nowhere_in_the_database_afterwards(world: World) -> None:
    send({"secret-id-77": "Ada L."})
    with writing() as session:
        request_explanation(session, world.compliance, model="toy", prediction_id="secret-id-77")
        request_explanation(session, world.compliance, model="toy", prediction_id="of-another")
    request = ask_to_erase(world)
    approve(world, request)
    carry_out(request.change_id or 0)
    with reading() as session:
        tables = session.execute(
            text("SELECT subject, evidence, summary, bound FROM changes WHERE id = :id"),
            {"id": request.change_id},
        ).one()
        kept = json.dumps([str(cell) for cell in tables])
        kept += str(session.execute(text("SELECT selector, found, counts, how FROM data_requests")).all())
        kept += str(session.execute(text("SELECT payload FROM audit_payloads")).all())
        runs = str(session.execute(text("SELECT arguments, error FROM job_runs")).all())
    kept, others = kept + runs, "of-another" in runs
    assert others
    for secret in ("Ada L.", pseudonym("toy", "Ada L."), "secret-id-77"):
        assert secret not in kept


def test_only_compliance_asks_and_not_for_itself(world: World) -> None:
    for actor in (world.lead, world.engineer, world.on_call, world.viewer):
        with writing() as session, pytest.raises(NotAllowed):
            request_rows(session, actor, kind="erase", model="toy", value="x", reason="r")
    request = ask_to_erase(world)
    with pytest.raises(NotAllowed):
        approve(_with(world, world.compliance), request)


def _with(world: World, lead: object) -> World:
    from dataclasses import replace

    return replace(world, lead=lead)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "name"), [("predictions", "toy"), ("person", "Ada L.")])
def test_a_hold_refuses_the_request_with_its_reason(world: World, kind: str, name: str) -> None:
    with writing() as session:
        place_hold(session, world.compliance, kind=kind, object_id=name, reason="court file 7")
    with pytest.raises(Held, match="court file 7"):
        ask_to_erase(world)


def test_a_hold_that_comes_after_the_approval_still_forbids_it(world: World) -> None:
    send({"p1": "Ada L."})
    request = ask_to_erase(world)
    approve(world, request)
    with writing() as session:
        place_hold(session, world.compliance, kind="predictions", object_id="toy", reason="court file 7")
    with writing() as session:
        assert begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}") is None
    change = change_of(request.change_id or 0)
    assert change.state == "void"
    assert "court file 7" in change.outcome
    assert ids_of(ids=["p1"]) == ["p1"]


def test_a_hold_between_beginning_and_erasing_forbids_it_too(world: World) -> None:
    from jobs.data_requests import carry_out as carry_out_outside

    send({"p1": "Ada L."})
    request = ask_to_erase(world)
    approve(world, request)
    with writing() as session:
        assert begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}") is not None
        place_hold(session, world.compliance, kind="predictions", object_id="toy", reason="court file 7")
    with pytest.raises(Held):
        carry_out_outside(Here(), request.change_id or 0)  # type: ignore[arg-type]
    assert ids_of(ids=["p1"]) == ["p1"]


def test_several_requests_of_a_model_may_be_open(world: World) -> None:
    assert ask_to_erase(world, "a").change_id != ask_to_erase(world, "b").change_id


def test_a_model_that_names_no_subject_is_asked_by_prediction_ids(world: World) -> None:
    describe(SPEC)
    with pytest.raises(BadInput, match="declares no `subject`"):
        ask_to_erase(world)
    request = ask_to_erase(world, "", prediction_ids=["p1", "p2"])
    assert request.how == "2 prediction ids"


def test_an_access_request_hands_out_every_row_and_changes_nothing(world: World) -> None:
    send({"p1": "Ada L.", "p2": "Bob"})
    move_spool()
    send({"p3": "Ada L."})
    with writing() as session:
        request = request_rows(
            session, world.compliance, kind="access", model="toy", value="Ada L.", reason="she asked"
        )
    approve(world, request)
    assert carry_out(request.change_id or 0).state == "executed"
    with reading() as session:
        data, media_type = open_document(session, world.compliance, request.id, "json")
        html, _ = open_document(session, world.compliance, request.id, "html")
        pdf, _ = open_document(session, world.compliance, request.id, "pdf")
        with pytest.raises(NotAllowed):
            open_document(session, world.lead, request.id, "json")
    found = json.loads(data)
    assert media_type == "application/json"
    assert [row["prediction_id"] for row in found["rows"]["predictions"]] == ["p1"]
    assert [row["prediction_id"] for row in found["rows"]["predictions in the spool"]] == ["p3"]
    assert b"p1" in html
    assert b"p2" not in html
    assert pdf.startswith(b"%PDF")
    assert ids_of(ids=["p1", "p2", "p3"]) == ["p1", "p2", "p3"]
    path = documents_folder() / f"{request.id}.json"
    path.write_bytes(data.replace(b"Ada", b"Eve") + b" ")
    with reading() as session, pytest.raises(ArtefactAltered, match="was altered after it was written"):
        open_document(session, world.compliance, request.id, "pdf")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_document_of_rows_that_were_erased_meanwhile_is_not_offered_nor_kept(world: World) -> None:
    send({"p1": "Ada L."})
    with writing() as session:
        access = request_rows(
            session, world.compliance, kind="access", model="toy", value="Ada L.", reason="she asked"
        )
    erasure = ask_to_erase(world)
    approve(world, access)
    approve(world, erasure)
    change_id = access.change_id or 0
    with writing() as session:
        begin(session, SYSTEM, change_id, f"change-{change_id}")
    data_requests.carry_out(Here(), change_id)  # type: ignore[arg-type]
    kept = (documents_folder() / f"{access.id}.json").read_bytes()
    carry_out(erasure.change_id or 0)
    (documents_folder() / f"{access.id}.json").write_bytes(kept)  # as when it is written just after
    with pytest.raises(Conflict, match="were erased while the document was made"), writing() as session:
        apply_record(session, SYSTEM, change_id)
    with writing() as session:
        restore(session, SYSTEM, change_id, why="erased meanwhile")
    assert change_of(change_id).outcome == "erased meanwhile; no document is kept"
    assert list(documents_folder().iterdir()) == []


def test_a_request_that_waits_is_listed_however_many_came_after_it(world: World) -> None:
    describe(SPEC)
    waiting, over = (ask_to_erase(world, "", prediction_ids=[one]) for one in ("p1", "p2"))
    with writing() as session:
        session.get_one(Change, over.change_id).state = "cancelled"
    with reading() as session:
        assert [one.id for one in list_requests(session, world.compliance, limit=0)] == [waiting.id]
        assert {one.id for one in list_requests(session, world.compliance)} == {waiting.id, over.id}


def test_an_erasure_says_which_copies_it_does_not_reach(world: World) -> None:
    at = clock.from_iso("2026-03-01T09:00:00.000000Z")
    with writing() as session:
        session.add(
            Backup(id="bak_1", file="b", digest="d", bytes=1, entries=1, made_at=at, snapshot_at=at, left_out=[],
                   took_s=1.0)
        )  # fmt: skip
        request = request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="she left"
        )
    approve(world, request)
    outcome = carry_out(request.change_id or 0).outcome
    assert outcome.endswith(
        "; backups up to the one of 2026-03-01 09:00:00 UTC hold it until they are deleted"
    )


def test_a_person_is_erased_and_the_log_still_tells_what_they_did(world: World) -> None:
    with writing() as session:
        request_rows(
            session,
            world.compliance,
            kind="access",
            model="toy",
            value="x",
            reason="from a person who leaves",
        )
        request = request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="she left"
        )
        told = {"by": [{"name": "Lead2", "is": "lead2"}], "text": "asked by Lead2, not by Lead2s", "lead2": 1}
        session.add(
            IdempotencyKey(person_id=world.compliance.person_id, key="k", request_digest="d", status=200,
                           body=json.dumps(told), created_at=clock.now())
        )  # fmt: skip
        incident = open_incident(session, world.lead, model="toy", environment="production", title="odd")
        assign(session, world.lead, incident.id, username="lead2")
        for name, who in (("full", "Lead2"), ("user", "lead2")):
            save_search(session, world.compliance, name=name, wanted=Search(who=who))
        start_review(session, world.compliance, title="autumn", due_at=clock.now() + timedelta(days=9))
        item = session.scalars(select(AccessItem)).first()
        assert item is not None
        item.facts = {**item.facts, "from": "Lead2"}
    approve(world, request)
    carry_out(request.change_id or 0)
    assert verify().ok
    with reading() as session:
        (answer,) = session.scalars(select(IdempotencyKey.body))
        assert json.loads(answer) == {
            "by": [{"name": ERASED_NAME, "is": ERASED_NAME}],
            "text": f"asked by {ERASED_NAME}, not by Lead2s", "lead2": 1,
        }  # fmt: skip
        row = session.get_one(Person, world.other_lead.person_id)
        assert (row.display_name, row.password_hash) == (ERASED_NAME, None)
        kept = session.scalars(select(IncidentEntry.text).where(IncidentEntry.kind == "assigned"))
        assert list(kept) == [ERASED_NAME]
        searches = [one.search for one in session.scalars(select(SavedSearch))]
        assert searches == [{"who": ERASED_NAME}, {"who": ERASED_NAME}]
        saved = search_entries(session, world.compliance, action="audit:search:save")
        assert {str((one.payload or {})["search"]) for one in saved} == {
            str({"who": [world.other_lead.person_id]})
        }, "the log holds no name"
        assert "Lead2" not in json.dumps([one.facts for one in session.scalars(select(AccessItem))])
        assert row.disabled_at is not None
        assert [
            one.object_id for one in search_entries(session, world.compliance, action="audit:person:erase")
        ] == [world.other_lead.person_id]
    with writing() as session, pytest.raises(Conflict, match="erased already"):
        request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="again"
        )


def entries_with(world: World, words: str) -> list[int]:
    with reading() as session:
        return [one.seq for one in search_entries(session, world.compliance, text=words)]


def test_texts_of_the_log_that_name_somebody_are_erased_by_a_change(world: World) -> None:
    """What people wrote as a reason is sealed for nobody; its text goes, its proof stays."""
    with writing() as session:
        record(session, world.compliance, Action.METRICS_REQUESTED, object_kind="model", object_id="toy",
               why="Zacharias Quill complained")  # fmt: skip
    (told,) = entries_with(world, "zacharias")
    with writing() as session:
        request = request_erasure_of_texts(session, world.compliance, entries=[told, told], reason="he asked")
    assert entries_with(world, "zacharias") == [told]
    approve(world, request)
    assert carry_out(request.change_id or 0).state == "executed"
    assert entries_with(world, "zacharias") == []
    done = request_now(world, request)
    assert (done.counts, done.selector) == ({"texts of entries": 1}, None)
    with reading() as session:
        found = entry_detail(session, world.compliance, told).view
        kept = str(session.execute(text("SELECT payload FROM audit_payloads")).all())
        assert erased_on_request(session, since=0) == {told}
    assert not found.payload
    assert "erased on" in found.erased
    assert "Zacharias" not in kept
    assert verify().ok
    with writing() as session, pytest.raises(BadInput, match="erased already"):
        request_erasure_of_texts(session, world.compliance, entries=[told], reason="again")


def test_texts_that_something_open_or_held_needs_stay(world: World) -> None:
    with writing() as session:
        record(session, world.compliance, Action.METRICS_REQUESTED, object_kind="model", object_id="toy",
               why="Zacharias Quill complained")  # fmt: skip
    (told,) = entries_with(world, "zacharias")
    open_request = ask_to_erase(world)
    (asked,) = (
        one for one in entries_with(world, "wrote") if one > told
    )  # the entry of a change that has not ended
    with writing() as session:
        for actor in (world.lead, world.viewer):
            with pytest.raises(NotAllowed):
                request_erasure_of_texts(session, actor, entries=[told], reason="so")
        with pytest.raises(BadInput):
            request_erasure_of_texts(session, world.compliance, entries=[], reason="so")
        with pytest.raises(BadInput, match="entry 999999 has no text"):
            request_erasure_of_texts(session, world.compliance, entries=[told, 999_999], reason="so")
        with pytest.raises(Conflict, match=f"entry {asked} is about a change that has not ended"):
            request_erasure_of_texts(session, world.compliance, entries=[asked], reason="so")
    with writing() as session:
        request = request_erasure_of_texts(session, world.compliance, entries=[told], reason="he asked")
    approve(world, request)
    with writing() as session:
        place_hold(session, world.compliance, kind="log", object_id="toy", reason="a trial")
    with writing() as session:
        assert begin(session, SYSTEM, request.change_id or 0, f"change-{request.change_id}") is None
    assert change_of(request.change_id or 0).state in ("void", "failed")
    assert entries_with(world, "zacharias") == [told]
    assert open_request.id != request.id


def test_a_hold_on_a_person_keeps_them(world: World) -> None:
    with writing() as session:
        place_hold(
            session, world.compliance, kind="person", object_id=world.other_lead.person_id, reason="a trial"
        )
    with writing() as session, pytest.raises(Held, match="a trial"):
        request_erasure_of_person(
            session, world.compliance, person_id=world.other_lead.person_id, reason="she left"
        )
