"""A degradation in the running demo, its incident, a request to go back, its approval and its record: by the API, as
the people of the demo would do it. And what the demo then has to show of each kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
from sqlalchemy import select

from backend.alerting.tables import Incident
from backend.api.security import COOKIE, CSRF_HEADER
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.tables import Deployment
from backend.explain.tables import PredictionExplanation
from backend.governance.tables import Change
from backend.identity.sessions import csrf_of, open_session
from backend.identity.tables import Person as StoredPerson
from backend.retraining.tables import RetrainingRun
from backend.settings import settings
from tests.gallery.shots import MODEL

FAULT: Final = "unit-change"
UNTIL_INCIDENT_S: Final = 900.0
UNTIL_MOVED_S: Final = 300.0
SOURCE: Final = "flights.parquet"


class Person:
    """Somebody of the demo at the API, with a session of their own: a browser's, or one that is made here."""

    def __init__(self, console: str, name: str) -> None:
        with writing() as session:
            person = session.scalars(select(StoredPerson).where(StoredPerson.username == name)).one()
            self.token = open_session(session, person, address="127.0.0.1", user_agent="gallery").token
        self.api = httpx.Client(
            base_url=console,
            timeout=60.0,
            cookies={COOKIE: self.token},
            headers={CSRF_HEADER: csrf_of(self.token)},
        )

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self.api.request(method, f"/api/v1{path}", **more)
        answer.raise_for_status()
        return answer.json()


def play(console: str) -> None:
    """Play what has not been played in this home. What does not come about in its time is said and left out."""
    if newest_change() is not None:
        return
    on_call, lead = Person(console, "oncall"), Person(console, "lead")
    if open_incident() is None:
        warrant("demo", "fault", FAULT)
        wait_for(open_incident, UNTIL_INCIDENT_S, "an incident about the fault")
    incident = open_incident()
    if incident is not None:
        on_call.ask("POST", f"/incidents/{incident}/acknowledgement")
    wanted = {"kind": "rollback", "model": MODEL, "to_version": version_before()}
    seen = on_call.ask("GET", "/changes/preview", params=wanted)
    asked = on_call.ask(
        "POST",
        "/changes",
        json=wanted
        | {
            "digest": seen["digest"],
            "reason": "Delays are predicted from a column that arrives in another unit.",
        },
    )
    number = int(asked["id"])
    wait_for(lambda: state_of(number) != "checking", UNTIL_MOVED_S, f"the gates of CHG-{number}")
    if state_of(number) != "waiting":
        say(f"CHG-{number} is {state_of(number)}: it is shown so")
        return
    digest = lead.ask("GET", f"/changes/{number}")["digest"]
    lead.ask(
        "POST",
        f"/changes/{number}/decisions",
        json={
            "verdict": "approve",
            "comment": "The way back costs little; the feed is being mended.",
            "digest": digest,
        },
    )
    wait_for(
        lambda: state_of(number) not in ("approved", "executing"), UNTIL_MOVED_S, f"the end of CHG-{number}"
    )


def subjects() -> dict[str, Any]:
    """The newest of each kind, as `shots.Subject` has them."""
    found: dict[str, Any] = {"source": lay_source()}
    with reading() as session:
        change = session.scalars(select(Change).order_by(Change.id.desc()).limit(1)).one_or_none()
        if change is not None:
            found["change"] = change.id
            entries = select(AuditEntry.seq).where(
                AuditEntry.object_kind == "change", AuditEntry.object_id == str(change.id)
            )
            found["entry"] = session.scalar(
                entries.where(AuditEntry.action.contains("decision")).order_by(AuditEntry.seq.desc()).limit(1)
            ) or session.scalar(entries.order_by(AuditEntry.seq).limit(1))
        found["incident"] = session.scalar(select(Incident.id).order_by(Incident.id.desc()).limit(1))
        found["run"] = session.scalar(
            select(RetrainingRun.id).order_by(RetrainingRun.change_id.desc()).limit(1)
        )
        told = session.execute(
            select(PredictionExplanation.model, PredictionExplanation.prediction_id)
            .order_by(PredictionExplanation.ts.desc())
            .limit(1)
        ).one_or_none()
        found["prediction"] = tuple(told) if told else None
        if found.get("entry") is None:
            found["entry"] = session.scalar(select(AuditEntry.seq).order_by(AuditEntry.seq.desc()).limit(1))
    return {name: one for name, one in found.items() if one is not None}


def lay_source() -> str | None:
    """Flights with their scores and labels where workers may read, for the page that brings a model in."""
    home = settings().resolved_home()
    rows = sorted((home / "training" / MODEL).glob("*/reference.parquet"))
    if not rows:
        return None
    (home / "sources").mkdir(exist_ok=True)
    shutil.copyfile(rows[-1], home / "sources" / SOURCE)
    return SOURCE


def newest_change() -> int | None:
    with reading() as session:
        return session.scalar(select(Change.id).order_by(Change.id.desc()).limit(1))


def open_incident() -> int | None:
    with reading() as session:
        return session.scalar(
            select(Incident.id).where(Incident.model == MODEL, Incident.state == "open").limit(1)
        )


def version_before() -> int:
    """What served before: by its figures none is healthy enough to be proposed, so the story names it."""
    with reading() as session:
        ended = select(Deployment.version).where(Deployment.model == MODEL, Deployment.role == "champion")
        return (
            session.scalars(ended.where(Deployment.state == "ended").order_by(Deployment.id.desc())).first()
            or 1
        )


def state_of(number: int) -> str:
    with reading() as session:
        return session.get_one(Change, number).state


def wait_for(condition: Callable[[], object], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            say(f"{what} did not come about within {within_s:g} s: the pictures are without it")
            return
        time.sleep(1.0)


def warrant(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", "from backend.cli import main; main()", *arguments], check=True)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command that takes minutes says where it is
