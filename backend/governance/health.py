"""Which earlier version served healthily: the one question a rollback starts with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import select

from backend.alerting.service import alerts_of_version
from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.deployment.service import champion, history
from backend.deployment.tables import Deployment
from backend.governance.agreed_returns import finished_at
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.performance import DEFINITIONS, PRIMARY
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model

CONSIDERED_WINDOWS = 14
MINIMUM_WINDOWS = 3  # judged ones; fewer say too little to call a version healthy
# A broken feed or missing traffic pages about whatever version serves then, and says nothing about it.
ABOUT_THE_VERSION = ("realised", "estimated", "slo")
SLO = "slo"  # its burn rates raise tickets, too: each is an objective that is being missed


@dataclass(frozen=True)
class ServedVersion:
    """How a version did while it served. `healthy` is None where nothing is known: unknown is never green."""

    version: int
    deployment_id: int
    cutoff: float  # with which it decided when it last served
    healthy: bool | None
    because: str


def earlier_versions(
    session: ReadSession, viewer: Actor, model: str, environment: str
) -> list[ServedVersion]:
    """Every version that served before the present champion, latest first, each once, with how it did.

    One that was to serve again since, or was tried beside another, and failed at that counts as failed: what made it
    fail may be so still.
    """
    now = champion(session, model, environment)
    seen: set[int] = {now.version} if now else set()
    failed: set[int] = set()
    found: list[ServedVersion] = []
    for deployment in history(session, viewer, model, environment):
        if deployment.version in seen:
            continue
        if deployment.state == "failed":
            failed.add(deployment.version)
        if deployment.role != "champion" or deployment.serving_at is None:
            continue
        seen.add(deployment.version)
        found.append(_how_it_did(session, deployment, failed=deployment.version in failed))
    return found


def last_healthy(versions: list[ServedVersion]) -> ServedVersion | None:
    """The latest version known to have served healthily, or None: then that is said, never guessed."""
    return next((version for version in versions if version.healthy), None)


def _how_it_did(session: ReadSession, deployment: Deployment, *, failed: bool) -> ServedVersion:
    version, environment, model = deployment.version, deployment.environment, deployment.model

    def verdict(healthy: bool | None, because: str) -> ServedVersion:
        return ServedVersion(version, deployment.id, deployment.cutoff, healthy, because)

    if failed:
        return verdict(False, "its last deployment failed")
    undone = _undone_with(session, deployment)
    if undone is not None:
        return verdict(False, f"people went back from it with CHG-{undone.id}: {undone.reason}")
    spec = parse_spec(session.get_one(Model, model).spec)
    considered = session.execute(
        select(WindowState.id, WindowState.start)
        .where(
            WindowState.model == model, WindowState.environment == environment,
            WindowState.size == spec.window,
            WindowState.version == version, WindowState.rows > 0, WindowState.computed_at.is_not(None),
        )
        .order_by(WindowState.start.desc())
        .limit(CONSIDERED_WINDOWS)
    ).all()  # fmt: skip
    spoken = _spoken_against(session, deployment, since=considered[-1].start if considered else None)
    if spoken is not None:
        said = "it was paged about" if spoken.level == "page" else "it missed an objective"
        return verdict(False, f"{said}: {spoken.title}")
    windows = [one.id for one in considered]
    if not windows:
        return verdict(None, "no window of its time has been computed")
    primary = PRIMARY[spec.task]
    points = session.execute(
        select(MetricPoint.verdict, MetricPoint.value)
        .where(
            MetricPoint.window_id.in_(windows), MetricPoint.kind == "realised",
            MetricPoint.segment == "", MetricPoint.statistic == primary, MetricPoint.verdict.in_(("ok", "alarm")),
        )
        .order_by(MetricPoint.window_start)
    ).all()  # fmt: skip
    if not points:
        last = f"{len(windows)} windows" if len(windows) != 1 else "window"
        return verdict(None, f"in its last {last} no realised performance could be judged")
    fell = sum(point.verdict == "alarm" for point in points)
    if fell:
        return verdict(False, f"realised performance fell in {fell} of its last {len(points)} judged windows")
    if len(points) < MINIMUM_WINDOWS:
        return verdict(
            None,
            f"too little is known: realised performance was judged in {len(points)} of its windows, and "
            f"{MINIMUM_WINDOWS} are needed",
        )
    values = [point.value for point in points]
    return verdict(
        True,
        f"no page, no objective missed, and realised performance held in all of its last {len(points)} judged windows "
        f"({DEFINITIONS[primary].title} {median(values):.2f} in the middle, {values[-1]:.2f} in the last)",
    )


def _undone_with(session: ReadSession, deployment: Deployment) -> Change | None:
    """The newest rollback from this version that was executed, by the log, since it last came into service."""
    rollbacks = session.scalars(
        select(Change)
        .where(
            Change.model == deployment.model, Change.environment == deployment.environment,
            Change.kind == "rollback", Change.state == "executed", Change.from_version == deployment.version,
        )
        .order_by(Change.id.desc())
    ).all()  # fmt: skip
    for one in rollbacks:
        at = finished_at(session, one)
        if at is not None and at > deployment.started_at:
            return one
    return None


def _spoken_against(session: ReadSession, deployment: Deployment, *, since: datetime | None) -> Alert | None:
    """The newest alert that speaks against the version and was not over before a moment (None: of any age): a page, or
    a ticket of an objective."""
    for alert in alerts_of_version(session, deployment.model, deployment.environment, deployment.version):
        is_over = since is not None and alert.resolved_at is not None and alert.resolved_at < since
        counts = alert.kind == SLO and alert.level != "info"
        counts = counts or (alert.level == "page" and _about(alert) in ABOUT_THE_VERSION)
        if counts and not is_over:
            return alert
    return None


def _about(alert: Alert) -> str:
    """Of which kind it is; of a monitor that people made, of which kind the figure is that it looks at."""
    return str(alert.details.get("kind", "")) if alert.kind == "monitor" else alert.kind
