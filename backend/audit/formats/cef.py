"""CEF, version 0. Escaped are backslash and bar in the header; backslash, equals sign and line breaks in values."""

from __future__ import annotations

import json
from typing import Final

from backend.audit.formats.ocsf import mapping, milliseconds, product_version
from backend.audit.formats.record import Record

# OCSF's severity_id on CEF's scale from 0 to 10
_SEVERITY: Final = {1: 2, 2: 3, 3: 5, 4: 8, 5: 10}


def line(record: Record) -> str:
    subject, thing, verb = [*record.action.split(":"), "", ""][:3]
    name = f"{verb} {thing} ({subject})".replace("_", " ")
    severity = _SEVERITY[mapping().severity(record.action)]
    header = "|".join(
        header_text(part)
        for part in ("CEF:0", "Warrant", "Warrant", product_version(), record.action, name, str(severity))
    )
    return f"{header}|{' '.join(f'{key}={value_text(value)}' for key, value in _extension(record) if value)}"


def _extension(record: Record) -> list[tuple[str, str]]:
    """Keys of the CEF dictionary, and custom strings with their labels."""
    custom = [
        ("object kind", record.object_kind), ("object id", record.object_id), ("leaf hash", record.leaf_hash),
        ("acting for", record.acting_for), ("session", record.session), ("request", record.request),
    ]  # fmt: skip
    pairs = [
        ("rt", str(milliseconds(record.at))), ("externalId", str(record.seq)), ("act", record.action),
        ("suid", record.actor), ("suser", record.actor_name), ("src", record.address), ("msg", record.why),
        ("outcome", "failure" if record.action in mapping().failures else "success"),
    ]  # fmt: skip
    for number, (label, value) in enumerate(custom, start=1):
        if value:
            pairs += [(f"cs{number}", value), (f"cs{number}Label", label)]
    if record.payload is not None:
        pairs.append(("warrantPayload", json.dumps(record.payload, ensure_ascii=False, sort_keys=True)))
    return pairs


def header_text(text: str) -> str:
    plain = " ".join(text.splitlines())
    return plain.replace("\\", "\\\\").replace("|", "\\|")


def value_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    for other in ("\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
        escaped = escaped.replace(other, "\n")
    return escaped.replace("\n", "\\n").replace("\r", "\\r")
