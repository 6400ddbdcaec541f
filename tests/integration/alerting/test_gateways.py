"""A gateway that falls silent is a page where no other answers, a ticket where one does, and over when it is back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from backend import clock
from backend.alerting.gateways import is_anything_silent, watch_gateways
from backend.alerting.muting import muting_now
from backend.alerting.tables import Alert, Incident
from backend.database.session import reading, writing
from backend.deployment.tables import GatewayReport
from tests.integration.alerting.conftest import Time, now, raised, settled
from tests.worlds import SYSTEM, World, make_world


@pytest.fixture
def noon(database: str, tmp_path: Path) -> datetime:
    make_world(tmp_path / "files")
    return clock.now()


def heard(gateway: str, at: datetime) -> None:
    with writing() as session:
        session.merge(
            GatewayReport(
                gateway_id=gateway, model="toy", environment="production", reported_at=at, url="http://g"
            )
        )


def look(at: datetime) -> list[tuple[str, str]]:
    """(level, gateway) of what fires after a look."""
    with writing() as session:
        watch_gateways(session, SYSTEM, at)
    with reading() as session:
        found = session.scalars(select(Alert).where(Alert.kind == "gateway", Alert.state == "firing"))
        return sorted((one.level, one.details["gateway"]) for one in found)


def test_the_only_gateway_that_falls_silent_is_a_page_with_an_incident_until_it_is_back(
    noon: datetime,
) -> None:
    heard("g1", noon)
    assert look(noon + timedelta(seconds=44)) == []
    later = noon + timedelta(seconds=46)
    with reading() as session:
        assert is_anything_silent(session, later)
    assert look(later) == [("page", "g1")]
    with reading() as session:
        assert session.scalars(select(Incident)).one().area == "serving"
    heard("g1", later + timedelta(seconds=10))
    assert look(later + timedelta(seconds=11)) == []


def test_where_another_answers_it_is_a_ticket_and_forgotten_after_a_day(noon: datetime) -> None:
    heard("g1", noon)
    heard("g2", noon + timedelta(minutes=5))
    assert look(noon + timedelta(minutes=5)) == [("ticket", "g1")]
    day = noon + timedelta(hours=25)
    heard("g2", day)
    assert look(day) == []
    with reading() as session:
        assert list(session.scalars(select(GatewayReport.gateway_id))) == ["g2"]


def test_one_that_was_stopped_on_purpose_is_no_alert(noon: datetime) -> None:
    heard("g1", noon)
    with writing() as session:
        session.execute(delete(GatewayReport))
    assert look(noon + timedelta(hours=1)) == []


def failing(subject: str = "answers") -> Alert:
    return raised(subject, kind="slo", details={"objective": "slo-1"})


def is_muted(alert: Alert) -> bool:
    with reading() as session:
        return muting_now(session).of(now(alert)) is not None


def test_one_of_several_that_is_gone_mutes_nothing_since_the_others_answer(noon: datetime) -> None:
    heard("g1", noon)
    assert look(noon + timedelta(seconds=50)) == [("page", "g1")]
    muted = failing()
    assert is_muted(muted)
    heard("g2", noon + timedelta(minutes=5))
    look(noon + timedelta(minutes=5))
    assert not is_muted(muted), "another answers now, though the alert of the first keeps its level"
    assert failing("latency").incident_id is not None


def test_one_that_comes_and_goes_mutes_nothing_while_it_is_back(world: World, time: Time) -> None:
    for _ in range(4):
        alert = settled(raised("g1", model="", version=None, kind="gateway", details={"others": False}))
    assert (alert.state, alert.held_until) == ("firing", time.now + timedelta(hours=2))
    page = failing()
    assert not is_muted(page) and page.incident_id is not None
    raised("g1", model="", version=None, kind="gateway", details={"others": False})
    assert is_muted(page), "it is gone again"
