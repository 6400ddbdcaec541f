"""Which windows must be computed again because rows or labels of theirs have arrived."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Insert, and_, or_
from sqlalchemy.dialects.postgresql import insert as insert_on_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

from backend import clock
from backend.database.session import WriteSession
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.numbering import mark_numbered
from backend.monitoring.tables import WindowState
from backend.monitoring.windows import Window, window_of
from backend.registry.tables import Model

_ROWS_A_STATEMENT = 500
LIVE_WINDOWS_KEPT = timedelta(days=7)


def windows_of(times: Iterable[datetime], size: str, timezone: str) -> list[Window]:
    """The distinct windows that hold these UTC-aware times, in order. One calendar look-up a window, not a time."""
    moments = sorted(times)
    windows: list[Window] = []
    position = 0
    while position < len(moments):
        window = window_of(moments[position], size, timezone)
        windows.append(window)
        position = bisect_left(moments, window.end, position)
    return windows


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether a window has to be computed: rows or labels came, it ended, or its labels may speak by now.

    A window of N rows ends with its last row, not with time.
    """
    ended = (WindowState.state == "open") & (WindowState.end <= now) & (WindowState.number == 0)
    return or_(WindowState.dirty_at.is_not(None), ended, WindowState.look_at <= now)


def is_unjudged(spec: ModelSpec) -> ColumnElement[bool]:
    """Whether a computed window has points of drift and quality that do not follow the spec's rule of reference."""
    return and_(
        WindowState.size.in_(spec.sizes), WindowState.rows > 0, WindowState.version.is_not(None),
        WindowState.computed_at.is_not(None),
        or_(WindowState.judged_by.is_(None), WindowState.judged_by != spec.reference.text),
    )  # fmt: skip


def mark_dirty(
    session: WriteSession, *, model: str, environment: str, times: Iterable[datetime]
) -> list[Window]:
    """Mark exactly the windows that hold `times`, and make the rows of those that are new. Returns them.

    Doing it again only moves `dirty_at` on, which costs one more computation and loses nothing. Windows of N rows are
    cut when they are computed (`numbering`): those that lie in the hours of `times` are marked, none is returned.
    An unknown model has no windows: nothing is marked.
    """
    known = session.get(Model, model)
    if known is None:
        return []
    spec = parse_spec(known.spec)
    now = clock.now()
    if spec.window_rows is not None:
        mark_numbered(session, model=model, environment=environment, spec=spec, times=list(times), now=now)
        return []
    moments = set(times)
    windows: list[Window] = []
    for size in spec.sizes:
        since = now - LIVE_WINDOWS_KEPT if size == spec.live_window else None
        wanted = [moment for moment in moments if since is None or moment >= since]
        found = windows_of(wanted, size, spec.timezone)
        mark_windows(session, found, now, model=model, environment=environment, size=size)
        windows += found
    return windows


def mark_windows(
    session: WriteSession, windows: list[Window], now: datetime, *, model: str, environment: str, size: str
) -> None:
    """Mark these windows of one size, and make the rows of those that are new."""
    insert = insert_on_sqlite if session.get_bind().dialect.name == "sqlite" else insert_on_postgresql
    rows = [
        {"model": model, "environment": environment, "size": size, "number": 0, "start": window.start,
         "end": window.end, "rows": 0, "injected_rows": 0, "labels_known": 0, "labels_absent": 0,
         "state": "open", "dirty_at": now}
        for window in windows
    ]  # fmt: skip
    for first in range(0, len(rows), _ROWS_A_STATEMENT):
        statement = insert(WindowState).values(rows[first : first + _ROWS_A_STATEMENT])
        upsert: Insert = statement.on_conflict_do_update(
            index_elements=["model", "environment", "size", "start", "number"], set_={"dirty_at": now}
        )
        session.execute(upsert)
    session.flush()
