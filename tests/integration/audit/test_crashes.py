"""A process that dies anywhere in an append leaves a whole log, with the entry or without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, select

from backend.audit import heads
from backend.audit.checkpoints import sign_head
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.database.engine import database, use_database
from backend.database.session import reading
from tests.integration.audit.conftest import append

DEAD = 77


def in_a_process(action: Callable[[], None]) -> int:
    """Run it in a process of its own with connections of its own. Returns how that ended."""
    use_database(None)
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - the parent must not go on twice
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(*_: Any, **__: Any) -> None:
    os._exit(DEAD)


def die_around(number: int, when: str) -> Callable[[], None]:
    """Append one entry, and die before or after the statement of this number."""

    def action() -> None:
        statements = count()

        @event.listens_for(database().write_engine, f"{when}_cursor_execute")
        def watch(*_: Any) -> None:
            if next(statements) == number:
                die()

        append(1, start=100)

    return action


def die_at(name: str) -> Callable[[], None]:
    def action() -> None:
        if name == "commit":
            event.listen(database().write_engine, "commit", die)
        else:
            heads.publish = die  # type: ignore[assignment]  # the commit is durable, the head not yet published
        append(1, start=100)

    return action


def size() -> int:
    result = verify()
    assert result.ok, result.problem
    with reading() as session:
        numbers = session.scalars(select(AuditEntry.seq).order_by(AuditEntry.seq)).all()
    assert list(numbers) == list(range(result.size))
    return result.size


@pytest.mark.parametrize(
    "before", [0, 5, 255], ids=["first entry", "later entry", "entry that completes a subtree"]
)
def test_a_death_between_any_two_statements_leaves_the_log_as_it_was(database: str, before: int) -> None:
    append(before)
    died = 0
    for when in ("before", "after"):
        for number in count():
            ended = in_a_process(die_around(number, when))
            if ended != DEAD:
                assert ended == 0
                break
            died += 1
            assert size() == before + (when == "after")  # the `before` round ended with one that lived
        if when == "before":
            assert size() == before + 1
    assert died >= 4  # the lock of the head and the append, each from two sides
    append(1, start=200)
    assert size() == before + 3


@pytest.mark.parametrize("moment", ["commit", "publication"])
def test_a_death_around_the_commit_loses_nothing_that_was_committed(five: str, moment: str) -> None:
    sign_head()
    assert in_a_process(die_at(moment)) == DEAD
    committed = 5 if moment == "commit" else 6
    assert size() == committed
    assert sign_head().size == committed
    append(1, start=200)
    assert size() == committed + 1
