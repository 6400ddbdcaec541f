"""A model's past, replayed: the windows, points and alarms Warrant would have produced, as it knew them at the time.

Two kinds of moment are played in order. A window *ends*: its columns are counted and compared, and performance is
estimated without labels. Its labels *speak* (`backend.monitoring.label_lag`): performance is realised. Labels that
come later correct what is known now; what was said then stays as it was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.budget import Evidence, window_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.effects import Effect, estimate_effects
from backend.monitoring.estimation import Estimate, estimate, fit_estimator
from backend.monitoring.evaluate import LEVELS, Level, Point, evaluate_window
from backend.monitoring.falls import judge_estimates, judge_realised, standard_error
from backend.monitoring.history import History
from backend.monitoring.label_lag import hear_labels, plan_looks
from backend.monitoring.paging import Stakes, alarms_of, settle_levels
from backend.monitoring.performance import PRIMARY, Metric, Performance
from backend.monitoring.performance.measurement import performance_of, read_rows
from backend.monitoring.profiles import Profile, profile_groups
from backend.monitoring.references import Measured, margin_of, measure_reference
from backend.monitoring.track_record import (
    Realised,
    StoredEstimate,
    TrackPoint,
    allowed_to_page,
    settle,
    track_record,
)
from backend.monitoring.volume import UsualRows, count_usual, judge_volume
from backend.monitoring.windows import Window, place_moments, windows_between

MOST_WINDOWS = 20_000
NEARLY_OVER = 0.1
"""A window whose data end this near to its end counts as over: the next row may simply not have come."""
PLACE = "__warrant_place"
AT_ONCE = 8
"""Columns that are counted together: more of them take more memory and no less time."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Alarm:
    """What fired: about which window, when it could be known, and why.

    episode   alarms of one kind and subject in neighbouring windows share a number; only the first notifies
    """

    window: str
    fired_at: datetime
    level: Level
    kind: str
    column: str | None
    statistic: str
    value: float | None
    threshold: float | None
    text: str
    episode: int = 0
    notifies: bool = True

    @property
    def side(self) -> Literal["above", "below"]:
        """Where of its threshold the value lies: "below" for a rate that fell, or for performance."""
        under = self.value is not None and self.threshold is not None and self.value < self.threshold
        return "below" if under else "above"


@dataclass(frozen=True)
class ReplayedWindow:
    """One window. `label_completeness` and `metrics` are as known at the end of the data.

    complete        False where the data end before the window does: it is shown and not judged
    first_metrics   the same as first seen, when enough labels had come at `labelled_at`
    """

    window: str
    start: datetime
    end: datetime
    rows: int
    watermark: datetime | None
    label_completeness: float | None
    complete: bool
    labelled_at: datetime | None
    metrics: Mapping[str, Metric]
    first_metrics: Mapping[str, Metric]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Backtest:
    windows: tuple[ReplayedWindow, ...]
    alarms: tuple[Alarm, ...]
    notes: tuple[str, ...]
    reference: Measured
    track: tuple[TrackPoint, ...] = ()


@dataclass
class _Window:
    """A window while its past is played."""

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
    heard: int = 0

    @cached_property
    def label_times(self) -> npt.NDArray[np.datetime64]:
        """(rows,) when each label became known, UTC; NaT where there is none."""
        return np.asarray(self.rows["label_ts"].to_numpy(dtype="datetime64[us]"))

    def measure(self, spec: ModelSpec, known: npt.NDArray[np.int64]) -> Performance:
        """Performance by the labels of these rows."""
        if self._read is None:
            self._read = read_rows(spec, self.rows)
        return performance_of(self._read, known, will_not_come=0, rows=len(self.rows))

    _read: Any = None


def replay(
    spec: ModelSpec, history: History, *, progress: Progress = lambda _fraction, _doing: None
) -> Backtest:
    """Play the live rows against the reference rows. Deterministic: the same rows give the same alarms."""
    progress(0.0, "measuring the reference")
    reference = measure_reference(history.reference, spec)
    primary = PRIMARY[spec.task]
    stakes = Stakes(reference.importances.if_lost, margin_of(spec, reference.performance))
    notes = list(history.notes)
    windows, place = _cut(spec, history.live)
    _look_at_ends(history.live, windows, notes)
    progress(0.3, f"counting {len(windows)} windows")
    profiles = _profiles(reference, history.live, place)
    progress(0.6, "estimating without labels")
    _estimate(spec, history, windows, notes)
    player = _Player(spec, reference, primary, stakes, profiles, _usual_rows(spec, history.reference))
    moments = [(window.end, 0, number) for number, window in enumerate(windows) if window.complete]
    for number, window in enumerate(windows):
        if not window.complete:
            continue
        moments += [(moment, 1, number) for moment in player.label_moments(window)]
    progress(0.8, "playing the past")
    for moment, labelled, number in sorted(moments):
        if labelled:
            player.labels_came(windows[number], number, moment)
        else:
            player.window_ended(windows[number], number)
    progress(1.0, f"{len(windows)} windows replayed")
    return Backtest(
        windows=tuple(_replayed(window) for window in windows),
        alarms=tuple(player.alarms),
        notes=tuple(notes),
        reference=reference,
        track=player.track,
    )


