"""CSV (RFC 4180) in which no cell is taken for a formula by a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from backend.audit.formats.record import Record

COLUMNS: Final = (
    "seq", "at", "actor", "actor_name", "actor_kind", "acting_for", "action", "object_kind", "object_id", "why",
    "address", "session", "request", "erased", "damaged", "leaf_hash", "leaf", "payload",
)  # fmt: skip
# What begins a formula, also full-width and after blanks or control characters that a spreadsheet strips.
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")


def safe_cell(value: Any) -> Any:
    """Numbers as they are; text that could be a formula behind an apostrophe (OWASP, CSV injection)."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = str(value)
    bare = text.lstrip("\ufeff\u200b \u00a0\t\r\n\v\f\0'\"")
    begins = text[:1] in ("\t", "\r", "\n") or bare.startswith(_FORMULA)
    return f"'{text}" if begins else text


def line(record: Record) -> str:
    cells = {name: getattr(record, name) for name in COLUMNS}
    payload = record.payload
    cells["payload"] = "" if payload is None else json.dumps(payload, ensure_ascii=False, sort_keys=True)
    return _row([safe_cell(cells[name]) for name in COLUMNS])


def _row(cells: list[Any]) -> str:
    row = io.StringIO()
    csv.writer(row, quoting=csv.QUOTE_NONNUMERIC, lineterminator="").writerow(cells)
    return row.getvalue()


HEADER: Final = ",".join(COLUMNS)
