"""Ranges of time as pages show them and addresses name them: `?range=28d`, or `?from=…&to=…`, and `&compare=before`.

An address holds UTC. Only what somebody reads or writes is in their own zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.formats import NARROW, format_age, format_when, zone

PRESETS: Final[Mapping[str, timedelta]] = {
    "15m": timedelta(minutes=15), "1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1),
    "2d": timedelta(days=2), "1w": timedelta(weeks=1), "28d": timedelta(days=28), "1mo": timedelta(days=30),
    "3mo": timedelta(days=90), "1y": timedelta(days=365), "3y": timedelta(days=3 * 365),
}  # fmt: skip
"""A month is 30 days and a day 24 hours, so that a range is as long in one zone as in another."""
WORDS: Final = {"15m": f"15{NARROW}min"} | {
    name: f"{name.rstrip('hdwmoy')}{NARROW}{name.lstrip('0123456789')}" for name in PRESETS if name != "15m"
}
ABOUT_PERFORMANCE, ABOUT_INCIDENTS = "28d", "4h"
BEFORE, WEEK_BEFORE = "before", "week"
COMPARISONS: Final = {BEFORE: "the range before", WEEK_BEFORE: "the same a week earlier"}
NAMES: Final = ("range", "from", "to", "compare")
"""The parameters of an address that are about time."""
LONGEST: Final = timedelta(days=50 * 365)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NoSuchRange(ValueError):
    """An address asks for a range that there is not; its text says why, as a clause."""


@dataclass(frozen=True)
class Span:
    """From `since` (UTC-aware) on, up to `until`, which is not part of it."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    def holds(self, moment: datetime) -> bool:
        return self.since <= moment < self.until

    def earlier(self, by: str) -> Span:
        """The same length, right before it or a week earlier."""
        step = self.length if by == BEFORE else timedelta(weeks=1)
        return Span(self.since - step, self.until - step)


@dataclass(frozen=True)
class Range:
    """What somebody chose: the name of one of `PRESETS`, or a span."""

    preset: str | None = None
    span: Span | None = None

    def about(self, moment: datetime, *, up_to: datetime | None = None) -> Span:
        """Where it lies: a span where it is; a preset ends with `moment`, or, with `up_to`, has it in its middle and
        ends at `up_to` at the latest."""
        if self.span is not None:
            return self.span
        length = PRESETS[self.preset or ABOUT_PERFORMANCE]
        if up_to is None:
            return ending(moment, length)
        return ending(min(moment + length / 2, up_to), length)

    def address(self) -> dict[str, str]:
        """The parameters that name it."""
        if self.span is None:
            return {"range": str(self.preset)}
        return {"from": to_address(self.span.since), "to": to_address(self.span.until)}


def ending(moment: datetime, length: timedelta) -> Span:
    """`length` up to `moment`, rounded up to where a long range moves on only now and then: what is read and drawn of
    it is the same for a while."""
    step = 3600 if length >= timedelta(days=28) else 900 if length >= timedelta(days=1) else 60
    seconds = -(-int(moment.timestamp() + (moment.microsecond > 0)) // step) * step
    until = datetime.fromtimestamp(seconds, UTC)
    return Span(until - length, until)


def to_address(moment: datetime) -> str:
    """`2026-03-01T09:05Z`, with seconds only where there are any."""
    found = moment.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%SZ" if found.second else "%Y-%m-%dT%H:%MZ")


def read_range(query: Mapping[str, str]) -> Range | None:
    """The range that an address names; None where it names none. Raises `NoSuchRange`."""
    preset, since, until = (query.get(name) for name in ("range", "from", "to"))
    if preset is not None and (since is not None or until is not None):
        raise NoSuchRange("names a range and a beginning or an end at once")
    if preset is not None:
        if preset not in PRESETS:
            raise NoSuchRange(f"asks for the range {_quoted(preset)}, which is none of {', '.join(PRESETS)}")
        return Range(preset=preset)
    if since is None and until is None:
        return None
    if since is None or until is None:
        raise NoSuchRange("names only one end of a range; it needs from and to")
    return Range(span=_span(_moment("from", since), _moment("to", until)))


def read_comparison(query: Mapping[str, str]) -> str | None:
    """What the range is compared with; None: nothing. Raises `NoSuchRange`."""
    wanted = query.get("compare")
    if wanted is not None and wanted not in COMPARISONS:
        raise NoSuchRange(
            f"asks to compare with {_quoted(wanted)}, which is neither {' nor '.join(COMPARISONS)}"
        )
    return wanted


def _span(since: datetime, until: datetime) -> Span:
    if until <= since:
        raise NoSuchRange("asks for a range that ends before it begins")
    if since < EARLIEST:
        raise NoSuchRange("asks for a range that begins before 1970")
    if until - since > LONGEST:
        raise NoSuchRange("asks for a range of more than 50 years")
    return Span(since, until)


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise NoSuchRange(
        f"has {_quoted(text)} for {name}, which is no time with its zone such as 2026-03-01T09:05Z"
    )


def _quoted(text: str) -> str:
    return f"“{text[:40]}{'…' if len(text) > 40 else ''}”"


def chosen_between(since: datetime, until: datetime) -> Range:
    """The range between two moments that somebody wrote. Raises `NoSuchRange`."""
    return Range(span=_span(since, until))


def from_wall(wall: datetime, tz: str | None, *, end: bool = False) -> tuple[datetime, str]:
    """The moment at which clocks of a zone show `wall` (without a zone), and what has to be said about it.

    Where clocks go back an hour is there twice: a beginning is the first of them and an `end` the second, so that the
    range has both. Where they go forward an hour is left out: a time in it is taken as the clocks had not moved.
    """
    here = zone(tz)
    first, second = (wall.replace(tzinfo=here, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first, ""
    shown = f"{wall:%H:%M} on {wall.day} {wall:%b %Y}"
    if first.astimezone(here).replace(tzinfo=None) != wall:
        return first, f"{shown} was left out where clocks went forward; taken as {format_when(first, tz)}"
    found = second if end else first
    return found, f"{shown} was there twice, as clocks went back; taken as {format_when(found, tz)}"


def to_wall(moment: datetime, tz: str | None) -> datetime:
    """What clocks of a zone show, without the zone."""
    return moment.astimezone(zone(tz)).replace(tzinfo=None)


def span_words(span: Span, tz: str | None) -> str:
    """`Mon 2 Mar 2026, 09:05 CET to Tue 3 Mar 2026, 09:05 CET`."""
    return f"{format_when(span.since, tz)} to {format_when(span.until, tz)}"


def length_words(found: Range) -> str:
    """`28 d`, or of a span its length."""
    return WORDS[found.preset] if found.preset else format_age(found.span.length if found.span else None)


def widened(newest: datetime, now: datetime, usual: str) -> Range:
    """The shortest preset up to now, no shorter than `usual`, that has `newest`; without one a span that ends with
    it."""
    for name, length in PRESETS.items():
        if length >= PRESETS[usual] and ending(now, length).holds(newest):
            return Range(preset=name)
    return Range(span=ending(newest + timedelta(seconds=1), PRESETS[usual]))
