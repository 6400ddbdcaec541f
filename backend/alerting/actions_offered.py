"""What one can do about an incident: each says whether it will help, whether this person may, and where it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.database.session import ReadSession
from backend.deployment.service import history
from backend.errors import WarrantError
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.urgent import way_back_view
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring.health import ModelHealth

RECENT_DAYS: Final = 14
_INPUTS: Final = ("quality", "drift", "volume")


@dataclass(frozen=True)
class Offer:
    """act: acknowledge | silence | way_back | rollback | retrain; helps: in a sentence; refused: why not, empty: may.

    digest, object_id: of what was seen, for the form; details: what it would do.
    """

    act: str
    label: str
    helps: str
    refused: str = ""
    object_id: str = ""
    digest: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def offers(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    alerts: Sequence[Alert],
    health: ModelHealth | None,
) -> list[Offer]:
    """In the order in which one would think of them. None for an incident that is over."""
    if incident.state != "open":
        return []
    found = [_acknowledge(viewer, incident), _silence(viewer, incident, alerts)]
    if incident.model:
        found += _returns(session, viewer, incident, alerts, health)
    return found


def _acknowledge(viewer: Actor, incident: Incident) -> Offer:
    refused = "" if viewer.may(Permission.ACKNOWLEDGE) else "your role cannot acknowledge incidents"
    if incident.acknowledged_by is not None:
        refused = "somebody is on it already"
    return Offer("acknowledge", "Acknowledge", "tells the others that you are on it; mends nothing", refused,
                 str(incident.id))  # fmt: skip


def _silence(viewer: Actor, incident: Incident, alerts: Sequence[Alert]) -> Offer:
    refused = "" if viewer.may(Permission.ACKNOWLEDGE) else "your role cannot silence alerts"
    if not any(one.state == "firing" for one in alerts):
        refused = "nothing fires"
    return Offer("silence", "Silence until worse, for 8 hours at most",
                 "nobody is told again while it stays as it is; mends nothing", refused, str(incident.id))  # fmt: skip


def _returns(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    alerts: Sequence[Alert],
    health: ModelHealth | None,
) -> list[Offer]:
    """The return that was agreed, where there is one, and asking for one."""
    helps, found = will_return_help(session, viewer, incident, alerts, health), []
    mine = [
        one for one in alerts if one.model == incident.model
    ]  # others came with incidents that were merged in
    first = next((one.id for one in mine if one.state == "firing"), mine[0].id if mine else None)
    way = way_back_view(session, viewer, incident.model, incident.environment)
    may = "" if viewer.may(Permission.REQUEST_CHANGE) else "your role cannot ask for changes"
    if way is not None:
        found.append(
            Offer("way_back", f"Go back to v{way['to_version']}, as agreed with CHG-{way['change_id']}", helps,
                  may or "; ".join(way["differs"]), str(way["id"]), way["digest"], {"alert": first})
        )  # fmt: skip
    asked = Asked("rollback", incident.environment, incident.model, alert_id=first)
    try:
        preview = preview_change(session, viewer, asked)
    except WarrantError as error:
        return [*found, Offer("rollback", "Ask to return to an earlier version", helps, error.message)]
    refused = may or ("" if preview.rule.allowed else preview.rule.because)
    needs = sum(preview.rule.roles.values())
    found.append(
        Offer(
            "rollback", f"Ask for: {preview.proposal.summary}", helps, refused, str(incident.id), preview.digest,
            {"alert": first, "to_version": preview.proposal.to_version, "approvals": needs,
             "cautions": list(preview.proposal.evidence.get("cautions") or ())},
        )
    )  # fmt: skip
    return found


def will_return_help(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    alerts: Sequence[Alert],
    health: ModelHealth | None,
) -> str:
    """Whether another version can mend it, in a sentence: inputs break for every version, a version for itself."""
    firing = [one for one in alerts if one.state == "firing"]
    served = {one.version for one in history(session, viewer, incident.model, incident.environment)}
    if health is None or health.version is None or not served - {health.version}:
        return "no earlier version has served, so there is nothing to return to"
    if firing and all(one.kind in _INPUTS for one in firing):
        return "will hardly help: the inputs changed, and every version reads them"
    if health.serving_since is not None:
        days = (clock.now() - health.serving_since).days
        if days < RECENT_DAYS:
            return f"likely to help: v{health.version} has served only {max(days, 0)} days"
        return f"may not help: v{health.version} has served {days} days, so look first at what changed"
    return "not known whether it helps"
