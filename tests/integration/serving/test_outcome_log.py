"""The request-outcome log: absolute counts, hours from minutes, any window in whole minutes, and who may read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from backend import clock
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.serving.outcome_log import (
    HOUR,
    KEEP_MINUTES,
    MINUTE,
    outcomes_between,
    outcomes_by_step,
    sum_up_outcomes,
    write_outcomes,
    write_presence,
)
from backend.serving.outcome_writer import OutcomeWriter
from backend.serving.outcomes import Key, Minute, OutcomeCounts
from backend.serving.tables import RequestOutcome
from tests.integration.serving.parts import register_model
from tests.worlds import person

NOW = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)
PLACE = {"environment": "production", "gateway_id": "host:1", "process": "p1"}


@pytest.fixture
def viewer(sqlite: None, monkeypatch: pytest.MonkeyPatch) -> Actor:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    register_model("toy")
    with writing() as session:
        return person(session, "viewer", Role.VIEWER)


def minute(*durations: float, code: str = "200", kind: str | None = None) -> Minute:
    made = Minute()
    for seconds in durations:
        made.count(code, kind, seconds, 2)
    return made


def key(at: datetime, version: str = "1") -> Key:
    return "toy", version, "champion", at


def write(counts: dict[Key, Minute], **other: str) -> None:
    with writing() as session:
        write_outcomes(session, counts, **{**PLACE, **other})


def between(viewer: Actor, start: datetime, end: datetime, version: str | None = None) -> int:
    with reading() as session:
        return outcomes_between(
            session, viewer, "toy", "production", start=start, end=end, version=version
        ).requests


def sum_up(at: datetime) -> int:
    with writing() as session:
        return sum_up_outcomes(session, at)


def test_counts_are_absolute_for_a_process_and_add_up_over_processes(viewer: Actor) -> None:
    at = NOW - 5 * MINUTE
    write({key(at): minute(0.01)})
    write({key(at): minute(0.01, 0.2)})
    write({key(at): minute(0.01, 0.2)})
    write({key(at): minute(3.0, code="503", kind="not_serving")}, process="p2")
    with reading() as session:
        found = outcomes_between(session, viewer, "toy", "production", start=at, end=at + MINUTE)
    assert (found.codes, found.kinds) == ({"200": 2, "503": 1}, {"not_serving": 1})
    assert (found.within(0.01), found.within(0.25), found.within(5.0), found.latency[-1]) == (1, 2, 3, 3)
    assert found.seconds_sum == pytest.approx(3.21)
    assert found.rows == 2 * found.requests
    assert between(viewer, at, at + MINUTE, version="2") == 0


def test_any_window_counts_each_request_once_before_and_after_hours_are_summed_up(viewer: Actor) -> None:
    draw = np.random.default_rng(6)
    start = NOW - timedelta(hours=9)
    truth = {start + number * MINUTE: int(draw.poisson(0.5)) for number in range(9 * 60)}
    write({key(at): minute(*[0.01] * count) for at, count in truth.items() if count})
    windows = [sorted(int(one) for one in draw.integers(0, 9 * 60, 2)) for _ in range(60)]
    windows += [[0, 540], [40, 100], [40, 99], [41, 100], [100, 101]]
    for summed in (0, sum_up(NOW - timedelta(hours=3)), sum_up(NOW)):
        for first, last in windows:
            begin, end = start + first * MINUTE, start + last * MINUTE
            assert between(viewer, begin, end) == sum(n for at, n in truth.items() if begin <= at < end), (
                summed
            )
    with reading() as session:
        steps = outcomes_by_step(
            session, viewer, "toy", "production", start=start, end=NOW, step=timedelta(minutes=7)
        )
    assert sum(one.requests for _, one in steps) == sum(truth.values())
    assert len(steps) == -(-540 // 7)


def test_a_minute_that_comes_late_gets_into_its_hour_and_summing_twice_changes_nothing(viewer: Actor) -> None:
    hour = NOW.replace(minute=0) - 3 * HOUR
    write({key(hour + MINUTE): minute(0.1)})
    assert sum_up(NOW) == 1
    assert sum_up(NOW) == 0
    write({key(hour + 2 * MINUTE): minute(0.1), key(hour + MINUTE): minute(0.1)}, process="late")
    assert sum_up(NOW) == 1
    assert between(viewer, hour, hour + HOUR) == 3
    with reading() as session:
        rows = session.execute(
            select(RequestOutcome.span_s, func.count()).group_by(RequestOutcome.span_s)
        ).all()
    assert sorted(tuple(row) for row in rows) == [(60, 3), (3600, 1)]


def test_minutes_go_and_their_hours_stay(viewer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = NOW.replace(minute=0) - 2 * HOUR
    write({key(hour + number * MINUTE): minute(0.1) for number in range(60)})
    later = NOW + KEEP_MINUTES + HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    sum_up(later)
    assert between(viewer, hour, hour + HOUR) == 60
    assert between(viewer, hour - timedelta(days=1), later) == 60
    with reading() as session:
        assert set(session.scalars(select(RequestOutcome.span_s))) == {3600}
        steps = outcomes_by_step(
            session, viewer, "toy", "production", start=hour, end=hour + 2 * HOUR, step=timedelta(minutes=30)
        )
    assert [one.requests for _, one in steps] == [60, 0, 0, 0]  # an hour counts where it begins


def test_silence_is_told_from_nobody_looking(viewer: Actor) -> None:
    start = NOW - 10 * MINUTE
    with writing() as session:
        write_presence(session, [start, start + MINUTE], environment="production", gateway_id="a")
        write_presence(
            session, [start + MINUTE, start + 2 * MINUTE], environment="production", gateway_id="b"
        )
        write_presence(session, [start + 3 * MINUTE], environment="staging", gateway_id="c")
    with reading() as session:
        found = outcomes_between(session, viewer, "toy", "production", start=start, end=NOW)
    assert (found.requests, found.observed_s) == (0, 180)


def test_a_model_that_may_not_be_seen_is_not_there(viewer: Actor) -> None:
    limited = Actor("x", "person", frozenset({Role.VIEWER}), models=frozenset({"other"}))
    with reading() as session, pytest.raises(NotFound):
        outcomes_between(session, limited, "toy", "production", start=NOW - HOUR, end=NOW)


def test_what_a_killed_gateway_kept_without_a_database_is_written_by_the_next(
    viewer: Actor, tmp_path: Path
) -> None:
    counts = OutcomeCounts()
    killed = OutcomeWriter(counts, tmp_path / "g", environment="production", gateway_id="host:1")
    counts.count("toy", "1", "champion", code="504", kind="timed_out", seconds=10, at=NOW - MINUTE)
    killed.note_presence()
    killed.flush()
    counts.count("toy", "1", "champion", code="200", kind=None, seconds=0.1, at=NOW - MINUTE)
    killed.keep()
    (tmp_path / "g" / "outcomes-torn.json").write_text('{"minutes"')
    use_database(None)
    for _ in range(2):
        following = OutcomeWriter(
            OutcomeCounts(), tmp_path / "g", environment="production", gateway_id="host:1"
        )
        following.recover()
    assert between(viewer, NOW - HOUR, NOW) == 2
    assert [path.name for path in (tmp_path / "g").iterdir()] == ["outcomes-torn.unread"]
