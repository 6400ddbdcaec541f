"""A model's past, replayed: the windows, points and alarms Warrant would have produced, as it knew them at the time.

Two kinds of moment are played in order. A window *ends*: its columns are counted and compared, and performance is
estimated without labels. Its labels *speak* (`backend.monitoring.label_lag`): performance is realised. Labels that
come later correct what is known now; what was said then stays as it was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.budget import Evidence, window_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import estimate, fit_estimator
from backend.monitoring.evaluate import LEVELS, Level, Point
from backend.monitoring.falls import judge_estimates, judge_realised, standard_error
from backend.monitoring.history import History
from backend.monitoring.inputs import find_broken_input, judge_by_rule
from backend.monitoring.label_lag import AT_ONCE, hear_labels, plan_looks, wait_for_labels
from backend.monitoring.new_classes import classes_of, tell_new_classes
from backend.monitoring.paging import alarms_of
from backend.monitoring.performance import PRIMARY, Metric, Performance
from backend.monitoring.played_windows import (
    PLACE,
    Places,
    PlayedWindow,
    count_parts,
    count_usual_rows,
    cut_windows,
    look_at_ends,
    moment_of,
)
from backend.monitoring.reference_reach import tell_inputs, tell_reach
from backend.monitoring.reference_rules import rule_noise
from backend.monitoring.references import Measured, add_segments, count_own_windows, measure_reference
from backend.monitoring.segments import Parts, judge_parts
from backend.monitoring.thresholds import Noise
from backend.monitoring.track_record import (
    Realised,
    StoredEstimate,
    TrackPoint,
    allowed_to_page,
    settle,
    track_record,
)
from backend.monitoring.volume import Traffic, UsualRows
from backend.monitoring.windows import Window

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Alarm:
    """What fired: about which window, when it could be known, and why.

    segment   "" for all rows, else "column=value"
    effect, importance   of a column that drifted, as `Point` has them
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
    segment: str = ""
    effect: float | None = None
    importance: float | None = None

    @property
    def side(self) -> Literal["above", "below"]:
        """Where of its threshold the value lies: "below" for a rate that fell, or for performance."""
        under = self.value is not None and self.threshold is not None and self.value < self.threshold
        return "below" if under else "above"