class _Player:
    """Plays moments in their order and keeps what fired."""

    def __init__(
        self,
        spec: ModelSpec,
        reference: Measured,
        primary: str,
        stakes: Stakes | None,
        profiles: Mapping[tuple[int, str], Profile],
        usual: UsualRows | None,
    ) -> None:
        self.spec, self.reference, self.primary, self.stakes = spec, reference, primary, stakes
        self.profiles, self.usual = profiles, usual
        self.baseline = reference.baseline(spec.window)
        self.alarms: list[Alarm] = []
        self.track: tuple[TrackPoint, ...] = ()
        self._told: dict[tuple[int, str, str | None], Level] = {}
        self._episodes: dict[tuple[str, str | None], tuple[int, int]] = {}
        self._numbers = 0

    def label_moments(self, window: _Window) -> list[datetime]:
        """When realised performance of this window is looked at."""
        came = np.sort(window.label_times[~np.isnat(window.label_times)])
        return plan_looks(
            self.reference.label_lag, start=window.start, end=window.end, rows=len(window.rows),
            labelled=self.reference.labelled, came=came,
        )  # fmt: skip

    def window_ended(self, window: _Window, number: int) -> None:
        spec, reference = self.spec, self.reference
        noise = reference.noise.get(spec.window) or None
        current = {
            name: self.profiles[number, name] for name in reference.grids if (number, name) in self.profiles
        }
        compared = evaluate_window(spec, reference.grids, reference.profiles, current, noise=noise)
        points = settle_levels(compared, self.stakes, self._effects(compared, current))
        record = track_record(self.track, self.primary, until=window.end)
        allowed, why = allowed_to_page(record, reference.trust, self.primary)
        points += judge_estimates(
            self.baseline, window.estimates, primary=self.primary, alpha=self._alpha(window, "estimated"),
            error=reference.trust["excess"], trusted=reference.trusted, min_rows=spec.min_rows,
            distrust=None if allowed else why, label_unit=spec.label_unit,
        )  # fmt: skip
        if self.usual is not None:
            points.append(judge_volume(Window(window.start, window.end), len(window.rows), self.usual))
        window.points += points
        self._raise(window, number, points, window.end)

    def labels_came(self, window: _Window, number: int, moment: datetime) -> None:
        rows = window.rows
        known = np.flatnonzero(window.label_times <= np.datetime64(moment.replace(tzinfo=None), "us"))
        if known.size == window.heard:
            return  # no label has come since the last look
        window.heard = known.size
        performance = window.measure(self.spec, known)
        hearing = hear_labels(
            self.reference.label_lag, end=window.end, rows=len(rows), known=performance.known, absent=0,
            labelled=self.reference.labelled, now=moment,
        )  # fmt: skip
        points = judge_realised(
            self.baseline, performance, primary=self.primary, alpha=self._alpha(window, "realised"),
            min_labels=self.spec.min_labels, may_page=hearing.may_page, label_unit=self.spec.label_unit,
        )  # fmt: skip
        window.now = performance.metrics
        if not hearing.speaks:
            return
        if window.labelled_at is None:
            window.labelled_at, window.first = moment, performance.metrics
            self._settle(window, performance, moment)
        window.points = [point for point in window.points if point.family != "realised"] + points
        self._raise(window, number, points, moment)

    def _effects(self, points: Sequence[Point], current: Mapping[str, Profile]) -> dict[str, Effect]:
        """What the drift of each column that drifted does to the primary metric."""
        drifted = {p.column for p in points if p.family == "drift" and p.verdict == "alarm"}
        losses = {name: found for name, found in self.reference.losses.items() if name in drifted}
        return {one.column: one for one in estimate_effects(losses, current, self.reference.importances)}

    def _settle(self, window: _Window, performance: Performance, moment: datetime) -> None:
        """Put the estimate that was made at the window's end beside what came."""
        about = Window(window.start, window.end)
        stored = [
            StoredEstimate(about, one.metric, one.value, one.low, one.high, window.end)
            for one in window.estimates
            if one.value is not None
        ]
        came = [
            Realised(about, name, metric.value, moment, standard_error(metric))
            for name, metric in performance.metrics.items()
            if metric.value is not None
        ]
        self.track = settle(self.track, stored, came)

    def _alpha(self, window: _Window, kind: Evidence) -> float:
        return window_alpha(self.spec, (window.end - window.start).total_seconds(), kind=kind)

    def _raise(self, window: _Window, number: int, points: Sequence[Point], moment: datetime) -> None:
        for point in alarms_of(points):
            level = point.level or "info"
            told = self._told.get((number, point.family, point.column))
            if told is not None and LEVELS.index(told) <= LEVELS.index(level):
                continue
            self._told[number, point.family, point.column] = level
            subject = (point.family, point.column)
            episode, last = self._episodes.get(subject, (0, -2))
            goes_on = number - last <= 1 and told is None
            if not goes_on and told is None:
                self._numbers += 1
                episode = self._numbers
            self._episodes[subject] = (episode, number)
            self.alarms.append(
                Alarm(window.name, moment, level, point.family, point.column, point.statistic, point.value,
                      point.threshold, point.text, episode, not goes_on)
            )  # fmt: skip


