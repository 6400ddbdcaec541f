"""The notifier is killed each time a service has taken something and not yet said so: nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.alerting.handling import open_incident
from backend.database.session import reading, writing
from backend.notifications.tables import Notice, ToldIncident
from backend.settings import settings
from tests.integration.notifications.services import Page, running
from tests.worlds import make_world

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
INCIDENTS = 8
KILLED_AFTER = (1, 2, 3, 5, 8, 12)  # requests that one service took
CHILD = """
import time
from jobs.notifier import Notifier
notifier = Notifier("told")
while True:
    notifier.tick()
    time.sleep(0.05)
"""
CONTACTS = """
channels:
  pager: {{kind: pagerduty, key: {{env: WARRANT_TEST_KEY}}, events: "{pagerduty}"}}
  team: {{kind: slack, token: {{env: WARRANT_TEST_KEY}}, channel: C1, address: "{slack}"}}
routes: [{{name: all, to: [pager, team]}}]
"""


@pytest.mark.parametrize("victim", ["pagerduty", "slack"])
def test_a_notifier_killed_after_each_taking_loses_and_doubles_nothing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    world = make_world(tmp_path / "files")
    monkeypatch.setenv("WARRANT_TEST_KEY", "k")
    with ExitStack() as stack:
        services = {kind: stack.enter_context(running(kind)) for kind in ("pagerduty", "slack")}
        path = tmp_path / "contacts.yaml"
        path.write_text(CONTACTS.format(**{kind: one.address for kind, one in services.items()}))
        monkeypatch.setenv("WARRANT_CONTACTS", str(path))
        settings.cache_clear()
        with writing() as session:
            for number in range(INCIDENTS):
                open_incident(
                    session, world.on_call, model="toy", environment="production", title=f"case {number}"
                )
        running_child: list[subprocess.Popen[bytes]] = []
        count = 0

        def kill_on_time() -> None:
            nonlocal count
            count += 1
            if count in KILLED_AFTER:
                running_child[-1].kill()

        services[victim].taken = kill_on_time
        for _ in KILLED_AFTER:
            running_child.append(subprocess.Popen([sys.executable, "-c", CHILD]))
            assert running_child[-1].wait(60) == -9
        last = subprocess.Popen([sys.executable, "-c", CHILD])
        running_child.append(last)
        try:
            deadline = time.monotonic() + 60
            while _told() < 2 * INCIDENTS and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            last.kill()
            last.wait()
    with reading() as session:
        waiting = session.scalar(select(func.count()).select_from(Notice).where(Notice.state == "queued"))
    assert waiting == 0
    for kind, service in services.items():
        assert sorted(_case(page) for page in service.pages.values()) == [
            f"case {n}" for n in range(INCIDENTS)
        ], kind


def _told() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(ToldIncident)) or 0


def _case(page: Page) -> str:
    return page.text.rpartition(": ")[2]
