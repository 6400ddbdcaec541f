"""What is wrong or remarkable about objectives as they are written: where, how bad, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
"""error: not taken. warning: taken, and most likely not what is meant. note: worth knowing."""


@dataclass(frozen=True, order=True)
class Place:
    """Where in a file something stands; line and column from 1."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, order=True)
class Finding:
    """One thing about one objective, or about a file."""

    place: Place
    level: Level
    rule: str  # a short stable name, such as row-never-fires
    text: str
    objective: str = ""

    def as_dict(self) -> dict[str, str | int]:
        return {
            "file": self.place.file, "line": self.place.line, "column": self.place.column, "level": self.level,
            "rule": self.rule, "text": self.text, "objective": self.objective,
        }  # fmt: skip
