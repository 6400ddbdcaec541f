"""How good alarms are, from DATA and SPEC alone: which windows were really bad, and which pages said so.

Nothing here looks at the monitor. The definitions are those of `docs/backtest.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from backend.monitoring.windows import windows_between

Floats = NDArray[np.float64]
Baseline = Literal["pooled", "window mean"]

DRAWS: Final = 300
SEED: Final = 20130501
STANDARD_ERRORS: Final = 3.0
# Losses of AUC and accuracy are in points; a loss of MAE is a share of the reference's.
MARGIN: Final = {"binary": 0.02, "multiclass": 0.02, "regression": 0.10}
METRIC: Final = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}


@dataclass(frozen=True)
class WindowTruth:
    """What every label, however late, says about one window of the live rows.

    metric, error  the realised metric and its bootstrap standard error; NaN where labels do not give one
    labels_end     when the last label of the window became known; None without labels
    loss           how much worse than the reference: metric points, or a share of the reference's MAE
    errors         the same difference in bootstrap standard errors
    bad            None where the metric cannot be computed: the window then counts neither way
    """

    start: datetime
    end: datetime
    rows: int
    metric: float
    error: float
    labels_end: datetime | None
    loss: float = float("nan")
    errors: float = float("nan")
    bad: bool | None = None


@dataclass(frozen=True)
class Truth:
    """The live windows in order, and the reference they were judged by.

    reference_windows  metric and bootstrap standard error of the reference's own windows
    label_delay_h      median hours from a prediction to its label, live rows
    """

    task: str
    reference: float
    windows: tuple[WindowTruth, ...]
    reference_windows: tuple[tuple[float, float], ...]
    label_delay_h: float

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """Maximal runs of bad windows as (first, last) positions. A window without a truth ends none."""
        runs: list[tuple[int, int]] = []
        first: int | None = None
        last = 0
        for place, window in enumerate(self.windows):
            if window.bad:
                first, last = (place if first is None else first), place
            elif window.bad is False and first is not None:
                runs.append((first, last))
                first = None
        return runs if first is None else [*runs, (first, last)]

    @property
    def quiet(self) -> int:
        return sum(window.bad is False for window in self.windows)

    @property
    def bad(self) -> int:
        return sum(window.bad is True for window in self.windows)

    @property
    def window_h(self) -> float:
        return float(np.median([(one.end - one.start).total_seconds() / 3600 for one in self.windows]))


@dataclass(frozen=True)
class Alarm:
    """An alarm as a monitor gave it: the window it is about, and when it could be known."""

    start: datetime
    fired_at: datetime
    kind: str = ""


@dataclass(frozen=True)
class Score:
    """How one monitor did on one stream.

    precision  right pages by all pages; None without pages
    caught     episodes with a page about one of their windows, or the window directly before the first
    false_per_quiet_window  wrong pages by quiet windows
    delay_h    median over the caught episodes of fired_at minus the end of the episode's first bad window
    allowed_h  label delay plus one window, hours
    outside    pages about no live window; they count as wrong
    """

    pages: int
    right: int
    outside: int
    episodes: int
    caught: int
    quiet: int
    bad: int
    delay_h: float | None
    allowed_h: float
    wrong_starts: tuple[datetime, ...]

    @property
    def precision(self) -> float | None:
        return self.right / self.pages if self.pages else None

    @property
    def caught_share(self) -> float | None:
        return self.caught / self.episodes if self.episodes else None

    @property
    def false_per_quiet_window(self) -> float | None:
        return (self.pages - self.right) / self.quiet if self.quiet else None


def find_truth(
    spec: Mapping[str, Any], data: pd.DataFrame, *, baseline: Baseline = "pooled", draws: int = DRAWS
) -> Truth:
    """The truth of every live window.

    `baseline` is the reference's metric over all its rows ("pooled", the definition), or the mean of the
    metric over the reference's own windows ("window mean", the variant).
    """
    task, size, timezone = str(spec["task"]), str(spec["window"]), str(spec.get("timezone", "UTC"))
    reference = data[data["split"] == "reference"]
    live = data[data["split"] == "live"]
    random = np.random.default_rng(SEED)
    own = tuple(metric_with_error(task, rows, draws, random) for _, _, rows in cut(reference, size, timezone))
    base = metric_of(task, reference)
    windows = []
    for start, end, rows in cut(live, size, timezone):
        metric, error = metric_with_error(task, rows, draws, random)
        last = rows.loc[rows["label"].notna(), "label_ts"].max()
        known = None if pd.isna(last) else _moment(last)
        windows.append(_judged(task, base, WindowTruth(start, end, len(rows), metric, error, known)))
    delay = (live["label_ts"] - live["ts"]).dt.total_seconds() / 3600
    found = Truth(task, base, tuple(windows), own, float(delay.median()))
    return found if baseline == "pooled" else by_window_mean(found)


def by_window_mean(truth: Truth) -> Truth:
    """The same windows judged by the mean metric of the reference's own windows."""
    base = float(np.mean([metric for metric, _ in truth.reference_windows if np.isfinite(metric)]))
    windows = tuple(_judged(truth.task, base, window) for window in truth.windows)
    return replace(truth, reference=base, windows=windows)


