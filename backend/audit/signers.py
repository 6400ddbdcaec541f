"""The key that signs checkpoints, the public keys that verify them, and what was signed last. Files, never rows.

`<keys>/checkpoint.key` is the secret (mode 0600); only the worker and `warrant audit rotate-key` read it. The home
holds `audit-keys.pub`, one verifier key a line in the order of their use, each but the last with its end, and
`audit-signed.json`, the last signed
head, which is on disk before anybody else sees that head.
"""

from __future__ import annotations

import fcntl
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from backend import clock
from backend.audit.keys import create_secret, keys_folder
from backend.audit.notes import NoteMalformed, SigningKey, VerifierKey, check_name
from backend.durable import sync_folder, write_json, write_text
from backend.errors import BadInput, Conflict
from backend.settings import settings


class KeyUnusable(Conflict):
    """The key of the checkpoints is not there, or is not one; nothing can be signed."""

    title = "The signing key cannot be used"


@dataclass(frozen=True)
class LastSigned:
    """The head that was signed last: the number of its checkpoint, its tree, and the note."""

    number: int
    size: int
    root: str
    at: str
    note: str

    @property
    def moment(self) -> datetime:
        return clock.from_iso(self.at)


def key_path() -> Path:
    return keys_folder() / "checkpoint.key"


def verifier_path() -> Path:
    return settings().resolved_home() / "audit-keys.pub"


def last_path() -> Path:
    return settings().resolved_home() / "audit-signed.json"


def verifier_keys() -> list[VerifierKey]:
    """The public keys of this log, in the order of their use. Raises `NoteMalformed` for a file that is none."""
    path = verifier_path()
    if not path.exists():
        return []
    text = path.read_bytes().decode()
    keys = [VerifierKey.parse(line) for line in text.split("\n")[:-1]]
    if text != "".join(f"{key.statement}\n" for key in keys):
        raise NoteMalformed(f"{path} holds something else than one verifier key a line")
    return keys


def publish_verifier(key: VerifierKey, *, until: datetime | None = None) -> None:
    """Add a public key to the file, durably; the one before it ends with `until`. A key that is there stays."""
    keys = verifier_keys()
    if key not in keys:
        if keys and until is not None:
            keys[-1] = replace(keys[-1], until=until)
        write_text(verifier_path(), "".join(f"{one.statement}\n" for one in [*keys, key]))


def last_signed() -> LastSigned | None:
    """What was signed last, or None before the first. Raises `ValueError` for a file that is not that."""
    path = last_path()
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        last = LastSigned(**found)
        is_time = clock.to_iso(last.moment) == last.at
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not what was signed last: {error}") from error
    if (
        type(last.number) is not int
        or type(last.size) is not int
        or last.number < 1
        or last.size < 0
        or not is_time
    ):
        raise ValueError(f"{path} is not what was signed last: its numbers are none")
    return last


def keep_last(last: LastSigned) -> None:
    write_json(last_path(), asdict(last))


@contextmanager
def signing() -> Iterator[None]:
    """One signer at a time on this machine: the job, or the command that changes the key."""
    with (keys_folder() / "signing.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def signing_key(*, first: bool) -> SigningKey:
    """The key that signs. Where nothing was signed yet (`first`) it is made if need be.

    Raises `KeyUnusable` when it is missing although heads were signed, when others can read it, or when it is not the
    newest of the public keys.
    """
    path = key_path()
    if not path.exists():
        if not first or verifier_keys():
            raise KeyUnusable(
                f"{path} is missing although heads were signed; put the key back (WARRANT_AUDIT_KEYS names its folder)"
            )
        _create_key(path, SigningKey.generate(origin()))
    if path.stat().st_mode & 0o077:
        raise KeyUnusable(
            f"others can read {path}; change the key (warrant audit rotate-key), then chmod 600"
        )
    known = verifier_keys()
    finish_rotation(known)
    key = read_key(path)
    if not known and first:
        publish_verifier(key.verifier)
    elif not known or known[-1] != key.verifier:
        raise KeyUnusable(f"the key in {path} is not the newest one of {verifier_path()}")
    wanted = settings().audit_origin
    if wanted is not None and wanted != key.verifier.name:
        raise KeyUnusable(
            f"the log's name is {key.verifier.name} since its first signed head, and not {wanted}"
        )
    return key


def read_key(path: Path) -> SigningKey:
    try:
        return SigningKey.parse(path.read_text())
    except (NoteMalformed, OSError) as error:
        raise KeyUnusable(f"{path} cannot be used: {error}") from error


def _create_key(path: Path, key: SigningKey) -> None:
    create_secret(path, f"{key.secret()}\n".encode())


def prepare_next(name: str) -> SigningKey:
    """The key that will sign next, kept beside the present one until it takes over. Asked again, the same one."""
    path = key_path().with_suffix(".next")
    _create_key(path, SigningKey.generate(name))
    return read_key(path)


def finish_rotation(known: list[VerifierKey]) -> bool:
    """Let a prepared key take over that is published already, as a rotation that was cut short left it."""
    prepared = key_path().with_suffix(".next")
    if not prepared.exists() or read_key(prepared).verifier not in known[-1:]:
        return False
    take_over()
    return True


def take_over() -> None:
    """The prepared key replaces the present one, whose secret is gone then."""
    path = key_path()
    path.with_suffix(".next").replace(path)
    sync_folder(path.parent)


def origin() -> str:
    """The name of this log in its checkpoints: `WARRANT_AUDIT_ORIGIN`, or the host people type, and `/audit`."""
    chosen = settings().audit_origin
    if chosen is None:
        host = urlsplit(settings().public_url or "").hostname or socket.gethostname()
        chosen = f"{host}/audit"
    try:
        return check_name(chosen)
    except NoteMalformed as error:
        raise BadInput(f"WARRANT_AUDIT_ORIGIN: {error}") from error
