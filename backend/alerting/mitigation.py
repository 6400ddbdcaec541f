"""What a change that was executed makes of the incident it answers.

It says that something was done, not that it helped: while anything of the incident still fires, the incident is
mitigated and is watched. It closes by itself once nothing fires, and reopens if something fires on past the time in
which what fires could have seen the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.alerting.entries import write_entry
from backend.alerting.incidents import change_severity, relapse
from backend.alerting.muting import muting_now
from backend.alerting.phases import move
from backend.alerting.service import close_incident, lock_with_alerts
from backend.alerting.tables import Alert, Incident, firing_under
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor

LEAST: Final = timedelta(hours=1)
MOST: Final = timedelta(days=7)
LENGTHS: Final = {
    "1h": timedelta(hours=1), "1d": timedelta(days=1), "1w": timedelta(weeks=1), "1mo": timedelta(days=31),
}  # fmt: skip


def patience(alerts: Iterable[Alert]) -> timedelta:
    """How long alerts may fire on after a change: two windows of those that tell of windows (one has begun before it),
    the long window of an objective, and an hour of all others; an hour at least and seven days at most."""
    spans = [LEAST]
    for one in alerts:
        spans.append(2 * LENGTHS.get(str(one.details.get("size")), timedelta()))
        spans.append(timedelta(seconds=float(one.details.get("long_s") or 0)))
    return min(max(spans), MOST)


def settle_by_change(
    session: WriteSession, actor: Actor, incident: Incident, *, change_id: int, summary: str
) -> None:
    """The change was executed: close the incident if nothing of it fires, else mark it mitigated and watch it. Where it
    was merged since, the one of the same model that took its alerts."""
    done = f"CHG-{change_id} executed: {summary}"
    firing = lock_with_alerts(session, incident)
    if incident.state == "closed":
        into = session.get(Incident, incident.merged_into) if incident.merged_into else None
        if into is not None and into.model == incident.model:
            settle_by_change(session, actor, into, change_id=change_id, summary=summary)
        return
    if not firing:
        close_incident(session, actor, incident, change_id=change_id, why=done)
        return
    now = clock.now()
    if incident.phase != "mitigated":
        move(incident, "mitigated")
        incident.mitigated_at = now
    incident.mitigated_by_change, incident.reopens_at = change_id, now + patience(firing)
    told = f"{done}; {_count(len(firing))} on. {watch_words(incident)}"
    session.flush()
    write_entry(session, actor, incident, "mitigated", told, change=change_id)
    record(
        session, actor, Action.INCIDENT_MITIGATED, object_kind="incident", object_id=incident.id, why=told,
        payload={"change": change_id, "alerts": [one.id for one in firing],
                 "reopens_at": clock.to_iso(incident.reopens_at)},
    )  # fmt: skip


def watch_words(incident: Incident) -> str:
    """What happens next to an incident that is watched; empty where none is."""
    if not is_watched(incident) or incident.reopens_at is None:
        return ""
    return (
        "It closes by itself once nothing fires, and reopens, one level graver, if something fires past "
        f"{incident.reopens_at:%Y-%m-%d %H:%M:%S} UTC"
    )


def is_watched(incident: Incident) -> bool:
    return incident.phase == "mitigated" and incident.reopens_at is not None


def to_tend(session: ReadSession) -> list[Incident]:
    """Incidents that are watched and have to be closed or reopened now."""
    found = session.scalars(
        select(Incident)
        .where(Incident.phase == "mitigated", Incident.reopens_at.is_not(None))
        .order_by(Incident.id)
    )
    now = clock.now()
    return [one for one in found if _is_due(session, one, now)]


def tend_mitigated(session: WriteSession, actor: Actor) -> int:
    """Close what is settled, reopen what fires on past its time. Returns how many. Called by the clock."""
    due = to_tend(session)
    for incident in due:
        firing = lock_with_alerts(session, incident)
        if not is_watched(incident):
            continue
        if not firing:
            change = incident.mitigated_by_change
            close_incident(
                session, actor, incident, change_id=change,
                why=f"CHG-{change} was executed, and what fired is resolved",
            )  # fmt: skip
        else:
            _reopen(session, actor, incident, firing)
    return len(due)


def _is_due(session: ReadSession, incident: Incident, now: datetime) -> bool:
    """Muted alerts neither let it close nor reopen it: the silence ends, and then they do."""
    firing = session.scalars(firing_under(incident.id)).all()
    if not firing:
        return True
    muting = muting_now(session)
    is_over = incident.reopens_at is not None and now >= incident.reopens_at
    return is_over and any(muting.of(one) is None for one in firing)


def _reopen(session: WriteSession, actor: Actor, incident: Incident, firing: Sequence[Alert]) -> None:
    """It did not help: one level graver, unless a person set the level, so that it has to be acknowledged again and
    everybody is told."""
    graver = incident.severity - 1 if incident.severity_by is None and incident.severity > 1 else None
    told = f"CHG-{incident.mitigated_by_change} did not end it: {_count(len(firing))} on"
    relapse(session, actor, incident, f"{told}; SEV-{graver} now" if graver else told)
    if graver:
        change_severity(session, actor, incident, graver)


def _count(number: int) -> str:
    return f"{number} alert fires" if number == 1 else f"{number} alerts fire"
