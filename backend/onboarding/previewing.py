# ruff: noqa: S608  every name in these queries passes through `quoted`
"""What a file of predictions holds, for the person who says which of its columns is what: first rows, and its rows by
period, so that a reference can be chosen by how the model did then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from backend.onboarding.proposing import moment_of
from backend.onboarding.source_files import open_rows, quoted, telling_of_file, time_in

SHOWN_ROWS: Final = 5
MOST_PERIODS: Final = 24
PERIODS: Final = (("day", 1), ("week", 7), ("month", 30), ("quarter", 91), ("year", 365))
LONGEST_VALUE: Final = 60


@dataclass(frozen=True)
class Period:
    """The rows of one period. labelled: share with a label; predicted, was: means of numbers, None of anything else.

    error  mean absolute difference of label and what was predicted (of a score: of the probability); None unknown
    """

    start: datetime
    rows: int
    labelled: float | None
    predicted: float | None
    was: float | None
    error: float | None


@dataclass(frozen=True)
class Preview:
    """columns: name to examples; first, last: times of the oldest and newest row; of_which: what a period is."""

    rows: int
    columns: Mapping[str, tuple[str, ...]]
    first: datetime
    last: datetime
    of_which: str
    periods: tuple[Period, ...]


@telling_of_file
def read_preview(path: Path, roles: Mapping[str, str]) -> Preview:
    """The first rows of the file, and what each period of its time holds. roles: role to column, with `ts`."""
    table = open_rows(path)
    examples = table.limit(SHOWN_ROWS).fetchall()
    columns = {
        name: tuple(_shown(row[place]) for row in examples) for place, name in enumerate(table.columns)
    }
    ts = time_in(table, roles["ts"])
    rows, low, high = table.query("source", f"select count(*), min({ts}), max({ts}) from source").fetchall()[
        0
    ]
    first, last = moment_of(low), moment_of(high)
    days = max((last - first).days, 1)
    of_which = next((name for name, length in PERIODS if days / length <= MOST_PERIODS), "year")
    label, given = roles.get("label"), roles.get("score") or roles.get("prediction")
    number = {
        name: f"try_cast({quoted(column)} as double)" if column else "null::double"
        for name, column in (("label", label), ("given", given))
    }
    known = f"count({quoted(label)}) / count(*)" if label else "null"
    found = table.query(
        "source",
        f"select date_trunc('{of_which}', cast({ts} as timestamp)), count(*), {known}, avg({number['given']}), "
        f"avg({number['label']}), avg(abs({number['label']} - {number['given']})) from source group by 1 order by 1",
    ).fetchall()
    periods = tuple(
        Period(moment_of(start), int(count), known, *rest) for start, count, known, *rest in found
    )
    return Preview(int(rows), columns, first, last, of_which, periods)


@telling_of_file
def rows_in_reference(path: Path, ts: str, since: datetime | None, until: datetime, zone: str) -> int:
    """How many rows are predictions from `since` on and before `until`. zone: of times without one."""
    table = open_rows(path)
    kind = str(dict(zip(table.columns, table.types, strict=True))[ts]).upper()
    column, has_zone = time_in(table, ts), "TIME ZONE" in kind or "TIMESTAMPTZ" in kind

    def literal(moment: datetime) -> str:
        there = moment.astimezone(UTC if has_zone else ZoneInfo(zone))
        return f"timestamp{'tz' if has_zone else ''} '{there:%Y-%m-%d %H:%M:%S}{'+00' if has_zone else ''}'"

    after = f" and {column} >= {literal(since)}" if since else ""
    query = f"select count(*) from source where {column} < {literal(until)}{after}"
    return int(table.query("source", query).fetchall()[0][0])


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
