"""Analyses of windows: which are due, what they rest on, asking for one, storing and reading them.

An analysis is asked for automatically where the realised primary metric alarmed, and by people for any window.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.analysis_tables import METHOD, WindowAnalysis
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.happenings import Happening, happenings
from backend.monitoring.performance import PRIMARY
from backend.monitoring.reading import completeness_of
from backend.monitoring.tables import MetricPoint, WindowState
from backend.monitoring.windows import Window
from backend.queue import ANALYSE_WINDOW, JobRun, request_job
from backend.registry.service import described_models, get_model
from backend.registry.tables import Version
from backend.settings import settings

if TYPE_CHECKING:
    from backend.monitoring.analysis import Analysis

NEWEST = 60
AT_ONCE = 3
PAUSE = timedelta(
    minutes=30
)  # labels that trickle in do not have a window analysed again at every one of them


@dataclass(frozen=True)
class WindowInputs:
    """A window to analyse, as it was found. `digest` names everything that its analysis follows from."""

    id: int
    size: str
    window: Window
    version: int | None
    rows: int
    completeness: float | None
    digest: str


@dataclass(frozen=True)
class FoundAnalysis:
    """The newest analysis of a window. `stale`: rows, labels or the reference have changed since it was made."""

    row: WindowAnalysis
    window: Window
    stale: bool


def inputs_of(session: ReadSession, windows: Sequence[WindowState], spec: ModelSpec) -> list[WindowInputs]:
    """What analyses of these windows would rest on now. One query, and one for each version."""
    # A label that was corrected leaves all counts as they were, and moves the metric.
    realised: dict[int, list[list[str | None]]] = {}
    for window_id, name, value in session.execute(
        select(MetricPoint.window_id, MetricPoint.statistic, MetricPoint.value)
        .where(
            MetricPoint.window_id.in_([window.id for window in windows]), MetricPoint.kind == "realised",
            MetricPoint.segment == "", MetricPoint.column == "",
        )
        .order_by(MetricPoint.statistic)
    ):  # fmt: skip
        realised.setdefault(window_id, []).append([name, None if value is None else f"{value:.9g}"])
    return [_inputs(session, window, spec, realised.get(window.id, [])) for window in windows]


def _inputs(
    session: ReadSession, window: WindowState, spec: ModelSpec, realised: list[list[str | None]]
) -> WindowInputs:
    version = session.get(Version, (window.model, window.version)) if window.version is not None else None
    facts = {
        "method": METHOD, "spec": repr(spec), "start": clock.to_iso(window.start), "end": clock.to_iso(window.end),
        "version": window.version, "reference": version.reference_digest if version else None, "rows": window.rows,
        "labels": [window.labels_known, window.labels_absent], "realised": realised,
    }  # fmt: skip
    digest = "sha256:" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    share = completeness_of(window.rows, window.labels_known, window.labels_absent)
    return WindowInputs(
        window.id, window.size, Window(window.start, window.end), window.version, window.rows, share, digest
    )


def windows_to_analyse(
    session: ReadSession,
    *,
    model: str,
    environment: str,
    spec: ModelSpec,
    now: datetime,
    limit: int = AT_ONCE,
) -> list[WindowInputs]:
    """Finished windows whose realised primary metric alarmed and that lack an analysis of their inputs, newest first.

    At most `limit`, of the newest 60 windows of each size. A window that has an analysis of other inputs waits half an
    hour after it.
    """
    alarmed = _alarmed(session, model, environment, spec)
    if not alarmed:
        return []
    known: dict[int, list[tuple[str, datetime]]] = {}
    for window_id, digest, computed_at in session.execute(
        select(WindowAnalysis.window_id, WindowAnalysis.digest, WindowAnalysis.computed_at).where(
            WindowAnalysis.window_id.in_([window.id for window in alarmed])
        )
    ):
        known.setdefault(window_id, []).append((digest, computed_at))
    due: list[WindowInputs] = []
    for inputs in inputs_of(session, alarmed, spec):
        made = known.get(inputs.id, [])
        if any(digest == inputs.digest or computed_at > now - PAUSE for digest, computed_at in made):
            continue
        due.append(inputs)
        if len(due) == limit:
            break
    return due


def _alarmed(session: ReadSession, model: str, environment: str, spec: ModelSpec) -> list[WindowState]:
    """Asked every few seconds of every model, so it goes by the indices of windows and of their points."""
    primary = {PRIMARY[spec.task], "roc_auc" if spec.task == "multiclass" else PRIMARY[spec.task]}
    newest: list[WindowState] = []
    for size in spec.sizes:
        newest += session.scalars(
            select(WindowState)
            .where(
                WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
                WindowState.state == "complete", WindowState.version.is_not(None),
            )
            .order_by(WindowState.start.desc())
            .limit(NEWEST)
        ).all()  # fmt: skip
    if not newest:
        return []
    alarms = set(
        session.scalars(
            select(MetricPoint.window_id).where(
                MetricPoint.window_id.in_([window.id for window in newest]), MetricPoint.segment == "",
                MetricPoint.kind == "realised", MetricPoint.column == "", MetricPoint.statistic.in_(primary),
                MetricPoint.verdict == "alarm",
            )
        )
    )  # fmt: skip
    found = [window for window in newest if window.id in alarms]
    return sorted(found, key=lambda window: (window.end, window.end - window.start), reverse=True)


def named_window(
    session: ReadSession, *, model: str, environment: str, size: str, start: datetime
) -> WindowState:
    """The window that starts then. Raises `NotFound` where there is none."""
    found = session.scalars(
        select(WindowState)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.start == start,
        )
        .order_by(WindowState.number)
        .limit(1)
    ).one_or_none()  # fmt: skip
    if found is None:
        raise NotFound(
            f"{model} has no window of {size} in {environment} that starts at {clock.to_iso(start)}; "
            "the points of a model name the windows there are"
        )
    return found


def request_analysis(
    session: WriteSession, actor: Actor, *, model: str, start: datetime, size: str | None = None
) -> JobRun:
    """Have one window of this environment analysed now, also when it was before.

    Raises `NotFound` where there is no such window and `BadInput` where it has no row.
    """
    allow(session, actor, Permission.COMPUTE_METRICS)
    size = size or str(get_model(session, actor, model).spec["window"])
    window = named_window(session, model=model, environment=settings().environment, size=size, start=start)
    if not window.rows:
        raise BadInput(f"the window of {model} that starts at {clock.to_iso(start)} has no rows to analyse")
    run = request_job(
        session, ANALYSE_WINDOW, subject=model,
        arguments={"environment": window.environment, "size": size, "start": clock.to_iso(start)},
        requested_by=actor.person_row,
    )  # fmt: skip
    record(
        session, actor, Action.ANALYSIS_REQUESTED, object_kind="model", object_id=model,
        payload={"run": run.id, "environment": window.environment, "size": size, "start": clock.to_iso(start)},
    )  # fmt: skip
    return run


def store_analysis(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    inputs: WindowInputs,
    found: Analysis,
) -> WindowAnalysis:
    """Keep what was found of these inputs; doing it again replaces it, so that a repaired cause can be looked at."""
    happened = happenings(
        session, model=model, environment=environment, size=inputs.size, window=inputs.window
    )
    row = session.scalars(
        select(WindowAnalysis).where(
            WindowAnalysis.window_id == inputs.id, WindowAnalysis.digest == inputs.digest
        )
    ).one_or_none()
    if row is None:
        row = WindowAnalysis(
            window_id=inputs.id, model=model, environment=environment, size=inputs.size,
            window_start=inputs.window.start, version=inputs.version, digest=inputs.digest,
        )  # fmt: skip
        session.add(row)
    row.metric, row.rows, row.completeness = found.metric, inputs.rows, inputs.completeness
    row.document, row.reason, row.computed_at = found.document, found.reason or "", clock.now()
    row.happened = [one.document() for one in happened]
    session.flush()
    record(
        session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=model,
        payload={
            "environment": environment, "windows": [f"{inputs.size} {clock.to_iso(inputs.window.start)}"],
            "analysed": True, "digest": inputs.digest, "says": found.document["says"],
        },
    )  # fmt: skip
    return row


def find_analysis(
    session: ReadSession, viewer: Actor, *, model: str, start: datetime, size: str | None = None,
    environment: str | None = None,
) -> FoundAnalysis | None:  # fmt: skip
    """The newest analysis of a window, or None before there is one.

    Raises `NotFound` for a model or window that is not there.
    """
    found = get_model(session, viewer, model)
    window = named_window(
        session, model=model, environment=environment or settings().environment,
        size=size or str(found.spec["window"]), start=start,
    )  # fmt: skip
    row = session.scalars(
        select(WindowAnalysis)
        .where(WindowAnalysis.window_id == window.id)
        .order_by(WindowAnalysis.computed_at.desc(), WindowAnalysis.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    stale = row.digest != inputs_of(session, [window], parse_spec(found.spec))[0].digest
    return FoundAnalysis(row, Window(window.start, window.end), stale)


def analysed_windows(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, size: str
) -> dict[datetime, str]:
    """{start: one sentence} of every window with an analysis, newest first."""
    get_model(session, viewer, model)
    rows = session.scalars(
        select(WindowAnalysis)
        .where(
            WindowAnalysis.model == model, WindowAnalysis.environment == environment, WindowAnalysis.size == size
        )
        .order_by(WindowAnalysis.window_start.desc(), WindowAnalysis.computed_at.desc())
    )  # fmt: skip
    found: dict[datetime, str] = {}
    for row in rows:
        found.setdefault(row.window_start, str(row.document["says"]))
    return found


def analyses_between(
    session: ReadSession, viewer: Actor, *, model: str, environment: str, size: str, since: datetime, until: datetime
) -> list[FoundAnalysis]:  # fmt: skip
    """The newest analysis of each window that starts in [since, until), in order of time."""
    get_model(session, viewer, model)
    rows = session.execute(
        select(WindowAnalysis, WindowState)
        .join(WindowState, WindowState.id == WindowAnalysis.window_id)
        .where(
            WindowAnalysis.model == model, WindowAnalysis.environment == environment, WindowAnalysis.size == size,
            WindowAnalysis.window_start >= since, WindowAnalysis.window_start < until,
        )
        .order_by(WindowAnalysis.window_start, WindowAnalysis.computed_at, WindowAnalysis.id)
    ).all()  # fmt: skip
    newest = {window.id: FoundAnalysis(row, Window(window.start, window.end), False) for row, window in rows}
    return list(newest.values())


def happened_before(
    session: ReadSession, viewer: Actor, *, model: str, environment: str, size: str, start: datetime
) -> tuple[Window, list[Happening]]:
    """The window that starts then, and what happened to the model before and during it.

    Raises `NotFound` for a model or window that is not there.
    """
    get_model(session, viewer, model)
    found = named_window(session, model=model, environment=environment, size=size, start=start)
    window = Window(found.start, found.end)
    return window, happenings(session, model=model, environment=environment, size=size, window=window)


def analysis_view(found: FoundAnalysis) -> dict[str, Any]:
    """What the API and pages show of an analysis."""
    row = found.row
    return {
        "model": row.model, "environment": row.environment, "size": row.size, "window_start": row.window_start,
        "window_end": found.window.end, "version": row.version,
        "metric": row.metric, "rows": row.rows, "completeness": row.completeness,
        "computed_at": row.computed_at, "digest": row.digest, "stale": found.stale, "reason": row.reason or None,
        **row.document, "happened": row.happened,
    }  # fmt: skip


def models_to_analyse(session: ReadSession, now: datetime) -> list[str]:
    """The models with a window that is due."""
    environment = settings().environment
    return [
        model.name
        for model in described_models(session)
        if windows_to_analyse(
            session, model=model.name, environment=environment, spec=parse_spec(model.spec), now=now, limit=1
        )
    ]
