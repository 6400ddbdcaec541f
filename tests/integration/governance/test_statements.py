"""How much the database is asked for a decision and for the inbox: the same for a thousand changes as for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import event

from backend.database.engine import database as database_of
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.reading import ids_waiting_for, note_look
from backend.identity.actor import Actor
from backend.identity.roles import Role
from benchmarks.decisions import ask_two_leads, copy_change
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.worlds import World, make_world, person

__all__ = ["open_page"]

# The change and the snapshot under its lock, the decisions, the entries about who decides, the decision; then the head
# of the log and the entry, which
# are two statements on PostgreSQL and five on SQLite.
APPROVAL = {"postgresql": 6, "sqlite": 9}
# The policy for its freezes with its entry, the state, the run, and its two rows in the queue.
COMPLETION = {"postgresql": 11, "sqlite": 14}


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files", versions=3)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of the database inside the block."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):  # which only SQLite is told in words
            asked.append(statement)

    engines = (database_of().read_engine, database_of().write_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def needing_two(world: World, many: int) -> list[tuple[int, str]]:
    """(id, digest) of so many changes that wait for two leads, each looked at once."""
    asked = Asked("rollback", "production", "toy", 2)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        change = request_change(session, world.on_call, asked, reason="AUC fell", seen_digest=seen)
        ask_two_leads(change)
        template = change.id
    copies = copy_change(template, many)
    with writing() as session:
        for number, _ in copies:
            note_look(session, world.lead, number)
    return copies


def approve(actor: Actor, change: tuple[int, str]) -> list[str]:
    """The statements of one approval."""
    with statements() as asked, writing() as session:
        decide(session, actor, change[0], verdict="approve", comment="agreed", seen_digest=change[1])
    return asked


def test_a_decision_asks_the_database_a_fixed_number_of_times(world: World, database: str) -> None:
    first, *others = needing_two(world, 40)
    for warming in others[-2:]:  # what a process reads only once, the keys of both among it, has been read
        approve(world.lead, warming)
        approve(world.other_lead, warming)
    assert len(approve(world.lead, first)) == APPROVAL[database]
    assert len(approve(world.other_lead, first)) == COMPLETION[database]
    with writing() as session:
        for number in range(30):
            person(session, f"more-{number}", Role.ML_LEAD)
    for other in others[1:10]:
        assert len(approve(world.lead, other)) == APPROVAL[database]
        assert len(approve(world.other_lead, other)) == COMPLETION[database]


def test_a_decision_takes_the_lock_of_the_log_for_its_last_statements_only(
    world: World, database: str
) -> None:
    first, second, *_ = needing_two(world, 2)
    for actor in (world.lead, world.other_lead):
        approve(actor, second)  # somebody's first entry makes the key that seals their name, under the lock
        asked = approve(actor, first)
        (lock,) = (n for n, one in enumerate(asked) if "FROM audit_head" in one)
        after = asked[lock + 1 :]
        assert len(after) == (1 if database == "postgresql" else 4)
        assert all("audit_" in one for one in after)


def test_the_count_of_what_waits_reads_neither_evidence_nor_decisions_one_by_one(world: World) -> None:
    def count() -> tuple[int, list[str]]:
        with statements() as asked, reading() as session:
            return len(ids_waiting_for(session, world.lead)), asked

    ((template, _),) = needing_two(world, 1)
    few, asked_for_few = count()
    copy_change(template, 150)
    many, asked_for_many = count()
    assert (few, many) == (2, 152)
    assert len(asked_for_many) == len(asked_for_few) == 3
    assert not any("evidence" in one or "gates" in one for one in asked_for_many)


def test_the_page_of_approvals_asks_as_often_for_many_changes_as_for_two_pages_of_them(
    world: World, open_page: Open
) -> None:
    template = needing_two(world, 60)[0][0]

    def draw() -> tuple[int, str]:
        st.cache_data.clear()
        st.cache_resource.clear()
        with statements() as asked:
            drawn = text_of(open_page(world.lead, "approvals"))
        return len(asked), drawn

    draw()
    few, _ = draw()
    copy_change(template, 200)
    many, drawn = draw()
    assert many <= few
    assert "261 changes for you to decide" in drawn and "1 to 50 of 261" in drawn
