"""The seeded fleet that the console is measured on, with people who look and changes that wait.

    python -m benchmarks.ui.fleet     in the home of the environment: asks for changes, prints who looks and at what

`WARRANT_UI_MODELS`, `WARRANT_UI_DAYS` and `WARRANT_UI_FEATURES` make the fleet smaller; `WARRANT_UI_HOME` names a
folder where it is kept for another run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.ui.served import run_module

MODELS: Final = int(os.environ.get("WARRANT_UI_MODELS", "500"))
DAYS: Final = int(os.environ.get("WARRANT_UI_DAYS", "365"))
FEATURES: Final = int(os.environ.get("WARRANT_UI_FEATURES", "50"))
CHANGES: Final = 30
SESSIONS: Final = 30
ADMIN: Final = "fleet-admin"


@dataclass(frozen=True)
class Fleet:
    """A home with the fleet. `tokens` are cookies of signed-in leads, `admin` of an administrator."""

    home: str
    tokens: list[str]
    admin: str
    model: str
    change: int
    incident: int | None

    @property
    def environment(self) -> dict[str, str]:
        return {"WARRANT_HOME": self.home}


@contextmanager
def seeded() -> Iterator[Fleet]:
    """Store the fleet, or what is missing of it, and have changes wait in it."""
    with tempfile.TemporaryDirectory(prefix="warrant-fleet-") as folder:
        home = os.environ.get("WARRANT_UI_HOME") or folder
        told = {"WARRANT_HOME": home}
        run_module(
            "jobs.fleet.seed", "--models", str(MODELS), "--days", str(DAYS), "--features", str(FEATURES),
            "--until", _until(Path(home)), "--yes-into-this-home", "--json", told=told,
        )  # fmt: skip
        yield Fleet(home=home, **json.loads(run_module("benchmarks.ui.fleet", told=told)))


def _until(home: Path) -> str:
    """The day of the first run for a home that is kept, for a fleet goes on with its own days only."""
    from backend.clock import now

    kept = home / "until.txt"
    if not kept.exists():
        home.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{now():%Y-%m-%d}")
    return kept.read_text()


def main() -> None:
    """Print a `Fleet` as JSON, without its home."""
    from sqlalchemy import func, select

    from backend.alerting.tables import Incident
    from backend.clock import now
    from backend.database.session import writing
    from backend.governance.tables import Change
    from backend.identity.people import create_person
    from backend.identity.roles import Role
    from backend.identity.sessions import open_session
    from backend.identity.tables import Person
    from backend.registry.tables import Model
    from jobs.fleet.governed import ACTOR

    with writing() as session:
        names = list(session.scalars(select(Model.name).order_by(Model.name)))
        if not session.scalar(select(func.count()).select_from(Change)):
            _ask_for_changes(names[:CHANGES])
    with writing() as session:
        leads = list(session.scalars(select(Person).where(Person.username.like("fleet-lead-%"))))
        admin = session.scalars(select(Person).where(Person.username == ADMIN)).first() or create_person(
            session, ACTOR, username=ADMIN, display_name="Synthetic administrator", roles={Role.ADMIN}
        )
        tokens = [
            open_session(session, one, address=None, user_agent="benchmark").token
            for one in [leads[place % len(leads)] for place in range(SESSIONS)]
        ]
        own = open_session(session, admin, address=None, user_agent="benchmark").token
        change = session.scalars(select(Change).order_by(Change.id.desc()).limit(1)).one()
        change.expires_at = now() + timedelta(days=2)  # a home that is kept
        incident = session.scalar(select(Incident.id).order_by(Incident.id.desc()).limit(1))
        # The model of a change has every part of its pages, and among the first every default statistic.
        found = Fleet("", tokens, own, names[0], change.id, incident)
    facts = asdict(found)
    del facts["home"]
    json.dump(facts, sys.stdout)


def _ask_for_changes(models: list[str]) -> None:
    """Rollbacks that wait for leads. The policy asks nothing of versions, for no worker evaluates gates here."""
    import yaml
    from sqlalchemy import select

    from backend.database.session import reading, writing
    from backend.governance.asking import preview_change, request_change
    from backend.governance.kinds import Asked
    from backend.governance.policies import BUILT_IN
    from backend.governance.policy_document import read_policy
    from backend.identity.sessions import actor_of
    from backend.identity.tables import Person
    from backend.settings import settings
    from tests.worlds import put_policy_in_force

    document = yaml.safe_load(BUILT_IN.read_text())
    for entry in document["rules"]:
        entry["rule"]["gates"] = []
    with writing() as session:
        put_policy_in_force(session, read_policy(document))
    with reading() as session:
        person = session.scalars(select(Person).where(Person.username == "fleet-on-call")).one()
        asker = actor_of(person, session_id=None)
    for name in models:
        asked = Asked("rollback", settings().environment, name, 1)
        with reading() as session:
            seen = preview_change(session, asker, asked).digest
        with writing() as session:
            request_change(session, asker, asked, reason="to be looked at", seen_digest=seen)


if __name__ == "__main__":
    main()
