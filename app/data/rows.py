"""Rows of tables as plain dicts, in the words of the console."""

from __future__ import annotations

from typing import Any

from app.words import readable


def row_of(record: Any) -> dict[str, Any]:
    """The columns of one row as a plain dict."""
    return {column.key: getattr(record, column.key) for column in type(record).__mapper__.column_attrs}


def alert_of(record: Any) -> dict[str, Any]:
    """An alert or incident, its title in the console's words."""
    return row_of(record) | {"title": readable(record.title)}
