"""Alerts about Warrant itself: work that failed and findings about the log, fired where they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.registry.tables import Model
from backend.settings import settings

LONGEST_REASON: Final = 300


def fire_failed_work(
    session: WriteSession, actor: Actor, *, job: str, title: str, subject: str, reason: str, run_id: str
) -> Alert:
    """A ticket until the same work succeeds for the same subject. About a model where the subject is one."""
    told = " ".join(reason.split())[:LONGEST_REASON]
    return fire(
        session, actor,
        Firing(
            _model(session, subject), settings().environment, None, "job", "ticket", f"{title} failed: {told}",
            f"{job}/{subject}", clock.now(), {"job": job, "run": run_id},
        ),
    )  # fmt: skip


def settle_work(session: WriteSession, actor: Actor, *, job: str, subject: str) -> None:
    """The same work succeeded. Asks the database once where nothing fires."""
    wanted = [
        fingerprint(model, settings().environment, "job", f"{job}/{subject}") for model in {subject, ""}
    ]
    for alert in session.scalars(
        select(Alert).where(Alert.fingerprint.in_(wanted), Alert.state == "firing")
    ).all():
        resolve(session, actor, alert, why=f"{job} succeeded")


def stumbled_schedules(session: ReadSession) -> set[str]:
    """Jobs of which a ticket says that it cannot be told when they are due."""
    begins = fingerprint("", settings().environment, "job", "schedule/")
    found = session.scalars(
        select(Alert.fingerprint).where(
            Alert.state == "firing", Alert.held_until.is_(None),
            Alert.fingerprint.startswith(begins, autoescape=True),
        )
    )  # fmt: skip
    return {one.removeprefix(begins).removesuffix("/") for one in found}


def tell_stumbled(session: WriteSession, actor: Actor, stumbled: Mapping[str, str]) -> None:
    """A ticket for each job of which it cannot be told when it is due, with the reason; of the others it is over."""
    for job, reason in stumbled.items():
        fire_failed_work(session, actor, job=f"schedule/{job}", title=f"Asking when {job} is due", subject="",
                         reason=reason, run_id="")  # fmt: skip
    for job in stumbled_schedules(session) - stumbled.keys():
        settle_work(session, actor, job=f"schedule/{job}", subject="")


def fire_finding(
    session: WriteSession, actor: Actor, *, kind: str, subject: str, title: str, level: str, finding_id: int
) -> Alert:
    """An open finding about the log, at its level."""
    return fire(
        session, actor,
        Firing("", settings().environment, None, "audit", level, title, f"{kind}/{subject}", clock.now(),
               {"finding": finding_id, "finding_kind": kind}),
    )  # fmt: skip


def settle_finding(session: WriteSession, actor: Actor, *, kind: str, subject: str, why: str) -> None:
    mine = fingerprint("", settings().environment, "audit", f"{kind}/{subject}")
    for alert in session.scalars(
        select(Alert).where(Alert.fingerprint == mine, Alert.state == "firing")
    ).all():
        resolve(session, actor, alert, why=why, final=True)


def _model(session: ReadSession, subject: str) -> str:
    return session.scalar(select(Model.name).where(Model.name == subject)) or ""
