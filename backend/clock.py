"""The one place that reads the wall clock; every time in Warrant is UTC-aware."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, UTC-aware, with microseconds."""
    return datetime.now(UTC)


def to_iso(moment: datetime) -> str:
    """`2026-03-01T09:05:00.000000Z`: fixed width, so that text order is time order."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone reached the record: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_words(moment: datetime) -> str:
    """`2026-11-22 23:55:03 UTC`: a time on a record, the same for whoever reads it."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone cannot be shown: {moment!r}")
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def from_iso(text: str) -> datetime:
    """Parse ISO 8601. A time without a zone raises `ValueError`: guessing one would corrupt a record."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; write it as 2026-03-01T09:05:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"the time {text!r} lies before the year 1 or after 9999 in UTC") from error
