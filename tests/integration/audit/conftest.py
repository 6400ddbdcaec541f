"""A log of five entries to tamper with, on both databases."""

from __future__ import annotations

import pytest

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.identity.roles import Role

ADA = Actor(
    person_id="per_ada",
    kind="person",
    roles=frozenset({Role.ML_LEAD}),
    session_id="ses_1",
    request_id="req_1",
    address="192.0.2.7",
    display_name="Ada Lindqvist",
)


def append(count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        with writing() as session:
            record(
                session,
                ADA,
                Action.CHANGE_APPROVED,
                object_kind="change",
                object_id=number,
                why=f"the delay model is späť, reason {number}",
            )


@pytest.fixture
def five(database: str) -> str:
    append(5)
    return database
