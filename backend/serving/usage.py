"""What a gateway process takes of its machine, minute by minute: CPU, how long it was held back, memory, a late loop.

Read from /proc and the process's control group (version 2, else 1). What the system does not tell is None, never 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from backend import clock

GROUPS: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")
PENDING: Final = 1440  # minutes that wait for the database; then the oldest go
_NO_LIMIT: Final = 1 << 60  # what version 1 says where there is none


@dataclass
class UsageMinute:
    """One minute of one process. seconds: how much of it was measured; throttled_s: held back by its CPU quota."""

    start: datetime
    seconds: float = 0.0
    cpu_s: float = 0.0
    throttled_s: float | None = None
    memory_bytes: int | None = None  # the most that was seen
    lag_s: float = 0.0  # the latest that the loop was


class UsageMeter:
    """Not thread-safe: the reporter's thread owns it. `note` is called about once a second."""

    def __init__(
        self,
        lag_s: Callable[[], float] = lambda: 0.0,
        *,
        groups: Path = GROUPS,
        proc: Path = PROC,
        cpu_s: Callable[[], float] = time.process_time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lag_s, self._groups, self._proc, self._cpu_s, self._ticks = lag_s, groups, proc, cpu_s, ticks
        self.began_at = clock.now()
        self.cores = _cores(groups)
        self.memory_limit_bytes = _memory_limit(groups, proc)
        self._last = (ticks(), cpu_s(), _throttled_s(groups))
        self._now: UsageMinute | None = None
        self._over: list[UsageMinute] = []

    def note(self) -> None:
        """Add what was used since the last call to the present minute."""
        start = clock.now().replace(second=0, microsecond=0)
        if self._now is None or self._now.start != start:
            if self._now is not None:
                self._over = [*self._over[1 - PENDING :], self._now]
            self._now = UsageMinute(start)
        before, self._last = self._last, (self._ticks(), self._cpu_s(), _throttled_s(self._groups))
        minute = self._now
        minute.seconds += self._last[0] - before[0]
        minute.cpu_s += self._last[1] - before[1]
        if self._last[2] is not None and before[2] is not None:
            minute.throttled_s = (minute.throttled_s or 0.0) + max(0.0, self._last[2] - before[2])
        memory = _memory(self._proc)
        if memory is not None:
            minute.memory_bytes = max(minute.memory_bytes or 0, memory)
        minute.lag_s = max(minute.lag_s, self._lag_s())

    def over(self) -> list[UsageMinute]:
        """Minutes that are over and were not forgotten yet."""
        return list(self._over)

    def forget(self, minutes: list[UsageMinute]) -> None:
        """They are written down."""
        self._over = [one for one in self._over if one not in minutes]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _throttled_s(groups: Path) -> float | None:
    for name, key, unit in (("cpu.stat", "throttled_usec", 1e6), ("cpu/cpu.stat", "throttled_time", 1e9)):
        for line in _text(groups / name).splitlines():
            if line.startswith(f"{key} "):
                return int(line.split()[1]) / unit
    return None


def _cores(groups: Path) -> float:
    """How many cores the process may use: its quota, else those it may run on."""
    quota, _, period = _text(groups / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(groups / "cpu/cpu.cfs_quota_us").strip()
        period = _text(groups / "cpu/cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _memory_limit(groups: Path, proc: Path) -> int | None:
    """What it may take: its limit, else the memory of the machine."""
    texts = (_text(groups / name).strip() for name in ("memory.max", "memory/memory.limit_in_bytes"))
    limits = [int(text) for text in texts if text.isdigit() and int(text) < _NO_LIMIT]
    lines = _text(proc / "meminfo").splitlines()
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    return min(limits, default=None)


def _memory(proc: Path) -> int | None:
    pages = _text(proc / "self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None
