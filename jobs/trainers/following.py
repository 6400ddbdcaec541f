"""Reads metrics.jsonl while it grows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, NoReturn

from jobs.trainers.contract import METRICS, BadResult

LONGEST_LINE: Final = 1 << 20
AT_ONCE: Final = 1 << 22


class MetricsFile:
    """New whole lines at each `read`. The file may be shortened by a trainer that resumes; then it is read on from
    there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS
        self._offset = 0
        self._line = 0

    def read(self, *, last: bool = False) -> list[dict[str, Any]]:
        """Raises `BadResult` naming the line that is no such object. `last`: no more comes, so half a line is one."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return []
        if size < self._offset:
            self._offset = size
            with self._path.open("rb") as file:
                self._line = sum(1 for _ in file)
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read(AT_ONCE)
        whole, newline, rest = content.rpartition(b"\n")
        if len(rest) > LONGEST_LINE or (last and rest):
            self._refuse(self._line + whole.count(b"\n") + bool(newline) + 1, rest, "is cut off")
        self._offset += len(whole) + len(newline)
        found = []
        for line in whole.split(b"\n") if newline else ():
            self._line += 1
            found.append(self._point(line))
        return found

    def skip(self) -> None:
        """Begin behind what is there already: an earlier attempt told of it. Half a line at its end is cut."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        self._offset = content.rfind(b"\n") + 1
        self._line = content.count(b"\n")
        if self._offset < len(content):
            os.truncate(self._path, self._offset)

    def _point(self, line: bytes) -> dict[str, Any]:
        try:
            point = json.loads(line)
        except (ValueError, RecursionError):
            self._refuse(self._line, line, "is not JSON")
        if not isinstance(point, dict) or not isinstance(point.get("metrics"), dict):
            self._refuse(self._line, line, 'is not an object with "step" and "metrics"')
        for name in ("step", "epoch", *(f"metrics.{one}" for one in point["metrics"])):
            value = point["metrics"][name[8:]] if name.startswith("metrics.") else point.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._refuse(self._line, line, f"has no number for {name}")
        if not isinstance(point.get("step"), int):
            self._refuse(self._line, line, "has no whole number for step")
        return dict(point)

    def _refuse(self, number: int, line: bytes, why: str) -> NoReturn:
        shown = line[:80].decode(errors="replace")
        raise BadResult(f"{METRICS} line {number} {why}: {shown!r}")
