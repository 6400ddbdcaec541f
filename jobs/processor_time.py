"""Processor time of a job: of its thread, and of the processes that it started and waited for."""

from __future__ import annotations

import threading
import time

_others = threading.local()


def used_s() -> float:
    """Seconds of this thread so far; what a job took is a difference of two."""
    return time.thread_time() + float(getattr(_others, "seconds", 0.0))


def add(seconds: float) -> None:
    """What a process took that this thread started."""
    _others.seconds = getattr(_others, "seconds", 0.0) + seconds
