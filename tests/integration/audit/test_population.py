"""The population of changes of a period, compared with the log, and samples of it that can be drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.population import (
    Population,
    change_rows,
    draw_sample,
    drawn,
    parse_period,
    population_of,
)
from backend.audit.reading import search_entries
from backend.audit.tables import AuditEntry
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, NotAllowed
from backend.governance.asking import excludable, request_digest
from backend.governance.kinds import Asked
from backend.governance.policies import rule_digest
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.roles import Role
from tests.integration.audit.tampering import tampering
from tests.worlds import World, add_model, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files", versions=1)


def add_change(
    session: WriteSession, actor: Actor, *, entry: bool = True, model: str = "toy", told: str | None = None
) -> int:
    """A request as `draft_change` leaves it: the row, then its entry, which tells the model."""
    change = Change(
        kind="rollback", model=model, environment="production", subject={}, summary="back",
        requested_by=actor.person_id, requested_at=clock.now(), reason="for a test", policy={"roles": {}},
        bound={"policy": rule_digest({"roles": {}})}, gates=[], evidence={}, request_digest="", digest="",
        expires_at=clock.now(), state="waiting",
    )  # fmt: skip
    change.request_digest = request_digest(Asked("rollback", "production", model), change.bound)
    session.add(change)
    session.flush()
    if entry:
        payload = {"digest": change.request_digest, **excludable(change)} | ({"model": told} if told else {})
        record(session, actor, Action.CHANGE_REQUESTED, object_kind="change", object_id=change.id, payload=payload,
               why=change.reason)  # fmt: skip
    return change.id


def add_changes(world: World, count: int) -> list[int]:
    with writing() as session:
        return [add_change(session, world.lead) for _ in range(count)]


def this_year() -> str:
    return str(clock.now().year)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026Q3", (2026, 7, 1), (2026, 10, 1)),
        ("2026-Q4", (2026, 10, 1), (2027, 1, 1)),
        ("2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("2028-02", (2028, 2, 1), (2028, 3, 1)),
        ("2026", (2026, 1, 1), (2027, 1, 1)),
        ("2026-07-01..2026-09-30", (2026, 7, 1), (2026, 10, 1)),
        ("2026-07-01..2026-07-01", (2026, 7, 1), (2026, 7, 2)),
    ],
)
def test_periods_are_days_of_utc(text: str, start: Sequence[int], end: Sequence[int]) -> None:
    found = parse_period(text)
    assert (found.start, found.end) == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ["", "2026Q5", "2026-13", "Q3", "2026-07-02..2026-07-01", "26", "2026-07-01..", "last"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_period(text)


def test_the_population_equals_the_log(world: World) -> None:
    made = add_changes(world, 5)
    with reading() as session:
        found = population_of(session, world.compliance, parse_period(this_year()))
        entries = search_entries(session, world.compliance, action="governance:change:request")
        before = population_of(session, world.compliance, parse_period("1999"))
    assert list(found.in_log) == made
    assert (found.in_table, len(entries), found.equal) == (5, 5, True)
    assert found.digest == hashlib.sha256("".join(f"{one}\n" for one in made).encode()).hexdigest()
    assert (before.in_log, before.in_table, before.equal) == ((), 0, True)


def test_a_change_without_entry_and_an_entry_without_change_are_named(world: World) -> None:
    (whole,) = add_changes(world, 1)
    with writing() as session:
        bare = add_change(session, world.lead, entry=False)
        record(session, world.lead, Action.CHANGE_REQUESTED, object_kind="change", object_id=4_000)
    with reading() as session:
        found = population_of(session, world.compliance, parse_period(this_year()))
    assert (found.in_log, found.without_entry, found.without_row) == ((whole, 4_000), (bare,), (4_000,))
    assert not found.equal


def test_who_sees_one_model_is_told_how_many_changes_lie_beyond_and_misses_no_row_that_was_taken_away(
    world: World,
) -> None:
    add_model(world, "other", versions=1)
    auditor = Actor("per_ext", "person", frozenset({Role.AUDITOR}), models=frozenset({"toy"}))

    def seen() -> Population:
        with reading() as session:
            return population_of(session, auditor, parse_period(this_year()))

    with writing() as session:
        mine = add_change(session, world.lead, told="toy")
        others = [add_change(session, world.lead, model="other", told="other") for _ in range(2)]
        add_change(session, world.lead, model="other")  # its entry says nothing, its row does
    assert (seen().in_log, seen().beyond, seen().unplaced, seen().equal) == ((mine,), 3, 0, True)
    with tampering() as connection:
        connection.execute(text(f"UPDATE changes SET model = 'other' WHERE id = {mine}"))
    assert (seen().in_log, seen().without_row, seen().equal) == ((mine,), (mine,), False)
    with tampering() as connection:
        connection.execute(text("DELETE FROM changes"))
    assert (seen().without_row, seen().beyond, seen().unplaced) == ((mine,), len(others), 1)
    assert not seen().equal


def test_what_was_requested_after_the_as_of_date_is_not_in_it(world: World) -> None:
    first = add_changes(world, 2)
    moment = clock.now()
    add_changes(world, 2)
    with reading() as session:
        found = population_of(session, world.compliance, parse_period(this_year()), as_of=moment)
    assert list(found.in_log) == first
    assert found.equal


def test_the_same_seed_draws_the_same_rows_and_each_draw_is_an_entry(world: World) -> None:
    add_changes(world, 30)
    moment = clock.now()
    with writing() as session:
        one = draw_sample(session, world.compliance, period=this_year(), n=7, seed=7, as_of=moment)
        again = draw_sample(session, world.compliance, period=this_year(), n=7, seed=7, as_of=moment)
        other = draw_sample(session, world.compliance, period=this_year(), n=7, seed=8, as_of=moment)
    assert one.rows == again.rows
    assert len(one.rows) == 7
    assert {row.change for row in one.rows} != {row.change for row in other.rows}
    by_hand = sorted(one.population.in_log, key=lambda it: hashlib.sha256(f"7:{it}".encode()).hexdigest())[:7]
    assert [row.change for row in one.rows] == sorted(by_hand)
    with reading() as session:
        told = search_entries(session, world.compliance, action="audit:sample:draw")
        numbers = session.scalars(
            select(AuditEntry.seq)
            .where(AuditEntry.action == Action.SAMPLE_DRAWN.value)
            .order_by(AuditEntry.seq)
        ).all()
    assert list(numbers) == [one.recorded_by, again.recorded_by, other.recorded_by]
    payload = told[-1].payload
    assert payload is not None
    assert (payload["seed"], payload["rows"]) == ("7", [row.change for row in one.rows])
    assert payload["population_digest"] == one.population.digest


def test_a_sample_as_large_as_the_population_is_the_population() -> None:
    assert drawn((3, 1, 2), seed=1, n=10) == (1, 2, 3)
    assert drawn((), seed=1, n=10) == ()


def test_a_row_says_what_the_change_was_on_the_day(world: World) -> None:
    (change,) = add_changes(world, 1)
    with writing() as session:
        record(session, world.compliance, Action.CHANGE_APPROVED, object_kind="change", object_id=change)
    moment = clock.now()
    with writing() as session:
        record(session, world.lead, Action.EXECUTION_STARTED, object_kind="change", object_id=change)
        record(session, world.lead, Action.EXECUTION_FINISHED, object_kind="change", object_id=change)
    with reading() as session:
        (then,) = change_rows(session, world.compliance, (change,), as_of=moment)
        (now,) = change_rows(session, world.compliance, (change,), as_of=clock.now())
    assert (then.state, then.approvals, len(then.entries)) == ("requested", 1, 2)
    assert (now.state, now.approvals, len(now.entries)) == ("executed", 1, 4)
    assert now.requested_by_name == "Lead"


def test_approvals_of_a_state_that_was_sent_again_are_not_counted(world: World) -> None:
    (change,) = add_changes(world, 1)
    told = []
    for action in (Action.GATES_EVALUATED, Action.CHANGE_APPROVED, Action.CHANGE_APPROVED, Action.APPROVAL_RETRACTED,
                   Action.CHANGE_RESUBMITTED, Action.CHANGE_APPROVED, Action.GATES_REQUESTED, Action.GATES_EVALUATED,
                   Action.CHANGE_APPROVED):  # fmt: skip
        with writing() as session:
            record(session, world.compliance, action, object_kind="change", object_id=change)
        with reading() as session:
            told.append(change_rows(session, world.compliance, (change,), as_of=clock.now())[0].approvals)
    assert told == [0, 1, 2, 1, 0, 1, 0, 0, 1]


def test_a_bad_sample_is_refused(world: World) -> None:
    with writing() as session:
        for wanted in ({"n": 0, "seed": 1}, {"n": 1_001, "seed": 1}, {"n": 1, "seed": -1}):
            with pytest.raises(BadInput):
                draw_sample(session, world.compliance, period="2026", **wanted)
        with pytest.raises(BadInput, match="not come yet"):
            tomorrow = clock.now() + timedelta(days=1)
            draw_sample(session, world.compliance, period="2026", n=1, seed=1, as_of=tomorrow)
        with pytest.raises(NotAllowed):
            draw_sample(session, world.viewer, period="2026", n=1, seed=1)