def cut(rows: pd.DataFrame, size: str, timezone: str) -> list[tuple[datetime, datetime, pd.DataFrame]]:
    """Rows by window, in order: calendar windows that hold rows, or whole runs of N rows in order of `ts`.

    The end of a window of rows is the moment just after its last row. Fewer than N rows at the end are left
    out.
    """
    rows = rows.assign(ts=rows["ts"].dt.tz_convert("UTC").dt.as_unit("us"))
    rows = rows.sort_values(["ts", "prediction_id"], kind="stable")
    if size.isdigit():
        many = int(size)
        chunks = [rows.iloc[at : at + many] for at in range(0, len(rows) - many + 1, many)]
        tick = pd.Timedelta(microseconds=1)
        return [
            (_moment(chunk["ts"].iloc[0]), _moment(chunk["ts"].iloc[-1] + tick), chunk) for chunk in chunks
        ]
    if rows.empty:
        return []
    first, last = _moment(rows["ts"].iloc[0]), _moment(rows["ts"].iloc[-1] + pd.Timedelta(microseconds=1))
    windows = windows_between(first, last, size, timezone)
    ends = pd.DatetimeIndex([window.end for window in windows]).as_unit("us")
    places = pd.DatetimeIndex(rows["ts"]).searchsorted(ends, side="left")
    starts = np.concatenate([[0], places[:-1]])
    return [
        (window.start, window.end, rows.iloc[start:stop])
        for window, start, stop in zip(windows, starts, places, strict=True)
        if stop > start
    ]


def metric_of(task: str, rows: pd.DataFrame) -> float:
    """ROC AUC of the score, accuracy of the class, or MAE, over the labelled rows; NaN if it has none."""
    said, labels = _pairs(task, rows)
    return float(_metric(task, said, labels))


def metric_with_error(
    task: str, rows: pd.DataFrame, draws: int, random: np.random.Generator
) -> tuple[float, float]:
    """The metric and its bootstrap standard error: the spread (ddof 1) of `draws` resamples of the rows.

    A draw is a count for each row (how often it was picked), so that AUC is sorted once and not per draw.
    """
    said, labels = _pairs(task, rows)
    metric = _metric(task, said, labels)
    if not np.isfinite(metric):
        return float("nan"), float("nan")
    if task == "binary":
        order = np.argsort(said, kind="stable")
        ties = np.flatnonzero(np.diff(said[order], prepend=np.nan) != 0)
        positive = labels[order] == 1
        drawn = np.array([_weighted_auc(_draw(len(said), random), positive, ties) for _ in range(draws)])
    else:
        values = said if task == "multiclass" else np.abs(said - labels)
        drawn = np.array([_draw(len(values), random) @ values / len(values) for _ in range(draws)])
    drawn = drawn[np.isfinite(drawn)]
    return float(metric), float((drawn - drawn[0]).std(ddof=1)) if len(drawn) > 1 else float("nan")


def _draw(rows: int, random: np.random.Generator) -> Floats:
    return np.bincount(random.integers(0, rows, rows), minlength=rows).astype("float64")


def _weighted_auc(weights: Floats, positive: NDArray[np.bool_], ties: NDArray[np.intp]) -> float:
    """AUC of weighted rows in order of score; `ties` is where each run of equal scores begins."""
    above = np.add.reduceat(np.where(positive, weights, 0.0), ties)
    below = np.add.reduceat(np.where(positive, 0.0, weights), ties)
    pairs = above.sum() * below.sum()
    return float((above * (below.cumsum() - below / 2)).sum() / pairs) if pairs else float("nan")


