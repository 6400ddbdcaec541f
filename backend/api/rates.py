"""How many requests the API takes from one address, and from one person or service account.

A bucket each holds as many requests as are allowed in a minute and fills as evenly. Each console counts by itself: two
of them allow twice as many. What is counted is kept in memory alone, the newest `MOST_KEPT` callers.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from backend.errors import TooMany
from backend.settings import settings

MOST_KEPT: Final = 20_000
ADDRESS_SHARE: Final = 5
"""An address may ask so many times as often as one caller: several work behind it."""


class TooManyRequests(TooMany):
    """The caller asks faster than `WARRANT_API_REQUESTS_PER_MIN` allows."""

    def __init__(self, who: str, per_min: int, retry_after_s: int) -> None:
        super().__init__(
            f"more than {per_min:,} requests a minute from {who}; ask again in {retry_after_s} s, and less often",
            retry_after_s=retry_after_s,
        )


class Buckets:
    """Requests that each caller still has. `clock`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, per_min: int) -> int:
        """0 where the request is allowed; otherwise in how many seconds the next one is."""
        now = self._clock()
        with self._lock:
            left, at = self._left.pop(key, (float(per_min), now))
            left = min(float(per_min), left + (now - at) * per_min / 60)
            allowed = left >= 1
            self._left[key] = (left - 1 if allowed else left, now)
            while len(self._left) > MOST_KEPT:
                self._left.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - left) * 60 / per_min))


def take_as(buckets: Buckets | None, person_id: str) -> None:
    """Count a request of somebody who is known by now. Raises `TooManyRequests`."""
    per_min = settings().api_requests_per_min
    if buckets is None or not per_min:
        return
    wait_s = buckets.take(f"person {person_id}", per_min)
    if wait_s:
        raise TooManyRequests("this account", per_min, wait_s)
