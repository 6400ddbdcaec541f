"""Maintenance of objectives mutes alerts while it lasts, and what still fires when it is over pages by itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backend.alerting.muting import muting_now
from backend.alerting.silences import Matchers, silence
from backend.alerting.tables import Incident
from backend.alerting.unmuted import open_unheard, unheard
from backend.database.session import reading, writing
from backend.slo.maintenance import declare_maintenance, end_maintenance
from backend.slo.objectives_service import define_objective
from backend.slo.tables import Maintenance
from jobs.schedules import alerts_to_tend
from tests.integration.alerting.conftest import Time, now, raised
from tests.integration.slo.test_objectives import AVAILABLE
from tests.worlds import SYSTEM, World, add_model, make_world


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files")
    add_model(found, "other")
    return found


def declared(world: World, time: Time, *, objective: str | None = None) -> Maintenance:
    with writing() as session:
        return declare_maintenance(
            session, world.on_call, model="toy", environment="production", starts_at=time.now,
            ends_at=time.now + timedelta(hours=1), reason="new disks", objective=objective,
        )  # fmt: skip


def tended() -> int:
    with writing() as session:
        return open_unheard(session, SYSTEM)


def is_due(time: Time) -> bool:
    with reading() as session:
        return bool(alerts_to_tend(session, time.now))


def test_alerts_of_the_model_are_recorded_and_page_when_it_is_over(world: World, time: Time) -> None:
    work = declared(world, time)
    page, other = raised(), raised("carrier", model="other")
    assert (page.state, page.incident_id) == ("firing", None)
    assert other.incident_id is not None
    with reading() as session:
        mute = muting_now(session).of(page)
        assert mute is not None
        assert (mute.words, mute.text, mute.until) == (
            f"maintenance {work.id} of objectives", "new disks", time.now + timedelta(hours=1),
        )  # fmt: skip
    assert not is_due(time) and tended() == 0
    time.pass_(hours=1)
    assert is_due(time) and tended() == 1
    with reading() as session:
        incident = session.get_one(Incident, now(page).incident_id)
        assert (incident.title, incident.state) == ("distance is missing", "open")
    assert not is_due(time) and tended() == 0


def test_what_is_ended_early_pages_at_once_and_what_stopped_does_not(world: World, time: Time) -> None:
    work = declared(world, time)
    page, ticket = raised(), raised("carrier", level="ticket")
    with writing() as session:
        end_maintenance(session, world.on_call, work.id)
    assert tended() == 1
    assert now(page).incident_id is not None and now(ticket).incident_id is None


def test_of_one_objective_only_what_it_fires_is_muted(world: World, time: Time) -> None:
    with writing() as session:
        key = define_objective(session, world.lead, objective=AVAILABLE, why="for a test").key
    declared(world, time, objective=key)
    own = raised("own", kind="burn_rate", source="slo", details={"objective": key})
    assert own.incident_id is None
    assert raised("distance").incident_id is not None


def test_a_page_whose_silence_is_over_is_heard_without_another_look(world: World, time: Time) -> None:
    with writing() as session:
        silence(
            session, world.on_call, matchers=Matchers(model="toy"), comment="known",
            until=time.now + timedelta(hours=1),
        )  # fmt: skip
    page = raised()
    time.pass_(hours=1)
    with reading() as session:
        assert [one.id for one in unheard(session)] == [page.id]
    assert tended() == 1 and now(page).incident_id is not None
