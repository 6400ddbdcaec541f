"""A test of a channel goes the way of every notice; what was refused is tried again when the contacts change."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import NotAllowed, NotFound
from backend.notifications.service import notification_state
from backend.notifications.tables import ChannelTest
from backend.notifications.trying import ask_test
from backend.settings import settings
from jobs.notifier import Notifier
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def result(channel: str) -> tuple[str, str]:
    with reading() as session:
        row = session.get_one(ChannelTest, channel)
        return row.state, row.said


def test_a_test_is_told_and_taken_back_and_its_answer_kept(scene: Scene) -> None:
    with writing() as session:
        ask_test(session, scene.world.on_call, "pager")
        ask_test(session, scene.world.on_call, "pager")  # one that waits stays the one
    assert result("pager") == ("queued", "")
    scene.tick()
    assert result("pager") == (
        "passed", "trigger: Event processed; when it was over: resolve: Event processed",
    )  # fmt: skip
    (page,) = scene.pager.pages.values()
    assert page.state == "resolved"
    assert "nothing is wrong" in page.text
    with reading() as session:
        entries = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.CHANNEL_TESTED.value)
        ).all()
        assert [one.object_id for one in entries] == ["pager"]
        state = notification_state(session, scene.world.viewer)
    assert [one.test for one in state.channels] == ["passed", "", ""]


def test_a_test_that_fails_says_why_without_the_secret(scene: Scene) -> None:
    with writing() as session:
        ask_test(session, scene.world.on_call, "team")
    scene.team.fail = [403]
    scene.tick()
    state, said = result("team")
    assert state == "failed"
    assert "refused: 403" in said
    assert "xoxb" not in said


def test_who_may_not_act_on_incidents_sends_no_test_and_a_channel_must_exist(scene: Scene) -> None:
    with pytest.raises(NotAllowed), writing() as session:
        ask_test(session, scene.world.viewer, "pager")
    with pytest.raises(NotFound, match="no channel 'fax'"), writing() as session:
        ask_test(session, scene.world.on_call, "fax")


def test_what_was_refused_is_told_by_itself_when_the_contacts_change(scene: Scene) -> None:
    number = scene.page()
    scene.pager.fail = [400]
    scene.tick()
    scene.tick(later_s=3600)
    assert scene.pager.pages == {}
    path = settings().contacts
    assert path is not None
    path.write_text(path.read_text() + "# the key was mended\n")
    assert scene.tick(later_s=3) == 1
    (page,) = scene.pager.pages.values()
    assert f"INC-{number}" in page.text


def test_a_worker_that_begins_tries_again_what_was_refused(scene: Scene) -> None:
    scene.page()
    scene.pager.fail = [400]
    scene.tick()
    scene.notifier.give_back()
    assert Notifier("another").tick() == 1  # its environment may hold the right key
    assert len(scene.pager.pages) == 1


def test_what_was_refused_about_an_incident_that_is_over_is_told_to_nobody(scene: Scene) -> None:
    scene.page()
    scene.pager.fail = [400]
    scene.tick()
    scene.settle()
    scene.team.act("resolved", "Grace")
    scene.tick(later_s=11)
    scene.notifier.give_back()
    Notifier("another").tick()
    assert scene.pager.pages == {}
