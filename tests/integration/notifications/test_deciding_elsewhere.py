"""What is told of a change leads to the change and is no way to decide on it: nobody approves by a click in a chat."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend.notifications
from backend.database.engine import use_database
from backend.database.session import reading
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.notifications.channels import KINDS
from backend.notifications.channels.base import Channel
from backend.notifications.channels.opsgenie import Opsgenie
from backend.notifications.channels.pagerduty import PagerDuty
from backend.notifications.channels.slack import Slack
from backend.notifications.messages import Message
from backend.notifications.reminding import message_of
from backend.settings import settings
from tests.integration.app.test_phone_pages import browser, enter
from tests.integration.governance.conftest import ask
from tests.integration.identity.conftest import TestClient
from tests.integration.notifications.services import running
from tests.worlds import World, make_world

__all__ = ["browser"]
ADDRESS = re.compile(r"https?://[^\s\"'|>)]+")
DECIDES = ("backend.governance.deciding", "backend.governance.urgent", "backend.governance.execution")


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def waiting(world: World) -> Change:
    return ask(world.on_call, Asked("rollback", "production", "toy", 1))


def told_of(change: Change) -> Message:
    with reading() as session:
        return message_of(session, session.get_one(Change, change.id))


def test_a_message_of_a_change_links_to_its_page(waiting: Change) -> None:
    message = told_of(waiting)
    assert message.link == f"{settings().console}/c/{waiting.id}"
    assert message.text.endswith(message.link)


@pytest.mark.parametrize("kind", ["pagerduty", "opsgenie", "slack"])
def test_no_channel_is_handed_anything_that_decides(waiting: Change, kind: str) -> None:
    """The one address of ours is the page of the change, and nothing there can be pressed."""
    message = told_of(waiting)
    with running(kind) as service:
        made: dict[str, Channel] = {
            "pagerduty": PagerDuty("k", "k", events=service.address, rest=service.address),
            "opsgenie": Opsgenie("k", address=service.address),
            "slack": Slack("k", "C1", address=service.address),
        }
        made[kind].tell(message, None)
        sent = json.dumps([body for *_, body in service.calls])
    ours = {one for one in ADDRESS.findall(sent) if one.startswith(settings().console)}
    assert ours == {message.link}
    for pressed in ('"actions"', '"button"', "response_url", "callback_id", '"action_id"'):
        assert pressed not in sent


def test_every_kind_of_channel_that_tells_changes_is_asked() -> None:
    """The two others get the facts of the message as they are: `test_a_message_of_a_change_links_to_its_page`."""
    assert {name for name, one in KINDS.items() if one.make.changes} == {
        "alertmanager", "opsgenie", "pagerduty", "slack", "webhook",
    }  # fmt: skip


def test_following_the_link_decides_nothing_whatever_is_put_behind_it(
    waiting: Change, world: World, browser: TestClient
) -> None:
    enter(browser, world.lead)
    for behind in ("", "?act=approve", f"?act=approve&digest={waiting.digest}&why=so"):
        assert browser.get(f"/c/{waiting.id}{behind}").status_code == 200
    form = {"act": "approve", "why": "so", "digest": waiting.digest}
    assert browser.post(f"/c/{waiting.id}", data=form).status_code == 403  # no form of this session
    with reading() as session:
        assert session.get_one(Change, waiting.id).state == waiting.state


def test_nothing_that_tells_or_hears_can_decide() -> None:
    root = Path(backend.notifications.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in DECIDES, path
