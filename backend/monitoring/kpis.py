"""Figures of the user's own (conversion, revenue, complaints): rows by time and segment, summed up in windows.

A row is (ts, name, value, segment): one event, or one figure somebody else already added up. Rows are checked as a
whole, with the row that is wrong; nothing is guessed and nothing is dropped in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import BadInput
from backend.monitoring.performance._core import Codes, column_of, read_categories, read_numbers
from backend.monitoring.performance.intervals import Z
from backend.monitoring.windows import Window

AHEAD = timedelta(minutes=5)
SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us", tz="UTC")),
        ("name", pa.string()),
        ("value", pa.float64()),
        ("segment", pa.string()),
        ("id", pa.string()),
    ]
)
_NEEDED = ("ts", "name", "value")


@dataclass(frozen=True)
class KpiValue:
    """One figure in one window.

    segment     None: the rows of all segments together
    total, mean   None where the window has no rows: an absent figure is not zero
    low, high   95 % interval of the mean, from the spread of the rows; None for a single row
    """

    window: Window
    name: str
    segment: str | None
    rows: int
    total: float | None
    mean: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def read_kpis(rows: pa.Table | pd.DataFrame | Iterable[Mapping[str, Any]], *, now: datetime) -> pa.Table:
    """The rows checked, in time order, as `SCHEMA`.

    rows    columns ts, name, value; optional segment; optional id. Of rows with one id the last counts, so that a
            figure can be corrected; rows without id all count
    now     times more than 5 minutes after it are refused

    Raises `BadInput` that names the row and what is wrong with it.
    """
    table = rows if isinstance(rows, pa.Table | pd.DataFrame) else _listed(rows)
    for name in _NEEDED:
        if column_of(table, name) is None:
            raise BadInput(
                f"the rows have no column {name!r}; write ts, name, value and, if any, segment and id"
            )
    if not len(table):
        return SCHEMA.empty_table()
    found = pa.table(
        {
            "ts": _times(column_of(table, "ts"), now),
            "name": _texts(column_of(table, "name"), "name", needed=True),
            "value": _values(column_of(table, "value")),
            "segment": _texts(column_of(table, "segment"), "segment", size=len(table)),
            "id": _texts(column_of(table, "id"), "id", size=len(table)),
        },
        schema=SCHEMA,
    )
    return found.take(_last_of_each_id(found.column("id"))).sort_by("ts")


def aggregate_kpis(table: pa.Table, windows: Sequence[Window]) -> list[KpiValue]:
    """Every figure in every window: of all rows, then by segment. Windows are in order and do not overlap.

    A name or segment that occurs anywhere in the rows has a value in every window, without total where it has no rows.
    """
    if any(a.end > b.start for a, b in pairwise(windows)):
        raise ValueError("windows must be in order and must not overlap")
    if not windows or not table.num_rows:
        return []
    place = _window_of(table.column("ts"), windows)
    names, kinds = read_categories(table.column("name"))
    segments, parts = read_categories(table.column("segment"))
    values = table.column("value").to_numpy()
    found: list[KpiValue] = []
    for code, name in enumerate(kinds):
        mine = (names == code) & (place >= 0)
        here = sorted({int(s) for s in segments[names == code] if s >= 0}, key=lambda s: parts[s])
        for segment in (None, *here):
            chosen = mine if segment is None else mine & (segments == segment)
            sums = _sums(place[chosen], values[chosen], len(windows))
            label = None if segment is None else parts[segment]
            found += [
                _value(windows[k], name, label, *(part[k] for part in sums)) for k in range(len(windows))
            ]
    return found


def _value(
    window: Window, name: str, segment: str | None, rows: float, total: float, mean: float, variance: float
) -> KpiValue:
    if not rows:
        return KpiValue(window, name, segment, 0, None, None, None, None, "no rows in this window")
    if rows < 2:
        return KpiValue(window, name, segment, 1, total, mean, None, None, "one row has no interval")
    half = Z * math.sqrt(variance / rows)
    return KpiValue(window, name, segment, int(rows), float(total), float(mean), mean - half, mean + half)


def _sums(place: Codes, values: Any, windows: int) -> tuple[Any, Any, Any, Any]:
    """Rows, sum, mean and variance (ddof 1) by window."""
    rows = np.bincount(place, minlength=windows)
    total = np.bincount(place, weights=values, minlength=windows)
    mean = total / np.maximum(rows, 1)
    squares = np.bincount(place, weights=(values - mean[place]) ** 2, minlength=windows)
    return rows, total, mean, squares / np.maximum(rows - 1, 1)


def _window_of(ts: pa.ChunkedArray, windows: Sequence[Window]) -> Codes:
    """The place of each row's window, −1 where it is in none."""
    moments = pc.cast(ts, pa.int64()).to_numpy()
    starts, ends = (
        pa.array([getattr(w, side) for w in windows], SCHEMA.field("ts").type).cast(pa.int64()).to_numpy()
        for side in ("start", "end")
    )
    place = np.searchsorted(starts, moments, side="right") - 1
    return np.where((place >= 0) & (moments < ends[place]), place, -1)


