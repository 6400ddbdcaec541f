"""Processes of one run, found in /proc: by group, by descent, and by the mark in their environment.

A launcher such as torchrun starts its workers in sessions of their own, so the group alone would not be all of them.
Where there is no /proc (macOS), the group is all that is known.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

MARK: Final = "WARRANT_TRAINING_FOLDER"
_PROC: Final = Path("/proc")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A process that cannot be mistaken for a later one with its number: `started` is in ticks since boot."""

    pid: int
    started: int


class _Row(NamedTuple):
    process: Process
    parent: int
    group: int
    zombie: bool


def started(pid: int) -> int | None:
    """When the process began, in ticks since boot; None when there is none, or no /proc."""
    row = _row(pid)
    return None if row is None or row.zombie else row.process.started


def members(leader: int, mark: str) -> list[Process]:
    """Living processes of the leader's group, its descendants, and those whose environment carries the mark."""
    rows = [row for row in map(_row, _pids()) if row is not None]
    taken = {leader} | {row.process.pid for row in rows if row.group == leader}
    grew = True
    while grew:
        found = {row.process.pid for row in rows if row.parent in taken} | taken
        grew, taken = len(found) > len(taken), found
    wanted = f"{MARK}={mark}".encode()
    return [
        row.process
        for row in rows
        if not row.zombie
        and row.process.pid != os.getpid()
        and (row.process.pid in taken or _carries(row.process.pid, wanted))
    ]


def marked(mark: str) -> list[Process]:
    """Living processes whose environment carries the mark: what an earlier supervisor left behind."""
    return members(-1, mark)


def resident_mb(processes: Iterable[Process]) -> float:
    """Their resident memory together, in MiB; pages that they share count for each."""
    pages = 0
    for process in processes:
        with suppress(OSError, ValueError, IndexError):
            pages += int((_PROC / str(process.pid) / "statm").read_text().split()[1])
    return pages * _PAGE / (1 << 20)


def processor_s(pid: int) -> float:
    """Seconds of a processor that it has used; 0 where that is not known."""
    with suppress(OSError, IndexError, ValueError):
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal those that are still themselves."""
    for process in processes:
        if started(process.pid) == process.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)


def end(leader: int, mark: str, *, grace_s: float = 1.0, by_s: float = 4.0) -> bool:
    """TERM, then KILL to the whole group and every stray until none lives. False: some outlived `by_s` seconds."""
    begun = time.monotonic()
    if not _PROC.is_dir():
        _signal_group(leader, signal.SIGTERM)
        time.sleep(grace_s)
        _signal_group(leader, signal.SIGKILL)
        return True
    strays = members(leader, mark)
    _signal_group(leader, signal.SIGTERM)
    send(strays, signal.SIGTERM)
    while time.monotonic() - begun < by_s:
        strays = members(leader, mark)
        if not strays:
            return True
        if time.monotonic() - begun > grace_s:
            _signal_group(leader, signal.SIGKILL)
            send(strays, signal.SIGKILL)
        time.sleep(0.05)
    return not members(leader, mark)


def _signal_group(leader: int, number: signal.Signals) -> None:
    if leader > 1:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)


def _pids() -> Iterable[int]:
    if not _PROC.is_dir():
        return []
    return [int(path.name) for path in _PROC.iterdir() if path.name.isdigit()]


def _row(pid: int) -> _Row | None:
    """From /proc/PID/stat; the name may hold spaces and brackets, so the rest begins behind the last one."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return _Row(Process(pid, int(fields[19])), int(fields[1]), int(fields[2]), fields[0] in "ZX")
    except (OSError, IndexError, ValueError):
        return None


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        return wanted in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
