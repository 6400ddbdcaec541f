"""What served at a moment, and why: against a naive replay of the rows, and across a canary and a return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.service import end_beside, open_beside, shares_at, start_deployment
from backend.deployment.tables import Deployment
from backend.deployment.timeline import (
    Stretch,
    moment_view,
    read_moment,
    read_timeline,
    stretches_of,
    timeline_view,
)
from backend.errors import BadInput, NotFound
from backend.governance.delegations import delegate
from backend.governance.kinds import Asked
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.worlds import SYSTEM, World, make_world

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    return DAY + timedelta(minutes=number)


@st.composite
def histories(draw: st.DrawFn) -> list[Deployment]:
    """Deployments as the record can hold them: champions one after another, canaries and shadows beside them."""
    rows: list[Deployment] = []
    now = 0
    for number in range(draw(st.integers(0, 6))):
        now += draw(st.integers(0, 3))
        lasts = draw(st.integers(0, 5))
        is_last = draw(st.booleans())
        rows.append(_row(number, "champion", 1.0, now, None if is_last else now + lasts, draw(st.booleans())))
        for beside in range(draw(st.integers(0, 2))):
            begins = now + draw(st.integers(0, 3))
            ends = draw(st.one_of(st.none(), st.integers(0, 4)))
            role, share = draw(st.sampled_from([("canary", 0.0), ("canary", 0.2), ("shadow", 0.0)]))
            over = None if ends is None else begins + ends
            rows.append(_row(10 * number + beside + 100, role, share, begins, over, draw(st.booleans())))
        if is_last:
            break
        now += lasts
    return rows


def _row(number: int, role: str, share: float, begins: int, ends: int | None, confirmed: bool) -> Deployment:
    return Deployment(
        id=number, model="m", environment="e", version=number % 3 + 1, role=role, share=share, cutoff=0.5,
        state="serving", started_at=minute(begins), serving_at=minute(begins + 1) if confirmed else None,
        ended_at=None if ends is None else minute(ends), reason="",
    )  # fmt: skip


def naive(rows: list[Deployment], at: datetime) -> dict[int, tuple[float, bool]]:
    """Deployment -> share and whether confirmed, by asking every row."""
    there = [
        row for row in rows if row.started_at <= at and not (row.ended_at is not None and row.ended_at <= at)
    ]
    left = 1.0
    for row in there:
        if row.role == "canary":
            left -= row.share
    return {
        row.id: (
            round(max(left, 0.0), 9) if row.role == "champion" else row.share,
            row.serving_at is not None and row.serving_at <= at,
        )
        for row in there
    }


@given(histories(), st.lists(st.integers(-60, 40 * 60), min_size=1, max_size=12))
def test_a_timeline_says_what_a_replay_of_the_rows_says(rows: list[Deployment], seconds: list[int]) -> None:
    stretches = stretches_of(rows)
    for one, following in pairwise(stretches):
        assert one.end == following.start
    for second in seconds:
        at = DAY + timedelta(seconds=second)
        found = [one for one in stretches if one.start <= at and (one.end is None or at < one.end)]
        assert len(found) <= 1
        served = {
            one.deployment.id: (round(one.share, 9), one.confirmed)
            for one in (found[0].served if found else ())
        }
        assert served == naive(rows, at)


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
    return found


def versions(stretch: Stretch | None) -> list[tuple[int, str, float]]:
    assert stretch is not None
    return [
        (one.deployment.version, one.deployment.role, round(one.share, 3)) for one in stretch.served
    ]  # fmt: skip


def test_a_promotion_and_a_return_are_told_with_who_allowed_them(world: World) -> None:
    before = clock.now()
    forth = carry_out(
        say(world.lead, ask(world.engineer, Asked("promote", "production", "toy", to_version=1)))
    )
    between = clock.now()
    back = carry_out(
        say(world.lead, ask(world.on_call, Asked("rollback", "production", "toy", to_version=3)))
    )
    with reading() as session:
        whole = read_timeline(session, world.viewer, "toy", "production")
        at_first, at_second = (moment_view(whole, moment) for moment in (between, clock.now()))
        at_start = read_moment(session, world.viewer, "toy", "production", before)
        assert versions(whole.at(between)) == [(1, "champion", 1.0)]
        for moment in (before, between, clock.now()):
            stretch = whole.at(moment)
            assert stretch is not None
            assert [(s.deployment.id, s.share) for s in stretch.served] == [
                (s.deployment.id, s.share)
                for s in shares_at(session, world.viewer, "toy", "production", moment)
            ]
    assert at_start["served"][0]["version"] == 3
    assert at_start["why"] == ["version 3 answered 100% of the requests: history"]
    assert [one["id"] for one in at_first["changes"]] == [forth.id]
    assert at_first["changes"][0]["approvals"][0]["by"] == "Lead"
    assert f"CHG-{forth.id}, asked for by Engineer, approved by Lead" in at_first["why"][0]
    assert [one["id"] for one in at_second["changes"]] == [back.id]
    assert f"CHG-{back.id}, asked for by Oncall" in at_second["why"][0]
    with reading() as session:  # a moment is answered by what is of it, however much there was beside
        assert read_moment(session, world.viewer, "toy", "production", between) == at_first
        of_it = read_timeline(
            session,
            world.viewer,
            "toy",
            "production",
            since=between,
            until=between + timedelta(microseconds=1),
        )
    assert (set(of_it.changes), len(of_it.stretches)) == ({forth.id}, 1)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_for_whom_a_lent_right_acted_is_told(world: World) -> None:
    with writing() as session:
        delegate(
            session, world.lead, to_person=world.viewer.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=1), reason="away",
        )  # fmt: skip
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=1))
    carry_out(say(world.viewer, change))
    with reading() as session:
        told = moment_view(read_timeline(session, world.viewer, "toy", "production"), clock.now())
    assert "approved by Viewer for Lead" in told["why"][0]
    assert told["changes"][0]["approvals"][0]["on_behalf_of"] == "Lead"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_why_nothing_serves_any_more_is_told(world: World) -> None:
    change = ask(world.engineer, Asked("retire", "production", "toy"))
    say(world.lead, change)
    carry_out(say(world.compliance, change))
    retired_at = clock.now()
    carry_out(say(world.lead, ask(world.engineer, Asked("promote", "production", "toy", to_version=1))))
    with reading() as session:
        whole = read_timeline(session, world.viewer, "toy", "production")
        part = read_timeline(session, world.viewer, "toy", "production", since=retired_at)
        told, now = moment_view(whole, retired_at), moment_view(whole, clock.now())
    assert told["why"] == [
        f"nothing served toy in production: CHG-{change.id} retired it, asked for by Engineer, approved by Lead, "
        f"Compliance ({change.reason})"
    ]
    assert (told["served"], told["emptied_by"], [one["id"] for one in told["changes"]]) == (
        [],
        change.id,
        [change.id],
    )
    assert now["emptied_by"] is None
    assert [one["emptied_by"] for one in timeline_view(part)["stretches"]][:2] == [change.id, None]


def test_a_canary_takes_its_share_and_gives_it_back(world: World) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=1))
    marks: list[datetime] = []

    def beside(share: float) -> None:
        with writing() as session:
            open_beside(
                session, SYSTEM, model="toy", environment="production", version=1, cutoff=0.5, role="canary",
                share=share, change_id=change.id, reason="a canary",
            )  # fmt: skip
        marks.append(clock.now())

    beside(0.05)
    beside(0.5)
    with writing() as session:
        end_beside(session, SYSTEM, change_id=change.id, reason="it failed", failed=1)
    marks.append(clock.now())
    with reading() as session:
        whole = read_timeline(session, world.viewer, "toy", "production")
        part = read_timeline(session, world.viewer, "toy", "production", since=marks[0], until=marks[1])
    assert [versions(whole.at(mark)) for mark in marks] == [
        [(3, "champion", 0.95), (1, "canary", 0.05)],
        [(3, "champion", 0.5), (1, "canary", 0.5)],
        [(3, "champion", 1.0)],
    ]
    assert "no gateway had reported it yet" in moment_view(whole, marks[0])["why"][1]
    assert part.at(marks[0]) == whole.at(marks[0])
    assert whole.at(marks[2]) not in part.stretches
    assert list(part.changes) == [change.id]
    assert len(timeline_view(part)["stretches"]) == len(part.stretches)


def test_a_deployment_that_failed_and_a_time_with_nothing_are_told(world: World) -> None:
    with writing() as session:
        start_deployment(
            session, SYSTEM, model="toy", environment="production", version=1, change_id=None, reason="tried",
            replaced_state="failed",
        )  # fmt: skip
    now = clock.now()
    with reading() as session:
        served = read_moment(session, world.viewer, "toy", "production", now)["served"]
        assert [(one["version"], one["confirmed"]) for one in served] == [(1, False)]
        early = read_moment(session, world.viewer, "toy", "production", DAY)
        assert (early["known"], early["served"]) == (False, None)
        assert "nothing is known" in early["why"][0]
        elsewhere = read_moment(session, world.viewer, "toy", "staging", now)
        assert elsewhere["known"] is False
        with pytest.raises(BadInput, match="has not come"):
            read_moment(session, world.viewer, "toy", "production", now + timedelta(days=1))
        with pytest.raises(BadInput, match="ends before"):
            read_timeline(session, world.viewer, "toy", "production", since=now, until=DAY)
        with pytest.raises(NotFound):
            read_timeline(session, world.viewer, "nothing", "production")
