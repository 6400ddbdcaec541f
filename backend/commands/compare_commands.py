"""`warrant compare`: two files, no server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json

if TYPE_CHECKING:
    from backend.monitoring.columns import Kind
    from backend.monitoring.compare import Comparison

commands = typer.Typer()

Names = list[str] | None


@commands.command()
@refuse_plainly
def compare(
    reference: Annotated[Path, typer.Argument(help="Parquet or CSV: how the data should look")],
    current: Annotated[Path, typer.Argument(help="Parquet or CSV: how they look now")],
    statistic: Annotated[Names, typer.Option("--statistic", help="a statistic; may be given again")] = None,
    column: Annotated[Names, typer.Option("--column", help="a column; may be given again")] = None,
    numeric: Annotated[Names, typer.Option("--numeric", help="a column that holds numbers")] = None,
    categorical: Annotated[
        Names, typer.Option("--categorical", help="a column that holds categories")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two files column by column; no server, no registration."""
    from backend.monitoring.compare import compare_files

    kinds: dict[str, Kind] = dict.fromkeys(numeric or (), "numeric")
    kinds |= dict.fromkeys(categorical or (), "categorical")
    rows = compare_files(reference, current, statistics=statistic or (), columns=column or (), kinds=kinds)
    if as_json:
        write_json(to_document(rows))
    else:
        for line in to_lines(rows):
            say(line)


def to_document(rows: Sequence[Comparison]) -> dict[str, Any]:
    """The JSON document of the outside contract."""
    return {"statistics": [row.to_json() for row in rows]}


def to_lines(rows: Sequence[Comparison]) -> list[str]:
    """A table for people: alarms first, then what has no verdict; what is fine is only counted."""
    alarms = [row for row in rows if row.verdict == "alarm"]
    unknown = [row for row in rows if row.verdict in ("inconclusive", "no_data")]
    fine = len(rows) - len(alarms) - len(unknown)
    width = max((len(row.column) for row in rows), default=0)
    lines = []
    for row in alarms:
        value, limit = (_figure(number) for number in (row.value, row.threshold))
        lines.append(
            f"ALARM    {row.column:<{width}}  {row.statistic:<22} {value:>10}  limit {limit:>10}  {row.text}"
        )
    told: set[tuple[str, str | None]] = set()
    for row in unknown:
        if (row.column, row.reason) not in told:
            told.add((row.column, row.reason))
            lines.append(f"unknown  {row.column:<{width}}  {row.reason}")
    columns = len({row.column for row in rows})
    lines.append(
        f"{columns} columns, {len(rows)} statistics: {len(alarms)} alarm, {fine} ok, {len(unknown)} without a verdict"
    )
    return lines


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"
