"""What versions leant on, window by window: which windows are due, their figures stored and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, or_, select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.explain.tables import AttributionWindow
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.analysis_tables import WindowAnalysis
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import WindowState
from backend.registry.service import get_model

NEWEST: Final = 30
AT_ONCE: Final = 5
AGAIN: Final = timedelta(hours=6)
"""So long after a window could not be explained it is tried again: files may be there by then."""


@dataclass(frozen=True)
class Leaning:
    """Mean |SHAP| of each column over explained rows of one segment ("" all), with its standard error."""

    segment: str
    rows: int
    columns: tuple[Mapping[str, Any], ...]


def windows_to_explain(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec
) -> list[WindowState]:
    """Finished windows, the newest first, of which nothing is explained, or that have got rows, an alert or worst
    slices since; what could not be explained is tried again after a while.

    None where the spec asks for nothing to be explained by itself.
    """
    if spec.explanations is None or not (spec.explanations.sample or spec.explanations.always):
        return []
    mine = (
        WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
        WindowState.state != "open", WindowState.rows > 0, WindowState.version.is_not(None),
    )  # fmt: skip
    newest = session.scalars(
        select(WindowState).where(*mine).order_by(WindowState.start.desc()).limit(NEWEST)
    ).all()
    at = _explained_at(session, newest)
    told = _told_at(session, newest) if spec.explanations.always else {}
    return [
        window
        for window in newest
        if (window.start, window.rows) not in at
        or any(moment > at[window.start, window.rows] for moment in told.get(window.id, ()))
    ][:AT_ONCE]


def _explained_at(
    session: ReadSession, windows: Sequence[WindowState]
) -> dict[tuple[datetime, int], datetime]:
    """When each of the windows was explained, by its start and the rows that it had then."""
    if not windows:
        return {}
    of = AttributionWindow
    return {
        (one.start, one.window_rows): one.computed_at
        for one in session.execute(
            select(of.start, of.window_rows, of.computed_at).where(
                of.model == windows[0].model, of.environment == windows[0].environment, of.segment == "",
                of.start.in_([window.start for window in windows]),
                or_(of.reason == "", of.computed_at > clock.now() - AGAIN),
            )
        )
    }  # fmt: skip


def _told_at(session: ReadSession, windows: Sequence[WindowState]) -> dict[int, list[datetime]]:
    """When alerts and worst slices of each window came to be known: with late labels, long after its rows."""
    found: dict[int, list[datetime]] = {window.id: [] for window in windows}
    analysed = select(WindowAnalysis.window_id, WindowAnalysis.computed_at).where(
        WindowAnalysis.window_id.in_(found), WindowAnalysis.reason == ""
    )
    for window_id, moment in session.execute(analysed):
        found[window_id].append(moment)
    if windows:
        whole = windows[-1].start, windows[0].end
        for alert in _alerts(session, windows[0].model, windows[0].environment, *whole):
            for window in windows:
                if alert.since < window.end and (
                    alert.resolved_at is None or alert.resolved_at > window.start
                ):
                    found[window.id].append(alert.fired_at)
    return found


def _alerts(
    session: ReadSession, model: str, environment: str, start: datetime, end: datetime
) -> Sequence[Alert]:
    """Alerts that a monitor raised about this time."""
    return session.scalars(
        select(Alert).where(
            Alert.model == model, Alert.environment == environment, Alert.source == "monitor",
            Alert.state != "pending", Alert.since < end,
            or_(Alert.resolved_at.is_(None), Alert.resolved_at > start),
        )
    ).all()  # fmt: skip


def alerted_segments(session: ReadSession, window: WindowState) -> list[str]:
    """The segments ("" all rows) of alerts that a monitor raised about this window."""
    found = _alerts(session, window.model, window.environment, window.start, window.end)
    return sorted({str(one.details.get("segment") or "") for one in found})


def worst_slices(session: ReadSession, window: WindowState) -> list[list[dict[str, Any]]]:
    """The conditions of each slice that the newest analysis of this window found."""
    found = session.scalars(
        select(WindowAnalysis)
        .where(WindowAnalysis.window_id == window.id)
        .order_by(WindowAnalysis.id.desc())
        .limit(1)
    ).first()
    if found is None or found.reason:
        return []
    searches = (found.document.get(name) or {} for name in ("became_worse", "always_hard"))
    return [one["conditions"] for search in searches for one in search.get("slices", ())]


def store_leanings(
    session: WriteSession, actor: Actor, *, window: WindowState, leanings: Sequence[Leaning], reason: str = ""
) -> None:
    """Store what a window's explained rows say in place of what was said before; `reason` where they say nothing."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    at = {"model": window.model, "environment": window.environment, "start": window.start}
    session.execute(
        delete(AttributionWindow).where(*(getattr(AttributionWindow, k) == v for k, v in at.items()))
    )
    session.add_all(
        AttributionWindow(
            **at, segment=one.segment, end=window.end, version=int(window.version or 0), window_rows=window.rows,
            rows=one.rows, columns=[dict(column) for column in one.columns], reason=reason, computed_at=clock.now(),
        )
        for one in leanings or (Leaning("", 0, ()),)
    )  # fmt: skip
    session.flush()


def list_leanings(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, version: int | None = None,
    most: int | None = None, since: datetime | None = None, until: datetime | None = None,
) -> list[AttributionWindow]:  # fmt: skip
    """The newest `most` stored windows of a model (None: all), or of one version, with their segments, the oldest
    first; of those that begin in [since, until) where these are given."""
    get_model(session, viewer, model)
    mine = [AttributionWindow.model == model, AttributionWindow.environment == environment]
    if version is not None:
        mine.append(AttributionWindow.version == version)
    mine += [AttributionWindow.start >= since] if since is not None else []
    mine += [AttributionWindow.start < until] if until is not None else []
    query = select(AttributionWindow).where(*mine)
    if most is not None:
        newest = (
            select(AttributionWindow.start)
            .where(*mine, AttributionWindow.segment == "")
            .order_by(AttributionWindow.start.desc())
            .limit(most)
        )
        query = query.where(AttributionWindow.start.in_(session.scalars(newest).all()))
    return list(session.scalars(query.order_by(AttributionWindow.start, AttributionWindow.segment)))
