"""Reads metrics.jsonl while it grows."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from jobs.trainers.contract import METRICS, BadResult, is_finite, open_plain

LONGEST_LINE: Final = 1 << 20
AT_ONCE: Final = 1 << 22
MOST_METRICS: Final = 200
LONGEST_NAME: Final = 100
KEPT: Final = ("step", "steps", "epoch", "time")  # of a line, beside its metrics


class MetricsFile:
    """New whole lines at each `read`. A trainer that resumes may leave out lines, in a new file or by shortening this
    one; then it is read on from the first line that was not told."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS
        self._inode = -1
        self._offset = 0
        self._told: list[int] = []  # a checksum of each line up to the offset

    def read(self, *, last: bool = False) -> list[dict[str, Any]]:
        """At most `AT_ONCE` bytes of them. Raises `BadResult` naming the line that is no such object.

        `last`: no more is written, so half a line is one; read until nothing comes.
        Of a line its known fields are taken; a metric that is NaN or infinite, as of a loss that diverged, is left out.
        """
        try:
            file = open_plain(self._path)
        except OSError:
            return []
        with file:
            state = os.fstat(file.fileno())
            if state.st_ino != self._inode or state.st_size < self._offset:
                self._find_place(file, state.st_ino)
            file.seek(self._offset)
            content = file.read(AT_ONCE)
        whole, newline, rest = content.rpartition(b"\n")
        whole_file = len(content) < AT_ONCE
        if len(rest) > LONGEST_LINE or (last and whole_file and rest):
            self._refuse(len(self._told) + whole.count(b"\n") + bool(newline) + 1, rest, "is cut off")
        self._offset += len(whole) + len(newline)
        found = []
        for line in whole.split(b"\n") if newline else ():
            self._told.append(zlib.crc32(line))
            found.append(self._point(line))
        return found

    def skip(self) -> None:
        """Begin behind what is there already: an earlier attempt told of it. Half a line at its end is cut."""
        try:
            with open_plain(self._path) as file:
                content, self._inode = file.read(), os.fstat(file.fileno()).st_ino
        except OSError:
            return
        whole, newline, rest = content.rpartition(b"\n")
        self._offset = len(whole) + len(newline)
        self._told = [zlib.crc32(line) for line in whole.split(b"\n")] if newline else []
        if rest:
            os.truncate(self._path, self._offset)

    def _find_place(self, file: BinaryIO, inode: int) -> None:
        """Go behind the lines that this file has in common with what was told."""
        self._inode, told = inode, self._told
        self._offset, self._told = 0, []
        for before, line in zip(told, file, strict=False):
            if not line.endswith(b"\n") or zlib.crc32(line[:-1]) != before:
                break
            self._offset += len(line)
            self._told.append(before)

    def _point(self, line: bytes) -> dict[str, Any]:
        try:
            point = json.loads(line)
        except (ValueError, RecursionError):
            self._refuse(len(self._told), line, "is not JSON")
        if not isinstance(point, dict) or not isinstance(point.get("metrics"), dict):
            self._refuse(len(self._told), line, 'is not an object with "step" and "metrics"')
        for name in ("step", "epoch"):
            if not is_finite(point.get(name, 0)):
                self._refuse(len(self._told), line, f"has no number for {name}")
        if not isinstance(point.get("step"), int):
            self._refuse(len(self._told), line, "has no whole number for step")
        kept = {name: point[name] for name in KEPT if is_finite(point.get(name))}
        return kept | {"metrics": self._metrics(point["metrics"], line)}

    def _metrics(self, found: dict[str, Any], line: bytes) -> dict[str, float]:
        if len(found) > MOST_METRICS:
            self._refuse(len(self._told), line, f"has more than {MOST_METRICS} metrics")
        for name, value in found.items():
            if not name.isprintable() or len(name) > LONGEST_NAME:
                self._refuse(
                    len(self._told), line, f"has a metric whose name is no text of {LONGEST_NAME} characters"
                )
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._refuse(len(self._told), line, f"has no number for metrics.{name}")
        return {name: value for name, value in found.items() if is_finite(value)}

    def _refuse(self, number: int, line: bytes, why: str) -> NoReturn:
        shown = line[:80].decode(errors="replace")
        raise BadResult(f"{METRICS} line {number} {why}: {shown!r}")
