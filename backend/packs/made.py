"""What a pack is made from, and what came of it: values that the service and the making share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from backend.packs.scope import Scope

VERIFIER: Final = Path(__file__).resolve().parents[2] / "tools" / "verify_pack.py"


@cache
def verifier() -> bytes:
    """`tools/verify_pack.py` as it is: every pack carries it."""
    return VERIFIER.read_bytes()


@dataclass(frozen=True)
class Wanted:
    """What the pack says of itself. `refused`: why the log's head could not be signed anew; empty: it was."""

    pack_id: str
    scope: Scope
    environment: str
    as_of: datetime
    is_now: bool
    reason: str
    refused: str = ""


@dataclass(frozen=True)
class Built:
    """A whole pack. `manifest` is the digest of manifest.json, `people` whom it names, `log_size` how many entries the
    log had in the snapshot from which it was made."""

    body: bytes
    manifest: str
    log_size: int
    gaps: Mapping[str, int]
    people: tuple[str, ...]

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    def as_written(self, file: str) -> dict[str, Any]:
        """What is kept of it once it lies in that file, as plain JSON."""
        return {
            "file": file, "bytes": len(self.body), "digest": self.digest, "manifest": self.manifest,
            "gaps": dict(self.gaps), "people": list(self.people), "log_size": self.log_size,
        }  # fmt: skip
