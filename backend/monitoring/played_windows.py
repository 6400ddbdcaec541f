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
from backend.monitoring.history import History
from backend.monitoring.performance import Metric, Performance
from backend.monitoring.performance.measurement import performance_of, read_rows
from backend.monitoring.profiles import Profile
from backend.monitoring.references import Measured
from backend.monitoring.segments import measure_parts, profile_parts, segment_grids
from backend.monitoring.volume import UsualRows, count_usual
from backend.monitoring.windows import Window, place_moments, windows_between

MOST_WINDOWS = 20_000
NEARLY_OVER = 0.1
"""A window whose rows reach this near to its ends, or lack no more than this of the usual ones, counts as whole."""
BY_CHANCE = 0.05
"""So likely it may be that the rows which a window seems to lack simply did not come."""
PLACE = "__warrant_place"
AT_ONCE = 8
"""Columns that are counted together: more of them take more memory and no less time."""
Places = npt.NDArray[np.int64]


@dataclass
class PlayedWindow:
    """A window while its past is played.

    over    False where the data end before it does: it is not judged
    cut     why its rows are not all that there were, so that their number says nothing; None where they are
    rules   what the declared rules say of it, known when it ends
    """

    name: str
    start: datetime
    end: datetime
    rows: pd.DataFrame
    over: bool = True
    cut: str | None = None
    labelled_at: datetime | None = None
    first: Mapping[str, Metric] = field(default_factory=dict)
    now: Mapping[str, Metric] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    rules: list[Point] = field(default_factory=list)
    heard: int = 0

    @property
    def complete(self) -> bool:
        """Whether its rows are all that there were."""
        return self.over and self.cut is None

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


def look_at_ends(
    spec: ModelSpec, history: History, windows: Sequence[PlayedWindow], notes: list[str]
) -> None:
    """Mark the first and the last window where the live rows begin or end well within them.

    By the times of predictions. Labels that came after the end of the last window tell that it is over, and so it is
    judged; not that all of its rows are there. Runs of N rows are whole.
    """
    live = history.live
    if not windows:
        notes.append(f"the {len(live):,} live rows do not fill one window: nothing was judged")
        return
    if spec.window_rows is not None:
        return
    first, last = windows[0], windows[-1]
    began, ended = moment_of(first.rows["ts"].iloc[0]), moment_of(last.rows["ts"].iloc[-1])
    places: npt.NDArray[np.float64] | None = None
    if max(_part(first, began), 1 - _part(last, ended)) > NEARLY_OVER:
        places = _usual_places(spec, history.reference, windows)
    if _is_cut(first, _part(first, began), places):
        first.cut = "the live rows begin within the window, so their number says nothing"
        notes.append(f"the live rows begin within the window {first.name}: its volume was not judged")
    if _is_cut(last, 1 - _part(last, ended), None if places is None else 1 - places):
        known = moment_of(live["label_ts"].max()) if live["label_ts"].notna().any() else last.start
        if known < last.end - NEARLY_OVER * (last.end - last.start):
            last.over = False
            notes.append(f"the window {last.name} is not over where the data end: it was not judged")
        else:
            last.cut = "the live rows end within the window, so their number says nothing"
            notes.append(f"the live rows end within the window {last.name}: its volume was not judged")


def _part(window: PlayedWindow, moment: datetime) -> float:
    """How much of the window is over at this moment, 0 to 1."""
    return (moment - window.start) / (window.end - window.start)


def _is_cut(window: PlayedWindow, empty: float, places: npt.NDArray[np.float64] | None) -> bool:
    """Whether rows should have been in the part of a window that has none.

    empty    that part, from the edge in question, 0 to 1
    places   (n,) how far from that edge rows of whole windows lie, 0 to 1; empty: rows come evenly
    """
    if empty <= NEARLY_OVER or places is None:
        return False
    lacking = float((places < empty).mean()) if places.size else empty
    return lacking > NEARLY_OVER and (1 - lacking) ** len(window.rows) < BY_CHANCE


def _usual_places(
    spec: ModelSpec, reference: pd.DataFrame, windows: Sequence[PlayedWindow]
) -> npt.NDArray[np.float64]:
    """(n,) where in their windows rows lie, 0 to 1: of all windows but the first and the last of either split."""
    moments = pd.DatetimeIndex(reference["ts"])
    first, last = moment_of(moments.min()), moment_of(moments.max()) + timedelta(microseconds=1)
    own = windows_between(first, last, spec.window, spec.timezone)
    found = [_places_in(moments, own)]
    if len(windows) > 2:
        inner = windows[1:-1]
        times = pd.DatetimeIndex(np.concatenate([one.rows["ts"].to_numpy("datetime64[us]") for one in inner]))
        found.append(_places_in(times.tz_localize(UTC), [one.span for one in windows]))
    return np.concatenate(found)


def _places_in(moments: pd.DatetimeIndex, windows: Sequence[Window]) -> npt.NDArray[np.float64]:
    """(n,) where in their windows moments lie, 0 to 1, without those of the first and the last."""
    number = place_moments(moments, windows)
    inner = (number > 0) & (number < len(windows) - 1)
    starts, ends = (
        pd.DatetimeIndex([getattr(window, edge) for window in windows]).as_unit("us").asi8
        for edge in ("start", "end")
    )
    at, number = moments.as_unit("us").asi8[inner], number[inner]
    return np.asarray((at - starts[number]) / (ends[number] - starts[number]), dtype=np.float64)


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
