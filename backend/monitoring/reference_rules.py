"""What a window is compared with, from stored profiles alone: no raw row is read again when the rule changes.

    fixed     the version's reference data
    rolling   the profiles of the `length` that ends `offset` before the window starts, merged
    previous  the window before
    seasonal  windows of the same hour, weekday or hour of the week within the `length` before it, merged

All profiles lie on the grids frozen from the version's reference, so they add up and compare whatever the rule.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from backend.monitoring.columns import ReferenceRule
from backend.monitoring.profiles import Profile, merge_all
from backend.monitoring.statistics import statistics_for
from backend.monitoring.thresholds import Noise
from backend.monitoring.windows import Window, season_of

Profiles = Mapping[str, Profile]
NOISE_WINDOWS = 100
PREVIOUS_KEPT = timedelta(days=62)
"""How far back the rule `previous` looks for a window with enough rows."""


@dataclass(frozen=True)
class Counted:
    """A window with the profiles of its columns."""

    window: Window
    profiles: Profiles

    @property
    def rows(self) -> int:
        return max((profile.rows for profile in self.profiles.values()), default=0)


@dataclass(frozen=True)
class Chosen:
    """The reference of one window. `profiles` is empty where the rule finds nothing, and `reason` says so."""

    profiles: Profiles
    windows: int
    reason: str | None = None


def look_back(rule: ReferenceRule, start: datetime) -> tuple[datetime, datetime]:
    """Since when and until when windows may be the reference of one that starts at `start`."""
    until = start - timedelta(seconds=rule.offset_s)
    kept = PREVIOUS_KEPT if rule.kind == "previous" else timedelta(seconds=rule.length_s)
    return until - kept, until


def choose_reference(
    rule: ReferenceRule,
    fixed: Profiles,
    past: Sequence[Counted],
    window: Window,
    *,
    timezone: str,
    min_rows: int,
) -> Chosen:
    """The profiles that `window` is compared with.

    past   windows in order of time; those that do not end before the window starts (less the rule's offset) are
           left out, and so are those with fewer than `min_rows` rows
    """
    if rule.kind == "fixed":
        return Chosen(fixed, 0)
    since, until = look_back(rule, window.start)
    first, last = (bisect_left(past, edge, key=lambda one: one.window.start) for edge in (since, until))
    before = (one for one in reversed(past[first:last]) if one.window.end <= until and one.rows >= min_rows)
    if rule.kind == "previous":
        found = list(islice(before, 1))
        wanted = "windows before this one"
    else:
        found = list(before)[::-1]
        wanted = f"windows between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} UTC"
        if rule.kind == "seasonal":
            season = season_of(window.start, rule.season, timezone)
            found = [one for one in found if season_of(one.window.start, rule.season, timezone) == season]
            wanted += f" of the same {rule.season.replace('_', ' ')}"
    if not found:
        return Chosen({}, 0, f"there are no {wanted} with at least {min_rows} rows")
    merged = {
        name: merge_all([one.profiles[name] for one in found if name in one.profiles], profile.grid)
        for name, profile in fixed.items()
    }
    return Chosen(merged, len(found))


def rule_noise(
    rule: ReferenceRule, fixed: Profiles, own: Sequence[Counted], *, timezone: str, min_rows: int
) -> Noise:
    """What the statistics show between the reference's own windows when they are compared by the rule itself.

    Of many windows, 100 spread evenly over time tell it: an hour's noise does not need every hour.
    """
    values: dict[tuple[str, str], tuple[float, ...]] = {}
    enough = [place for place, one in enumerate(own) if one.rows >= min_rows]
    for place in enough[:: max(len(enough) // NOISE_WINDOWS, 1)]:
        one = own[place]
        chosen = choose_reference(
            rule, fixed, own[:place], one.window, timezone=timezone, min_rows=min_rows
        ).profiles
        for name, profile in chosen.items():
            for statistic in statistics_for(profile.grid.kind):
                value = statistic.compute(profile, one.profiles[name]).value
                if value is not None:
                    key = (name, statistic.name)
                    values[key] = (*values.get(key, ()), value)
    return values
