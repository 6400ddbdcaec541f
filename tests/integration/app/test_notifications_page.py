"""The page that says whether everybody is told."""

from __future__ import annotations

import re

import pytest

from app.phone_incident import told_words
from backend.database.session import reading
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


def test_a_refused_notice_is_shown_with_its_reason_and_tried_again(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    scene.pager.fail = [400]
    scene.tick()
    assert not any("again" in one.label for one in open_page(scene.world.viewer, "notifications").button)
    page = open_page(scene.world.on_call, "notifications")
    said = text_of(page)
    assert "1 channel of 3 cannot be relied on" in said
    assert "refused: 400" in said
    next(one for one in page.button if one.label == f"Tell pager of INC-{number} again").click().run()
    scene.tick(later_s=3)
    assert len(scene.pager.pages) == 1
    assert "Everybody who is to be told was told" in text_of(open_page(scene.world.on_call, "notifications"))


def test_an_incident_says_who_is_to_be_told_and_who_was(scene: Scene, open_page: Open) -> None:
    number = scene.page()
    before = text_of(open_page(scene.world.on_call, "incident", id=str(number)))
    assert "A worker tells pager, team within seconds" in before
    scene.tick()
    with reading() as session:
        plain = told_words(session, scene.world.on_call, number)
    assert re.fullmatch(r"pager [-0-9]{10} [:0-9]{8} UTC; team [-0-9]{10} [:0-9]{8} UTC", plain), plain
    after = text_of(open_page(scene.world.on_call, "incident", id=str(number)))
    assert "route serious" in after
    assert "trigger: Event processed" in after
