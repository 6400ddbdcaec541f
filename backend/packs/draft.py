"""A pack while it is made: its files, what is missing or speaks against it, and what was left out on purpose."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from backend import clock
from backend.audit.formats.csv_rows import safe_cell

Level = Literal["high", "medium", "low"]
LEVELS: Final[dict[Level, str]] = {"high": "grave", "medium": "to mend", "low": "to note"}


@dataclass(frozen=True)
class Gap:
    """Something that is missing or speaks against what the pack is about. where: a file or folder of the pack."""

    level: Level
    text: str
    where: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"level": self.level, "text": self.text, "where": self.where}


@dataclass
class Draft:
    """`files` by path; `people`: opaque ids of whoever is named in them."""

    files: dict[str, bytes] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    people: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)  # what one part found and the summary tells

    def add(self, path: str, content: bytes | str) -> str:
        """Gives the path. A path is never given twice."""
        if path in self.files:
            raise ValueError(f"{path} is in the pack already")
        self.files[path] = content.encode("utf-8", "replace") if isinstance(content, str) else content
        return path

    def add_json(self, path: str, document: Any) -> str:
        return self.add(path, json_text(document))

    def add_csv(self, path: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
        """A cell that a spreadsheet could take for a formula stands behind an apostrophe."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([safe_cell(_flat(row.get(name))) for name in columns])
        return self.add(path, table.getvalue())

    def gap(self, level: Level, text: str, where: str = "") -> None:
        self.gaps.append(Gap(level, text, where))

    def ordered_gaps(self) -> list[Gap]:
        """The gravest first, else as they were found."""
        order = list(LEVELS)
        return sorted(self.gaps, key=lambda one: order.index(one.level))

    def counts(self) -> dict[str, int]:
        return {level: sum(one.level == level for one in self.gaps) for level in LEVELS}

    def name(self, *people: str | None) -> None:
        self.people.update(one for one in people if one and one.startswith("per_"))


def json_text(document: Any) -> str:
    return f"{json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, default=_plain)}\n"


def _plain(value: Any) -> Any:
    return clock.to_iso(value) if isinstance(value, datetime) else str(value)


def _flat(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.to_iso(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    return value
