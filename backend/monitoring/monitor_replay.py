"""When a monitor would have fired over stored history: the same code the live path asks for the present.

A window is judged by what came before it and by nothing after. Only windows that are over are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.measures import needs_labels
from backend.monitoring.monitors import Composite, Condition, Figure, Monitor, Rule, Side, Threshold, bad_side
from backend.monitoring.tables import ATTRIBUTION
from backend.monitoring.windows import Window

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
MONTH_DAYS = 365.25 / 12
LONGEST_UNJUDGED = 7
"""An alarm ends after so many windows in a row that could not be judged, or after N of them where M of the last N must
hold and N is more."""


@dataclass(frozen=True)
class Series:
    """One figure in each of n windows; NaN where there is none.

    limit, reference   the calibrated limit and what it is measured from (0 where no reference value is stored)
    rows, completeness  what the value stands on
    low, high          the interval that has to lie beyond as a whole; None: the value alone counts
    alarm              the verdict was `alarm`; `judged`: it was `ok` or `alarm`
    """

    value: Floats
    limit: Floats
    reference: Floats
    rows: Floats
    completeness: Floats
    alarm: Bools
    judged: Bools
    low: Floats | None = None
    high: Floats | None = None

    def lies_beyond(self, lower: Floats, upper: Floats) -> tuple[Bools, Bools]:
        """Whether each value is beyond, and whether that is known: with an interval, where all of it agrees."""
        if self.low is None or self.high is None:
            return (self.value > upper) | (self.value < lower), np.ones(len(self.value), dtype=bool)
        beyond = (self.low > upper) | (self.high < lower)
        return beyond, beyond | ((self.low >= lower) & (self.high <= upper))


@dataclass(frozen=True)
class History:
    """n finished windows of one size in time order, with the figures a monitor asks for.

    versions   the version each window belongs to; −1: none. Where it changes, counting begins anew
    wait       how long after the end of a window its labels may still come
    """

    windows: Sequence[Window]
    versions: npt.NDArray[np.int64]
    series: Mapping[Figure, Series]
    wait: timedelta = timedelta(0)


@dataclass(frozen=True)
class Episode:
    """Fired in `start`; `end` is the window that ended it, None while it lasts. `until_version`: ended because
    another version serves."""

    start: Window
    end: Window | None
    version: int | None
    text: str
    ended: str = ""


@dataclass(frozen=True)
class Trace:
    """One condition over the windows, for drawing: the value, and the threshold it was held against."""

    condition: Condition
    value: Floats
    lower: Floats
    upper: Floats

    def is_beyond(self, at: int) -> bool:
        return bool(self.value[at] > self.upper[at] or self.value[at] < self.lower[at])

    def number(self, at: int) -> float | None:
        return float(self.value[at]) if np.isfinite(self.value[at]) else None

    def limit(self, at: int) -> float | None:
        """The limit the value is beyond, else the one that there is; None without one."""
        order = (self.upper, self.lower) if self.value[at] > self.upper[at] else (self.lower, self.upper)
        return next((float(one[at]) for one in order if np.isfinite(one[at])), None)


@dataclass(frozen=True)
class Replay:
    """What a monitor would have said.

    looked_at       windows that could be tested: any part of an `any`, every part of an `all` has a verdict there;
                    inconclusive: the others
    months          how long was looked at, in months of 30.4 days: from the first window to the last, less the
                    share of windows that could not be judged
    why_not         {reason: windows} in which a condition had no verdict
    firing_s        how long it fired, in seconds of the windows' own time; whole_s: of how long
    firing, held    for each window whether it fires, and whether the rule holds in it: 1, 0, NaN
    latest_at       the newest window in which the rule holds, −1 without one; `latest` says what held
    """

    firings: tuple[Episode, ...]
    windows: tuple[Window, ...]
    looked_at: int
    inconclusive: int
    months: float
    why_not: Mapping[str, int]
    traces: tuple[Trace, ...] = ()
    firing: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    held: Floats = field(default_factory=lambda: np.zeros(0))
    latest_at: int = -1
    latest: str = ""
    firing_s: float = 0.0
    whole_s: float = 0.0

    @property
    def mostly_tested(self) -> bool:
        """Whether half of the windows or more could be tested: of less, nothing follows about how often it fires."""
        return self.looked_at > 0 and 2 * self.looked_at >= len(self.windows)

    @property
    def firing_share(self) -> float | None:
        """The share of the time in which it fired; None without windows."""
        return self.firing_s / self.whole_s if self.whole_s else None

    @property
    def cleared(self) -> int:
        return sum(episode.end is not None for episode in self.firings)

    @property
    def judged_now(self) -> bool:
        """Whether the newest window could be judged."""
        return len(self.held) > 0 and bool(np.isfinite(self.held[-1]))

    @property
    def fires_now(self) -> bool:
        """Whether it fires in the newest window."""
        return bool(self.firings) and self.firings[-1].end is None

    @property
    def per_month(self) -> float | None:
        """How often it fired in a month; None where less than a day is stored."""
        return None if self.months < 1 / MONTH_DAYS else len(self.firings) / self.months

    def to_json(self) -> dict[str, Any]:
        return {
            "firings": [
                {
                    "window_start": one.start.start.isoformat(), "window_end": one.start.end.isoformat(),
                    "cleared_at": None if one.end is None else one.end.end.isoformat(), "version": one.version,
                    "text": one.text, "ended": one.ended,
                }
                for one in self.firings
            ],
            "fired": len(self.firings), "cleared": self.cleared, "per_month": self.per_month, "months": self.months,
            "windows": len(self.windows), "looked_at": self.looked_at, "inconclusive": self.inconclusive,
            "why_inconclusive": dict(self.why_not), "firing_s": self.firing_s, "firing_share": self.firing_share,
        }  # fmt: skip


def replay(monitor: Monitor, history: History) -> Replay:
    """Say when the monitor would have fired, window after window."""
    count = len(history.windows)
    traces: list[Trace] = []
    why: dict[str, int] = {}
    held, stays, tested = _judge(monitor.rule, monitor, history, traces, why)
    firing, began, ended = _run(monitor, held, stays, history.versions, _waits(monitor, history))
    episodes = [
        Episode(
            start=history.windows[first],
            end=None if last is None else history.windows[last],
            version=None if history.versions[first] < 0 else int(history.versions[first]),
            text=_text(monitor, traces, first),
            ended=_ending(history, stays, first, last),
        )
        for first, last in zip(began, ended, strict=True)
    ]
    judged = int(tested.sum())
    lengths = np.array([(one.end - one.start).total_seconds() for one in history.windows])
    latest = int(np.flatnonzero(held == 1)[-1]) if (held == 1).any() else -1
    span = history.windows[-1].end - history.windows[0].start if count else None
    return Replay(
        firings=tuple(episodes),
        windows=tuple(history.windows),
        looked_at=judged,
        inconclusive=count - judged,
        months=0.0 if span is None else span.total_seconds() / 86_400 / MONTH_DAYS * judged / count,
        why_not=why,
        traces=tuple(traces),
        firing=firing,
        held=held,
        latest_at=latest,
        latest=_text(monitor, traces, latest) if latest >= 0 else "",
        firing_s=float(lengths[firing].sum()),
        whole_s=float(lengths.sum()),
    )


def _run(
    monitor: Monitor, held: Floats, stays: Floats, versions: npt.NDArray[np.int64], waits: Bools
) -> tuple[Bools, list[int], list[int | None]]:
    """The state in each window, the windows in which it began, and those in which it ended.

    waits   (n,) windows whose labels may still come: that they are not judged yet says nothing
    """
    longest, silent = max(LONGEST_UNJUDGED, monitor.of), 0
    state = np.zeros(len(held), dtype=bool)
    began: list[int] = []
    ended: list[int | None] = []
    on, clean, base, version = False, 0, 0, -1
    breached = np.concatenate([[0], np.cumsum(held == 1)])
    for i in range(len(held)):
        if versions[i] >= 0 and versions[i] != version:
            if on:
                on, ended[-1] = False, i
            # Windows of another version do not count.
            version, base = int(versions[i]), base if version < 0 else i
        if on:
            clean = clean + 1 if stays[i] == 0 else 0 if stays[i] == 1 else clean
            silent = 0 if np.isfinite(stays[i]) else silent + int(not waits[i])
            if clean >= monitor.clear_after or silent >= longest:
                on, ended[-1] = False, i
                # The windows before it cleared do not count towards firing again.
                base = max(base, i)
        elif held[i] == 1 and breached[i + 1] - breached[max(base, i + 1 - monitor.of)] >= monitor.fire:
            on, clean, silent = True, 0, 0
            began.append(i)
            ended.append(None)
        state[i] = on
    return state, began, ended


def _waits(monitor: Monitor, history: History) -> Bools:
    """(n,) the newest windows for which a figure of the monitor may still come, because labels do."""
    if not any(figure.kind == "realised" for figure in monitor.figures) or not history.windows:
        return np.zeros(len(history.windows), dtype=bool)
    now = history.windows[-1].end
    return np.array([window.end + history.wait > now for window in history.windows], dtype=bool)


def _judge(
    rule: Rule, monitor: Monitor, history: History, traces: list[Trace], why: dict[str, int]
) -> tuple[Floats, Floats, Bools]:
    """For each window whether the rule holds (1, 0, NaN unknown), whether it holds by the clearing thresholds, and
    whether it could be tested."""
    if isinstance(rule, Composite):
        parts = [_judge(part, monitor, history, traces, why) for part in rule.parts]
        tested = np.vstack([p[2] for p in parts])
        able: Bools = np.asarray(
            tested.all(axis=0) if rule.match == "all" else tested.any(axis=0), dtype=bool
        )
        return _combine(rule, [p[0] for p in parts]), _combine(rule, [p[1] for p in parts]), able
    series = history.series.get(rule.figure)
    if series is None:
        nothing = np.full(len(history.windows), np.nan)
        if len(nothing):
            reason = f"no {rule.figure.words()} is stored"
            why[reason] = why.get(reason, 0) + len(nothing)
        traces.append(Trace(rule, nothing, nothing, nothing))
        return nothing, nothing, np.zeros(len(nothing), dtype=bool)
    usable = _usable(rule.figure, monitor, series, why)
    lower, upper = bounds(rule.threshold, rule.figure, series, usable)
    held = _beyond(rule, series, usable, lower, upper, why)
    mild = (
        rule.threshold
        if rule.threshold.clear is None
        else replace(rule.threshold, value=rule.threshold.clear)
    )
    stays = held if mild is rule.threshold else _beyond(
        rule, series, usable, *bounds(mild, rule.figure, series, usable), {}
    )  # fmt: skip
    traces.append(Trace(rule, np.where(usable, series.value, np.nan), lower, upper))
    return held, stays, np.asarray(np.isfinite(held), dtype=bool)


def _combine(rule: Composite, parts: Sequence[Floats]) -> Floats:
    """`any`: of the parts that are known, unknown where none is. `all`: unknown where one is, unless another part does
    not hold."""
    stack = np.vstack(parts)
    unknown = np.isnan(stack)
    if rule.match == "any":
        return np.where(unknown.all(axis=0), np.nan, (stack == 1).any(axis=0))
    return np.where((stack == 0).any(axis=0), 0.0, np.where(unknown.any(axis=0), np.nan, 1.0))


def _usable(figure: Figure, monitor: Monitor, series: Series, why: dict[str, int]) -> Bools:
    known = np.isfinite(series.value)
    enough = np.ones(len(known), dtype=bool)
    if figure.kind not in ("volume", "kpi", ATTRIBUTION):  # of too few explained rows there is no value
        enough = series.rows >= monitor.min_rows
    labelled = np.ones(len(known), dtype=bool)
    if figure.kind == "realised" or (figure.kind == FAIRNESS and needs_labels(figure.statistic)):
        labelled = np.nan_to_num(series.completeness, nan=0.0) >= monitor.min_completeness
    for reason, missing in (
        (f"{figure.words()} has no value", ~known),
        (f"fewer than {monitor.min_rows} rows", known & ~enough),
        (f"fewer than {monitor.min_completeness:.0%} of labels", known & enough & ~labelled),
    ):
        if missing.any():
            why[reason] = why.get(reason, 0) + int(missing.sum())
    return np.asarray(known & enough & labelled, dtype=bool)


def _beyond(
    rule: Condition, series: Series, usable: Bools, lower: Floats, upper: Floats, why: dict[str, int]
) -> Floats:
    unsure = 0
    if rule.threshold.kind == "calibrated":
        known = usable & series.judged
        verdict = series.alarm.astype(np.float64)
    else:
        known = usable & ~(np.isnan(lower) | np.isnan(upper))
        with np.errstate(invalid="ignore"):
            beyond, sure = series.lies_beyond(lower, upper)
        if unsure := int((known & ~sure).sum()):
            why["the interval holds the limit"] = why.get("the interval holds the limit", 0) + unsure
        known, verdict = known & sure, beyond.astype(np.float64)
    without = int((usable & ~known).sum()) - unsure
    if without:
        reason = (
            f"fewer than {rule.threshold.points} earlier values"
            if rule.threshold.points
            else "no limit is stored"
        )
        why[reason] = why.get(reason, 0) + without
    return np.where(known, verdict, np.nan)


def bounds(threshold: Threshold, figure: Figure, series: Series, usable: Bools) -> tuple[Floats, Floats]:
    """Lower and upper limit of each window: −inf or inf on a side that is not limited, NaN where not known."""
    count = len(series.value)
    lower, upper = np.full(count, -np.inf), np.full(count, np.inf)
    side: Side = threshold.side
    if threshold.kind == "constant":
        low = high = np.full(count, threshold.value)
    elif threshold.kind in ("limit", "calibrated"):
        factor = threshold.value if threshold.kind == "limit" else 1.0
        start = np.nan_to_num(series.reference, nan=0.0)
        low = high = start + factor * (series.limit - start)
        side = bad_side(figure)
        if figure.kind == "quality":
            # A rate that fell has a lower limit (`excess.has_lower_limit`); moved as the share of all other rows.
            inside = (series.limit > 0) & (series.limit < 1)
            fell = inside & np.where(series.alarm, series.value < series.limit, series.value > series.limit)
            fell &= series.judged
            lower = np.where(fell, 1 - factor * (1 - series.limit), lower)
            return lower, np.where(fell, np.inf, high)
    else:
        low, high = _of_history(threshold, series.value, usable)
    if side in ("below", "either"):
        lower = low
    if side in ("above", "either"):
        upper = high
    return lower, upper


def _of_history(threshold: Threshold, value: Floats, usable: Bools) -> tuple[Floats, Floats]:
    """Limits from the last `points` usable values before each window; NaN before there are so many."""
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    # How many usable values lie before each window tells which stretch of them is its history.
    before = np.concatenate([[0], np.cumsum(usable)])[:-1]
    known = value[usable]
    if len(known) < threshold.points:
        return low, high
    stretches = sliding_window_view(known, threshold.points)
    if threshold.kind == "sigma":
        mean, spread = stretches.mean(axis=1), stretches.std(axis=1, ddof=1)
        lows, highs = mean - threshold.value * spread, mean + threshold.value * spread
    elif threshold.kind == "quantile":
        quantiles = np.quantile(stretches, [1 - threshold.value, threshold.value], axis=1)
        lows, highs = quantiles[0], quantiles[1]
    else:
        # (1 + k) / (n + 1) <= p, where k values are at least as extreme: beyond all but the k most extreme ones.
        share = threshold.value / (2 if threshold.side == "either" else 1)
        k = int(np.floor(share * (threshold.points + 1) + 1e-9)) - 1
        ordered = np.sort(stretches, axis=1)
        lows, highs = ordered[:, k], ordered[:, threshold.points - 1 - k]
    place = before - threshold.points
    ready = place >= 0
    low[ready], high[ready] = lows[place[ready]], highs[place[ready]]
    return low, high


def _text(monitor: Monitor, traces: Sequence[Trace], at: int) -> str:
    """`monitor name: psi of distance 0.31 (limit 0.2)` of the conditions that hold there."""
    said = []
    for trace in traces:
        limit = trace.limit(at)
        if trace.is_beyond(at) and limit is not None:
            said.append(f"{trace.condition.figure.words()} {trace.value[at]:.3g} (limit {limit:.3g})")
    often = "" if monitor.of == 1 else f", in {monitor.fire} of {monitor.of} windows"
    return f"{monitor.name}: {', '.join(said) or monitor.rule.words()}{often}"


def _ending(history: History, stays: Floats, first: int, last: int | None) -> str:
    if last is None:
        return ""
    if history.versions[last] >= 0 and history.versions[last] != history.versions[first]:
        return f"version {history.versions[last]} serves"
    if np.isnan(stays[last]):
        unjudged = np.isnan(stays[first : last + 1])[::-1]
        return f"not judged for {int(unjudged.argmin())} windows"
    return "within its limits"
