"""Whether the row of an agreed return says what was agreed with the change that it undoes.

Who owns the database can point that row to another version or set a later end. What was agreed is in the evidence that
was signed with the change; from when it counts, in the log's entry of its execution's end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.governance.policies import UNDONE_DAYS
from backend.governance.tables import Change, WayBack

_LATER: Final = timedelta(minutes=1)  # between opening the return and the entry, in one transaction


def days_agreed(change: Change) -> float:
    """For how many days a change agrees on the return from it; 0: on none."""
    if change.break_glass:
        return float(change.policy["break_glass"]["lasts_h"]) / 24 + UNDONE_DAYS
    return float(change.policy.get("way_back_days") or 0) if change.kind == "promote" else 0.0


def finished_times(session: ReadSession, changes: Collection[int]) -> dict[int, datetime]:
    """When each was executed, by the first entry that says so; nothing of a change without one."""
    rows = session.execute(
        select(AuditEntry.object_id, AuditEntry.at)
        .where(
            AuditEntry.object_kind == "change", AuditEntry.object_id.in_([str(one) for one in changes]),
            AuditEntry.action == Action.EXECUTION_FINISHED.value,
        )
        .order_by(AuditEntry.seq.desc())
    )  # fmt: skip
    return {int(number): clock.from_iso(at) for number, at in rows}


def finished_at(session: ReadSession, change: Change) -> datetime | None:
    """When it was executed: by the log, which no row moves; by the row where no entry says that it was."""
    return finished_times(session, [change.id]).get(change.id) or change.finished_at


def agreed_otherwise(
    way: WayBack, change: Change, agreed: Mapping[str, Any] | None, finished_at: datetime | None
) -> list[str]:
    """What of the row differs from what was agreed, in words; empty where nothing does.

    change        the change that it undoes
    agreed        `way_back` of that change's evidence
    finished_at   when that change was executed by the log; None: the log does not say that it was
    """
    if not agreed or not days_agreed(change):
        return [f"CHG-{change.id} agreed on no return"]
    if finished_at is None:
        return [f"no entry says that CHG-{change.id} was executed"]
    now = {
        "model and environment": (way.model, way.environment), "version that it undoes": way.from_version,
        "version": way.to_version, "cut-off": way.to_cutoff, "set of digests": way.bound,
    }  # fmt: skip
    then = {
        "model and environment": (change.model, change.environment), "version that it undoes": change.to_version,
        "version": agreed["to_version"], "cut-off": agreed["cutoff"], "set of digests": agreed["bound"],
    }  # fmt: skip
    differs = [
        f"it has another {part} than what was agreed with CHG-{change.id}"
        for part in now
        if now[part] != then[part]
    ]
    last = finished_at + timedelta(days=days_agreed(change)) + _LATER
    if way.expires_at is None or way.expires_at > last:
        differs.append(f"its end is later than what was agreed with CHG-{change.id}")
    return differs
