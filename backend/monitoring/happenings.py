"""What happened to a model before and during a window, from stored rows: the time axis beside "what changed"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Incident
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.monitoring.tables import MetricPoint, WindowState
from backend.monitoring.windows import Window

HappeningKind = Literal["deployment", "schema", "quality", "volume", "incident", "fault"]
BEFORE = timedelta(days=7)
WINDOWS_BEFORE = 3
MOST = 60


@dataclass(frozen=True)
class Happening:
    """`level` is a state of the console ("page", "attention", "injected") or "change"."""

    at: datetime
    kind: HappeningKind
    text: str
    level: str = "change"

    def document(self) -> dict[str, Any]:
        return {"at": clock.to_iso(self.at), "kind": self.kind, "text": self.text, "level": self.level}


def happenings(
    session: ReadSession, *, model: str, environment: str, size: str, window: Window
) -> list[Happening]:
    """Deployments, schema changes, data-quality and volume alarms, incidents and injected faults, in order of time.

    From seven days (at least three windows) before the window to its end; the latest 60.
    """
    since = window.start - max(BEFORE, WINDOWS_BEFORE * (window.end - window.start))
    found = [
        *_deployments(session, model, environment, since, window.end),
        *_schema_changes(session, model, environment, size, since, window),
        *_quality_alarms(session, model, environment, size, since, window.end),
        *_incidents(session, model, environment, since, window.end),
        *_faults(session, model, environment, size, since, window.end),
    ]
    return sorted(found, key=lambda one: one.at)[-MOST:]


def _deployments(
    session: ReadSession, model: str, environment: str, since: datetime, until: datetime
) -> list[Happening]:
    rows = session.scalars(
        select(Deployment).where(
            Deployment.model == model, Deployment.environment == environment,
            Deployment.started_at >= since, Deployment.started_at < until,
        )
    )  # fmt: skip
    return [
        Happening(
            row.serving_at or row.started_at, "deployment",
            f"version {row.version} as {row.role}{', failed' if row.state == 'failed' else ''}",
        )
        for row in rows
    ]  # fmt: skip


def _schema_changes(
    session: ReadSession, model: str, environment: str, size: str, since: datetime, window: Window
) -> list[Happening]:
    """Columns that had values in one window and none in the next, or the other way round."""
    rows = session.execute(
        select(MetricPoint.column, MetricPoint.window_start, MetricPoint.value)
        .where(
            MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
            MetricPoint.statistic == "missing_rate", MetricPoint.segment == "",
            MetricPoint.window_start >= since - (window.end - window.start), MetricPoint.window_start < window.end,
            MetricPoint.value.is_not(None),
        )
        .order_by(MetricPoint.column, MetricPoint.window_start)
    ).all()  # fmt: skip
    found: list[Happening] = []
    before: tuple[str, bool] | None = None
    for column, start, rate in rows:
        empty = rate is not None and rate >= 1.0
        if before is not None and before[0] == column and before[1] != empty and start >= since:
            word = "vanished: no row has a value" if empty else "appeared: it has values again"
            found.append(Happening(start, "schema", f"{column} {word}", "attention"))
        before = column, empty
    return found


def _quality_alarms(
    session: ReadSession, model: str, environment: str, size: str, since: datetime, until: datetime
) -> list[Happening]:
    """The first of each run of alarms of one column and statistic."""
    rows = session.scalars(
        select(MetricPoint)
        .where(
            MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
            MetricPoint.kind.in_(("quality", "volume")), MetricPoint.segment == "",
            MetricPoint.verdict.in_(("ok", "alarm")),
            MetricPoint.window_start >= since, MetricPoint.window_start < until,
        )
        .order_by(MetricPoint.kind, MetricPoint.column, MetricPoint.statistic, MetricPoint.window_start)
    )  # fmt: skip
    found: list[Happening] = []
    running: tuple[str, str, str] | None = None
    for row in rows:
        subject = row.kind, row.column, row.statistic
        if row.verdict == "alarm" and running != subject:
            level = "page" if row.level == "page" else "attention"
            text = row.text or f"{row.statistic}{f' of {row.column}' if row.column else ''} beyond its limit"
            found.append(
                Happening(row.window_start, "volume" if row.kind == "volume" else "quality", text, level)
            )
        running = subject if row.verdict == "alarm" else None
    return found


def _incidents(
    session: ReadSession, model: str, environment: str, since: datetime, until: datetime
) -> list[Happening]:
    rows = session.scalars(
        select(Incident).where(
            Incident.model == model, Incident.environment == environment,
            Incident.opened_at >= since, Incident.opened_at < until,
        )
    )  # fmt: skip
    return [Happening(row.opened_at, "incident", f"INC-{row.id}: {row.title}", "page") for row in rows]


def _faults(
    session: ReadSession, model: str, environment: str, size: str, since: datetime, until: datetime
) -> list[Happening]:
    rows = session.scalars(
        select(WindowState).where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.start >= since, WindowState.start < until, WindowState.injected_rows > 0,
        )
    )  # fmt: skip
    switches = session.scalars(
        select(AuditEntry.at)
        .where(
            AuditEntry.action == Action.FAULT_INJECTED.value, AuditEntry.object_id == model,
            AuditEntry.at >= clock.to_iso(since), AuditEntry.at < clock.to_iso(until),
        )
        .order_by(AuditEntry.at)
    ).all()  # fmt: skip

    def begun(row: WindowState) -> datetime:
        """When the fault was switched on, where that was in this window; else it held from the window's start."""
        moments = (clock.from_iso(at) for at in switches)
        return next((at for at in moments if row.start <= at < row.end), row.start)

    return [
        Happening(begun(row), "fault", f"{row.injected_rows:,} rows of an injected fault", "injected")
        for row in rows
    ]
