"""Secrets of the log, in files outside the database, readable by their owner only.

`append.key` is for every process that appends: it marks the head row with an HMAC, so that a head that somebody wrote
past Warrant is told from one whose process died before it was published. The key that signs checkpoints is in
`backend.audit.signers`, and only the worker reads it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import cache
from pathlib import Path

from backend.durable import durable_folder, sync_folder
from backend.settings import settings


def keys_folder() -> Path:
    """`WARRANT_AUDIT_KEYS`, or `keys` in the home; nobody but its owner may look in."""
    folder = settings().audit_keys or settings().resolved_home() / "keys"
    if not folder.is_dir():
        durable_folder(folder)
        folder.chmod(0o700)
    return folder


def create_secret(path: Path, content: bytes) -> bool:
    """Write a file that only its owner reads, durably, unless it is there. False: it was."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
        return True
    finally:
        Path(draft).unlink()


def mark_head(size: int, root: str) -> str:
    """`<key id>:<HMAC-SHA256 of size and root>` in hex, with this home's append key, which is made if need be."""
    key = _append_key(_append_path()) or _made_key(_append_path())
    return f"{_key_id(key)}:{_mac(key, size, root)}"


def check_mark(mac: str, size: int, root: str) -> bool | None:
    """Whether Warrant appended up to this head. None: it was marked with a key that this home does not have."""
    key = _append_key(_append_path())
    key_id, _, value = mac.partition(":")
    if key is None or key_id != _key_id(key):
        return None
    return hmac.compare_digest(value, _mac(key, size, root))


def _append_path() -> Path:
    return (settings().audit_keys or settings().resolved_home() / "keys") / "append.key"


def _append_key(path: Path) -> bytes | None:
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def _made_key(path: Path) -> bytes:
    keys_folder()
    create_secret(path, secrets.token_bytes(32))
    return _read(path)


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"warrant append key" + key).hexdigest()[:8]


def _mac(key: bytes, size: int, root: str) -> str:
    return hmac.digest(key, f"{size} {root}".encode(), "sha256").hex()
