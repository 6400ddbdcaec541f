"""What served at a moment, and why: deployments, the changes that opened and closed them, their approvals, incidents.

Everything is derived from the rows of the deployment record: a row says one thing for the whole of its period, which
includes its start and not its end. Between two consecutive starts or ends nothing changes, so a timeline is a row of
such stretches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import and_, exists, or_, select

from backend import clock
from backend.alerting.tables import Incident
from backend.database.session import ReadSession
from backend.deployment.segments import in_words
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.registry.service import get_model


@dataclass(frozen=True)
class Served:
    """One deployment in a stretch. `share` of the requests: 0 for a shadow and for what was only kept loaded.

    `confirmed`: whether a gateway had reported it when the stretch began. Until one does, the record says what was to
    serve, and the gateways may have answered with what served before.
    """

    deployment: Deployment
    share: float
    confirmed: bool


@dataclass(frozen=True)
class Stretch:
    """From `start` (included) to `end` (excluded; None: still) exactly this was on the record, the champion first."""

    start: datetime
    end: datetime | None
    served: tuple[Served, ...]


@dataclass(frozen=True)
class Timeline:
    """Stretches without a gap from the first deployment on, oldest first, with what explains them."""

    model: str
    environment: str
    stretches: tuple[Stretch, ...]
    changes: dict[int, Change]  # of the deployments, and those of the period that moved nothing
    incidents: tuple[Incident, ...]
    names: dict[str, str]  # of the people in it
    emptying: frozenset[int] = frozenset()  # of these changes, those that left nothing serving

    def at(self, moment: datetime) -> Stretch | None:
        """The stretch that a moment lies in; None before the first deployment: nothing is known of that time."""
        for stretch in self.stretches:
            if stretch.start <= moment and (stretch.end is None or moment < stretch.end):
                return stretch
        return None

    def emptied_by(self, stretch: Stretch) -> Change | None:
        """The change after which nothing served in this stretch: a retirement, or a first version that failed. None
        where something served, and where no change is on record."""
        if stretch.served:
            return None
        ended = [self.changes[one] for one in self.emptying if _over(self.changes[one]) >= stretch.start]
        return min(ended, key=_over, default=None)


def _over(change: Change) -> datetime:
    """When it was over, which is just after what it ended."""
    assert change.finished_at is not None  # noqa: S101 - it left nothing serving
    return change.finished_at


def stretches_of(deployments: Iterable[Deployment]) -> list[Stretch]:
    """Cut the periods of deployments at every moment at which one began, was confirmed or ended. Pure.

    Of a deployment that ended when it began, nothing is left: it never had any time.
    """
    rows = sorted(deployments, key=lambda one: (one.role != "champion", one.id))
    moments = {row.started_at for row in rows} | {row.ended_at for row in rows if row.ended_at is not None}
    moments |= {row.serving_at for row in rows if row.serving_at is not None and _names(row, row.serving_at)}
    cuts: list[datetime | None] = [*sorted(moments), None]
    return [
        Stretch(start, end, _served([row for row in rows if _names(row, start)], start))
        for start, end in pairwise(cuts)
        if start is not None
    ]


def _names(row: Deployment, at: datetime) -> bool:
    return row.started_at <= at and (row.ended_at is None or at < row.ended_at)


def _served(rows: list[Deployment], at: datetime) -> tuple[Served, ...]:
    canaries = sum(row.share for row in rows if row.role == "canary" and not row.segments)
    share = {"champion": max(0.0, 1.0 - canaries), "shadow": 0.0}
    return tuple(
        Served(row, share.get(row.role, row.share), row.serving_at is not None and row.serving_at <= at)
        for row in rows
    )


def read_timeline(
    session: ReadSession, viewer: Actor, model: str, environment: str, *,
    since: datetime | None = None, until: datetime | None = None,
) -> Timeline:  # fmt: skip
    """Every stretch that touches the period from `since` to `until` (excluded), whole, and why each was so."""
    see(session, viewer)
    get_model(session, viewer, model)
    if since is not None and until is not None and since >= until:
        raise BadInput("the period ends before it begins: `from` has to be before `until`", field="from")
    rows = session.scalars(
        select(Deployment)
        .where(Deployment.model == model, Deployment.environment == environment)
        .order_by(Deployment.id)
    ).all()
    stretches = tuple(
        one
        for one in stretches_of(rows)
        if (until is None or one.start < until) and (since is None or one.end is None or one.end > since)
    )
    incidents = _during(
        select(Incident).where(Incident.model == model, Incident.environment == environment),
        Incident.opened_at, Incident.closed_at, since, until,
    )  # fmt: skip
    emptying = _emptying(session, model, environment, stretches)
    changes = _changes(session, model, environment, stretches, emptying, since, until)
    people = {change.requested_by for change in changes.values()} | {
        one
        for change in changes.values()
        for decision in change.decisions
        for one in (decision.person_id, decision.on_behalf_of)
        if one is not None
    }
    return Timeline(
        model, environment, stretches, changes,
        tuple(session.scalars(incidents.order_by(Incident.opened_at, Incident.id))),
        names_of(session, people), emptying,
    )  # fmt: skip


def environments_of(session: ReadSession, viewer: Actor, model: str) -> list[str]:
    """Where versions of a model serve or served, by name."""
    see(session, viewer)
    get_model(session, viewer, model)
    found = select(Deployment.environment).where(Deployment.model == model).distinct()
    return sorted(session.scalars(found))


def _during(query: Any, begun: Any, over: Any, since: datetime | None, until: datetime | None) -> Any:
    if until is not None:
        query = query.where(begun < until)
    if since is not None:
        query = query.where(or_(over.is_(None), over > since))
    return query


def _emptying(
    session: ReadSession, model: str, environment: str, stretches: tuple[Stretch, ...]
) -> frozenset[int]:
    """Changes that left nothing serving, since the first of these stretches began: retirements, and first versions
    that failed after the record had moved."""
    if all(stretch.served for stretch in stretches):
        return frozenset()
    moved = exists().where(Deployment.change_id == Change.id, Deployment.role == "champion")
    found = select(Change.id).where(
        Change.model == model, Change.environment == environment,
        Change.finished_at >= min(stretch.start for stretch in stretches),
        or_(
            and_(Change.kind == "retire", Change.state == "executed"),
            and_(Change.state == "failed", Change.from_version.is_(None), moved),
        ),
    )  # fmt: skip
    return frozenset(session.scalars(found))


def _changes(
    session: ReadSession, model: str, environment: str, stretches: tuple[Stretch, ...],
    emptying: frozenset[int], since: datetime | None, until: datetime | None,
) -> dict[int, Change]:  # fmt: skip
    """Changes that opened a deployment of these stretches or left one empty, and those that people worked on
    meanwhile."""
    of_deployments = {
        served.deployment.change_id
        for stretch in stretches
        for served in stretch.served
        if served.deployment.change_id is not None
    }
    meanwhile = _during(
        select(Change.id).where(Change.model == model, Change.environment == environment),
        Change.requested_at, Change.finished_at, since, until,
    )  # fmt: skip
    wanted = of_deployments | emptying | set(session.scalars(meanwhile))
    found = session.scalars(select(Change).where(Change.id.in_(wanted)).order_by(Change.id))
    return {change.id: change for change in found}


def timeline_view(timeline: Timeline) -> dict[str, Any]:
    """A timeline as the API gives it."""
    return {
        "model": timeline.model, "environment": timeline.environment,
        "stretches": [_stretch(one, timeline.emptied_by(one)) for one in timeline.stretches],
        "changes": [_change(change, timeline.names) for change in timeline.changes.values()],
        "incidents": [_incident(one) for one in timeline.incidents],
    }  # fmt: skip


def moment_view(timeline: Timeline, at: datetime) -> dict[str, Any]:
    """What served at a moment and why. `served` is empty where nothing did, and null where nothing is known yet."""
    stretch = timeline.at(at)
    served = stretch.served if stretch is not None else ()
    ids = {one.deployment.change_id for one in served}
    emptied = timeline.emptied_by(stretch) if stretch is not None else None
    return {
        "model": timeline.model, "environment": timeline.environment, "at": at,
        "known": stretch is not None,
        "since": stretch.start if stretch is not None else None,
        "until": stretch.end if stretch is not None else None,
        "served": [_row(one) for one in served] if stretch is not None else None,
        "why": why(timeline, at), "emptied_by": emptied.id if emptied is not None else None,
        "changes": [
            _change(one, timeline.names)
            for one in timeline.changes.values()
            if one.id in ids or one is emptied
        ],
        "incidents": [
            _incident(one)
            for one in timeline.incidents
            if one.opened_at <= at and (one.closed_at is None or at < one.closed_at)
        ],
    }  # fmt: skip


def why(timeline: Timeline, at: datetime) -> list[str]:
    """A sentence for each thing that was on the record at a moment, the champion first."""
    stretch = timeline.at(at)
    if stretch is None:
        return [
            f"before the first deployment of {timeline.model} in {timeline.environment}: nothing is known"
        ]
    if not stretch.served:
        return [f"nothing served {timeline.model} in {timeline.environment}{_since(timeline, stretch)}"]
    parted = any(one.deployment.segments for one in stretch.served)
    return [_sentence(timeline, one, parted=parted) for one in stretch.served]


def _since(timeline: Timeline, stretch: Stretch) -> str:
    """What left nothing serving, behind a colon; empty where no change is on record."""
    change = timeline.emptied_by(stretch)
    if change is None:
        return ""
    if change.state == "failed":
        return f": CHG-{change.id} failed ({change.outcome})"
    asked = timeline.names.get(change.requested_by, change.requested_by)
    return f": CHG-{change.id} retired it, asked for by {asked}, {allowed_by(change, timeline.names)} ({change.reason})"


def _sentence(timeline: Timeline, served: Served, *, parted: bool) -> str:
    """`parted`: beside it something answers the rows of some segments."""
    row = served.deployment
    of = f"the requests of {in_words(row.segments)}" if row.segments else "the requests"
    role = {
        "champion": "answered the rest of the requests" if parted else f"answered {served.share:.0%} of the requests",
        "canary": f"answered {served.share:.0%} of {of} as a canary" if served.share else "was kept loaded",
        "shadow": "scored in the shadow of the champion",
    }[row.role]  # fmt: skip
    if not served.confirmed:
        role = (
            f"was to have {role}; no gateway had reported it yet"
            if row.role != "canary" or served.share
            else role
        )
    change = timeline.changes.get(row.change_id) if row.change_id is not None else None
    if change is None:
        return f"version {row.version} {role}: {row.reason or 'no change brought it, and no reason was written down'}"
    asked = timeline.names.get(change.requested_by, change.requested_by)
    allowed = allowed_by(change, timeline.names)
    return f"version {row.version} {role}: CHG-{change.id}, asked for by {asked}, {allowed} ({row.reason})"


def allowed_by(change: Change, names: Mapping[str, str]) -> str:
    """`approved by Ada, Ben for Cleo`, or why nobody did; the latter where Cleo had lent Ben her right to decide."""
    approvals = [_by(one, names) for one in _approvals(change)]
    return (
        "without approval, by breaking the glass" if change.break_glass
        else "as agreed with an earlier promotion" if change.way_back_id is not None
        else f"approved by {', '.join(approvals)}" if approvals
        else "with no approval on record"
    )  # fmt: skip


def _by(approval: Decision, names: Mapping[str, str]) -> str:
    lender = approval.on_behalf_of
    given_for = f" for {names.get(lender, lender)}" if lender is not None else ""
    return f"{names.get(approval.person_id, approval.person_id)}{given_for}"


def _approvals(change: Change) -> list[Decision]:
    return [one for one in change.counted if one.verdict == "approve"]


def _stretch(stretch: Stretch, emptied: Change | None) -> dict[str, Any]:
    return {
        "start": stretch.start, "end": stretch.end, "served": [_row(one) for one in stretch.served],
        "emptied_by": emptied.id if emptied is not None else None,
    }  # fmt: skip


def _row(served: Served) -> dict[str, Any]:
    row = served.deployment
    return {
        "deployment": row.id, "version": row.version, "role": row.role, "share": served.share, "cutoff": row.cutoff,
        "segments": row.segments or {}, "confirmed": served.confirmed,
        "state": row.state, "change_id": row.change_id, "reason": row.reason,
    }  # fmt: skip


def _change(change: Change, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": change.id, "ref": f"CHG-{change.id}", "kind": change.kind, "summary": change.summary,
        "state": change.state, "reason": change.reason, "outcome": change.outcome, "digest": change.digest,
        "rule": change.policy.get("name"), "break_glass": change.break_glass,
        "requested_by": names.get(change.requested_by, change.requested_by), "requested_at": change.requested_at,
        "finished_at": change.finished_at, "allowed": allowed_by(change, names),
        "approvals": [
            {"by": names.get(one.person_id, one.person_id),
             "on_behalf_of": names.get(one.on_behalf_of, one.on_behalf_of) if one.on_behalf_of else None,
             "role": one.role, "at": one.decided_at, "comment": one.comment, "digest": one.seen_digest}
            for one in _approvals(change)
        ],
    }  # fmt: skip


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id, "title": incident.title, "opened_at": incident.opened_at, "closed_at": incident.closed_at,
    }  # fmt: skip


def read_moment(
    session: ReadSession, viewer: Actor, model: str, environment: str, at: datetime
) -> dict[str, Any]:
    """What served at a moment, and why, as the API gives it. The future is nobody's: `BadInput`."""
    if at > clock.now():
        raise BadInput("at: that moment has not come yet", field="at")
    timeline = read_timeline(
        session, viewer, model, environment, since=at, until=at + timedelta(microseconds=1)
    )
    return moment_view(timeline, at)