def read_alarms(backtest: Mapping[str, Any], *, level: str | None = "page") -> list[Alarm]:
    """The alarms of `warrant backtest --json` at one level (None: all), each with its window's start."""
    starts = {_key(window["window"]): _time(window["start"]) for window in backtest["windows"]}
    found = []
    for alarm in backtest["alarms"]:
        if level is not None and alarm["level"] != level:
            continue
        about = alarm["window"]
        start = starts.get(_key(about))
        if start is None:
            start = _time(about["start"] if isinstance(about, Mapping) else str(about).split("/")[0])
        found.append(Alarm(start, _time(alarm["fired_at"]), str(alarm.get("kind", ""))))
    return found


def score_alarms(truth: Truth, alarms: Sequence[Alarm]) -> Score:
    """Score alarms against the truth.

    A page is right if its window is bad or directly before a bad one. Two pages about one window count as
    two. A page about a window without a truth counts neither way, unless a bad one follows.
    """
    windows = truth.windows
    begun = pd.DatetimeIndex([window.start for window in windows])
    right, outside, judged = 0, 0, 0
    wrong: list[datetime] = []
    about: dict[int, list[datetime]] = {}
    for alarm in alarms:
        place = int(begun.searchsorted(pd.Timestamp(alarm.start), side="right")) - 1
        if place < 0 or alarm.start >= windows[place].end:
            outside += 1
            wrong.append(alarm.start)
            continue
        about.setdefault(place, []).append(alarm.fired_at)
        before_bad = place + 1 < len(windows) and windows[place + 1].bad is True
        if windows[place].bad is True or before_bad:
            right += 1
        elif windows[place].bad is None:
            judged -= 1
        else:
            wrong.append(alarm.start)
    caught = 0
    delays: list[float] = []
    for first, last in truth.episodes:
        fired = [moment for place in range(first - 1, last + 1) for moment in about.get(place, ())]
        if fired:
            caught += 1
            delays.append((min(fired) - windows[first].end).total_seconds() / 3600)
    return Score(
        pages=len(alarms) + judged,
        right=right,
        outside=outside,
        episodes=len(truth.episodes),
        caught=caught,
        quiet=truth.quiet,
        bad=truth.bad,
        delay_h=float(np.median(delays)) if delays else None,
        allowed_h=truth.label_delay_h + truth.window_h,
        wrong_starts=tuple(wrong),
    )


def realised_alarms(truth: Truth) -> list[Alarm]:
    """What the definition itself would say, fired when a window is over and its last label known: the most
    that any monitor of realised performance can do.
    """
    return [
        Alarm(window.start, max(window.end, window.labels_end or window.end), "realised")
        for window in truth.windows
        if window.bad
    ]


def _judged(task: str, base: float, window: WindowTruth) -> WindowTruth:
    worse = window.metric - base if task == "regression" else base - window.metric
    loss = worse / base if task == "regression" else worse
    errors = worse / window.error if window.error > 0 else (np.inf if worse > 0 else 0.0)
    # One row, or rows that are all alike, say nothing about how far they could be off.
    known = bool(
        np.isfinite(window.metric) and np.isfinite(window.error) and (window.error > 0 or worse <= 0)
    )
    bad = loss > MARGIN[task] and errors > STANDARD_ERRORS if known else None
    return replace(window, loss=float(loss), errors=float(errors), bad=None if bad is None else bool(bad))


def _pairs(task: str, rows: pd.DataFrame) -> tuple[Floats, Floats]:
    """What the model said and what came true, over labelled rows with an answer, as numbers.

    multiclass: (1 if right else 0, unused).
    """
    said = rows["score"] if task == "binary" else rows["prediction"]
    kept = rows["label"].notna() & said.notna()
    labels = rows.loc[kept, "label"]
    if task == "multiclass":
        right = np.asarray(labels.astype(str) == said[kept].astype(str), dtype=np.float64)
        return right, right
    return np.asarray(said[kept], dtype=np.float64), np.asarray(labels.astype("float64"), dtype=np.float64)


def _metric(task: str, said: Floats, labels: Floats) -> float:
    if not len(said):
        return float("nan")
    if task == "multiclass":
        return float(said.mean())
    if task == "regression":
        return float(np.abs(said - labels).mean())
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(said)
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / positives / negatives)


def _key(window: Any) -> str:
    return str(sorted(window.items())) if isinstance(window, Mapping) else str(window)


def _time(text: Any) -> datetime:
    moment = pd.Timestamp(text)
    return _moment(moment.tz_localize("UTC") if moment.tzinfo is None else moment)


def _moment(value: pd.Timestamp) -> datetime:
    found: datetime = value.tz_convert("UTC").floor("us").to_pydatetime()
    return found