@dataclass(frozen=True)
class ReplayedWindow:
    """One window. `label_completeness` and `metrics` are as known at the end of the data.

    complete        False where predictions begin or end within the window: its volume is not judged, and nothing is
                    where the data, labels included, end before it does
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


def replay(
    spec: ModelSpec, history: History, *, progress: Progress = lambda _fraction, _doing: None
) -> Backtest:
    """Play the live rows against the reference rows. Deterministic: the same rows give the same alarms."""
    progress(0.0, "measuring the reference")
    reference = measure_reference(history.reference, spec)
    if spec.segments:
        table = pa.Table.from_pandas(history.reference, preserve_index=False)
        reference = add_segments(reference, table, spec)
    notes = list(history.notes)
    windows, place = cut_windows(spec, history.live)
    look_at_ends(spec, history, windows, notes)
    progress(0.3, f"counting {len(windows)} windows")
    parts = count_parts(spec, reference, history.live, place)
    _judge_rules(spec, history, windows, place)
    progress(0.6, "estimating without labels")
    _estimate(spec, history, windows, notes)
    noise = _noise(spec, history, reference)
    player = _Player(
        spec, reference, parts, noise, count_usual_rows(spec, history.reference),
        classes_of(history.reference["label"]) if spec.task == "multiclass" else frozenset(),
    )  # fmt: skip
    if windows:
        notes += tell_inputs(spec, reference)
    if windows and reference.labelled:
        notes += tell_reach(
            player.baseline, player.primary, player.alpha(windows[0], "realised"), spec.min_labels
        )
    moments = [(window.end, 0, number) for number, window in enumerate(windows) if window.over]
    for number, window in enumerate(windows):
        if not window.over:
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
        parts: Mapping[int, Parts],
        noise: Noise | None,
        usual: UsualRows | None,
        classes: frozenset[str],
    ) -> None:
        self.spec, self.reference, self.primary = spec, reference, PRIMARY[spec.task]
        self.parts, self.noise, self.classes = parts, noise, classes
        self.traffic = None if usual is None else Traffic(usual)
        self.lag = wait_for_labels(reference.label_lag, spec.label_delay_s) or AT_ONCE
        self.past: list[tuple[Window, Parts]] = []
        self.baseline = reference.baseline(spec.window)
        self.alarms: list[Alarm] = []
        self.track: tuple[TrackPoint, ...] = ()
        self._told: dict[tuple[int, str, str | None, str], Level] = {}
        self._episodes: dict[tuple[str, str | None, bool], tuple[int, int]] = {}
        self._numbers = 0

    def label_moments(self, window: PlayedWindow) -> list[datetime]:
        """When realised performance of this window is looked at."""
        came = np.sort(window.label_times[~np.isnat(window.label_times)])
        return plan_looks(
            self.lag, start=window.start, end=window.end, rows=len(window.rows),
            labelled=self.reference.labelled, came=came,
        )  # fmt: skip

    def window_ended(self, window: PlayedWindow, number: int) -> None:
        spec, reference = self.spec, self.reference
        current = self.parts.get(number, {})
        points = judge_by_rule(spec, reference, window.span, current, self.past, noise=self.noise)
        self.past.append((window.span, current))
        points += window.rules
        record = track_record(self.track, self.primary, until=window.end)
        allowed, why = allowed_to_page(record, reference.trust, self.primary)
        points += judge_estimates(
            self.baseline, window.estimates, primary=self.primary, alpha=self.alpha(window, "estimated"),
            error=reference.trust["excess"], trusted=reference.trusted, min_rows=spec.min_rows,
            distrust=None if allowed else why,
            broken=find_broken_input(spec, reference, points, current, noise=reference.noise.get(spec.window)),
            label_unit=spec.label_unit,
        )  # fmt: skip
        if self.traffic is not None:
            points.append(self.traffic.judge(window.span, len(window.rows), cut=window.cut))
        window.points += points
        self._raise(window, number, points, window.end)

    def labels_came(self, window: PlayedWindow, number: int, moment: datetime) -> None:
        rows = window.rows
        known = np.flatnonzero(window.label_times <= np.datetime64(moment.replace(tzinfo=None), "us"))
        if known.size == window.heard:
            return  # no label has come since the last look
        window.heard = known.size
        performance = window.measure(self.spec, known)
        hearing = hear_labels(
            self.lag, end=window.end, rows=len(rows), known=performance.known, absent=0,
            labelled=self.reference.labelled, now=moment,
        )  # fmt: skip
        points = judge_realised(
            self.baseline, performance, primary=self.primary, alpha=self.alpha(window, "realised"),
            min_labels=self.spec.min_labels, may_page=hearing.may_page, label_unit=self.spec.label_unit,
        )  # fmt: skip
        window.now = performance.metrics
        if not hearing.speaks:
            return
        if window.labelled_at is None:
            window.labelled_at, window.first = moment, performance.metrics
            self._settle(window, performance, moment)
        if self.spec.task == "multiclass":
            points = tell_new_classes(points, rows["label"].iloc[known], self.classes)
        if self.reference.segment_performance:
            found = window.measure_segments(self.spec, self.reference, known)
            then = self.reference.segment_performance
            points += judge_parts(self.spec, found, then, alpha=self.alpha(window, "realised"))
        window.points = [point for point in window.points if point.family != "realised"] + points
        self._raise(window, number, points, moment)

    def _settle(self, window: PlayedWindow, performance: Performance, moment: datetime) -> None:
        """Put the estimate that was made at the window's end beside what came."""
        about = window.span
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

    def alpha(self, window: PlayedWindow, kind: Evidence) -> float:
        return window_alpha(self.spec, (window.end - window.start).total_seconds(), kind=kind)

    def _raise(self, window: PlayedWindow, number: int, points: Sequence[Point], moment: datetime) -> None:
        for point in alarms_of(points):
            level = point.level or "info"
            what = None if point.segment else point.column
            told = self._told.get((number, point.family, what, point.segment))
            if told is not None and LEVELS.index(told) <= LEVELS.index(level):
                continue
            self._told[number, point.family, what, point.segment] = level
            subject = (point.family, what, bool(point.segment))  # all segments together are one
            episode, last = self._episodes.get(subject, (0, -2))
            goes_on = number - last <= 1 and told is None
            if not goes_on and told is None:
                self._numbers += 1
                episode = self._numbers
            self._episodes[subject] = (episode, number)
            self.alarms.append(
                Alarm(window.name, moment, level, point.family, point.column, point.statistic, point.value,
                      point.threshold, point.text, episode, not goes_on, point.segment, point.effect,
                      point.importance)
            )  # fmt: skip


def _replayed(window: PlayedWindow) -> ReplayedWindow:
    rows = window.rows
    return ReplayedWindow(
        window=window.name,
        start=window.start,
        end=window.end,
        rows=len(rows),
        watermark=moment_of(rows["ts"].iloc[-1]) if len(rows) else None,
        label_completeness=float(rows["label"].notna().mean()) if len(rows) else None,
        complete=window.complete,
        labelled_at=window.labelled_at,
        metrics=window.now,
        first_metrics=window.first,
        points=tuple(window.points),
    )


def _noise(spec: ModelSpec, history: History, reference: Measured) -> Noise | None:
    """What the statistics show in quiet windows under the spec's rule of reference."""
    if spec.reference.kind == "fixed":
        return reference.noise.get(spec.window) or None
    own = count_own_windows(history.reference, reference.grids, spec, spec.window)
    found = rule_noise(
        spec.reference, reference.profiles, own, timezone=spec.timezone, min_rows=spec.min_rows
    )
    return found or None


def _judge_rules(spec: ModelSpec, history: History, windows: Sequence[PlayedWindow], place: Places) -> None:
    """What the spec's rules say of each window with rows."""
    if not spec.rules:
        return
    from backend.monitoring.examination import prepare_rules  # both take a second to import
    from backend.monitoring.rule_counts import count_rules

    names = ["ts", *(column.name for column in spec.columns)]
    before, now = (
        pa.Table.from_pandas(rows[[name for name in names if name in rows]], preserve_index=False)
        for rows in (history.reference, history.live)
    )
    usual = prepare_rules(spec, before, spec.window)
    if usual is None:
        return
    counts = count_rules(now.append_column(PLACE, pa.array(place)), usual.rules, group=PLACE)
    for number, window in enumerate(windows):
        if len(window.rows):
            window.rules = usual.judge(counts.get((number, ""), {}))


def _estimate(spec: ModelSpec, history: History, windows: Sequence[PlayedWindow], notes: list[str]) -> None:
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
