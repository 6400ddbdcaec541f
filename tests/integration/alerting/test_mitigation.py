"""An executed change does not end an incident under which something still fires: it is mitigated and watched."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.alerting import handling
from backend.alerting.brief import read_brief
from backend.alerting.mitigation import MOST, patience, settle_by_change, tend_mitigated, to_tend
from backend.alerting.report import report_markdown
from backend.alerting.service import acknowledge
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from tests.integration.alerting.conftest import Time, now, raised, settled
from tests.integration.alerting.test_handling import do, incident_of, read
from tests.worlds import SYSTEM, World


def executed(number: int, change: int = 7) -> None:
    with writing() as session:
        incident = session.get_one(Incident, number)
        settle_by_change(session, SYSTEM, incident, change_id=change, summary="toy returns to v1")


def tended() -> int:
    with writing() as session:
        return tend_mitigated(session, SYSTEM)


def incidents() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(Incident)) or 0


def entries(number: int, action: Action) -> int:
    query = select(func.count()).where(AuditEntry.object_id == str(number), AuditEntry.action == action.value)
    with reading() as session:
        return session.scalar(query) or 0


def test_an_executed_change_mitigates_while_something_fires_and_the_next_look_pages_nobody_again(
    world: World, time: Time
) -> None:
    alert = raised()
    number = incident_of(alert)
    do(acknowledge, world.on_call, number)
    executed(number)
    found = read(world, number)
    assert (found.state, found.phase, found.mitigated_by_change) == ("open", "mitigated", 7)
    assert now(alert).state == "firing", "nothing said that it is over"
    time.pass_(minutes=10)
    raised(version=1)
    raised(version=1)
    assert (incidents(), read(world, number).phase) == (1, "mitigated"), (
        "the same fires on, by another version"
    )
    assert tended() == 0


def test_it_closes_by_itself_once_what_fired_is_resolved_and_only_once(world: World, time: Time) -> None:
    first, second = raised(), raised("carrier")
    number = incident_of(first)
    executed(number)
    settled(first)
    assert tended() == 0, "one still fires"
    settled(second)
    assert (tended(), tended()) == (1, 0)
    found = read(world, number)
    assert (found.state, found.phase, found.closed_by_change, found.cause) == (
        "closed",
        "resolved",
        7,
        "version",
    )
    assert (entries(number, Action.INCIDENT_MITIGATED), entries(number, Action.INCIDENT_CLOSED)) == (1, 1)


def test_a_change_answers_the_incident_into_which_its_own_was_merged(world: World, time: Time) -> None:
    number = incident_of(raised())
    into = incident_of(raised("latency", kind="slo"))
    do(handling.merge, world.on_call, number, into=into)
    executed(number)
    found = read(world, into)
    assert (found.phase, found.mitigated_by_change) == ("mitigated", 7)
    assert read(world, number).phase == "merged"


def test_it_closes_at_once_where_nothing_fires(world: World) -> None:
    alert = raised()
    settled(alert)
    executed(incident_of(alert))
    assert read(world, incident_of(alert)).phase == "resolved"


def test_it_reopens_graver_where_it_fires_on_past_its_time(world: World, time: Time) -> None:
    alert = raised(kind="realised")
    number = incident_of(alert)
    before = read(world, number).severity
    do(acknowledge, world.on_call, number)
    executed(number)
    stated = read(world, number).reopens_at
    assert stated is not None
    assert f"{stated:%Y-%m-%d %H:%M:%S} UTC" in brief_sentence(world, number)
    time.pass_(minutes=59)
    assert tended() == 0
    time.pass_(minutes=2)
    assert (tended(), tended()) == (1, 0)
    found = read(world, number)
    assert (found.phase, found.severity, found.reopens_at) == ("new", before - 1, None)
    assert (found.acknowledged_at, found.asks) == (None, 2), "nobody acknowledged it as grave as it is now"
    assert found.relapsed_at == clock.now()
    assert entries(number, Action.INCIDENT_REOPENED) == 1
    with reading() as session:
        assert "CHG-7 did not end it: 1 alert fires on" in report_markdown(session, world.viewer, number)


def test_what_is_muted_neither_closes_nor_reopens_it(world: World, time: Time) -> None:
    alert = raised()
    number = incident_of(alert)
    executed(number)
    do(handling.silence_incident, world.on_call, number, comment="known")
    time.pass_(hours=2)
    assert tended() == 0
    time.pass_(hours=7)
    assert tended() == 1, "the silence is over"
    assert read(world, number).phase == "new"


def test_something_else_or_something_graver_takes_it_back_at_once(world: World, time: Time) -> None:
    alert = raised(level="page")
    ticket = raised("carrier", level="ticket")
    number = incident_of(alert)
    assert ticket.incident_id == number
    executed(number)
    raised("carrier", level="page")
    assert read(world, number).phase == "new"
    executed(number, 8)
    raised("delay")
    assert (read(world, number).phase, read(world, number).mitigated_by_change) == ("new", None)


@pytest.mark.parametrize(
    ("details", "hours"),
    [({}, 1), ({"size": "1h"}, 2), ({"size": "1d"}, 48), ({"size": "1mo"}, 168), ({"long_s": 21_600}, 6)],
)
def test_the_time_is_that_in_which_an_alert_could_have_seen_the_change(
    details: dict[str, Any], hours: float
) -> None:
    assert patience([Alert(details=details)]).total_seconds() == hours * 3600 <= MOST.total_seconds()


def brief_sentence(world: World, number: int) -> str:
    with reading() as session:
        assert to_tend(session) == []
        return read_brief(session, world.viewer, number).sentence
