"""Which keys the log used, since when and until when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import clock
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import destroy_key
from backend.audit.key_periods import KeysInUse, keys_in_use
from backend.audit.rotation import rotate_key
from backend.audit.signers import verifier_keys
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from tests.integration.audit.conftest import ADA

WORKER = system_actor("worker")


def seen(viewer: Actor = ADA) -> KeysInUse:
    with reading() as session:
        return keys_in_use(session, viewer, verifier_keys())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_key_begins_with_its_first_head_and_ends_when_the_next_takes_over(five: str) -> None:
    assert seen().signing == ()
    first = clock.from_iso(sign_head().at)
    (key,) = seen().signing
    assert (key.since, key.until, key.entry) == (first, None, None)
    following, both = rotate_key(WORKER, why="yearly")
    old, new = seen().signing
    assert (old.since, old.until, old.entry) == (first, clock.from_iso(both.at), None)
    with reading() as session:
        entry = session.get_one(AuditEntry, 5)
    assert (new.key, new.since, new.until, new.entry) == (following, clock.from_iso(entry.at), None, 5)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_keys_of_people_are_counted_with_the_account_and_the_erasure(five: str) -> None:
    before = seen()
    with writing() as session:
        made = create_person(session, WORKER, username="bob", display_name="Bob", roles=[Role.VIEWER])
    assert (seen().held, seen().destroyed) == (before.held + 1, 0)
    with writing() as session:
        row = destroy_key(session, WORKER, made.id, why="asked", request="dsr_1")
    found = seen()
    assert (found.held, found.destroyed, found.last_destroyed) == (before.held, 1, row.destroyed_at)
    assert found.marks
    limited = seen(replace(ADA, models=frozenset({"toy"})))
    assert (limited.held, limited.first_made, limited.destroyed) == (0, None, 0)
