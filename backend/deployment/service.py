"""The deployment record. Production is what it says; these functions are the only ones that write it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment, GatewayReport
from backend.errors import Conflict
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.service import get_model

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
) -> Deployment:
    """End the open champion and open another, in this transaction.

    `expected_open` is the id of the deployment the caller believes to be open; if another one is open the
    record was moved by somebody else and `Conflict` is raised before anything is written. Doing it again for
    the same change and version returns the deployment that exists.
    """
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
        again = now_open.change_id == change_id and now_open.version == version
        if again:
            return now_open
    if expected_open is not None and (now_open is None or now_open.id != expected_open):
        serving = "nothing" if now_open is None else f"version {now_open.version} (deployment {now_open.id})"
        raise Conflict(
            f"deployment {expected_open} of {model} is no longer the one that serves; {serving} is"
        )
    if now_open is not None:
        now_open.ended_at = at
        now_open.state = replaced_state
        session.flush()
        record(
            session, actor,
            Action.DEPLOYMENT_ENDED if replaced_state == "ended" else Action.DEPLOYMENT_FAILED,
            object_kind="deployment", object_id=now_open.id,
            payload={"model": model, "version": now_open.version, "environment": environment}, why=reason,
        )  # fmt: skip
    opened = Deployment(
        model=model, environment=environment, version=version, state="starting", started_at=at,
        change_id=change_id, reason=reason,
    )  # fmt: skip
    session.add(opened)
    session.flush()
    record(
        session, actor, Action.DEPLOYMENT_STARTED, object_kind="deployment", object_id=opened.id,
        payload={"model": model, "version": version, "environment": environment, "change": change_id}, why=reason,
    )  # fmt: skip
    return opened


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


def history(session: ReadSession, viewer: Actor, model: str, environment: str) -> list[Deployment]:
    """Every deployment of a model in an environment, newest first."""
    viewer.require(Permission.READ_MODELS)
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(Deployment)
            .where(Deployment.model == model, Deployment.environment == environment)
            .order_by(Deployment.started_at.desc(), Deployment.id.desc())
        )
    )


def served_at(
    session: ReadSession, viewer: Actor, model: str, environment: str, at: datetime
) -> Deployment | None:
    """The champion that the record named at a moment, or None before the first."""
    viewer.require(Permission.READ_MODELS)
    return session.scalars(
        select(Deployment)
        .where(
            Deployment.model == model,
            Deployment.environment == environment,
            Deployment.role == "champion",
            Deployment.started_at <= at,
            func.coalesce(Deployment.ended_at, at + timedelta(days=1)) > at,
        )
        .order_by(Deployment.started_at.desc())
    ).first()
