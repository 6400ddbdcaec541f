"""Slots of time in which events are counted, and how long ones are made of short ones.

A slot is named by the second (since 1970) at which it begins and by its length. Lengths grow with age, so that a month
is some hundred rows; a window reaches back to the beginning of the slot in which it begins, which widens a window of up
to two hours by nothing, one of a day by less than five minutes, and a longer one by less than an hour. Slots of an hour
begin on the hour of UTC; where a calendar period begins on another minute of it (+05:30), they stay at five minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from backend.slo.burn_rates import Counts

MINUTE, FIVE, HOUR = 60, 300, 3600
# How long slots of a length are kept before they are added up to the next one. The first covers the longest window that
# is judged to the minute (two hours) with room for readings that come late.
AGES: Final = ((3 * HOUR, FIVE), (27 * HOUR, HOUR))


@dataclass(frozen=True)
class Slot:
    """Counts of [start_s, start_s + length_s). `excluded`: a maintenance window lay over what was counted in it, and
    `counts.excluded_s` says for how long."""

    start_s: int
    length_s: int
    counts: Counts
    excluded: bool = False

    @property
    def end_s(self) -> int:
        return self.start_s + self.length_s


def floor_to(second: float, length_s: int) -> int:
    """The beginning of the slot of this length around a second."""
    return int(second // length_s) * length_s


def sum_window(slots: Iterable[Slot], *, start_s: float, end_s: float) -> Counts:
    """The counts of a window: every slot that ends after its start and not after its end.

    A slot in maintenance gives its time to `excluded_s` and nothing else.
    """
    good = total = observed = excluded = 0.0
    for slot in slots:
        if start_s < slot.end_s <= end_s:
            excluded += slot.counts.excluded_s
            if not slot.excluded:
                good += slot.counts.good
                total += slot.counts.total
                observed += slot.counts.observed_s
    return Counts(good, total, observed, excluded)


def length_at(age_s: float, *, hourly: bool = True) -> int:
    """The length of slots that ended `age_s` seconds ago. `hourly`: whether they may be as long as an hour."""
    length = MINUTE
    for age, longer in AGES:
        if age_s >= age and (longer < HOUR or hourly):
            length = longer
    return length


def compact(slots: Sequence[Slot], *, now_s: float, hourly: bool = True) -> list[Slot]:
    """The same counts in as few slots as their age asks for; slots in maintenance stay apart from the others.

    A longer slot is made once all of it is old enough, so it never grows again.
    """
    merged: dict[tuple[int, int, bool], Counts] = {}
    for slot in slots:
        key = (slot.start_s, slot.length_s, slot.excluded)
        for age, longer in AGES:
            start = floor_to(slot.start_s, longer)
            if slot.length_s < longer and now_s - (start + longer) >= age and (longer < HOUR or hourly):
                key = (start, longer, slot.excluded)
        merged[key] = merged.get(key, Counts()) + slot.counts
    return [Slot(start, length, counts, excluded) for (start, length, excluded), counts in merged.items()]
