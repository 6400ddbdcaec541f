"""JSON Lines: every member of the record, the leaf as the text that was hashed."""

from __future__ import annotations

import json
from dataclasses import asdict

from backend.audit.formats.record import Record


def line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":"))
