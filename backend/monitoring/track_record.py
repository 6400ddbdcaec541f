"""How good estimates without labels turned out to be, once labels came: the estimator's track record.

A point of the record pairs the estimate that was stored before a window's labels came with the value that came
true. It is frozen when the labels come and never computed again: labels that are corrected or deleted later, and an
estimator that is fitted anew, leave the past record as it was. An estimate made after the labels is no point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from backend.errors import BadInput
from backend.monitoring.estimation import Trust
from backend.monitoring.performance import DEFINITIONS
from backend.monitoring.windows import Window

WEEKS = 8
FEWEST_POINTS = 5
FOLLOWS = 0.5
"""From this skill on an estimator follows its metric: half of the true rise and fall is in its estimates."""
LATELY = 3
_WEEK = timedelta(weeks=1)


class EstimateAfterLabels(BadInput):
    title = "Estimate made after the labels"


@dataclass(frozen=True)
class StoredEstimate:
    """An estimate as it was stored, and when."""

    window: Window
    metric: str
    value: float
    low: float | None
    high: float | None
    made_at: datetime


@dataclass(frozen=True)
class Realised:
    """A realised value, and when the labels it needs had come. `se`: its standard error, if known."""

    window: Window
    metric: str
    value: float
    known_at: datetime
    se: float | None = None


@dataclass(frozen=True)
class TrackPoint:
    """One window's estimate beside what came true. Raises `EstimateAfterLabels` where it could have known better."""

    window: Window
    metric: str
    estimated: float
    low: float | None
    high: float | None
    realised: float
    estimated_at: datetime
    realised_at: datetime
    realised_se: float | None = None

    def __post_init__(self) -> None:
        for moment in (self.estimated_at, self.realised_at):
            if moment.tzinfo is None:
                raise ValueError(f"a track record needs times with a zone, not {moment!r}")
        if self.estimated_at >= self.realised_at:
            raise EstimateAfterLabels(
                f"{self.metric} of the window from {self.window.start:%Y-%m-%d %H:%M} was estimated at "
                f"{self.estimated_at:%Y-%m-%d %H:%M}, and its labels had come by {self.realised_at:%Y-%m-%d %H:%M}"
            )

    @property
    def miss(self) -> float:
        """Estimated − realised."""
        return self.estimated - self.realised

    @property
    def inside(self) -> bool | None:
        """Whether what came lay in the estimate's band; None where it had none."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.realised <= self.high


@dataclass(frozen=True)
class TrackRecord:
    """The points of one metric over the last weeks, summed up.

    points    how many windows
    weeks     from the first window's start to the last one's end
    error     mean |estimated − realised|
    bias      mean (estimated − realised)
    excess    root mean square of the misses when the realised values' own sampling error is taken out
    skill     1 − excess² / variance of the true values over the windows: 1 follows every rise and fall, 0 is no better
              than always saying the mean; None where the windows differ by chance alone
    inside    share of windows whose realised value lay in the band; None where no estimate had one
    margin    the practical margin of the metric at these values; None where it has none
    wrong_lately   the last 3 windows all came out beyond band and margin, on the same side
    """

    metric: str
    points: int
    weeks: float
    error: float
    bias: float
    excess: float
    skill: float | None
    inside: float | None
    margin: float | None
    wrong_lately: bool

    @property
    def follows(self) -> bool:
        """Whether estimates rise and fall with what comes, so that a fall they see is one, if not of that size."""
        return self.skill is not None and self.skill >= FOLLOWS

    @property
    def sentence(self) -> str:
        """ "off by 0.8 points over the last 8 weeks, inside its band 92 % of the time"."""
        text = f"off by {_amount(self.metric, self.error, self.margin)} over {_span(self.weeks, self.points)}"
        return text if self.inside is None else f"{text}, inside its band {self.inside:.0%} of the time"


def settle(
    past: Sequence[TrackPoint], estimates: Iterable[StoredEstimate], realised: Iterable[Realised]
) -> tuple[TrackPoint, ...]:
    """The record with the windows whose labels have come since; `past` stays as it is, first.

    Of several estimates of a window the last one before its labels counts; where all came after, there is no point.
    """
    frozen = {(point.window, point.metric) for point in past}
    came = {(one.window, one.metric): one for one in realised}
    latest: dict[tuple[Window, str], StoredEstimate] = {}
    for one in estimates:
        key = (one.window, one.metric)
        if key in frozen or key not in came or one.made_at >= came[key].known_at:
            continue
        if key not in latest or one.made_at > latest[key].made_at:
            latest[key] = one
    found = [
        TrackPoint(
            window=key[0],
            metric=key[1],
            estimated=one.value,
            low=one.low,
            high=one.high,
            realised=came[key].value,
            estimated_at=one.made_at,
            realised_at=came[key].known_at,
            realised_se=came[key].se,
        )
        for key, one in latest.items()
    ]
    return (*past, *sorted(found, key=lambda point: (point.window, point.metric)))


def track_record(
    points: Iterable[TrackPoint], metric: str, *, until: datetime, weeks: int = WEEKS
) -> TrackRecord | None:
    """The record of one metric over the `weeks` up to the newest window that was realised by `until`.

    None where there is no such window. Labels that take long make the record older, not thinner.
    """
    known = sorted(
        (point for point in points if point.metric == metric and point.realised_at <= until),
        key=lambda point: point.window,
    )
    if not known:
        return None
    chosen = [point for point in known if point.window.end > known[-1].window.end - weeks * _WEEK]
    misses = np.array([point.miss for point in chosen])
    noise = np.array([point.realised_se or 0.0 for point in chosen])
    banded = [point.inside for point in chosen if point.inside is not None]
    came = np.array([point.realised for point in chosen])
    margin = _margin(metric, float(came.mean()))
    chance = float((noise**2).mean())
    excess = math.sqrt(max(float((misses**2).mean()) - chance, 0.0))
    varied = float(came.var(ddof=1)) - chance if len(chosen) > 1 else 0.0
    span = chosen[-1].window.end - chosen[0].window.start
    return TrackRecord(
        metric=metric,
        points=len(chosen),
        weeks=span / _WEEK,
        error=float(np.abs(misses).mean()),
        bias=float(misses.mean()),
        excess=excess,
        skill=1 - excess**2 / varied if varied > chance else None,
        inside=sum(banded) / len(banded) if banded else None,
        margin=margin,
        wrong_lately=_wrong_lately(chosen, margin),
    )


def allowed_to_page(
    record: TrackRecord | None, trust: Trust | Mapping[str, object], metric: str | None = None
) -> tuple[bool, str]:
    """Whether an estimate of this metric may page without any other evidence, and why (not).

    It may not while its misses exceed the practical margin by more than chance, or the last three did on one side;
    unless its estimates follow what comes (skill of at least 0.5): a fall is then a fall, though of another size.

    trust     the assessment on held-out reference rows, or the stored {"trusted": [metric], "reason"}
    metric    needed only where there is no record
    """
    name = record.metric if record is not None else metric
    if name is None:
        raise ValueError("without a record, name the metric")
    trusted, reason = _trust(trust)
    if name not in trusted:
        return False, reason or "its estimates of reference rows it had not seen were too far off"
    if record is None or record.points < FEWEST_POINTS:
        known = 0 if record is None else record.points
        return True, (
            f"it held on reference rows it had not seen; {known} window{'' if known == 1 else 's'} with labels so far"
        )
    if record.follows:
        return True, record.sentence
    if record.wrong_lately:
        return (
            False,
            f"its last {LATELY} estimates were all off to the same side, beyond band and practical margin",
        )
    if record.margin is not None and record.excess > record.margin:
        return False, f"it has been wrong: {record.sentence}"
    return True, record.sentence


def _wrong_lately(points: Sequence[TrackPoint], margin: float | None) -> bool:
    last = points[-LATELY:]
    if len(last) < LATELY or margin is None:
        return False
    beyond = all(point.inside is False and abs(point.miss) > margin for point in last)
    return beyond and len({point.miss > 0 for point in last}) == 1


def _margin(metric: str, around: float) -> float | None:
    definition = DEFINITIONS.get(metric)
    limit = definition.worst_acceptable(around) if definition is not None else None
    return None if limit is None else abs(limit - around)


def _trust(trust: Trust | Mapping[str, object]) -> tuple[frozenset[str], str | None]:
    if isinstance(trust, Trust):
        return trust.trusted, trust.reason
    trusted, reason = trust.get("trusted"), trust.get("reason")
    names = trusted if isinstance(trusted, list | tuple | set | frozenset) else ()
    return frozenset(str(name) for name in names), None if reason is None else str(reason)


def _amount(metric: str, error: float, margin: float | None) -> str:
    definition = DEFINITIONS.get(metric)
    if definition is not None and definition.unit == "share":
        points = f"{100 * error:.1f}"
        return f"{points} point{'' if points == '1.0' else 's'}"
    if definition is not None and definition.relative and definition.margin and margin:
        return f"{error:.3g} ({error / margin * definition.margin:.0%})"
    return f"{error:.3g}"


def _span(weeks: float, points: int) -> str:
    if points == 1:
        return "1 window"
    whole = round(weeks)
    if whole >= 2:
        return f"the last {whole} weeks"
    days = round(weeks * 7)
    return f"the last {days} days" if days >= 2 else f"the last {points} windows"
