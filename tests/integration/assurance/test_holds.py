"""What is held cannot be deleted, whoever asks, until somebody else has released it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from backend import clock
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.holds.service import Held, held, list_holds, place_hold, release_hold, require_free
from backend.holds.tables import Hold
from backend.identity.actor import Actor
from backend.identity.roles import Role
from tests.integration.assurance.conftest import entries
from tests.worlds import SYSTEM, World, add_model, person


def place(who: Actor, kind: str = "predictions", object_id: str = "toy") -> Hold:
    with writing() as session:
        return place_hold(session, who, kind=kind, object_id=object_id, reason="a complaint", model="toy")


def test_what_is_held_is_not_free_and_says_why(world: World) -> None:
    made = place(world.compliance)
    with reading() as session:
        require_free(session, "predictions", "other")
        require_free(session, "windows", "toy")
        with pytest.raises(Held, match=f"hold {made.id}.*a complaint"):
            require_free(session, "predictions", "toy")
    assert len(entries(world, "assurance:hold:place")) == 1


def test_a_hold_on_everything_of_a_kind_holds_each(world: World) -> None:
    place(world.compliance, "log", "*")
    with reading() as session:
        assert held(session, "log", "anything") is not None
        assert held(session, "person", "anything") is None


def test_it_is_released_by_somebody_else_and_another_hold_still_holds(world: World) -> None:
    first, second = place(world.compliance), place(world.compliance)
    with writing() as session:
        other = person(session, "legal", Role.COMPLIANCE)
    with pytest.raises(Conflict, match="somebody else"), writing() as session:
        release_hold(session, world.compliance, first.id, why="over")
    with pytest.raises(NotAllowed), writing() as session:
        release_hold(session, world.lead, first.id, why="over")
    with writing() as session:
        release_hold(session, other, first.id, why="settled")
    with reading() as session:
        assert held(session, "predictions", "toy") is not None
    with writing() as session:
        release_hold(session, other, second.id, why="settled")
    with reading() as session:
        assert held(session, "predictions", "toy") is None
        assert len(list_holds(session, world.viewer, model="toy", open_only=False)) == 2


def test_a_question_about_no_kind_is_refused_rather_than_answered_with_free(world: World) -> None:
    with reading() as session, pytest.raises(BadInput):
        held(session, "prediction", "toy")
    with pytest.raises(BadInput):
        place(world.compliance, "planet", "earth")


@pytest.mark.parametrize(
    ("kind", "object_id"),
    [("predictions", "tyo"), ("windows", "tyo"), ("log", "tyo"), ("artefact", "toy/99"), ("artefact", "toy"),
     ("artefact", "toy/02"), ("pack", "pack_none"), ("person", "per_nobody"), ("person", "C-1")],
)  # fmt: skip
def test_what_is_not_there_cannot_be_held(world: World, kind: str, object_id: str) -> None:
    with writing() as session, pytest.raises((NotFound, BadInput)):
        place_hold(session, world.compliance, kind=kind, object_id=object_id, reason="a complaint")
    with reading() as session:
        assert session.query(Hold).count() == 0


def test_a_hold_knows_its_model(world: World) -> None:
    for kind, object_id in (("predictions", "toy"), ("artefact", "toy/2")):
        with writing() as session:
            made = place_hold(session, world.compliance, kind=kind, object_id=object_id, reason="a complaint")
        assert made.model == "toy"
    with writing() as session, pytest.raises(BadInput, match="is of toy"):
        add_model(world, "other", versions=1)
        place_hold(
            session, world.compliance, kind="log", object_id="toy", reason="a complaint", model="other"
        )


def test_holds_on_people_are_seen_by_who_reads_requests_of_data_subjects(world: World) -> None:
    place(world.compliance)
    with writing() as session:
        place_hold(
            session, world.compliance, kind="person", object_id=world.lead.person_id, reason="her illness"
        )
    for who, kinds in (
        (world.viewer, ["predictions"]), (world.on_call, ["predictions"]),
        (world.compliance, ["person", "predictions"]),
    ):  # fmt: skip
        with reading() as session:
            assert [one.kind for one in list_holds(session, who)] == kinds


def test_a_hold_on_a_models_log_keeps_the_entries_of_its_card_monitors_and_requests(world: World) -> None:
    from backend.audit.actions import Action
    from backend.audit.log import record
    from backend.audit.retention import erase_old_payloads
    from backend.cards.service import write_card

    with writing() as session:
        write_card(session, world.lead, model="toy", version=2, text="# Toy", based_on=0)
        free = record(session, world.lead, Action.CARD_WRITTEN, object_kind="card", object_id="toyota/2/1")
    place(world.compliance, "log", "toy")
    later = clock.now() + timedelta(days=2)
    with writing() as session:
        erase_old_payloads(session, SYSTEM, before=later)
    with reading() as session:
        about = session.scalars(
            select(AuditEntry.object_id)
            .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(AuditEntry.object_kind == "card")
        ).all()
        assert about == ["toy/2/1"]
        assert session.get(AuditPayload, free) is None
