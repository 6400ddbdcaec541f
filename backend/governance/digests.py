"""Digests of what an approval covers: `sha256:<hex>` over canonical JSON (RFC 8785)."""

from __future__ import annotations

import hashlib
from typing import Any

from backend.canonical import canonical_json


def digest_of(document: Any) -> str:
    """The digest of a JSON document; equal documents have equal digests whatever their key order."""
    return f"sha256:{hashlib.sha256(canonical_json(document)).hexdigest()}"
