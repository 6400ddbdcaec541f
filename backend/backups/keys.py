"""The key of the backups: 32 random bytes as 64 hex digits, in a file that only its owner reads, in a secret that is
mounted (root's, for one of our groups to read), or in the environment.

It is never taken from the command line, where others could read it, and never written into a backup.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from backend.audit.keys import create_secret
from backend.backups.errors import KeyUnusable, NotEmpty
from backend.settings import settings


@dataclass(frozen=True)
class BackupKey:
    """`key_id` tells keys apart and says nothing about them; `source` is where it was read, for people."""

    secret: bytes = field(repr=False)
    source: str

    @property
    def key_id(self) -> str:
        return hashlib.sha256(b"warrant backup key" + self.secret).hexdigest()[:16]


def backup_key() -> BackupKey:
    """The key that the settings name. Raises `KeyUnusable`."""
    here = settings()
    if here.backup_key_file is not None and here.backup_key:
        raise KeyUnusable("WARRANT_BACKUP_KEY_FILE and WARRANT_BACKUP_KEY are both set; keep one of them")
    if here.backup_key:
        return _parsed(here.backup_key, "WARRANT_BACKUP_KEY")
    if here.backup_key_file is None:
        raise KeyUnusable(
            "backups are encrypted and no key is set: make one with `warrant backup-key FILE`, keep a copy of it "
            "elsewhere, and name it in WARRANT_BACKUP_KEY_FILE"
        )
    path = here.backup_key_file.expanduser()
    try:
        if is_open_to_others(path.stat()):
            raise KeyUnusable(f"others can read {path}: chmod 600 {path}")
        return _parsed(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"the key of the backups cannot be read from {path}: {error}") from error


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether more people can read or write a file than its owner.

    A secret that Kubernetes mounts is root's, with the pod's group to read it: 0440, and nobody else is in that group.
    """
    mounted = found.st_uid == 0 and found.st_gid in {os.getegid(), *os.getgroups()} and found.st_gid != 0
    return bool(found.st_mode & (0o037 if mounted else 0o077))


def _parsed(text: str, source: str) -> BackupKey:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise KeyUnusable(f"{source} holds no key of backups: it must be 64 hex digits")
    return BackupKey(secret, source)


def new_key(path: Path) -> BackupKey:
    """Write a fresh key into a file that is not there yet. Raises `NotEmpty`, `KeyUnusable`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = create_secret(path, f"{secrets.token_hex(32)}\n".encode())
    except OSError as error:
        raise KeyUnusable(f"the key cannot be written to {path}: {error}") from error
    if not made:
        raise NotEmpty(f"{path} is there already; what was sealed with it needs it, so it was left as it is")
    return _parsed(path.read_text(), str(path))
