"""The forms in which entries leave: one file each, one row of `FORMATS`. An entry is one line in every one of them,
but for line breaks inside a quoted cell of CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from backend.audit.formats import cef, csv_rows, json_lines, ocsf
from backend.audit.formats.record import Record
from backend.errors import BadInput


@dataclass(frozen=True)
class Format:
    """`line` ends without a line break; `header` is the first line, or empty."""

    name: str
    extension: str
    media_type: str
    line: Callable[[Record], str]
    header: str = ""


FORMATS: Final = {
    one.name: one
    for one in (
        Format("jsonl", "jsonl", "application/x-ndjson", json_lines.line),
        Format("csv", "csv", "text/csv; charset=utf-8", csv_rows.line, csv_rows.HEADER),
        Format("ocsf", "ocsf.jsonl", "application/x-ndjson", ocsf.line),
        Format("cef", "cef", "text/plain; charset=utf-8", cef.line),
    )
}


def format_named(name: str) -> Format:
    """Raises `BadInput` naming those that there are."""
    if name not in FORMATS:
        raise BadInput(f"the log is exported as {', '.join(FORMATS)}, not as {name!r}", field="form")
    return FORMATS[name]
