"""Deployments that no change explains: it is missing, was not executed, or is about something else.

A row is held against two things that nobody can alter unseen: the entry that its own beginning made, and the entry with
which the execution of its change began. A change that names another model, environment or version explains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, select

from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.governance.tables import Change


@dataclass(frozen=True)
class Unexplained:
    """`subject` tells it from others for ever; `why` continues "version 2 of toy served in production from ... "."""

    deployment: Deployment
    subject: str
    why: str


def unexplained_deployments(session: ReadSession) -> Iterator[Unexplained]:
    """Every deployment with something wrong, the oldest first; the first thing of each."""
    begun = set(
        session.scalars(
            select(AuditEntry.object_id).where(
                AuditEntry.action == Action.EXECUTION_STARTED.value, AuditEntry.object_kind == "change"
            )
        )
    )
    entered = (
        (AuditEntry.object_kind == "deployment")
        & (AuditEntry.object_id == cast(Deployment.id, Text))
        & (AuditEntry.action == Action.DEPLOYMENT_STARTED.value)
    )
    rows = session.execute(
        select(Deployment, Change, AuditEntry.seq, AuditPayload.payload)
        .outerjoin(Change, Change.id == Deployment.change_id)
        .outerjoin(AuditEntry, entered)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .order_by(Deployment.id, AuditEntry.seq)
    )
    seen: set[int] = set()
    for row in rows:  # outer joins: each but the first may be None
        deployment: Deployment = row[0]
        change: Change | None = row[1]
        seq: int | None = row[2]
        payload: str | None = row[3]
        if deployment.id in seen:
            continue
        seen.add(deployment.id)
        name = f"deployment {deployment.id}"
        if change is None:
            yield Unexplained(deployment, name, "without a change")
        elif str(change.id) not in begun:
            yield Unexplained(
                deployment, f"{name} not executed", f"under CHG-{change.id}, which was never executed"
            )
        elif other := _of_another(deployment, change):
            yield Unexplained(
                deployment, f"{name} of another", f"under CHG-{change.id}, which is about {other}"
            )
        if seq is None:
            yield Unexplained(deployment, f"{name} unrecorded", "and no entry records that it began")
        elif payload is not None and (said := _said_otherwise(deployment, parsed(payload.encode()))):
            yield Unexplained(deployment, f"{name} altered", f"and entry {seq}, which began it, says {said}")


def _of_another(deployment: Deployment, change: Change) -> str:
    """What the change is about, where that is not this deployment. A return brings the version from before."""
    if change.model != deployment.model:
        return f"the model {change.model}" if change.model else "no model"
    if change.environment != deployment.environment:
        return f"the environment {change.environment}"
    versions = [one for one in (change.from_version, change.to_version) if one is not None]
    if deployment.version not in versions:
        return f"version {' and '.join(map(str, versions))}" if versions else "no version"
    return ""


def _said_otherwise(deployment: Deployment, payload: dict[str, Any]) -> str:
    row = {"model": deployment.model, "version": deployment.version, "environment": deployment.environment,
           "change": deployment.change_id, "segments": deployment.segments}  # fmt: skip
    return ", ".join(
        f"{name} {payload[name]}" for name in row if name in payload and payload[name] != row[name]
    )
