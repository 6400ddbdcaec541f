"""What an approval is bound to, and what the deciders see: collected when the change is asked for, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.assurance.reading import assurance_evidence
from backend.cards.binding import bound_card, card_text
from backend.cards.versions import card_diff
from backend.database.session import ReadSession
from backend.deployment.segments import Segments
from backend.deployment.tables import Deployment
from backend.errors import NotFound
from backend.explain.differences import compare_explanations
from backend.governance.digests import digest_of
from backend.governance.live_facts import decisions_a_day, drift_facts
from backend.governance.precedents import compared_before, trials_of
from backend.governance.provenance import provenance_of
from backend.monitoring.columns import parse_spec
from backend.monitoring.performance import PRIMARY
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.artefacts import artefact_digest, file_digest, own_folder
from backend.registry.tables import Model, Version
from backend.slo.evidence import objective_facts


def bind_version(
    session: ReadSession,
    model: Model,
    version: Version,
    open_deployment: Deployment | None,
    *,
    kind: str,
    environment: str,
    cutoff: float,
    segments: Segments,
) -> dict[str, str]:
    """The digests an approval of this version covers, taken from what lies on disk and in the record *now*.

    Raises `NotFound` where a file that must be bound is gone.
    """
    return {
        **bind_return(session, version),
        "target": digest_of(
            {
                "kind": kind,
                "model": model.name,
                "environment": environment,
                "tier": model.tier,
                "replaces_deployment": open_deployment.id if open_deployment else None,
                "replaces_version": open_deployment.version if open_deployment else None,
                "replaces_cutoff": repr(open_deployment.cutoff) if open_deployment else None,
                "version": version.version,
                "cutoff": repr(cutoff),
                "spec": model.spec,
                "segments": segments,
            }
        ),
    }


RETURN_PARTS = ("artefact", "reference", "card", "metrics")


def bind_return(session: ReadSession, version: Version) -> dict[str, str]:
    """What a return to this version is agreed on: its files and recorded metrics as they are now."""
    return {
        "artefact": _artefact(version),
        "reference": _file(Path(version.reference_path), "reference data"),
        "card": _card(session, version),
        "metrics": digest_of({"metrics": version.metrics, "training": version.training}),
    }


def _file(path: Path, what: str) -> str:
    if not path.is_file():
        raise NotFound(f"the {what} at {path} is gone; without it nothing can be bound to it")
    return file_digest(path)


def _card(session: ReadSession, version: Version) -> str:
    bound = bound_card(session, version)
    if bound is None:
        raise NotFound(f"the card at {version.card_path} is gone; without it nothing can be bound to it")
    return bound


def _artefact(version: Version) -> str:
    """The digest of the artefact's files where they are at hand, else the one in the record.

    The gateway recomputes it in any case before it loads a byte.
    """
    folder = own_folder(version.uri)
    return version.artefact_digest if folder is None else artefact_digest(folder)


def evidence(
    session: ReadSession, model: Model, before: Version | None, after: Version, *,
    environment: str, alert: Alert | None, why_target: str, before_cutoff: float | None, after_cutoff: float,
) -> dict[str, Any]:  # fmt: skip
    """Everything a decider is shown, as plain data that can be rendered again when its sources are gone."""
    spec = parse_spec(model.spec)
    return {
        "schema": 2,
        "kind": "serving",
        "model": {"name": model.name, "title": model.title, "tier": model.tier},
        "environment": environment,
        "before": _facts(before, before_cutoff) if before else None,
        "after": _facts(after, after_cutoff),
        "why_target": why_target,
        "way_back": {
            "to_version": before.version,
            "cutoff": before_cutoff,
            "bound": bind_return(session, before),
        }
        if before is not None
        else None,
        "cautions": _cautions(session, model, environment, after),
        "assurance": assurance_evidence(session, model.name, after.version),
        "metrics": _compare_metrics(before, after),
        "parameters": _compare(before.parameters if before else {}, after.parameters),
        "data": _compare(before.training if before else {}, after.training),
        "card_diff": _card_diff(session, before, after),
        "explanations": compare_explanations(
            session, model.name, before.version if before else None, after.version
        ),
        "provenance": {
            "before": provenance_of(session, before),
            "after": provenance_of(session, after),
        },
        "trials": trials_of(session, model.name, environment, after.version),
        "compared_before": compared_before(
            session, model.name, environment, (before.version, before_cutoff), (after.version, after_cutoff)
        )
        if before is not None
        else None,
        "objectives": objective_facts(session, model.name, environment),
        "drift": drift_facts(session, spec, model.name, environment),
        "decisions_a_day": decisions_a_day(session, spec, model.name, environment),
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
        select(Alert.details).where(
            Alert.model == model.name,
            Alert.environment == environment,
            Alert.state == "firing",
            Alert.kind == "quality",
        )
    )
    columns = sorted({str(details.get("column")) for details in firing} & set(model.spec["features"]))
    if not columns:
        return []
    named = ", ".join(columns)
    return [
        f"the feed of {named} is broken now, and v{after.version} reads it too: changing the version will not mend that"
    ]


def _facts(version: Version, cutoff: float | None) -> dict[str, Any]:
    return {
        "version": version.version,
        "artefact_digest": version.artefact_digest,
        "trained_by": version.trained_by,
        "trained_at": clock.to_iso(version.trained_at),
        "cutoff": cutoff,
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


def _card_diff(session: ReadSession, before: Version | None, after: Version) -> list[str]:
    """Unified diff of the two cards that hold; empty when they are the same."""
    return card_diff(card_text(session, before) if before is not None else "", card_text(session, after))


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
            "window": clock.to_iso(window.start), "end": clock.to_iso(window.end), "kind": point.kind,
            "value": point.value, "low": point.low, "high": point.high, "verdict": point.verdict,
            "rows": point.rows, "completeness": point.completeness,
        }
        for point, window in points
    ]  # fmt: skip
