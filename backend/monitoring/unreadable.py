"""Cells that are there and cannot be read as their column's kind: told apart from those that are empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from backend.monitoring.placement import NUMBER
from backend.monitoring.row_facts import quoted

_WORDS = ("nan", "inf", "+inf", "infinity", "+infinity", "-inf", "-infinity")
LONGEST = 40


def tell_unreadable(
    text: str, details: Mapping[str, Any], *, what: str = "the declared kind", example: str | None = None
) -> str:
    """The sentence of a `missing_rate` with how many cells are there and unreadable; as it is where none is.

    details  of the statistic's result
    what     they should have been ("a number")
    example  one of these cells

    Raises `KeyError` for details of another statistic.
    """
    invalid = int(details["invalid"])
    if not invalid:
        return text
    if 2 * invalid >= int(details["hits"]):
        text = text.replace("Missing values", "Unreadable values", 1)
    shown = "" if example is None else f", such as {example!r}"
    return f"{text}; {invalid:,} hold something that cannot be read as {what}{shown}"


def find_unreadable(table: duckdb.DuckDBPyRelation, column: str) -> str | None:
    """The first text of the column that `placement.read_number` cannot read, cut to `LONGEST` characters.

    None where there is none, and for columns that are stored as something else than text.
    """
    types = dict(zip(table.columns, map(str, table.types), strict=True))
    if types.get(column) != "VARCHAR":
        return None
    name, words = quoted(column), ", ".join(f"'{word}'" for word in _WORDS)
    found = table.query(
        "looked",
        f"select {name} from looked where not regexp_matches({name}, '{NUMBER}') "  # noqa: S608 - quoted
        f"and lower(trim({name})) not in ({words}) limit 1",
    ).fetchall()
    if not found:
        return None
    text = str(found[0][0])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
