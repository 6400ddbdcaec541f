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
from sqlalchemy import select

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
    """What is stored of a model's numbered windows, in order."""

    numbers: tuple[int, ...]
    ends: tuple[datetime, ...]
    rows: int
    first_dirty: int | None

    @property
    def end(self) -> datetime | None:
        return self.ends[-1] if self.ends else None

    def cut_at(self, number: int) -> Cut:
        """Rows that share the moment of the last row before may belong to either side: they are read too."""
        before = [end for one, end in zip(self.numbers, self.ends, strict=True) if one < number]
        return Cut(number, before[-1] - TICK if before else None)


def known_windows(session: ReadSession, *, model: str, environment: str, spec: ModelSpec) -> KnownWindows:
    found = session.execute(
        select(WindowState.number, WindowState.end, WindowState.rows, WindowState.dirty_at)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window
        )
        .order_by(WindowState.number)
    ).all()  # fmt: skip
    return KnownWindows(
        tuple(row.number for row in found),
        tuple(row.end for row in found),
        sum(row.rows for row in found),
        min((row.number for row in found if row.dirty_at is not None), default=None),
    )


def find_cut(known: KnownWindows, *, rows: int, rows_before_end: int, size: int) -> Cut | None:
    """Where to cut again, given the rows that are stored now; None: every window still holds the same rows.

    rows             of the model in this environment
    rows_before_end  of these, before the end of the last window: as many as were counted when nothing came late
    """
    if known.first_dirty is None or rows == known.rows:
        return None
    if rows_before_end == known.rows and known.rows:
        return known.cut_at(known.rows // size + 1)
    return known.cut_at(known.first_dirty)


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
            select(WindowState).where(
                WindowState.model == model, WindowState.environment == environment,
                WindowState.size == spec.window, WindowState.number >= cut.number,
            )
        )
    }  # fmt: skip
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
    states = session.scalars(
        select(WindowState)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window
        )
        .order_by(WindowState.number)
    ).all()  # fmt: skip
    if not states:
        session.add(
            WindowState(model=model, environment=environment, size=spec.window, number=1, start=min(times),
                        end=max(times) + TICK, state="open", rows=0, injected_rows=0, labels_known=0,
                        labels_absent=0, dirty_at=now)
        )  # fmt: skip
    for hour in {time.replace(minute=0, second=0, microsecond=0) for time in times}:
        over = hour + timedelta(hours=1)
        after = [state for state in states if state.end > hour]
        touched = [state for state in after if state.start < over] or (after or list(states))[:1]
        if not after and states:
            touched = [states[-1]]
        elif states and states[-1].end <= over:
            touched = [*touched, states[-1]]
        for state in touched:
            state.dirty_at = now
    session.flush()


def _moment(micros: np.int64) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))
