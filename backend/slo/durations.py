"""OpenSLO's durations: a whole number and one letter, such as 5m, 12h, 4w, 1M."""

from __future__ import annotations

import re
from typing import Final

from backend.errors import BadInput

SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHAPE: Final = re.compile(r"([1-9]\d{0,5})([mhdwMQY])")


def read_duration(text: str) -> tuple[int, str]:
    """Number and unit: `12h` is (12, "h"). Raises `BadInput` for anything else."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise BadInput(f"{text!r} is no duration; write a number and one of m, h, d, w, M, Q, Y, such as 30d")
    return int(found[1]), found[2]


def seconds_of(text: str) -> int:
    """The length of a duration that has one; months, quarters and years have none."""
    count, unit = read_duration(text)
    if unit not in SECONDS:
        raise BadInput(f"{text!r} has no fixed length; write it in d, h or m")
    return count * SECONDS[unit]


def write_duration(seconds: int) -> str:
    """The shortest way to write a length: 5400 is 90m, 604800 is 7d. Weeks are written as days, as people do."""
    for unit in ("d", "h", "m"):
        if seconds % SECONDS[unit] == 0:
            return f"{seconds // SECONDS[unit]}{unit}"
    return f"{seconds}s"
