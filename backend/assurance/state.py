"""What is the case of a model at a moment, as plain data with digests: what serves, alerts, figures, findings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.assurance.reading import assurance_evidence
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model, Version

NEWEST_WINDOWS = 3


def state_of_model(session: ReadSession, model: str, environment: str) -> dict[str, Any]:
    """JSON: the model's record, every open deployment with the digests of its version, what fires, the newest windows
    with their alarms, what is unsettled."""
    row = session.get_one(Model, model)
    deployments = session.scalars(
        select(Deployment)
        .where(
            Deployment.model == model, Deployment.environment == environment, Deployment.ended_at.is_(None)
        )
        .order_by(Deployment.id)
    ).all()
    alerts = session.scalars(
        select(Alert).where(Alert.model == model, Alert.state == "firing").order_by(Alert.id)
    ).all()
    windows = session.scalars(
        select(WindowState)
        .where(WindowState.model == model, WindowState.environment == environment, WindowState.rows > 0)
        .order_by(WindowState.start.desc(), WindowState.id.desc())
        .limit(NEWEST_WINDOWS)
    ).all()
    champion = next((one for one in deployments if one.role == "champion"), None)
    return {
        "at": clock.to_iso(clock.now()), "model": model, "environment": environment, "tier": row.tier,
        "enforcement": row.enforcement, "spec": row.spec,
        "deployments": [_deployment(session, one) for one in deployments],
        "alerts": [
            {"id": one.id, "title": one.title, "level": one.level, "kind": one.kind, "since": clock.to_iso(one.since),
             "version": one.version}
            for one in alerts
        ],
        "windows": [_window(session, one) for one in windows],
        "assurance": assurance_evidence(session, model, champion.version) if champion else None,
    }  # fmt: skip


def _deployment(session: ReadSession, one: Deployment) -> dict[str, Any]:
    version = session.get(Version, (one.model, one.version))
    digests = (
        {
            "artefact": version.artefact_digest,
            "reference": version.reference_digest,
            "card": version.card_digest,
        }
        if version is not None
        else None
    )
    return {
        "id": one.id, "version": one.version, "role": one.role, "share": one.share, "segments": one.segments,
        "cutoff": one.cutoff, "state": one.state,
        "started_at": clock.to_iso(one.started_at), "change": one.change_id, "digests": digests,
    }  # fmt: skip


def _window(session: ReadSession, window: WindowState) -> dict[str, Any]:
    points = session.scalars(
        select(MetricPoint)
        .where(MetricPoint.window_id == window.id, MetricPoint.segment == "")
        .where((MetricPoint.kind == "realised") | (MetricPoint.verdict == "alarm"))
        .order_by(MetricPoint.id)
        .limit(200)
    ).all()
    return {
        "start": clock.to_iso(window.start), "end": clock.to_iso(window.end), "size": window.size,
        "version": window.version, "rows": window.rows, "labels_known": window.labels_known,
        "points": [
            {"kind": one.kind, "column": one.column, "statistic": one.statistic, "value": one.value,
             "threshold": one.threshold, "verdict": one.verdict}
            for one in points
        ],
    }  # fmt: skip
