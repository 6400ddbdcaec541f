"""Windows of N rows as they are stored: cut in the order of (ts, prediction_id), numbered from 1.

A window ends with its last row. The last one may have fewer than N rows: it is open and has no figures yet. A row
that comes late moves every row after it, so its window and those after it are cut and computed again; earlier ones
stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from backend.database.session import ReadSession, WriteSession
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import WindowState

TICK = timedelta(microseconds=1)
Moments = npt.NDArray[np.int64]
"""Microseconds since 1970, in order."""


@dataclass(frozen=True)
class Cut:
    """From where windows have to be cut again.

    number    the first window to cut
    since     no row before this moment is in it or after it; None: from the first row on
    """

    number: int
    since: datetime | None


@dataclass(frozen=True)
class KnownWindows:
    """What is stored of a model's numbered windows.

    rows         that they hold together
    end          of the last one; None where there is none
    first_dirty  the number of the first window that is due; None where none is
    """

    rows: int
    end: datetime | None
    first_dirty: int | None


def known_windows(session: ReadSession, *, model: str, environment: str, spec: ModelSpec) -> KnownWindows:
    mine = _mine(model, environment, spec)
    rows, dirty = session.execute(
        select(
            func.coalesce(func.sum(WindowState.rows), 0),
            func.min(case((WindowState.dirty_at.is_not(None), WindowState.number))),
        ).where(*mine)
    ).one()
    last = select(WindowState.end).where(*mine).order_by(WindowState.number.desc()).limit(1)
    return KnownWindows(int(rows), session.scalar(last), dirty)


def find_cut(
    session: ReadSession, known: KnownWindows, *, model: str, environment: str, spec: ModelSpec, rows: int,
    rows_before_end: int,
) -> Cut | None:  # fmt: skip
    """Where to cut again, given the rows that are stored now; None: every window still holds the same rows.

    rows             of the model in this environment
    rows_before_end  of these, before the end of the last window: as many as were counted when nothing came late
    """
    if known.first_dirty is None or rows == known.rows:
        return None
    appended = rows_before_end == known.rows and known.rows > 0
    number = known.rows // (spec.window_rows or 1) + 1 if appended else known.first_dirty
    before = session.scalar(
        select(WindowState.end)
        .where(*_mine(model, environment, spec), WindowState.number < number)
        .order_by(WindowState.number.desc())
        .limit(1)
    )
    # Rows that share the moment of the last row before may belong to either side: they are read too.
    return Cut(number, None if before is None else before - TICK)


def _mine(model: str, environment: str, spec: ModelSpec) -> tuple[ColumnElement[bool], ...]:
    return (
        WindowState.model == model,
        WindowState.environment == environment,
        WindowState.size == spec.window,
    )


def store_cut(
    session: WriteSession,
    *,
    model: str,
    environment: str,
    spec: ModelSpec,
    cut: Cut,
    moments: Moments,
    before: int,
    now: datetime,
) -> int:
    """Make and move the windows from `cut` on, and mark them as due; gives how many. Again: the same windows.

    moments  of the rows from `cut.since` on
    before   rows before those
    """
    size = spec.window_rows or 1
    numbers = (before + np.arange(moments.size)) // size + 1
    stored = {
        state.number: state
        for state in session.scalars(
            select(WindowState).where(*_mine(model, environment, spec), WindowState.number >= cut.number)
        )
    }
    found = [int(number) for number in np.unique(numbers) if number >= cut.number]
    for number in found:
        mine = moments[np.searchsorted(numbers, number) : np.searchsorted(numbers, number, side="right")]
        state = stored.get(number)
        if state is None:
            state = WindowState(model=model, environment=environment, size=spec.window, number=number,
                                state="open", rows=0, injected_rows=0, labels_known=0, labels_absent=0)  # fmt: skip
            session.add(state)
        state.start, state.end, state.dirty_at = _moment(mine[0]), _moment(mine[-1]) + TICK, now
    session.flush()
    return len(found)


def number_of_rows(rows: int, before: int, size: int) -> npt.NDArray[np.int64]:
    """(rows,) the window's number of each of these rows, in their order, when `before` rows lie before them."""
    return (before + np.arange(rows, dtype=np.int64)) // size + 1


def micros(moments: pa.ChunkedArray) -> Moments:
    """Times (n,) as microseconds since 1970."""
    found: Moments = moments.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return found


def mark_numbered(
    session: WriteSession,
    *,
    model: str,
    environment: str,
    spec: ModelSpec,
    times: list[datetime],
    now: datetime,
) -> None:
    """Mark the windows that rows of these hours lie in, and the one that is filling. The first one is made here."""
    if not times:
        return
    mine = _mine(model, environment, spec)
    last = session.scalar(select(func.max(WindowState.number)).where(*mine))
    if last is None:
        session.add(
            WindowState(model=model, environment=environment, size=spec.window, number=1, start=min(times),
                        end=max(times) + TICK, state="open", rows=0, injected_rows=0, labels_known=0,
                        labels_absent=0, dirty_at=now)
        )  # fmt: skip
        session.flush()
        return
    for hour in {time.replace(minute=0, second=0, microsecond=0) for time in times}:
        over = hour + timedelta(hours=1)
        # A row between two windows belongs to the later one; one after the last, to the one that is filling.
        following = (
            select(func.min(WindowState.number)).where(*mine, WindowState.end > hour).scalar_subquery()
        )
        filling = and_(WindowState.number == last, WindowState.end <= over)
        touched = and_(WindowState.end > hour, WindowState.start < over)
        session.execute(
            update(WindowState)
            .where(*mine, or_(touched, filling, WindowState.number == following))
            .values(dirty_at=now)
        )
    session.flush()


def _moment(micros: np.int64) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))
