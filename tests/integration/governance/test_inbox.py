"""An inbox of many changes: as few questions as for one, and the same answer as asking for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from backend.database.engine import database as database_of
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.authority import why_not_decide
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.reading import list_changes, waiting_for
from backend.governance.views import change_summaries, change_summary
from backend.identity.actor import Actor
from benchmarks.decisions import copy_change
from tests.worlds import World, make_world


def asked_for(world: World) -> tuple[int, str]:
    asked = Asked("rollback", "production", "toy", 1)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        change = request_change(session, world.on_call, asked, reason="AUC fell", seen_digest=seen)
        return change.id, change.digest


def questions(viewer: Actor) -> tuple[int, int]:
    """(changes in the inbox, statements that it took)."""
    asked: list[str] = []
    engine = database_of().read_engine

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        with reading() as session:
            found = change_summaries(session, waiting_for(session, viewer))
    finally:
        event.remove(engine, "before_cursor_execute", count)
    return len(found), len(asked)


def test_a_long_inbox_asks_the_database_no_more_than_a_short_one(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")
    template, _ = asked_for(world)
    few = questions(world.lead)
    copy_change(template, 60)
    many = questions(world.lead)
    assert (few[0], many[0]) == (1, 61)
    assert many[1] <= few[1]


@pytest.mark.parametrize("who", ["viewer", "on_call", "engineer", "lead", "other_lead", "compliance"])
def test_the_inbox_is_what_each_change_says_of_the_viewer(database: str, tmp_path: Path, who: str) -> None:
    world = make_world(tmp_path / "files")
    template, _ = asked_for(world)
    (first, digest), *_ = copy_change(template, 4)
    with writing() as session:
        decide(session, world.lead, first, verdict="approve", comment="agreed", seen_digest=digest)
    viewer: Actor = getattr(world, who)
    with reading() as session:
        each = [
            one for one in list_changes(session, world.lead) if why_not_decide(session, viewer, one) is None
        ]
        found = waiting_for(session, viewer)
        assert {one.id for one in found} == {one.id for one in each}
        assert change_summaries(session, found) == [change_summary(session, one) for one in found]
