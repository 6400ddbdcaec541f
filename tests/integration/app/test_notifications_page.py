"""The page that says whether everybody is told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from app.formats import format_when
from app.phone_incident import context_of, told_words
from backend.alerting.brief import read_brief
from backend.alerting.handling import open_incident, set_severity
from backend.alerting.incidents import acknowledge
from backend.alerting.report import report_markdown
from backend.clock import to_iso
from backend.database.session import reading, writing
from backend.leases import NOTIFIER, note_status, take_lease
from backend.settings import settings
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import World

__all__ = ["open_page", "scene", "world"]


def test_without_contacts_the_page_says_that_nobody_is_told(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "notifications"))
    assert "Nobody is told of incidents" in said
    assert "WARRANT_CONTACTS is not set" in said


def test_contacts_that_cannot_be_read_are_said_with_their_line(
    scene: Scene, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings().contacts
    assert path is not None
    path.write_text("channels:\n  mail: {kind: fax}\n")
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Nobody is told of incidents" in said
    assert "contacts.yaml:2" in said


def test_green_only_while_somebody_sends(scene: Scene, open_page: Open) -> None:
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Nobody sends notices" in said
    assert "No worker has ever sent a notice here." in said
    assert "python -m jobs.worker" in said
    number = scene.page()
    scene.tick()
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Everybody who is to be told was told" in said
    assert "> works<" in said
    last = scene.now
    scene.now += timedelta(seconds=30)
    assert_nobody(scene, open_page, last)
    with writing() as session:
        acknowledge(session, scene.world.on_call, number)
    said = assert_nobody(scene, open_page, last)
    assert f"1 incident should be told: INC-{number}." in said
    scene.tick()
    assert "Everybody who is to be told was told" in text_of(open_page(scene.world.viewer, "notifications"))
    scene.notifier.give_back()
    assert_nobody(scene, open_page, scene.now)


def assert_nobody(scene: Scene, open_page: Open, last: datetime) -> str:
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert f"Nobody has sent notices since {format_when(last, 'UTC')}" in said
    assert "Everybody who is to be told was told" not in said
    assert "> works<" not in said  # what worked is not known to work
    return said


def test_what_a_worker_cannot_read_is_not_green(scene: Scene, open_page: Open) -> None:
    path = settings().contacts
    assert path is not None
    good = path.read_text()
    path.write_text("channels: [")
    scene.tick()
    path.write_text(good)  # the console reads it, the worker has not since
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "The worker cannot read the contacts: contacts.yaml:1" in said


def test_a_notice_that_is_owed_is_named_on_its_way_first_and_late_then(scene: Scene, open_page: Open) -> None:
    scene.tick()
    number = scene.page()
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Notices are on their way" in said
    assert f"About INC-{number}." in said
    scene.now += timedelta(seconds=25)
    with writing() as session:  # a worker that ticks, and does not get round to it
        note_status(
            session, NOTIFIER, holder="w-test", status={"at": to_iso(scene.now), "problem": "", "slow": {}}
        )
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "1 incident not told to everybody" in said
    assert "route serious" in said


def test_an_incident_that_no_route_leads_anywhere_with_is_said(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    scene.tick()
    with writing() as session:
        other = open_incident(
            session,
            scene.world.on_call,
            model="",
            environment="production",
            title="the disk fills",
            severity=4,
        )
    scene.tick()
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Some open incidents reach nobody" in said
    assert f"No route leads anywhere with INC-{other.id}." in said
    assert f"with INC-{number}" not in said


def test_a_test_is_sent_from_the_page_after_a_word_and_its_answer_shown(
    scene: Scene, open_page: Open
) -> None:
    scene.tick()
    page = open_page(scene.world.on_call, "notifications")
    next(one for one in page.button if one.label == "Send the test to pager").click().run()
    assert "The test of pager was asked for" in " ".join(one.value for one in page.success)
    scene.tick(later_s=3)
    said = text_of(open_page(scene.world.on_call, "notifications"))
    assert "trigger: Event processed" in said
    assert "passed" in said
    refused = open_page(scene.world.viewer, "notifications")
    assert all(one.disabled for one in refused.button if one.label.startswith("Send the test"))


def test_an_incident_that_asks_again_says_why(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    with writing() as session:
        set_severity(session, scene.world.on_call, number, severity=3, why="few see it")
        acknowledge(session, scene.world.on_call, number)
        set_severity(session, scene.world.on_call, number, severity=1, why="all see it")
    why = "acknowledged as SEV-3, then it became SEV-1: it has to be acknowledged again"
    page = open_page(scene.world.on_call, "incident", id=str(number))
    assert why in text_of(page)
    assert any(one.label == f"Acknowledge INC-{number}" for one in page.button)
    with reading() as session:
        brief = read_brief(session, scene.world.on_call, number)
        assert context_of(brief, scene.world.on_call)["asks_again"] == why
        report = report_markdown(session, scene.world.on_call, number)
    assert "by nobody (acknowledged as SEV-3, then it became SEV-1)" in report


def test_a_refused_notice_is_shown_with_its_reason_and_tried_again(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    scene.pager.fail = [400]
    scene.tick()
    assert not any("again" in one.label for one in open_page(scene.world.viewer, "notifications").button)
    page = open_page(scene.world.on_call, "notifications")
    said = text_of(page)
    assert "1 channel of 3 cannot be relied on" in said
    assert "> not told<" in said
    assert "refused: 400" in said
    next(one for one in page.button if one.label == f"Tell pager of INC-{number} again").click().run()
    scene.tick(later_s=3)
    assert len(scene.pager.pages) == 1
    assert "Everybody who is to be told was told" in text_of(open_page(scene.world.on_call, "notifications"))


def test_an_incident_says_who_is_to_be_told_and_who_was(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    unsent = text_of(open_page(scene.world.on_call, "incident", id=str(number)))
    assert "No worker has ever sent a notice here." in unsent
    with reading() as session:
        assert (
            told_words(session, scene.world.on_call, number)
            == "nobody; No worker has ever sent a notice here."
        )
    with writing() as session:
        take_lease(session, NOTIFIER, holder="w-test", lasts=timedelta(minutes=1))
        note_status(
            session, NOTIFIER, holder="w-test", status={"at": to_iso(scene.now), "problem": "", "slow": {}}
        )
    before = text_of(open_page(scene.world.on_call, "incident", id=str(number)))
    assert "A worker tells pager, team within seconds" in before
    scene.tick()
    with reading() as session:
        plain = told_words(session, scene.world.on_call, number)
    assert re.fullmatch(r"pager [-0-9]{10} [:0-9]{8} UTC; team [-0-9]{10} [:0-9]{8} UTC", plain), plain
    after = text_of(open_page(scene.world.on_call, "incident", id=str(number)))
    assert "route serious" in after
    assert "trigger: Event processed" in after


def test_who_watches_warrant_is_said_with_what_to_do(
    scene: Scene, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "Nobody outside would notice that Warrant is dead" in said
    assert "WARRANT_HEARTBEAT" in said
    monkeypatch.setenv("WARRANT_HEARTBEAT", "webhook https://hc.example/ping/SECRET")
    settings.cache_clear()
    said = text_of(open_page(scene.world.viewer, "notifications"))
    assert "No heartbeat leaves Warrant" in said
    assert "no look at Warrant itself has passed" in said
    assert "webhook hc.example" in said
    assert "SECRET" not in said
