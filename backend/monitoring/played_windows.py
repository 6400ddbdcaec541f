"""The windows of a file of live rows, and what is counted of them, before their past is played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import Estimate
from backend.monitoring.evaluate import Point
from backend.monitoring.performance import Metric, Performance
from backend.monitoring.performance.measurement import performance_of, read_rows
from backend.monitoring.profiles import Profile
from backend.monitoring.references import Measured
from backend.monitoring.segments import measure_parts, profile_parts, segment_grids
from backend.monitoring.volume import UsualRows, count_usual
from backend.monitoring.windows import Window, place_moments, windows_between

MOST_WINDOWS = 20_000
NEARLY_OVER = 0.1
"""A window whose data end this near to its end counts as over: the next row may simply not have come."""
PLACE = "__warrant_place"
AT_ONCE = 8
"""Columns that are counted together: more of them take more memory and no less time."""
Places = npt.NDArray[np.int64]


@dataclass
class PlayedWindow:
    """A window while its past is played. `rules`: what the declared rules say of it, known when it ends."""

    name: str
    start: datetime
    end: datetime
    rows: pd.DataFrame
    complete: bool = True
    labelled_at: datetime | None = None
    first: Mapping[str, Metric] = field(default_factory=dict)
    now: Mapping[str, Metric] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    rules: list[Point] = field(default_factory=list)
    heard: int = 0

    @property
    def span(self) -> Window:
        return Window(self.start, self.end)

    @cached_property
    def label_times(self) -> npt.NDArray[np.datetime64]:
        """(rows,) when each label became known, UTC; NaT where there is none."""
        return np.asarray(self.rows["label_ts"].to_numpy(dtype="datetime64[us]"))

    def measure(self, spec: ModelSpec, known: npt.NDArray[np.int64]) -> Performance:
        """Performance by the labels of these rows."""
        if self._read is None:
            self._read = read_rows(spec, self.rows)
        return performance_of(self._read, known, will_not_come=0, rows=len(self.rows))

    def measure_segments(
        self, spec: ModelSpec, reference: Measured, known: npt.NDArray[np.int64]
    ) -> dict[str, Performance]:
        """Performance of each segment by the labels of these rows."""
        by = segment_grids(spec, reference.grids)
        names = ["score", "prediction", "label", *(name for _, name in spec.classes), *by]
        rows = self.rows[list(dict.fromkeys(name for name in names if name in self.rows))]
        there = np.zeros(len(rows), dtype=np.bool_)
        there[known] = True
        rows = rows.assign(label=rows["label"].where(there))
        return measure_parts(spec, pa.Table.from_pandas(rows, preserve_index=False), by)

    _read: Any = None


def cut_windows(spec: ModelSpec, live: pd.DataFrame) -> tuple[list[PlayedWindow], npt.NDArray[np.int64]]:
    """The windows, and (n,) the number of each row's window; -1 for rows after the last whole run of N rows."""
    moments = pd.DatetimeIndex(live["ts"])
    if spec.window_rows is not None:
        many = spec.window_rows
        place = np.arange(len(live)) // many
        place = np.where(place < len(live) // many, place, -1)
        windows = []
        for first in range(0, len(live) - many + 1, many):
            rows = live.iloc[first : first + many]
            start, last = moment_of(moments[first]), moment_of(moments[first + many - 1])
            name = f"rows {first + 1}-{first + many}"
            windows.append(PlayedWindow(name, start, last + timedelta(microseconds=1), rows))
        return windows, place
    if _count(spec.window, moments[-1] - moments[0]) > MOST_WINDOWS:
        raise BadInput(
            f"{moments[0]:%Y-%m-%d} to {moments[-1]:%Y-%m-%d} is more than {MOST_WINDOWS:,} windows of {spec.window}; "
            "choose longer ones or cut the data"
        )
    clock = windows_between(
        moment_of(moments[0]), moment_of(moments[-1]) + timedelta(microseconds=1), spec.window, spec.timezone
    )
    place = place_moments(moments, clock)
    edges = np.searchsorted(place, np.arange(len(clock) + 1))
    return [
        PlayedWindow(to_iso(window.start), window.start, window.end, live.iloc[edges[i] : edges[i + 1]])
        for i, window in enumerate(clock)
    ], place


def _count(size: str, span: Any) -> float:
    return float(span / pd.Timedelta(hours={"1h": 1, "1d": 24, "1w": 168, "1mo": 730}[size]))


def look_at_ends(live: pd.DataFrame, windows: Sequence[PlayedWindow], notes: list[str]) -> None:
    """Mark the last window as not over where the data end well before it does."""
    if not windows:
        notes.append(f"the {len(live):,} live rows do not fill one window: nothing was judged")
        return
    last = windows[-1]
    known = moment_of(live["label_ts"].max()) if live["label_ts"].notna().any() else last.start
    newest = max(known, moment_of(live["ts"].max()))
    if newest < last.end - NEARLY_OVER * (last.end - last.start):
        last.complete = False
        notes.append(f"the window {last.name} is not over where the data end: it was not judged")


def count_usual_rows(spec: ModelSpec, reference: pd.DataFrame) -> UsualRows | None:
    """What windows of the clock usually hold; None for runs of N rows, which hold N."""
    if spec.window_rows is not None:
        return None
    moments = reference["ts"].sort_values()
    first, last = moment_of(moments.iloc[0]), moment_of(moments.iloc[-1]) + timedelta(microseconds=1)
    windows = windows_between(first, last, spec.window, spec.timezone)
    return count_usual(moments, windows, spec.window, spec.timezone)


def count_parts(
    spec: ModelSpec, reference: Measured, live: pd.DataFrame, place: Places
) -> dict[int, dict[str, dict[str, Profile]]]:
    """{number of the window: {segment, "" for all rows: {column: Profile}}} of every window with rows.

    place   (n,) the number of each row's window, negative for none
    """
    names = [name for name in reference.grids if name in live]
    by = segment_grids(spec, reference.grids)
    found: dict[int, dict[str, dict[str, Profile]]] = {}
    for some in (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)):
        columns = list(dict.fromkeys([*some, *(name for name in by if name in live)]))
        table = pa.Table.from_pandas(live[columns], preserve_index=False)
        grids = {name: reference.grids[name] for name in some}
        for number, parts in profile_parts(
            table.append_column(PLACE, pa.array(place)), grids, PLACE, by
        ).items():
            for segment, profiles in parts.items():
                found.setdefault(number, {}).setdefault(segment, {}).update(profiles)
    return found


def moment_of(value: Any) -> datetime:
    stamp = pd.Timestamp(value)
    stamp = stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)
    found: datetime = stamp.to_pydatetime()
    return found


def to_iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