def _times(values: Any, now: datetime) -> pa.Array:
    found = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(_moments(values.tolist()))
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
        found = pa.array(_moments(found.to_pylist()))
    if not pa.types.is_timestamp(found.type):
        raise BadInput(f"ts: {found[0].as_py()!r} is not a time such as 2026-03-01T12:00:00Z")
    if found.type.tz is None:
        raise BadInput(f"ts, row 0: {found[0].as_py()} has no time zone; write it as 2026-03-01T12:00:00Z")
    if found.null_count:
        raise BadInput(
            f"ts, row {int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))}: it is empty"
        )
    found = found.cast(SCHEMA.field("ts").type, safe=False)
    late = pc.greater(found, pa.scalar(now + AHEAD, found.type)).to_numpy(zero_copy_only=False)
    if late.any():
        row = int(np.argmax(late))
        raise BadInput(f"ts, row {row}: {found[row].as_py().isoformat()} lies in the future")
    return found


def _moments(values: list[Any]) -> list[Any]:
    """Times written as text, read; every one has a zone."""
    moments = []
    for row, value in enumerate(values):
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            zone = moment.tzinfo
        except (ValueError, AttributeError):
            raise BadInput(f"ts, row {row}: {value!r} is not a time such as 2026-03-01T12:00:00Z") from None
        if zone is None and moment is not pd.NaT:
            raise BadInput(f"ts, row {row}: {value!s} has no time zone; write it as 2026-03-01T12:00:00Z")
        moments.append(None if moment is pd.NaT else moment.astimezone(UTC))
    return moments


def _values(values: Any) -> pa.Array:
    numbers = read_numbers(values, "value")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise BadInput(
            f"value, row {bad[0]}: a figure must be a finite number; leave the row out if there is none"
        )
    return pa.array(numbers, pa.float64())


def _texts(values: Any | None, column: str, *, needed: bool = False, size: int = 0) -> pa.Array:
    if values is None:
        return pa.nulls(size, pa.string())
    codes, kinds = read_categories(values)
    if needed:
        blank = np.array([not kind for kind in kinds] + [True])
        bad = np.flatnonzero(blank[codes])
        if bad.size:
            raise BadInput(f"{column}, row {bad[0]}: it is empty")
    names = np.array([*kinds, None], dtype=object)
    return pa.array(names[codes], pa.string())


def _last_of_each_id(ids: pa.ChunkedArray) -> pa.Array:
    """The places of the rows without id and of the last row of each id."""
    codes, kinds = read_categories(ids)
    last = np.full(len(kinds), -1)
    last[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
    kept = (codes < 0) | (last[codes] == np.arange(codes.size)) if kinds else np.ones(codes.size, dtype=bool)
    return pa.array(np.flatnonzero(kept))


def _listed(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    listed = list(rows)
    for place, row in enumerate(listed):
        if not isinstance(row, Mapping):
            raise BadInput(f"row {place}: {row!r} is not a mapping of ts, name and value")
    return pd.DataFrame(listed, columns=None if listed else list(SCHEMA.names), dtype=object)
