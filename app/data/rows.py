"""Rows of tables as plain dicts, in the words of the console."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from app.words import readable

MOST_READ: Final = 500
"""So many rows of a list are read for a page at most, where the page does not say how many."""
MOST_CHOSEN: Final = 5_000
"""So many people are offered to choose from at most."""


def row_of(record: Any) -> dict[str, Any]:
    """The columns of one row as a plain dict."""
    return {column.key: getattr(record, column.key) for column in type(record).__mapper__.column_attrs}


def bare(record: Any) -> Any:
    """A row without its session, with the same attributes: it can be kept between people, which a row of an external
    auditor's session cannot."""
    return None if record is None else SimpleNamespace(**row_of(record))


def alert_of(record: Any) -> dict[str, Any]:
    """An alert or incident, its title in the console's words."""
    return row_of(record) | {"title": readable(record.title)}
