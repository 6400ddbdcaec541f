"""What people did where they were told, once each: resolved there while it fires here, reactions that stay on."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from backend.alerting.entries import entries_of
from backend.alerting.handling import set_severity
from backend.database.session import reading, writing
from backend.notifications.tables import ToldIncident
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def test_resolved_there_is_over_here_without_a_known_cause(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.settle()
    scene.pager.act("resolved", "Grace")
    scene.tick(later_s=11)
    incident = scene.incident(number)
    assert (incident.state, incident.cause) == ("closed", "unknown")


def test_resolved_there_while_it_fires_is_over_here_as_soon_as_nothing_does(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.pager.act("resolved", "Grace")
    scene.tick(later_s=11)
    assert scene.incident(number).state == "open"
    scene.settle()
    scene.tick(later_s=3)
    incident = scene.incident(number)
    assert (incident.state, incident.cause) == ("closed", "unknown")
    assert incident.closed_because == "resolved in PagerDuty by Grace, and what fired then is over"
    with reading() as session:
        assert {row.state for row in session.scalars(select(ToldIncident))} == {"resolved"}


def test_what_pagerduty_resolves_by_the_clock_rings_again_while_nobody_is_on_it(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.pager.act("resolved", "a service")
    scene.tick(later_s=11)
    incident = scene.incident(number)
    assert (incident.state, incident.acknowledged_at) == ("open", None)
    scene.tick(later_s=3)
    (page,) = scene.pager.pages.values()
    assert (page.state, page.number) == ("open", 2), "another incident there, under the same key"
    scene.pager.act("acknowledged", "Grace")
    scene.tick(later_s=11)
    assert scene.incident(number).acknowledged_there == "in PagerDuty by Grace"
    scene.pager.act("resolved", "a service")
    scene.tick(later_s=11)
    assert [scene.tick(later_s=11) for _ in range(3)] == [0, 0, 0], "somebody is on it"


def test_a_reaction_that_was_heard_is_not_heard_again_when_the_message_is_told_again(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.team.act("resolved", "Grace")
    scene.tick(later_s=11)
    with writing() as session:
        set_severity(session, scene.world.on_call, number, severity=4, why="few see it")
    scene.tick(later_s=3)
    with writing() as session:
        row = session.get_one(ToldIncident, (number, "team"))
        row.severity, row.closed_there = 4, ""  # told again since, under the same message
    scene.tick(later_s=11)
    with reading() as session:
        notes = [one.text for one in entries_of(session, number) if one.kind == "note"]
        assert session.get_one(ToldIncident, (number, "team")).closed_there == ""
    assert len(notes) == 1


def test_what_cannot_be_done_here_is_said_and_the_next_is_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.errors import Conflict
    from backend.notifications import hearing

    number = scene.page()
    scene.tick()
    scene.pager.act("acknowledged", "Grace")

    def refuse(*_: object, **__: object) -> bool:
        raise Conflict("it cannot become acknowledged")

    with monkeypatch.context() as patched:
        patched.setattr(hearing, "take_over", refuse)
        scene.tick(later_s=11)
    with reading() as session:
        problem = session.get_one(ToldIncident, (number, "pager")).problem
    assert problem == "what was done there cannot be done here: it cannot become acknowledged"
    scene.tick(later_s=11)
    assert scene.incident(number).acknowledged_there == "in PagerDuty by Grace"


def test_a_channel_that_asks_for_patience_is_not_asked_before(scene: Scene) -> None:
    def asked() -> int:
        return sum(path == "/reactions.get" for _, path, _ in scene.team.calls)

    scene.page()
    scene.tick()
    scene.tick(later_s=11)
    before = asked()
    assert before
    scene.team.fail, scene.team.retry_after = [429], "25"
    scene.tick(later_s=11)
    assert not scene.team.fail
    scene.tick(later_s=11)
    scene.tick(later_s=11)
    assert asked() == before
    scene.tick(later_s=11)
    assert asked() == before + 1
