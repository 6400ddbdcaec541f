"""A silence names what it mutes, always ends, and ends at once when it gets worse."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from backend.alerting import handling
from backend.alerting.muting import muting_now
from backend.alerting.silences import Matchers, end_silence, list_silences, planned_work, silence
from backend.alerting.tables import Alert, Incident, Silence
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from tests.integration.alerting.conftest import Time, now, raised, settled
from tests.worlds import World


def set_silence(world: World, **facts: Any) -> Silence:
    told: dict[str, Any] = {"matchers": Matchers(model="toy"), "comment": "known", "until_worse": True}
    with writing() as session:
        return silence(session, world.on_call, **told | facts)


def is_muted(alert: Alert) -> bool:
    with reading() as session:
        return muting_now(session).of(now(alert)) is not None


def test_until_worse_ends_after_eight_hours_at_the_latest(world: World, time: Time) -> None:
    alert = raised()
    row = set_silence(world, until=time.now + timedelta(days=3))
    assert row.ends_at - time.now == timedelta(hours=8)
    assert is_muted(alert)
    time.pass_(hours=8)
    assert not is_muted(alert)


@pytest.mark.parametrize(
    ("again", "ends"),
    [
        ({"level": "page", "details": {"value": 0.30, "threshold": 0.1}}, True),
        ({"details": {"value": 0.32, "threshold": 0.1}}, False),
        ({"details": {"value": 0.33, "threshold": 0.1}}, True),
        ({"details": {"value": 0.2, "threshold": 0.1}}, False),
        (
            {"details": {"value": 0.33, "threshold": 0.25}},
            True,
        ),  # the faster row of a burn rate: a higher limit
        ({"details": {"value": 0.30, "threshold": 0.05}}, False),  # the limit moved, the value did not
    ],
)
def test_until_worse_ends_when_level_or_value_gets_worse_by_a_tenth(
    world: World, again: dict[str, Any], ends: bool
) -> None:
    """Its value is 0.2 beyond a limit of 0.1: worse from 0.22 beyond it."""
    alert = raised(level="ticket", details={"value": 0.30, "threshold": 0.1})
    set_silence(world)
    raised(**{"level": "ticket"} | again)
    assert is_muted(alert) is not ends


def test_what_did_not_fire_when_it_was_set_is_not_muted_until_worse(world: World) -> None:
    raised("distance", level="ticket")
    set_silence(world)
    new = raised("carrier")
    assert not is_muted(new)
    assert new.incident_id is not None


def test_a_muted_alert_opens_no_incident_until_the_silence_is_over(world: World, time: Time) -> None:
    set_silence(
        world, until_worse=False, until=time.now + timedelta(hours=1), matchers=Matchers(column="distance")
    )
    assert raised("distance").incident_id is None
    assert raised("carrier").incident_id is not None, "another column is none of its business"
    time.pass_(hours=1)
    with reading() as session:
        (known,) = session.scalars(select(Incident))
    assert raised("distance").incident_id == known.id


def test_every_matcher_has_to_fit(world: World) -> None:
    fits = raised("distance")
    other = raised("distance", kind="drift")
    set_silence(
        world, matchers=Matchers(model="toy", environment="production", kind="quality", column="distance")
    )
    assert (is_muted(fits), is_muted(other)) == (True, False)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"matchers": Matchers()}, "nothing mutes everything"),
        ({"matchers": Matchers(environment="production")}, "nothing mutes everything"),
        ({"comment": " "}, "write why"),
        ({"until_worse": False}, "say when it ends"),
        ({"until": "past"}, "has passed"),
        ({"until": "far"}, "30 days at most"),
    ],
)
def test_a_silence_has_a_matcher_a_reason_and_an_end(
    world: World, time: Time, facts: dict[str, Any], says: str
) -> None:
    ends = {"past": time.now - timedelta(hours=1), "far": time.now + timedelta(days=31)}
    if "until" in facts:
        facts = facts | {"until": ends[facts["until"]]}
    with pytest.raises(BadInput, match=says):
        set_silence(world, **facts)


def test_a_viewer_silences_nothing(world: World) -> None:
    with writing() as session, pytest.raises(NotAllowed):
        silence(session, world.viewer, matchers=Matchers(model="toy"), comment="no", until_worse=True)


def test_setting_it_twice_is_one_and_ending_it_twice_too_and_the_log_has_both(
    world: World, time: Time
) -> None:
    raised()
    first, second = set_silence(world), set_silence(world)
    assert first.id == second.id
    for _ in range(2):
        with writing() as session:
            end_silence(session, world.on_call, first.id, why="mended")
    with reading() as session:
        assert list_silences(session, world.viewer) == []
        (kept,) = list_silences(session, world.viewer, over=True)
        assert kept.ended_because == "mended"
        for action in (Action.SILENCE_SET, Action.SILENCE_ENDED):
            entries = session.scalars(select(AuditEntry).where(AuditEntry.action == action.value)).all()
            assert len(entries) == 1


def test_planned_work_on_a_model_mutes_and_is_kept_with_its_reason_and_as_long_as_it_lasted(
    world: World, time: Time
) -> None:
    start = time.now
    row = set_silence(
        world, purpose="maintenance", until_worse=False, until=start + timedelta(hours=4), comment="new disks"
    )
    time.pass_(hours=1)
    alert = raised()
    assert is_muted(alert)
    with writing() as session:
        end_silence(session, world.on_call, row.id)
    settled(alert)
    with reading() as session:
        (found,) = planned_work(session)
    assert (found.starts_at, found.ended_at, found.comment) == (
        start,
        start + timedelta(hours=1),
        "new disks",
    )


def test_a_storm_is_silenced_by_a_few_questions_and_each_alert_by_a_silence_of_its_own(
    world: World, time: Time
) -> None:
    (number,) = {raised(f"column-{one}").incident_id for one in range(30)}
    assert number is not None
    with writing() as session:
        reads: list[str] = []
        event.listen(
            session.connection(), "before_cursor_execute",
            lambda _c, _cursor, statement, *_: reads.append(statement) if " silences" in statement else None,
        )  # fmt: skip
        made = handling.silence_incident(session, world.on_call, number, comment="known")
        again = handling.silence_incident(session, world.on_call, number, comment="known")
    assert len(made) == len({one.id for one in made}) == 30
    assert [one.id for one in again] == [one.id for one in made]
    asked = [one for one in reads if one.startswith("SELECT")]
    assert len(asked) == 2, "what is silent is read once for each pressing of the button"
    raised("column-3", title="worse", details={"column": "column-3"}, level="page")
    assert all(is_muted(raised(f"column-{one}")) for one in (0, 3, 29))
