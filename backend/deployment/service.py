"""The deployment record. Production is what it says; these functions are the only ones that write it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, func, or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.segments import Segments
from backend.deployment.tables import Deployment, GatewayReport
from backend.errors import Conflict
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.registry.service import get_model
from backend.registry.tables import Version

GATEWAY_DEAD_AFTER = timedelta(seconds=5)


def champion(session: ReadSession, model: str, environment: str) -> Deployment | None:
    """The open champion deployment: what production is now."""
    return session.scalars(
        select(Deployment).where(
            Deployment.model == model,
            Deployment.environment == environment,
            Deployment.role == "champion",
            Deployment.ended_at.is_(None),
        )
    ).one_or_none()


def began_as(session: ReadSession, deployment: Deployment) -> Deployment:
    """The champion whose service this one goes on with: itself, or what served before the changes that failed since.

    What came back when a change failed is the later champion of that change; it goes on with the one that the change
    had replaced.
    """
    while True:
        of_change = select(func.min(Deployment.id)).where(
            *_same_place(deployment), Deployment.change_id == deployment.change_id
        )
        first = session.scalar(of_change) if deployment.change_id is not None else None
        if first is None or first == deployment.id:
            return deployment
        replaced = session.scalars(
            select(Deployment)
            .where(*_same_place(deployment), Deployment.id < first)
            .order_by(Deployment.id.desc())
            .limit(1)
        ).one_or_none()
        same = (deployment.version, deployment.cutoff)
        if replaced is None or (replaced.version, replaced.cutoff) != same:
            return deployment
        deployment = replaced


def _same_place(deployment: Deployment) -> tuple[ColumnElement[bool], ...]:
    return (
        Deployment.model == deployment.model,
        Deployment.environment == deployment.environment,
        Deployment.role == "champion",
    )


def start_deployment(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    version: int,
    change_id: int | None,
    reason: str,
    at: datetime | None = None,
    expected_open: int | None = None,
    replaced_state: str = "ended",
    cutoff: float | None = None,
) -> Deployment:
    """End the open champion and open another, in this transaction.

    `expected_open` is the id of the deployment the caller believes to be open; if another one is open the
    record was moved by somebody else and `Conflict` is raised before anything is written. Doing it again for
    the same change, version and cut-off returns the deployment that exists. Without `cutoff` the version's own counts.
    """
    if cutoff is None:
        cutoff = session.get_one(Version, (model, version)).cutoff
    at = at or clock.now()
    now_open = session.scalars(
        select(Deployment)
        .where(
            Deployment.model == model,
            Deployment.environment == environment,
            Deployment.role == "champion",
            Deployment.ended_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if now_open is not None and change_id is not None:
        again = (now_open.change_id, now_open.version, now_open.cutoff) == (change_id, version, cutoff)
        if again:
            return now_open
    if expected_open is not None and (now_open is None or now_open.id != expected_open):
        serving = "nothing" if now_open is None else f"version {now_open.version} (deployment {now_open.id})"
        raise Conflict(
            f"deployment {expected_open} of {model} is no longer the one that serves; {serving} is"
        )
    if now_open is not None:
        _end(session, actor, now_open, at=at, state=replaced_state, reason=reason)
    return _open(
        session, actor,
        Deployment(
            model=model, environment=environment, version=version, cutoff=cutoff, state="starting", started_at=at,
            change_id=change_id, reason=reason,
        ),
    )  # fmt: skip


def open_beside(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    version: int,
    cutoff: float,
    role: Literal["canary", "shadow"],
    share: float,
    change_id: int,
    reason: str,
    segments: Segments | None = None,
) -> Deployment:
    """Serve a version beside the champion: a canary with its share (0: loaded, and answers nothing) or a shadow.

    `segments`: the share is one of their rows, and no other row is answered by it. Another share, segments or role of
    the same version under the same change ends the row before it, in this transaction. Doing it again returns the row
    that exists.
    """
    at, unchanged = clock.now(), None
    wanted = {column: list(values) for column, values in (segments or {}).items()}
    for one in _open_beside(session, change_id):
        if (one.version, one.cutoff) != (version, cutoff):
            continue
        if (one.role, one.share, one.segments) == (role, share, wanted):
            unchanged = one
        else:
            _end(session, actor, one, at=at, state="ended", reason=reason)
    if unchanged is not None:
        return unchanged
    return _open(
        session, actor,
        Deployment(
            model=model, environment=environment, version=version, role=role, share=share, segments=wanted,
            cutoff=cutoff, state="starting", started_at=at, change_id=change_id, reason=reason,
        ),
    )  # fmt: skip


def end_beside(
    session: WriteSession, actor: Actor, *, change_id: int, reason: str, failed: int | None = None
) -> list[Deployment]:
    """End whatever a change serves beside the champion; version `failed` ends as failed. Gives what was open."""
    ended, at = _open_beside(session, change_id), clock.now()
    for one in ended:
        state = "failed" if one.version == failed else "ended"
        _end(session, actor, one, at=at, state=state, reason=reason)
    return ended


def _open_beside(session: WriteSession, change_id: int) -> list[Deployment]:
    return list(
        session.scalars(
            select(Deployment)
            .where(
                Deployment.change_id == change_id,
                Deployment.role != "champion",
                Deployment.ended_at.is_(None),
            )
            .order_by(Deployment.id)
            .with_for_update()
        )
    )


def _open(session: WriteSession, actor: Actor, opened: Deployment) -> Deployment:
    session.add(opened)
    session.flush()
    payload = {"model": opened.model, "version": opened.version, "cutoff": opened.cutoff,
               "environment": opened.environment, "change": opened.change_id}  # fmt: skip
    if opened.role != "champion":
        payload |= {"role": opened.role, "share": opened.share, "segments": opened.segments}
    record(
        session, actor, Action.DEPLOYMENT_STARTED, object_kind="deployment", object_id=opened.id, payload=payload,
        why=opened.reason,
    )  # fmt: skip
    return opened


def _end(
    session: WriteSession, actor: Actor, ended: Deployment, *, at: datetime, state: str, reason: str
) -> None:
    ended.ended_at, ended.state = at, state
    session.flush()
    record(
        session, actor, Action.DEPLOYMENT_ENDED if state == "ended" else Action.DEPLOYMENT_FAILED,
        object_kind="deployment", object_id=ended.id,
        payload={"model": ended.model, "version": ended.version, "environment": ended.environment}, why=reason,
    )  # fmt: skip


def end_deployments(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    change_id: int,
    reason: str,
    only_of: int | None = None,
    state: Literal["ended", "failed"] = "ended",
) -> list[Deployment]:
    """End whatever serves a model in an environment, in every role; nothing takes its place.

    `only_of`: only what this change opened. Doing it again finds nothing open.
    """
    query = select(Deployment).where(
        Deployment.model == model, Deployment.environment == environment, Deployment.ended_at.is_(None)
    )
    if only_of is not None:
        query = query.where(Deployment.change_id == only_of)
    open_ones, at = list(session.scalars(query.with_for_update())), clock.now()
    for deployment in open_ones:
        deployment.ended_at, deployment.state = at, state
        session.flush()
        record(
            session, actor, Action.DEPLOYMENT_ENDED if state == "ended" else Action.DEPLOYMENT_FAILED,
            object_kind="deployment", object_id=deployment.id,
            payload={"model": model, "version": deployment.version, "environment": environment, "change": change_id},
            why=reason,
        )  # fmt: skip
    return open_ones


def mark_serving(
    session: WriteSession, actor: Actor, deployment: Deployment, *, at: datetime | None = None
) -> None:
    """Record that a gateway serves this deployment. Doing it again does nothing."""
    if deployment.state == "serving":
        return
    deployment.state = "serving"
    deployment.serving_at = at or clock.now()
    session.flush()
    record(
        session, actor, Action.DEPLOYMENT_SERVING, object_kind="deployment", object_id=deployment.id,
        payload={"model": deployment.model, "version": deployment.version},
    )  # fmt: skip


def live_reports(session: ReadSession, model: str, environment: str) -> list[GatewayReport]:
    """What the gateways that are alive say about this model, newest first."""
    since = clock.now() - GATEWAY_DEAD_AFTER
    return list(
        session.scalars(
            select(GatewayReport)
            .where(
                GatewayReport.model == model,
                GatewayReport.environment == environment,
                GatewayReport.reported_at >= since,
            )
            .order_by(GatewayReport.reported_at.desc())
        )
    )


def history(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[Deployment]:
    """Every deployment of a model in an environment, newest first."""
    see(session, viewer)
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(Deployment)
            .where(Deployment.model == model, Deployment.environment == environment)
            .order_by(Deployment.started_at.desc(), Deployment.id.desc())
            .limit(limit)
            .offset(offset)
        )
    )


@dataclass(frozen=True)
class Share:
    """What one deployment had of the requests at a moment. `share` is 0 for a shadow and for what was only loaded; of a
    canary that is kept to segments it is the share of their rows, and the champion has the rest."""

    deployment: Deployment
    share: float


def shares_at(session: ReadSession, viewer: Actor, model: str, environment: str, at: datetime) -> list[Share]:
    """Everything that the record named at a moment, the champion first, with what it had of the requests."""
    see(session, viewer)
    get_model(session, viewer, model)
    found = session.scalars(
        select(Deployment)
        .where(
            Deployment.model == model,
            Deployment.environment == environment,
            Deployment.started_at <= at,
            or_(Deployment.ended_at.is_(None), Deployment.ended_at > at),
        )
        .order_by(Deployment.id)
    ).all()
    beside = [
        Share(one, one.share if one.role == "canary" else 0.0) for one in found if one.role != "champion"
    ]
    left = max(0.0, 1.0 - sum(one.share for one in beside if not one.deployment.segments))
    return [*(Share(one, left) for one in found if one.role == "champion"), *beside]
