"""Digests of what an approval covers: `sha256:<hex>` over canonical JSON (RFC 8785)."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def digest_of(document: Any) -> str:
    """The digest of a JSON document; equal documents have equal digests whatever their key order."""
    return f"sha256:{hashlib.sha256(rfc8785.dumps(document)).hexdigest()}"
