"""Days on which a model used far more than it usually does.

A day is compared with the 28 before it: it stands out where it lies above the median by `SPREADS` robust standard
deviations (1.4826 times the median absolute deviation, which estimates the standard deviation of a normal law), is at
least twice the median, and more than it by an amount that matters at all. With less than a week of history nothing is
said: whoever has just begun has no usual day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from backend.costs.kinds import GROUPS

DAYS_BEFORE: Final = 28
LEAST_DAYS: Final = 7
SPREADS: Final = 6.0
MAD_TO_DEVIATION: Final = 1.4826
_WORDS: Final = {
    "compute": "compute",
    "gpu": "GPU",
    "storage": "storage added",
    "requests": "requests",
}
# Of storage it is what was added in the day.
LEAST_EXCESS: Final = {"compute": 1.0, "gpu": 1.0, "storage": 1.0, "requests": 1.0}  # hours, GB


@dataclass(frozen=True)
class Anomaly:
    """One day that stands out, in the unit of its group."""

    model: str
    group: str
    day: datetime
    amount: float
    usual: float
    days_before: int

    @property
    def text(self) -> str:
        what, unit = _WORDS[self.group], GROUPS[self.group][1]
        return (
            f"{self.model or 'Warrant itself'}: {self.amount:,.1f} {unit} of {what} on {self.day:%Y-%m-%d}; "
            f"on the {self.days_before} days before it was {self.usual:,.1f} {unit} in the middle"
        )


def stands_out(amount: float, before: Sequence[float], *, least_excess: float) -> bool:
    """Whether a day's amount is far above the days before it, the oldest first."""
    if len(before) < LEAST_DAYS:
        return False
    usual = median(before)
    spread = MAD_TO_DEVIATION * median(abs(one - usual) for one in before)
    return amount > usual + SPREADS * spread and amount >= 2 * usual and amount - usual >= least_excess


def anomalies_of(
    daily: Mapping[tuple[str, str], Mapping[datetime, float]],
    *,
    first: Mapping[str, datetime],
    days: Sequence[datetime],
) -> list[Anomaly]:
    """What stands out among `days`, which are over. `daily` is the amount by (model, group) and day; a day since
    `first`, when something of the model was first counted, that is not in it was 0. Storage is what was held; its
    growth is judged."""
    found = []
    for (model, group), amounts in sorted(daily.items()):
        if group not in LEAST_EXCESS:
            continue
        series = _growth(amounts) if group == "storage" else amounts
        begins = first[model]
        if group == "storage":
            begins = max(begins, min(amounts, default=begins) + timedelta(days=1))
        for day in days:
            back = min(DAYS_BEFORE, (day - begins).days)
            before = [series.get(day - timedelta(days=n), 0.0) for n in range(back, 0, -1)]
            amount = series.get(day, 0.0)
            if stands_out(amount, before, least_excess=LEAST_EXCESS[group]):
                found.append(Anomaly(model, group, day, amount, median(before), back))
    return sorted(found, key=lambda one: one.day, reverse=True)


def _growth(held: Mapping[datetime, float]) -> dict[datetime, float]:
    """What was added on each day whose day before was measured, too."""
    return {
        day: size - held[day - timedelta(days=1)]
        for day, size in held.items()
        if day - timedelta(days=1) in held
    }
