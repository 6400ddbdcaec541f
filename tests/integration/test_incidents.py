"""Incidents are called after the worst that fires, closed by people only when nothing does, and no scapegoats."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import clock
from backend.alerting.service import Firing, close_by_hand, fire, get_incident, resolve
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.governance.asking import preview_change
from backend.governance.health import earlier_versions, last_healthy
from backend.governance.kinds import Asked
from tests.worlds import SYSTEM, World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def raise_alert(
    level: str, title: str, *, kind: str = "quality", column: str = "distance", version: int = 2
) -> int:
    with writing() as session:
        details = {"column": column}
        alert = fire(
            session,
            SYSTEM,
            Firing("toy", "production", version, kind, level, title, title, clock.now(), details),
        )
        return alert.id


def incident_of(alert_id: int) -> int:
    with reading() as session:
        found = session.get_one(Alert, alert_id).incident_id
        assert found is not None
        return found


def settle(alert_id: int) -> None:
    with writing() as session:
        resolve(session, SYSTEM, session.get_one(Alert, alert_id), why="fine again")


def test_an_incident_is_called_after_the_worst_that_fires_now(world: World) -> None:
    first = raise_alert("page", "first")
    settle(first)
    second = raise_alert("ticket", "a ticket")
    raise_alert("page", "second")
    assert incident_of(first) == incident_of(second)
    with reading() as session:
        assert get_incident(session, world.viewer, incident_of(first)).title == "second"


def test_people_close_an_incident_only_when_nothing_fires_and_say_why(world: World) -> None:
    alert = raise_alert("page", "nulls")
    incident = incident_of(alert)
    with writing() as session, pytest.raises(Conflict, match="still fire"):
        close_by_hand(session, world.on_call, incident, why="over")
    settle(alert)
    with writing() as session, pytest.raises(BadInput, match="why"):
        close_by_hand(session, world.on_call, incident, why=" ")
    with writing() as session, pytest.raises(NotAllowed):
        close_by_hand(session, world.viewer, incident, why="over")
    with writing() as session:
        close_by_hand(session, world.on_call, incident, why="the feed is mended")
    with reading() as session:
        found = get_incident(session, world.viewer, incident)
        assert (found.state, found.closed_because) == ("closed", "the feed is mended")


def test_a_broken_feed_is_said_before_a_rollback_and_blames_no_version(world: World) -> None:
    raise_alert("page", "nulls in distance", version=1)
    with reading() as session:
        preview = preview_change(
            session, world.on_call, Asked(kind="rollback", environment="production", model="toy")
        )
        assert preview.proposal.to_version == 1, "a page about the feed says nothing about version 1"
        assert preview.proposal.evidence["cautions"] == [
            "the feed of distance is broken now, and v1 reads it too: changing the version will not mend that"
        ]
    raise_alert("page", "AUC fell", kind="realised", version=1)
    with reading() as session:
        assert last_healthy(earlier_versions(session, world.on_call, "toy", "production")) is None
