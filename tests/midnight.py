"""The day in which a test runs: a run that goes on past midnight UTC must not take yesterday for today."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

# A test that would begin so shortly before midnight begins after it: its rows and the job that reads them would
# otherwise see different days.
TOO_LATE: Final = timedelta(seconds=45)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


_day = _midnight(datetime.now(UTC))


def begin() -> None:
    """Settle on the day of the test that begins now."""
    global _day
    now = datetime.now(UTC)
    left = _midnight(now) + timedelta(days=1) - now
    if left < TOO_LATE:
        time.sleep(left.total_seconds() + 0.1)
    _day = _midnight(datetime.now(UTC))


def today() -> datetime:
    """Midnight UTC with which the day of the running test began."""
    return _day
