"""From an incident to the people and back: what is told, when, to whom, and what they answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.alerting.handling import open_incident
from backend.alerting.incidents import acknowledge
from backend.alerting.mitigation import settle_by_change, tend_mitigated
from backend.alerting.service import close_by_hand
from backend.alerting.silences import Matchers, end_silence, silence
from backend.alerting.tables import Incident
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.notifications.contacts import current_contacts
from backend.notifications.facts import Facts
from backend.notifications.messages import Message
from backend.notifications.planning import plan_notices
from backend.notifications.sending import retry
from backend.notifications.tables import ToldIncident
from backend.settings import settings
from jobs.notifier import Notifier
from jobs.watch_self import NotWorking, look_at_notices
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import SYSTEM, World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def test_an_incident_is_told_once_however_often_is_asked(scene: Scene) -> None:
    scene.page()
    assert scene.tick() == 2
    assert [scene.tick(later_s=3) for _ in range(3)] == [0, 0, 0]
    (page,) = scene.pager.pages.values()
    assert "AUC of toy fell to 0.61" in page.text
    assert len(scene.team.pages) == 1
    assert scene.genie.pages == {}


def test_an_acknowledgement_there_is_one_here_and_reaches_the_others_but_not_back(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.pager.act("acknowledged", "Grace")
    told_pager = len([one for one in scene.pager.calls if one[0] == "POST"])
    scene.tick(later_s=11)
    assert scene.incident(number).acknowledged_there == "in PagerDuty by Grace"
    assert len([one for one in scene.pager.calls if one[0] == "POST"]) == told_pager
    (message,) = scene.team.pages.values()
    assert message.text.startswith("🟡")
    with reading() as session:
        said = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.INCIDENT_ACKNOWLEDGED.value)
        ).all()
    assert len(said) == 1
    assert scene.tick(later_s=11) == 0


def test_an_acknowledgement_here_reaches_the_pager_and_ends_the_escalation(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    scene.tick(later_s=3)
    (page,) = scene.pager.pages.values()
    assert page.state == "acknowledged"
    scene.tick(later_s=3600)
    assert scene.genie.pages == {}


def test_nobody_acknowledges_and_the_next_step_is_told(scene: Scene) -> None:
    scene.page()
    scene.tick()
    scene.tick(later_s=9 * 60)
    assert scene.genie.pages == {}
    scene.tick(later_s=61)
    assert len(scene.genie.pages) == 1
    assert [one.why for one in scene.notices("sent") if one.channel == "genie"] == [
        "route serious, step 1: nobody has acknowledged"
    ]


def test_when_it_is_over_here_it_is_over_everywhere(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.settle()
    with writing() as session:
        close_by_hand(session, scene.world.on_call, number, why="the feed is back")
    scene.tick(later_s=3)
    (page,) = scene.pager.pages.values()
    (message,) = scene.team.pages.values()
    assert page.state == "resolved"
    assert message.text.startswith("🟢")
    assert scene.tick(later_s=3600) == 0


def test_resolved_there_while_it_fires_here_stays_open_and_wakes_nobody_again(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.pager.act("resolved", "Grace")
    scene.tick(later_s=11)
    incident = scene.incident(number)
    assert (incident.state, incident.acknowledged_at is not None) == ("open", True)
    scene.tick(later_s=600)
    assert [page.state for page in scene.pager.pages.values()] == ["resolved"]
    scene.settle()
    with writing() as session:
        close_by_hand(session, scene.world.on_call, number, why="mended")
    scene.tick(later_s=3)
    with reading() as session:
        assert {row.state for row in session.scalars(select(ToldIncident))} == {"resolved"}


def test_what_a_change_mitigated_wakes_nobody_new_until_it_fires_on_past_its_time(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    with writing() as session:
        settle_by_change(
            session, SYSTEM, session.get_one(Incident, number), change_id=4, summary="back to v1"
        )
    scene.tick(later_s=30 * 60)
    assert "Mitigated by CHG-4" in scene.notices("sent")[-1].document["lines"][-1]
    assert scene.genie.pages == {}, "nobody acknowledged, and it is watched: the next step waits"
    scene.tick(later_s=31 * 60)
    before = len(scene.pager.calls)
    with writing() as session:
        assert tend_mitigated(session, SYSTEM) == 1
    scene.tick(later_s=3)
    assert len([one for one in scene.pager.calls[before:] if one[0] == "POST"]) == 1
    assert "fires again since" in scene.notices("sent")[-1].document["lines"][-1]
    assert len(scene.genie.pages) == 1


def test_resolved_there_when_nothing_fires_is_resolved_here(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.settle()
    scene.pager.act("resolved", "Grace")
    scene.tick(later_s=11)
    incident = scene.incident(number)
    assert incident.state == "closed"
    assert incident.closed_because == "resolved in PagerDuty by Grace"


def test_a_figure_that_changes_all_the_time_is_told_every_five_minutes(scene: Scene) -> None:
    scene.page()
    scene.tick()
    for number in range(5):
        scene.page(f"AUC of toy fell to 0.5{number}")
        assert scene.tick(later_s=30) == 0
    scene.tick(later_s=160)
    (page,) = scene.pager.pages.values()
    assert "0.54" in page.text


def test_a_service_that_is_away_gets_the_newest_news_once_when_it_is_back(scene: Scene) -> None:
    number = scene.page()
    scene.pager.fail = [503, 503]
    scene.tick()
    assert [one.problem for one in scene.notices("queued")] == [
        f"{scene.pager.address.removeprefix('http://')} answered 503"
    ]
    assert len(scene.team.pages) == 1
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    scene.tick(later_s=6)
    scene.tick(later_s=30)
    (page,) = scene.pager.pages.values()
    assert page.state == "acknowledged"
    assert len([one for one in scene.pager.calls if one[2] and one[2]["event_action"] == "trigger"]) == 1
    assert [one.channel for one in scene.notices("replaced")] == ["pager"]
    assert scene.notices("queued") == []


def test_an_incident_that_cannot_be_told_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = scene.page()
    with writing() as session:
        other = open_incident(
            session, scene.world.on_call, model="toy", environment="production", title="Slow", severity=1
        )
    right = Facts.message

    def message(self: Facts, incident: Incident) -> Message:
        if incident.id == odd:
            raise ValueError("no words for it")
        return right(self, incident)

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="no words"):
        patched.setattr(Facts, "message", message)
        scene.tick()
    scene.notifier.give_back()
    assert {one.incident_id for one in scene.notices("sent")} == {other.id}
    scene.tick()
    assert {one.incident_id for one in scene.notices("sent")} == {odd, other.id}


def test_a_page_that_no_channel_takes_for_minutes_ends_the_heartbeat(scene: Scene) -> None:
    scene.pager.fail, scene.team.fail = [401], [503] * 20
    number = scene.page()
    scene.tick()
    scene.tick(later_s=299)
    assert look_at_notices()  # there is time to try again
    scene.now += timedelta(seconds=2)
    with pytest.raises(NotWorking, match=f"nobody was told of INC-{number}"):
        look_at_notices()
    scene.team.fail.clear()
    scene.tick(later_s=600)
    assert look_at_notices()  # one channel took it


def test_what_nobody_was_told_of_is_no_fault_once_somebody_is_on_it(scene: Scene) -> None:
    scene.pager.fail, scene.team.fail = [401], [503] * 20
    number = scene.page()
    scene.tick()
    scene.now += timedelta(seconds=301)
    with pytest.raises(NotWorking):
        look_at_notices()
    with writing() as session:
        quiet = silence(
            session,
            scene.world.on_call,
            matchers=Matchers(model="toy"),
            comment="known",
            until=scene.now + timedelta(hours=1),
        )
    assert look_at_notices()
    with writing() as session:
        end_silence(session, scene.world.on_call, quiet.id)
    with pytest.raises(NotWorking):
        look_at_notices()
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    assert look_at_notices()


def test_what_was_refused_stays_until_somebody_tries_again(scene: Scene) -> None:
    scene.page()
    scene.pager.fail = [400]
    scene.tick()
    (refused,) = scene.notices("refused")
    scene.tick(later_s=3600)
    assert scene.pager.pages == {}
    with writing() as session:
        retry(session, refused.id)
    scene.tick(later_s=3)
    assert len(scene.pager.pages) == 1


def test_an_incident_all_of_whose_alerts_are_silenced_wakes_nobody(scene: Scene) -> None:
    scene.page()
    with writing() as session:
        silence(
            session, scene.world.on_call, matchers=Matchers(model="toy"), comment="planned",
            until=scene.now + timedelta(hours=1),
        )  # fmt: skip
    assert scene.tick() == 0
    assert scene.tick(later_s=3700) == 2  # the escalation counts from when the first was told


def test_two_plans_at_once_queue_one_notice(scene: Scene) -> None:
    scene.page()
    contacts = current_contacts()
    with writing() as session:
        assert len(plan_notices(session, contacts, scene.now)) == 2
    with writing() as session:
        assert plan_notices(session, contacts, scene.now) == []


def test_a_notifier_without_the_lease_says_nothing(scene: Scene) -> None:
    scene.page()
    scene.tick()
    scene.page("more", column="f1")
    assert Notifier("another").tick() == 0


def test_contacts_that_cannot_be_read_stop_nothing_else(scene: Scene) -> None:
    scene.page()
    path = settings().contacts
    assert path is not None
    good = path.read_text()
    path.write_text("channels: [\n")
    assert scene.tick() == 0
    path.write_text(good)
    assert scene.tick(later_s=3) == 2


def test_an_incident_whose_alerts_are_over_reaches_nobody_new(scene: Scene) -> None:
    scene.page()
    scene.tick()
    scene.settle()
    scene.tick(later_s=11 * 60)
    assert scene.genie.pages == {}


def test_what_slack_may_have_done_is_looked_for_before_it_is_done_again(scene: Scene) -> None:
    scene.page()
    scene.team.said = "fatal_error"
    scene.tick()
    scene.tick(later_s=6)
    assert len(scene.team.pages) == 1


def test_contacts_that_are_no_text_are_said(scene: Scene) -> None:
    path = settings().contacts
    assert path is not None
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="no text in UTF-8"):
        current_contacts()
    assert scene.tick() == 0
