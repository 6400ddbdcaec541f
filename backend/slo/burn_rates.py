"""From event counts in windows to what becomes of an error budget: exact arithmetic, no clock and no database.

Google SRE Workbook, chapter 5: a row fires when error(long) > f·(1−T) and error(short) > f·(1−T), strictly, with
error(w) = bad(w)/total(w) over the events of the window. 0/0 is no data: it neither fires nor resolves. Counts and
thresholds are compared as fractions, so that an error rate which equals its threshold does not fire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from backend.slo.objectives import AlertRow


@dataclass(frozen=True)
class Counts:
    """Events of a span of time. Counts of spans without overlap add up to the counts of all of them.

    observed_s   seconds of the span in which the source was seen
    excluded_s   seconds of it that a maintenance window took out; their events are not in `good` and `total`
    """

    good: float = 0.0
    total: float = 0.0
    observed_s: float = 0.0
    excluded_s: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.good + other.good, self.total + other.total,
            self.observed_s + other.observed_s, self.excluded_s + other.excluded_s,
        )  # fmt: skip

    @property
    def bad(self) -> Fraction:
        return Fraction(self.total) - Fraction(self.good)

    @property
    def error(self) -> Fraction | None:
        """bad/total, exact; None where there was no event."""
        return self.bad / Fraction(self.total) if self.total > 0 else None


class RowState(StrEnum):
    FIRES = "fires"
    OK = "ok"
    TOO_FEW = "too_few"  # it would fire, on too few events to say so
    NO_DATA = "no_data"


class State(StrEnum):
    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data"


@dataclass(frozen=True)
class Row:
    """One pair of windows of an objective, for a period of known length.

    factor     how many times faster than its period allows the budget may burn
    threshold  factor·(1−T), the error rate above which it fires; with 1 or more it can never fire
    """

    severity: str  # page | ticket
    long_s: int
    short_s: int
    factor: Fraction
    threshold: Fraction


def exact_rows(rows: Iterable[AlertRow], *, target: Decimal, period_s: int) -> tuple[Row, ...]:
    """The rows of an objective as fractions: factor = share of the budget · period / long window.

    `objectives.alert_rows` writes the same numbers as decimals, in which 0.9333… is rounded; an error rate that
    equals such a threshold must not fire.
    """
    budget = 1 - Fraction(target)
    found = []
    for row in rows:
        if row.budget_share is not None:
            factor = Fraction(row.budget_share) * period_s / row.long_s
        else:
            factor = Fraction(row.factor or 0)
        found.append(Row(row.severity, row.long_s, row.short_s, factor, factor * budget))
    return tuple(found)


@dataclass(frozen=True)
class JudgedRow:
    """What one row says now; the windows it was judged by stand beside it."""

    row: Row
    state: RowState
    long: Counts
    short: Counts


def judge_row(row: Row, long: Counts, short: Counts, *, least_events: float = 0) -> JudgedRow:
    """Three-valued: not above in one window is `ok` whatever the other says, and unknown else where one is unknown.

    least_events  events the long window needs before it may fire; with fewer it is `too_few`
    """
    above = [None if counts.error is None else counts.error > row.threshold for counts in (long, short)]
    if False in above:
        state = RowState.OK
    elif None in above:
        state = RowState.NO_DATA
    elif long.total < least_events:
        state = RowState.TOO_FEW
    else:
        state = RowState.FIRES
    return JudgedRow(row, state, long, short)


@dataclass(frozen=True)
class Allowance:
    """A budget in bad events: `used` of the `so_far` that the events so far allow.

    whole        what the whole period allows: of one that rolls the same; of one of the calendar that is not over a
                 forecast, by the events that came so far in the time that has passed
    is_forecast  whether `whole` is one
    """

    used: float
    so_far: float
    whole: float
    is_forecast: bool

    @property
    def is_spent(self) -> bool:
        """Whether more is used than the whole period allows, as far as that can be said."""
        return self.used > self.whole


@dataclass(frozen=True)
class Budget:
    """An error budget over its period.

    remaining    1 − error(period)/(1−T): 1 untouched, 0 gone, negative overspent, never clamped; None without events
    burn         how many times faster than allowed it burns over `burn_window_s`; None without events there
    exhausted_in how long it lasts at that burn: remaining·period/burn; zero where it is gone, None where it does not
                 burn or nothing is known
    left_s       seconds to the end of a calendar period, after which the budget is whole again; None where it rolls
    """

    period: Counts
    period_s: float
    remaining: Fraction | None
    burn: Fraction | None
    burn_window_s: int
    exhausted_in: timedelta | None
    left_s: float | None = None

    def allowance(self, target: Fraction) -> Allowance | None:
        """What the budget comes to in events; None where nothing was counted."""
        if self.period.total <= 0:
            return None
        allowed = (1 - target) * Fraction(self.period.total)
        ahead = self.left_s or 0.0
        passed_s = self.period_s - ahead
        whole = allowed * Fraction(self.period_s) / Fraction(passed_s) if passed_s > 0 else allowed
        return Allowance(float(self.period.bad), float(allowed), float(whole), is_forecast=ahead > 0)

    @property
    def outlasts(self) -> bool:
        """Whether it is gone, at its burn, only after its period."""
        limit = self.period_s if self.left_s is None else self.left_s
        return self.exhausted_in is not None and self.exhausted_in.total_seconds() > limit


LONGEST: Final = timedelta(days=36_500)


def judge_budget(
    target: Fraction, period: Counts, *, period_s: float, recent: Counts, recent_s: int,
    left_s: float | None = None,
) -> Budget:  # fmt: skip
    """The budget of a period of `period_s` seconds, and its forecast from the events of the last `recent_s`."""
    allowed = 1 - target
    remaining = None if period.error is None else 1 - period.error / allowed
    burn = None if recent.error is None else recent.error / allowed
    lasts = time_to_exhaustion(remaining, burn, period_s)
    return Budget(period, period_s, remaining, burn, recent_s, lasts, left_s)


def time_to_exhaustion(
    remaining: Fraction | None, burn: Fraction | None, period_s: float
) -> timedelta | None:
    """remaining·period/burn. Zero when nothing remains; None when it does not burn or nothing is known."""
    if remaining is None:
        return None
    if remaining <= 0:
        return timedelta()
    if burn is None or burn <= 0:
        return None
    seconds = float(remaining * Fraction(period_s) / burn)
    return LONGEST if seconds >= LONGEST.total_seconds() else timedelta(seconds=seconds)


def judge_objective(rows: Sequence[JudgedRow], budget: Budget) -> State:
    """`breach` while a row fires or the budget is overspent; `no_data` while nothing can be said; else `ok`.

    A row that can never fire says `ok` about any error rate, so it makes nothing `ok` while there is another. Nor does
    a long row that remembers good hours while the shortest row has no data: nothing is known of the present then.
    """
    if any(one.state is RowState.FIRES for one in rows):
        return State.BREACH
    if budget.remaining is not None and budget.remaining < 0:
        return State.BREACH
    if not rows:
        return State.NO_DATA if budget.remaining is None else State.OK
    live = _live(rows)
    if all(one.state is RowState.NO_DATA for one in _shortest(live)):
        return State.NO_DATA
    if any(one.state is RowState.OK for one in live):
        return State.OK
    return State.NO_DATA


def is_quiet(rows: Sequence[JudgedRow]) -> bool:
    """Whether the shortest row is without data only because nothing came: its source was seen, and counted no event."""
    short = _shortest(_live(rows))
    return bool(short) and all(
        one.state is RowState.NO_DATA
        and all(counts.observed_s > 0 for counts in (one.long, one.short) if counts.total <= 0)
        for one in short
    )


def _live(rows: Sequence[JudgedRow]) -> list[JudgedRow]:
    """Those that can fire, where there are any."""
    return [one for one in rows if one.row.threshold < 1] or list(rows)


def _shortest(rows: Sequence[JudgedRow]) -> list[JudgedRow]:
    shortest = min((one.row.long_s for one in rows), default=0)
    return [one for one in rows if one.row.long_s == shortest]