def _cut(spec: ModelSpec, live: pd.DataFrame) -> tuple[list[_Window], npt.NDArray[np.int64]]:
    """The windows, and (n,) the number of each row's window; -1 for rows after the last whole run of N rows."""
    moments = pd.DatetimeIndex(live["ts"])
    if spec.window_rows is not None:
        many = spec.window_rows
        place = np.arange(len(live)) // many
        place = np.where(place < len(live) // many, place, -1)
        windows = []
        for first in range(0, len(live) - many + 1, many):
            rows = live.iloc[first : first + many]
            start, last = _moment(moments[first]), _moment(moments[first + many - 1])
            name = f"rows {first + 1}-{first + many}"
            windows.append(_Window(name, start, last + timedelta(microseconds=1), rows))
        return windows, place
    if _count(spec.window, moments[-1] - moments[0]) > MOST_WINDOWS:
        raise BadInput(
            f"{moments[0]:%Y-%m-%d} to {moments[-1]:%Y-%m-%d} is more than {MOST_WINDOWS:,} windows of {spec.window}; "
            "choose longer ones or cut the data"
        )
    clock = windows_between(
        _moment(moments[0]), _moment(moments[-1]) + timedelta(microseconds=1), spec.window, spec.timezone
    )
    place = place_moments(moments, clock)
    edges = np.searchsorted(place, np.arange(len(clock) + 1))
    return [
        _Window(_iso(window.start), window.start, window.end, live.iloc[edges[i] : edges[i + 1]])
        for i, window in enumerate(clock)
    ], place


def _count(size: str, span: Any) -> float:
    return float(span / pd.Timedelta(hours={"1h": 1, "1d": 24, "1w": 168, "1mo": 730}[size]))


def _look_at_ends(live: pd.DataFrame, windows: Sequence[_Window], notes: list[str]) -> None:
    """Mark the last window as not over where the data end well before it does."""
    if not windows:
        notes.append(f"the {len(live):,} live rows do not fill one window: nothing was judged")
        return
    last = windows[-1]
    known = _moment(live["label_ts"].max()) if live["label_ts"].notna().any() else last.start
    newest = max(known, _moment(live["ts"].max()))
    if newest < last.end - NEARLY_OVER * (last.end - last.start):
        last.complete = False
        notes.append(f"the window {last.name} is not over where the data end: it was not judged")


def _usual_rows(spec: ModelSpec, reference: pd.DataFrame) -> UsualRows | None:
    """What windows of the clock usually hold; None for runs of N rows, which hold N."""
    if spec.window_rows is not None:
        return None
    moments = reference["ts"].sort_values()
    first, last = _moment(moments.iloc[0]), _moment(moments.iloc[-1]) + timedelta(microseconds=1)
    windows = windows_between(first, last, spec.window, spec.timezone)
    return count_usual(moments, windows, spec.window, spec.timezone)


def _profiles(
    reference: Measured, live: pd.DataFrame, place: npt.NDArray[np.int64]
) -> Mapping[tuple[int, str], Profile]:
    names = [name for name in reference.grids if name in live]
    found: dict[tuple[int, str], Profile] = {}
    for some in (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)):
        table = pa.Table.from_pandas(live[some], preserve_index=False)
        grids = {name: reference.grids[name] for name in some}
        found |= profile_groups(table.append_column(PLACE, pa.array(place)), grids, PLACE)
    return found


def _replayed(window: _Window) -> ReplayedWindow:
    rows = window.rows
    return ReplayedWindow(
        window=window.name,
        start=window.start,
        end=window.end,
        rows=len(rows),
        watermark=_moment(rows["ts"].iloc[-1]) if len(rows) else None,
        label_completeness=float(rows["label"].notna().mean()) if len(rows) else None,
        complete=window.complete,
        labelled_at=window.labelled_at,
        metrics=window.now,
        first_metrics=window.first,
        points=tuple(window.points),
    )


def _moment(value: Any) -> datetime:
    stamp = pd.Timestamp(value)
    stamp = stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)
    found: datetime = stamp.to_pydatetime()
    return found


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _estimate(spec: ModelSpec, history: History, windows: Sequence[_Window], notes: list[str]) -> None:
    """What would have been estimated of each window at its end; a fit sees reference rows alone."""
    try:
        fitted = fit_estimator(spec, history.reference)
    except BadInput as refused:
        notes.append(f"nothing is estimated without labels: {refused.message}")
        return
    # Estimates are keyed by a window; runs of N rows may overlap in time, so numbers stand in for them.
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    numbered = {
        Window(zero + timedelta(days=i), zero + timedelta(days=i + 1)): window
        for i, window in enumerate(windows)
    }
    for one in estimate(fitted, {key: window.rows for key, window in numbered.items()}):
        numbered[one.window].estimates.append(one)
