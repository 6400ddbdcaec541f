"""The manifest of a pack: every other file with size and SHA-256, signed with the key of the log's heads.

The signature is a signed note (c2sp.org/signed-note) over `warrant evidence pack`, the pack's id and the digest of the
manifest, a line each. No head of a log begins so: what is signed here can never pass for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from backend.audit.notes import SigningKey

FORMAT: Final = "warrant-evidence-pack/1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
APART: Final = ("README.txt", "summary.pdf")
"""They name the digest of all other files, so it is not over them."""


def contents_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over a line `<sha256>  <path>` for each file but those of `APART`, in the order of their names."""
    told = "".join(
        f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files) if name not in APART
    )
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def manifest_of(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """Canonical enough to be read by people: members sorted, one file a line."""
    listed = [
        {"path": name, "bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in sorted(files)
    ]
    document = {"format": FORMAT, **facts, "contents": contents_digest(files), "files": listed}
    return f"{json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True)}\n".encode()


def signature_of(pack: str, manifest: bytes, key: SigningKey) -> bytes:
    """The note. Ed25519 signatures follow from key and text: the same manifest has the same one."""
    text = f"warrant evidence pack\n{pack}\n{hashlib.sha256(manifest).hexdigest()}\n"
    return f"{text}\n{key.sign(text)}".encode()
