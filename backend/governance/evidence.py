"""What an approval is bound to, and what the deciders see: collected when the change is asked for, frozen."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from sqlalchemy import select

from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.errors import NotFound
from backend.governance.digests import digest_of
from backend.governance.policies import policy_for
from backend.monitoring.columns import parse_spec
from backend.monitoring.performance import PRIMARY
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.artefacts import artefact_digest, file_digest
from backend.registry.tables import Model, Version


def binding(
    model: Model, version: Version, open_deployment: Deployment | None, *, kind: str, environment: str
) -> dict[str, str]:
    """The digests an approval covers, taken from what lies on disk and in the record *now*.

    Raises `NotFound` where a file that must be bound is gone.
    """
    return {
        "artefact": _artefact(version),
        "reference": _file(Path(version.reference_path), "reference data"),
        "card": _file(Path(version.card_path), "card"),
        "metrics": digest_of({"metrics": version.metrics, "training": version.training}),
        "policy": digest_of(policy_for(kind, model.tier, environment)),
        "target": digest_of(
            {
                "kind": kind,
                "model": model.name,
                "environment": environment,
                "replaces_deployment": open_deployment.id if open_deployment else None,
                "replaces_version": open_deployment.version if open_deployment else None,
                "version": version.version,
                "cutoff": repr(version.cutoff),
                "spec": model.spec,
            }
        ),
    }


def _file(path: Path, what: str) -> str:
    if not path.is_file():
        raise NotFound(f"the {what} at {path} is gone; without it nothing can be bound to it")
    return file_digest(path)


def _artefact(version: Version) -> str:
    """The digest of the artefact's files where they are at hand, else the one in the record.

    The gateway recomputes it in any case before it loads a byte.
    """
    folder = Path(version.uri.removeprefix("file://"))
    return artefact_digest(folder) if folder.is_dir() else version.artefact_digest


def evidence(
    session: ReadSession, model: Model, before: Version | None, after: Version, *,
    environment: str, alert: Alert | None, why_target: str,
) -> dict[str, Any]:  # fmt: skip
    """Everything a decider is shown, as plain data that can be rendered again when its sources are gone."""
    return {
        "schema": 1,
        "model": {"name": model.name, "title": model.title, "tier": model.tier},
        "environment": environment,
        "before": _facts(before) if before else None,
        "after": _facts(after),
        "why_target": why_target,
        "cautions": _cautions(session, model, environment, after),
        "metrics": _compare_metrics(before, after),
        "parameters": _compare(before.parameters if before else {}, after.parameters),
        "data": _compare(before.training if before else {}, after.training),
        "card_diff": _card_diff(before, after),
        "live": {
            "before": _live(session, model, environment, before.version) if before else [],
            "after": _live(session, model, environment, after.version),
        },
        "alert": {"id": alert.id, "title": alert.title, "level": alert.level, "details": alert.details}
        if alert
        else None,
    }


def _cautions(session: ReadSession, model: Model, environment: str, after: Version) -> list[str]:
    """What speaks against expecting help: a feed that is broken for every version alike."""
    firing = session.scalars(
        select(Alert)
        .where(
            Alert.model == model.name,
            Alert.environment == environment,
            Alert.state == "firing",
            Alert.kind == "quality",
        )
        .order_by(Alert.since)
    )
    columns = sorted({str(alert.details.get("column")) for alert in firing} & set(model.spec["features"]))
    if not columns:
        return []
    named = ", ".join(columns)
    return [
        f"the feed of {named} is broken now, and v{after.version} reads it too: changing the version will not mend that"
    ]


def _facts(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "artefact_digest": version.artefact_digest,
        "trained_by": version.trained_by,
        "trained_at": version.trained_at.isoformat(),
        "cutoff": version.cutoff,
        "run_id": version.run_id,
    }


def _compare_metrics(before: Version | None, after: Version) -> list[dict[str, Any]]:
    """Held-out metrics side by side. Each version's are on its own held-out rows: said on the page."""
    names = sorted(set(after.metrics) | set(before.metrics if before else {}))
    return [
        {
            "metric": name,
            "before": before.metrics.get(name) if before else None,
            "after": after.metrics.get(name),
        }
        for name in names
    ]


def _compare(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "before": before.get(name),
            "after": after.get(name),
            "same": before.get(name) == after.get(name),
        }
        for name in sorted(set(before) | set(after))
    ]


def _card_diff(before: Version | None, after: Version) -> list[str]:
    """Unified diff of the two cards; empty when they are the same."""

    def lines(version: Version | None) -> list[str]:
        if version is None:
            return []
        try:
            return Path(version.card_path).read_text().splitlines()
        except OSError as error:
            raise NotFound(f"the card of version {version.version} is gone: {error}") from error

    return list(difflib.unified_diff(lines(before), lines(after), lineterm="", n=2))


def _live(session: ReadSession, model: Model, environment: str, version: int) -> list[dict[str, Any]]:
    """The last windows of a version in service: realised and estimated AUC, rows, label completeness."""
    spec = parse_spec(model.spec)
    points = session.execute(
        select(MetricPoint, WindowState)
        .join(WindowState, WindowState.id == MetricPoint.window_id)
        .where(
            WindowState.model == model.name, WindowState.environment == environment,
            WindowState.size == spec.window, WindowState.version == version,
            MetricPoint.segment == "",
            MetricPoint.statistic == PRIMARY[spec.task],
            MetricPoint.kind.in_(("realised", "estimated")),
        )
        .order_by(MetricPoint.window_start.desc())
        .limit(28)
    ).all()  # fmt: skip
    return [
        {
            "window": window.start.isoformat(), "end": window.end.isoformat(), "kind": point.kind,
            "value": point.value, "low": point.low, "high": point.high, "verdict": point.verdict,
            "rows": point.rows, "completeness": point.completeness,
        }
        for point, window in points
    ]  # fmt: skip
