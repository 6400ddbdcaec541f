"""A world with an incident to tell, the services that people look at, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert, Incident
from backend.database.session import reading, writing
from backend.notifications.tables import Notice
from backend.settings import settings
from jobs.notifier import Notifier
from tests.integration.notifications.services import Service, running
from tests.worlds import SYSTEM, World

CONTACTS = """
channels:
  pager: {{kind: pagerduty, key: {{env: PD_KEY}}, token: {{env: PD_KEY}}, events: "{pagerduty}", rest: "{pagerduty}"}}
  team: {{kind: slack, token: {{env: SLACK_TOKEN}}, channel: C1, address: "{slack}"}}
  genie: {{kind: opsgenie, key: {{env: PD_KEY}}, address: "{opsgenie}"}}
routes:
  - name: serious
    when: {{severity: [SEV-1, SEV-2, SEV-3]}}
    to: [pager, team]
    then: [{{after_min: 10, to: [genie]}}]
"""


PATIENCE_S = 20.0  # what a tick began is over when it returns, however busy the machine is


@dataclass
class Scene:
    """An incident's world: the services that people look at, and a clock that the test moves."""

    world: World
    pager: Service
    team: Service
    genie: Service
    now: datetime
    notifier: Notifier

    def tick(self, *, later_s: float = 0) -> int:
        self.now += timedelta(seconds=later_s)
        return self.notifier.tick()

    def page(self, title: str = "AUC of toy fell to 0.61", *, column: str = "auc") -> int:
        firing = Firing(
            "toy", "production", 2, "realised", "page", title, column, self.now, {"column": column}
        )
        with writing() as session:
            alert = fire(session, SYSTEM, firing)
            assert alert.incident_id is not None
            return alert.incident_id

    def settle(self) -> None:
        with writing() as session:
            for alert in session.scalars(select(Alert).where(Alert.state == "firing")):
                resolve(session, SYSTEM, alert, why="fine again")

    def incident(self, number: int) -> Incident:
        with reading() as session:
            return session.get_one(Incident, number)

    def notices(self, state: str) -> list[Notice]:
        with reading() as session:
            return list(session.scalars(select(Notice).where(Notice.state == state).order_by(Notice.id)))


@pytest.fixture
def scene(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("PD_KEY", "k-123")
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-456")
    with ExitStack() as stack:
        services = {kind: stack.enter_context(running(kind)) for kind in ("pagerduty", "slack", "opsgenie")}
        path = tmp_path / "contacts.yaml"
        path.write_text(CONTACTS.format(**{kind: one.address for kind, one in services.items()}))
        monkeypatch.setenv("WARRANT_CONTACTS", str(path))
        settings.cache_clear()
        made = Scene(
            world,
            services["pagerduty"],
            services["slack"],
            services["opsgenie"],
            clock.now(),
            Notifier("w-test"),
        )
        monkeypatch.setattr(clock, "now", lambda: made.now)
        monkeypatch.setattr("jobs.notifier.PATIENCE_S", PATIENCE_S)
        yield made
        made.notifier.give_back()  # what still goes on ends before the database does
