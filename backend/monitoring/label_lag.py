"""How long labels must be waited for before they speak for a window, measured on the reference.

Labels that come first may be of one class, or of easy rows: judged too early, a window looks worse (or better) than
it is. On the reference both are known, what the first labels said and what all of them say. The lag is the shortest
one after which the primary metric of the labels known by then

    of all reference rows       is within a fifth of the practical margin of the metric of all labels
    of nine of ten own windows  is within half of the margin of theirs

each widened by what a random part of the labels would differ by: two times se · √(1/f − 1) for a part f.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from backend.monitoring.outcomes import Outcomes, gradient, measure

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
POOLED_PART = 0.2
WINDOW_PART = 0.5
MOST_WINDOWS = 0.9
FEWEST_ROWS = 20
ENOUGH = 0.95
"""Of the labels that the reference had after its lag: where labels are slower than usual, they are waited for."""
FEW_LABELS = 0.5
"""Below this share of them nothing is said: who was labelled first says nothing about the window."""
FIRST = "who was labelled first says nothing about the window"
SPEAKS = 0.8
"""Below this share of the labels to be expected a fall is a ticket: who was labelled first may not be typical."""


@dataclass(frozen=True)
class LabelLag:
    """How labels come. `looks`: (time after the end of a window, share of the labels to come that have come by then)
    in the reference, from the first at which labels speak to the last.
    """

    looks: tuple[tuple[timedelta, float], ...]

    @property
    def lag(self) -> timedelta:
        return self.looks[0][0]

    @property
    def share(self) -> float:
        return self.looks[0][1]


AT_ONCE = LabelLag(((timedelta(0), 1.0),))


@dataclass(frozen=True)
class Hearing:
    """What the labels of a window can say at a moment.

    speaks    enough have come to judge it, or all the time that labels take is over and half of them are there
    may_page  so many that a fall may wake someone; else who was labelled first may not be typical
    look_at   when time alone could make them speak, though no further label may come; None: never
    reason    why they do not speak
    """

    speaks: bool
    may_page: bool
    look_at: datetime | None = None
    reason: str | None = None


def wait_for_labels(lag: LabelLag, declared_s: float | None) -> LabelLag | None:
    """How labels come: as measured, else as the spec declares (`label_delay`); None where nothing tells."""
    if lag != AT_ONCE:
        return lag
    if declared_s is None:
        return None
    return LabelLag(((timedelta(seconds=declared_s), 1.0),))


def hear_labels(
    lag: LabelLag | None, *, end: datetime, rows: int, known: int, absent: int, labelled: float, now: datetime
) -> Hearing:
    """Whether the labels of a window that ended at `end` speak at `now`.

    lag       None where nobody knows how long labels take: most of them, whenever they came, then speak
    absent    rows whose label is known never to come
    labelled  share of rows that have a label in the reference
    """
    expected = min(labelled * rows, rows - absent)
    looks, enough = (AT_ONCE.looks, SPEAKS) if lag is None else (lag.looks, ENOUGH)
    may_page = known > 0 and known >= SPEAKS * looks[0][1] * expected
    needed = _needed(looks, enough * expected)
    if not known:
        return Hearing(False, False, None, "no label has come" if expected > 0 else "no label is expected")
    if end <= now and known >= rows - absent:
        return Hearing(True, may_page)
    if known < FEW_LABELS * looks[0][1] * expected:
        return Hearing(False, may_page, None, f"{known} of about {round(expected)} labels have come; {FIRST}")
    ready = [end + after for (after, _), least in zip(looks, needed, strict=True) if known >= least]
    if lag is not None:
        ready.append(end + looks[-1][0])
    if any(moment <= now for moment in ready):
        return Hearing(True, may_page)
    if end > now:
        reason = "the window is not over"
    else:
        share, after = looks[0][1], looks[0][0]
        reason = f"{known} of about {round(expected)} labels have come; it is judged with {enough * share:.0%} of them"
        if after:
            reason += f", {describe_span(after.total_seconds())} after its end at the earliest"
    return Hearing(False, may_page, min(ready, default=None), reason)


def plan_looks(
    lag: LabelLag,
    *,
    start: datetime,
    end: datetime,
    rows: int,
    labelled: float,
    came: npt.NDArray[np.datetime64],
) -> list[datetime]:
    """When the labels of a window are looked at, in order; at the first of these moments `hear_labels` hears them.

    came      when each label of the window's rows came, in order, UTC; (n,) of at most `rows`
    labelled  as for `hear_labels`

    As soon as labels speak, at the later looks of the reference, and when every row has its label. Labels that take
    longer than any in the reference are looked at after ever longer waits. No moment depends on what comes after it.
    """
    if not came.size:
        return []
    times = [_utc(moment) for moment in came[[0, -1]]]
    complete = times[-1] if came.size == rows else datetime.max.replace(tzinfo=UTC)
    needed = _needed(lag.looks, ENOUGH * (labelled * rows))
    moments = {
        max(end + after, _utc(came[max(least - 1, 0)]))
        for (after, _), least in zip(lag.looks, needed, strict=True)
        if least <= came.size
    }
    waited = end + lag.looks[-1][0]
    wait = max(waited - end, end - start)
    moments.add(waited)
    while waited < times[-1]:
        waited, wait = waited + wait, 2 * wait
        moments.add(waited)
    return sorted({max(min(moment, complete), end) for moment in moments if moment >= times[0]})


def _needed(looks: Sequence[tuple[timedelta, float]], enough: float) -> list[int]:
    """How many labels must have come at each look for them to speak."""
    return [math.ceil(enough * share) for _, share in looks]


def _utc(moment: np.datetime64) -> datetime:
    found: datetime = moment.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)


def describe_span(seconds: float) -> str:
    """A span of time in words: "3 days", "6 h", "30 min"."""
    hours = seconds / 3600
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"


def find_label_lag(
    outcomes: Outcomes, delay_s: npt.NDArray[np.float64], window: npt.NDArray[np.int64], margin: float
) -> LabelLag:
    """The lag of a model's labels.

    outcomes  the reference's labelled rows
    delay_s   (n,) seconds from prediction to label of every reference row; NaN where that is unknown
    window    (n,) the number of each row's own window; negative for none
    margin    practical margin of the metric, in its own unit

    Rows whose delay is unknown take no part. Without any delay the lag is zero.
    """
    delay, place = delay_s[outcomes.usable], window[outcomes.usable]
    timed = np.isfinite(delay)
    if not timed.any():
        return AT_ONCE
    point, outcome = outcomes.point[timed], outcomes.outcome[timed]
    delay, place = delay[timed], place[timed]
    name = outcomes.metric
    groups = [np.arange(delay.size), *_groups(place)]
    final = [_metric(name, point[rows], outcome[rows]) for rows in groups]
    errors = [_error(name, point[rows], outcome[rows]) for rows in groups]
    lags = np.unique(np.quantile(delay, QUANTILES, method="higher"))
    shares = [float((delay <= lag).mean()) for lag in lags]
    looks = tuple((timedelta(seconds=float(lag)), share) for lag, share in zip(lags, shares, strict=True))
    for first, lag in enumerate(lags[:-1]):
        near = []
        for number, rows in enumerate(groups):
            came = rows[delay[rows] <= lag]
            early, late = _metric(name, point[came], outcome[came]), final[number]
            chance = 2 * errors[number] * math.sqrt(max(rows.size / max(came.size, 1) - 1, 0.0))
            allowed = (POOLED_PART if number == 0 else WINDOW_PART) * margin + chance
            near.append(early is not None and late is not None and abs(early - late) <= allowed)
        if near[0] and (len(near) == 1 or np.mean(near[1:]) >= MOST_WINDOWS):
            return LabelLag(looks[first:])
    return LabelLag(looks[-1:])


def _groups(place: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
    order = np.argsort(place, kind="stable")
    edges = np.flatnonzero(np.diff(place[order])) + 1
    found = np.split(order, edges)
    return [rows for rows in found if rows.size >= FEWEST_ROWS and place[rows[0]] >= 0]


def _metric(name: str, point: npt.NDArray[np.float64], outcome: npt.NDArray[np.float64]) -> float | None:
    return measure(name, point, outcome, 1 - outcome) if outcome.size else None


def _error(name: str, point: npt.NDArray[np.float64], outcome: npt.NDArray[np.float64]) -> float:
    """The metric's standard error from its influence on each row; 0 where it is undefined."""
    if _metric(name, point, outcome) is None:
        return 0.0
    one, zero = gradient(name, point, outcome, 1 - outcome)
    influence = outcome * one + (1 - outcome) * zero
    return float(np.sqrt((influence**2).sum()))
