"""A change that has waited for long is told to the channels of the contacts: once, and not by what wakes people up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backend.data_rights.people import erase_person
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.governance.asking import cancel_change
from backend.governance.kinds import Asked
from backend.governance.reminders import remind_deciders
from backend.governance.tables import Change
from backend.identity.tables import Person
from backend.notifications.contacts import parse_contacts
from backend.notifications.service import notification_state, retry_notice
from backend.settings import settings
from tests.integration.governance.conftest import ask
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import SYSTEM, World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def waits_for_long(scene: Scene, reminders: str) -> Change:
    path = settings().contacts
    assert path is not None
    path.write_text(path.read_text() + reminders)
    change = ask(scene.world.on_call, Asked("rollback", "production", "toy", 1))
    assert scene.tick() == 0
    scene.now += timedelta(hours=13)  # of the 24 that its rule gives it
    with writing() as session:
        assert remind_deciders(session, SYSTEM, change.id)
    return change


def test_those_whom_the_contacts_name_are_told_of_it_once(scene: Scene) -> None:
    change = waits_for_long(scene, "reminders: [{when: {model: [toy]}, to: [team]}]\n")
    assert scene.tick() == 1
    (page,) = scene.team.pages.values()
    assert f"CHG-{change.id} waits for a decision" in page.text and "🔔" in page.text
    shown = str(scene.team.calls[-1][2]["blocks"])
    assert "Can decide: " in shown and f"/c/{change.id}|CHG-{change.id} in Warrant" in shown
    assert "acknowledges" not in shown and not scene.pager.pages
    assert scene.tick(later_s=60) == 0
    (sent,) = scene.notices("sent")
    assert (sent.incident_id, sent.change_id) == (None, change.id)
    with writing() as session:
        lead = session.get_one(Person, scene.world.lead.person_id)
        assert lead.display_name in str(sent.document)
        counts = erase_person(session, SYSTEM, lead.id, why="they asked", request="dsr_1")
    assert counts["notices"] == 1
    assert scene.notices("sent")[0].document["lines"][2] == "Can decide: Erased person, Lead2"


def test_what_no_reminder_fits_is_told_to_nobody(scene: Scene) -> None:
    waits_for_long(scene, "reminders: [{when: {model: [other]}, to: [team]}]\n")
    assert scene.tick() == 0
    assert not scene.team.pages


def test_one_that_was_refused_is_counted_and_tried_again_and_none_is_sent_of_what_is_over(
    scene: Scene,
) -> None:
    change = waits_for_long(scene, "reminders: [{to: [team]}]\n")
    scene.team.fail = [400]
    scene.tick()
    (refused,) = scene.notices("refused")
    with reading() as session:
        state = notification_state(session, scene.world.on_call)
    assert next(one for one in state.channels if one.name == "team").refused == 1
    with writing() as session:
        retry_notice(session, scene.world.on_call, refused.id)
        cancel_change(session, scene.world.on_call, change.id, reason="not needed")
    assert scene.tick() == 0
    assert not scene.team.pages
    assert scene.notices("replaced")[0].problem == "the change waits for no decision any more"


def test_a_reminder_wakes_nobody_up() -> None:
    text = (
        "channels: {pager: {kind: pagerduty, key: {env: PD_KEY}}}\n"
        "reminders:\n  - to: [pager]\n"
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"contacts:3: .*PagerDuty wakes people up"):
        parse_contacts(text)
    with pytest.raises(BadInput, match="'mail': which is no channel"):
        parse_contacts("reminders: [{to: [mail]}]")
