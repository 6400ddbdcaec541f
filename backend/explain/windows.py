"""What versions leant on, window by window: which windows are due, their figures stored and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, or_, select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.explain.tables import AttributionWindow
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring.analysis_tables import WindowAnalysis
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import WindowState
from backend.registry.service import get_model

NEWEST: Final = 30
AT_ONCE: Final = 5


@dataclass(frozen=True)
class Leaning:
    """Mean |SHAP| of each column over explained rows of one segment ("" all), with its standard error."""

    segment: str
    rows: int
    columns: tuple[Mapping[str, Any], ...]


def windows_to_explain(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec
) -> list[WindowState]:
    """Finished windows, the newest first, of which nothing is explained, or that have got rows since.

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
    )
    known = {
        (one.start, one.window_rows)
        for one in session.scalars(
            select(AttributionWindow).where(
                AttributionWindow.model == model, AttributionWindow.environment == environment,
                AttributionWindow.segment == "",
            )
        )
    }  # fmt: skip
    return [window for window in newest if (window.start, window.rows) not in known][:AT_ONCE]


def alerted_segments(session: ReadSession, window: WindowState) -> list[str]:
    """The segments ("" all rows) of alerts that a monitor raised about this window."""
    found = session.scalars(
        select(Alert).where(
            Alert.model == window.model, Alert.environment == window.environment, Alert.source == "monitor",
            Alert.state != "pending", Alert.since < window.end,
            or_(Alert.resolved_at.is_(None), Alert.resolved_at > window.start),
        )
    )  # fmt: skip
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
    actor.require(Permission.COMPUTE_METRICS)
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
    session: ReadSession, viewer: Actor, model: str, environment: str, *, since: datetime | None = None
) -> list[AttributionWindow]:
    """Every stored window of a model with its segments, the oldest first."""
    get_model(session, viewer, model)
    query = select(AttributionWindow).where(
        AttributionWindow.model == model, AttributionWindow.environment == environment
    )
    if since is not None:
        query = query.where(AttributionWindow.start >= since)
    return list(session.scalars(query.order_by(AttributionWindow.start, AttributionWindow.segment)))
