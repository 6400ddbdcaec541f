"""Who is told while nobody acknowledges: by the hours of a route, through a rise in severity, and after one that was
acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.alerting.entries import entries_of
from backend.alerting.handling import set_severity
from backend.alerting.incidents import acknowledge, asks_again
from backend.alerting.service import Firing, fire
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.notifications.tables import ToldIncident
from backend.settings import settings
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import SYSTEM, World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def rewrite_routes(scene: Scene, routes: str) -> None:
    path = settings().contacts
    assert path is not None
    path.write_text(path.read_text().partition("routes:")[0] + routes)


def grow(scene: Scene, number: int, severity: int) -> None:
    with writing() as session:
        set_severity(session, scene.world.on_call, number, severity=severity, why="more callers see it")


def told(scene: Scene) -> list[str]:
    with reading() as session:
        return sorted(session.scalars(select(ToldIncident.channel)))


def test_a_gateway_that_is_down_is_told_by_a_route_that_asks_for_high_tiers(scene: Scene) -> None:
    rewrite_routes(
        scene,
        """routes:
  - {name: serious, when: {severity: [SEV-1, SEV-2], tier: [high]}, to: [team]}
  - {name: others, when: {tier: [low, medium]}, to: [genie]}
  - {name: toys, when: {model: ["toy*"]}, to: [pager]}
""",
    )
    with writing() as session:
        fire(
            session, SYSTEM,
            Firing("", "production", None, "gateway", "page", "no gateway answers", "g1", scene.now, {}),
        )  # fmt: skip
    scene.tick()
    assert told(scene) == ["team"]


def test_a_step_that_falls_due_after_the_hours_of_its_route_is_taken(scene: Scene) -> None:
    rewrite_routes(
        scene,
        """routes:
  - name: days
    when: {hours: {from: "08:00", to: "18:00", zone: UTC}}
    to: [team]
    then: [{after_min: 30, to: [genie]}]
""",
    )
    scene.now = datetime(2026, 3, 3, 17, 50, tzinfo=UTC)
    scene.page()
    scene.tick()
    assert told(scene) == ["team"]
    scene.tick(later_s=31 * 60)
    assert told(scene) == ["genie", "team"]


def test_a_rise_begins_the_graver_route_and_leaves_the_steps_of_the_first(scene: Scene) -> None:
    rewrite_routes(
        scene,
        """routes:
  - {name: usual, when: {severity: [SEV-2, SEV-3]}, to: [team], then: [{after_min: 10, to: [genie]}]}
  - {name: grave, when: {severity: [SEV-1]}, to: [pager]}
""",
    )
    number = scene.page()
    scene.tick()
    assert told(scene) == ["team"]
    grow(scene, number, 1)
    scene.tick(later_s=60)
    assert told(scene) == ["pager", "team"]
    scene.tick(later_s=10 * 60)
    assert told(scene) == ["genie", "pager", "team"]


@pytest.mark.parametrize("where", ["here", "there"])
def test_graver_than_was_acknowledged_wakes_everybody_again(scene: Scene, where: str) -> None:
    number = scene.page()
    grow(scene, number, 3)
    scene.tick()
    if where == "here":
        with writing() as session:
            acknowledge(session, scene.world.on_call, number)
    else:
        scene.pager.act("acknowledged", "Grace")
    scene.tick(later_s=11)
    assert scene.incident(number).phase == "acknowledged"
    grow(scene, number, 1)
    incident = scene.incident(number)
    assert (incident.phase, incident.acknowledged_at) == ("new", None)
    assert asks_again(incident) == (
        "acknowledged as SEV-3, then it became SEV-1: it has to be acknowledged again"
    )
    sent = len(scene.pager.calls)
    scene.tick(later_s=3)
    first, second = scene.pager.pages.values()
    assert (first.state, second.state) == ("resolved", "open")
    assert "SEV-1" in second.text
    actions = [body["event_action"] for method, _, body in scene.pager.calls[sent:] if method == "POST"]
    assert actions == ["trigger", "resolve"]
    old, new = scene.team.pages.values()
    assert "see the newer message" in old.text
    assert new.text.startswith("🔴")
    assert scene.tick(later_s=11) == 0  # the acknowledgement before counts no more
    assert scene.incident(number).acknowledged_at is None
    scene.tick(later_s=10 * 60)
    assert len(scene.genie.pages) == 1  # the escalation goes on
    scene.pager.act("acknowledged", "Ada")
    scene.tick(later_s=11)
    assert scene.incident(number).acknowledged_there == "in PagerDuty by Ada"
    with reading() as session:
        assert "asks_again" in [one.kind for one in entries_of(session, number)]
        said = select(AuditEntry).where(AuditEntry.action == Action.INCIDENT_ASKS_AGAIN.value)
        assert len(session.scalars(said).all()) == 1


def test_back_to_what_was_acknowledged_wakes_nobody(scene: Scene) -> None:
    number = scene.page()
    grow(scene, number, 2)
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    grow(scene, number, 3)
    grow(scene, number, 2)
    assert scene.incident(number).phase == "acknowledged"
    assert scene.incident(number).asks == 1


def test_an_old_acknowledgement_is_not_heard_while_the_new_page_cannot_be_told(scene: Scene) -> None:
    number = scene.page()
    grow(scene, number, 3)
    scene.tick()
    scene.team.act("acknowledged", "Grace")
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    grow(scene, number, 1)
    scene.team.fail = [429]
    scene.tick(later_s=11)
    assert scene.incident(number).acknowledged_at is None
    scene.tick(later_s=60)
    assert len(scene.team.pages) == 2


def test_acknowledged_again_before_it_was_told_is_one_page_that_stays(scene: Scene) -> None:
    number = scene.page()
    grow(scene, number, 3)
    scene.tick()
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    scene.tick(later_s=3)
    grow(scene, number, 1)
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    scene.tick(later_s=3)
    (page,) = scene.pager.pages.values()
    assert page.state == "acknowledged"
    assert scene.tick(later_s=timedelta(hours=1).total_seconds()) == 0
