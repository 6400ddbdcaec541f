"""What identifies a person is sealed in payloads; destroying the person's key erases it and breaks no proof."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError

from backend.audit.actions import Action
from backend.audit.erasure import destroy_key
from backend.audit.log import record
from backend.audit.reading import entry_detail
from backend.audit.sealing import Personal
from backend.audit.tables import AuditPayload, SubjectKey
from backend.audit.verification import verify
from backend.database.engine import database as connected
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from tests.integration.audit.conftest import ADA, append
from tests.integration.audit.tampering import problem, run

WORKER = system_actor("worker")
COMPLIANCE = Actor(person_id="per_grace", kind="person", roles=frozenset({Role.COMPLIANCE}))


def shown(seq: int) -> dict[str, object]:
    with reading() as session:
        return entry_detail(session, COMPLIANCE, seq).view.payload or {}


def erase_ada() -> SubjectKey:
    with writing() as session:
        return destroy_key(session, WORKER, "per_ada", why="she asked", request="dsr_1")


def test_sealed_values_read_as_they_were_written(five: str) -> None:
    assert shown(0)["actor_name"] == "Ada Lindqvist"
    assert shown(4)["address"] == "192.0.2.7"


def test_erasing_a_person_takes_who_they_are_and_leaves_what_was_done_and_every_proof(five: str) -> None:
    erased = erase_ada()
    assert verify().ok
    for seq in range(5):
        found = shown(seq)
        assert found["why"] == f"the delay model is späť, reason {seq}"
        for name in ("actor_name", "address"):
            assert found[name] == f"erased on {erased.destroyed_at:%Y-%m-%d %H:%M:%S} UTC, proof intact"
    with reading() as session:
        assert session.get_one(SubjectKey, "per_ada").key is None
        assert entry_detail(session, COMPLIANCE, 2).proof is not None


def test_others_stay_readable_and_doing_it_again_changes_nothing(five: str) -> None:
    with writing() as session:
        record(session, COMPLIANCE, Action.SAMPLE_DRAWN, object_kind="log", object_id=1,
               payload={"about": [Personal("per_bob", {"name": "Bob"}), "plain"]})  # fmt: skip
    first = erase_ada()
    assert shown(5)["about"] == [{"name": "Bob"}, "plain"]
    again = erase_ada()
    assert (again.destroyed_at, again.destroyed_by) == (first.destroyed_at, first.destroyed_by)
    assert verify().size == 7


def test_what_an_erased_person_does_later_is_recorded_without_them(five: str) -> None:
    erase_ada()
    with writing() as session:  # as another process would, which knows of no key
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=9)
    with reading() as session:
        payload = json.loads(session.scalars(select(AuditPayload.payload).where(AuditPayload.seq == 6)).one())
    assert "Lindqvist" not in json.dumps(payload)
    assert "proof intact" in str(shown(6)["actor_name"])
    assert verify().ok


def test_a_key_made_in_a_transaction_that_was_taken_back_seals_nothing(database: str) -> None:
    with pytest.raises(RuntimeError), writing() as session:
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=1)
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=2)
        raise RuntimeError
    with writing() as session:
        point = session.begin_nested()
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=3)
        point.rollback()
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=4)
    append(2)
    for seq in range(3):
        assert shown(seq)["actor_name"] == "Ada Lindqvist"


def test_a_box_moved_to_another_person_does_not_open(five: str) -> None:
    with reading() as session:
        box = json.loads(session.scalars(select(AuditPayload.payload).where(AuditPayload.seq == 0)).one())
    moved = {**box["actor_name"], "sealed_for": "per_grace"}
    with writing() as session:
        record(session, COMPLIANCE, Action.SAMPLE_DRAWN, object_kind="log", object_id=1,
               payload={"name": Personal("per_grace", "Grace"), "moved": moved})  # fmt: skip
    assert (shown(5)["name"], shown(5)["moved"]) == (
        "Grace",
        "cannot be read: it was sealed under another key",
    )


def test_persons_erase_nobody(five: str) -> None:
    with writing() as session, pytest.raises(NotAllowed):
        destroy_key(session, COMPLIANCE, "per_ada", why="hide it", request="none")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE subject_keys SET key = NULL, destroyed_at = '2026-03-01 00:00:00'",
        "UPDATE subject_keys SET key = NULL, destroyed_at = '2026-03-01 00:00:00', destroyed_by = 2",
        "UPDATE subject_keys SET key = 'ab'",
        "UPDATE subject_keys SET subject = 'per_bob'",
        "DELETE FROM subject_keys",
    ],
)
def test_the_database_changes_no_key_without_an_entry_that_says_so(five: str, statement: str) -> None:
    with (
        pytest.raises(DBAPIError, match="entry records the erasure"),
        connected().write_engine.begin() as held,
    ):
        held.execute(text(statement))
    assert verify().ok


def test_a_key_that_was_removed_without_an_entry_is_an_alteration_and_not_an_erasure(five: str) -> None:
    run("UPDATE subject_keys SET key = NULL, destroyed_at = '2026-03-01 00:00:00'")
    assert shown(0)["actor_name"] == "cannot be read: the key was removed, and no entry records an erasure"
    assert problem() == "the key of per_ada was removed, and no entry records an erasure"
    run("UPDATE subject_keys SET destroyed_by = 2")
    assert problem() == "the key of per_ada was removed, and no entry records an erasure"


def test_a_key_that_was_taken_away_or_replaced_is_an_alteration(five: str) -> None:
    with reading() as session:
        kept = session.get_one(SubjectKey, "per_ada").key
    run("UPDATE subject_keys SET key = :k", k="00" * 32)
    assert "was replaced: it does not open what entry 0 sealed" in problem()
    run("UPDATE subject_keys SET key = :k", k=kept)
    assert verify().ok
    run("DELETE FROM subject_keys")
    assert "the key of per_ada, under which entry 0 sealed who it is, is missing" in problem()


def test_an_erasure_that_was_moved_or_taken_back_is_an_alteration(five: str) -> None:
    with reading() as session:
        kept = session.get_one(SubjectKey, "per_ada").key
    erased = erase_ada()
    assert verify().ok
    run("UPDATE subject_keys SET destroyed_at = '2026-03-01 00:00:00'")
    assert "at another time or by another entry than 5" in problem()
    assert "2026-03-01" not in str(shown(0)["actor_name"])
    run("UPDATE subject_keys SET key = :k, destroyed_at = NULL, destroyed_by = NULL", k=kept)
    assert problem() == "entry 5 erased per_ada, and the key is there again"
    run("DELETE FROM subject_keys")
    assert "entry 5 erased per_ada, and the row that says that the key is gone is missing" in problem()
    assert erased.destroyed_by == 5


def test_somebody_without_a_key_can_be_erased_and_may_be_the_one_who_acts(database: str) -> None:
    with writing() as session:
        destroy_key(session, WORKER, "per_nobody", why="asked", request="dsr_2")
        destroy_key(session, WORKER, "per_nobody", why="asked", request="dsr_2")
    assert verify().ok
    assert verify().size == 1


@pytest.mark.parametrize("statement", [
    "UPDATE subject_keys SET key = :k WHERE subject = :who", "DELETE FROM subject_keys WHERE subject = :who",
])  # fmt: skip
def test_the_key_of_somebody_who_never_acted_is_held_to_the_entry_of_the_account(
    database: str, statement: str
) -> None:
    with writing() as session:
        made = create_person(
            session, WORKER, username="mallory", display_name="Mallory Real", roles=[Role.VIEWER]
        )
    assert verify().ok
    run(statement, **{"who": made.id} | ({"k": "00" * 32} if ":k" in statement else {}))
    assert f"the key of {made.id}" in problem()


def test_the_key_of_an_account_is_there_before_the_lock_of_the_log_is_taken(database: str) -> None:
    statements: list[str] = []
    engine = connected().write_engine
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    with writing() as session:
        create_person(session, WORKER, username="ada", display_name="Ada", roles=[Role.VIEWER])
    keys = [at for at, one in enumerate(statements) if "INSERT INTO subject_keys" in one]
    heads = [at for at, one in enumerate(statements) if "FROM audit_head" in one]
    assert len(keys) == 1
    assert keys[0] < heads[0]


def test_a_key_goes_with_an_account_whose_making_is_taken_back(database: str) -> None:
    with pytest.raises(RuntimeError, match="taken back"), writing() as session:
        create_person(session, WORKER, username="ada", display_name="Ada", roles=[Role.VIEWER])
        raise RuntimeError("taken back")
    with reading() as session:
        assert session.scalars(select(SubjectKey.subject)).all() == []
