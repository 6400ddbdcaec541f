"""The list of incidents: its order, its filters, its pages, and who sees which."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from backend import clock
from backend.alerting.incident_list import Listed, Wanted, list_incidents
from backend.alerting.tables import Incident
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import Role
from tests.worlds import World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    """Open INC-1 (SEV-3), INC-2 (SEV-1, acknowledged), INC-3 (SEV-1), closed INC-4 and INC-5; INC-6 of the house."""
    made = make_world(tmp_path / "files")
    now = clock.now()
    with writing() as session:
        for at, (model, state, severity, acknowledged) in enumerate((
            ("toy", "open", 3, None), ("toy", "open", 1, made.on_call.person_id), ("toy", "open", 1, None),
            ("toy", "closed", 2, None), ("toy", "closed", 1, None), ("", "open", 4, None),
        )):  # fmt: skip
            session.add(
                Incident(
                    model=model, environment="production", area=f"a{at}", title=f"t{at}", severity=severity,
                    state=state, opened_at=now + timedelta(minutes=at), acknowledged_by=acknowledged,
                    acknowledged_at=now if acknowledged else None, closed_at=now if state == "closed" else None,
                )
            )  # fmt: skip
            session.flush()
    return made


def listed(who: Actor, wanted: Wanted | None = None, **page: int) -> Listed:
    with reading() as session:
        return list_incidents(session, who, wanted, **page)


def ids(found: Listed) -> list[int]:
    return [one.id for one in found.incidents]


def test_open_ones_come_first_the_gravest_and_those_that_nobody_has_on_top_then_the_newest(
    world: World,
) -> None:
    found = listed(world.viewer)
    assert ids(found) == [3, 2, 1, 6, 5, 4]
    assert (found.open, found.closed, found.total) == (4, 2, 6)


def test_pages_join_without_gap_or_repeat_over_the_end_of_the_open_ones(world: World) -> None:
    pages = [ids(listed(world.viewer, limit=2, offset=offset)) for offset in (0, 2, 4, 6)]
    assert pages == [[3, 2], [1, 6], [5, 4], []]
    assert ids(listed(world.viewer, limit=3, offset=3)) == [6, 5, 4]


def test_each_filter_narrows_the_list_and_its_counts(world: World) -> None:
    assert ids(listed(world.viewer, Wanted("closed"))) == [5, 4]
    assert ids(listed(world.viewer, Wanted("open"))) == [3, 2, 1, 6]
    assert ids(listed(world.viewer, Wanted(severity=1))) == [3, 2, 5]
    assert ids(listed(world.viewer, Wanted(model="-"))) == [6]
    assert ids(listed(world.on_call, Wanted(mine=True))) == [2]
    assert ids(listed(world.viewer, Wanted("open", nobodys=True))) == [3, 1, 6]
    found = listed(world.viewer, Wanted("open", 1), limit=1)
    assert (ids(found), found.open, found.closed) == ([3], 2, 0)
    for wrong in (Wanted("asleep"), Wanted(severity=5)):  # type: ignore[arg-type]
        with pytest.raises(BadInput):
            listed(world.viewer, wrong)


def test_a_member_of_another_team_sees_none_of_them_and_counts_none(world: World) -> None:
    other = replace(
        world.lead, roles=frozenset(), team_roles=(TeamRole("theirs", Role.ON_CALL, frozenset({"credit"})),)
    )
    found = listed(other)
    assert (found.incidents, found.total) == ((), 0)


def test_open_ones_are_cut_by_their_index(migrated_home: Path) -> None:
    """On SQLite: a planner with statistics reads a handful of rows as they lie."""
    query = "EXPLAIN QUERY PLAN SELECT * FROM incidents WHERE state = 'open' ORDER BY severity LIMIT 50"
    with reading() as session:
        plan = session.execute(text(query)).all()
    assert "ix_incidents_state" in str(plan)
