"""Encryption of a backup: AES-256-GCM in pieces, as the STREAM construction orders them (Hoang, Reyhanitabar, Rogaway
and Vizar, 2015), so that a piece that is altered, left out, repeated, moved or cut off is found when it is read.

    WARRANT-BACKUP 1\\n
    {"created_at": …, "id": …, "key": "<key id>", "piece_bytes": 1048576, "salt": "<64 hex digits>"}\\n
    piece, piece, …, last piece        each its ciphertext and 16 bytes of tag

Every file has a key of its own, HKDF-SHA256 of the key of the installation and the file's salt, so nonces (number of
the piece, and whether it is the last) never meet twice. The two lines above are authenticated with every piece.
"""

from __future__ import annotations

import io
import json
import secrets
from dataclasses import dataclass
from typing import IO, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.backups.errors import BackupDamaged, KeyUnusable
from backend.backups.keys import BackupKey

MAGIC: Final = b"WARRANT-BACKUP 1\n"
PIECE_BYTES: Final = 1 << 20
LONGEST_HEADER: Final = 4096
_TAG_BYTES: Final = 16


@dataclass(frozen=True)
class Header:
    """What is known of a backup without its key."""

    id: str
    created_at: str
    key: str
    salt: str
    piece_bytes: int = PIECE_BYTES

    def line(self) -> bytes:
        return json.dumps(self.__dict__, sort_keys=True).encode() + b"\n"


def new_header(backup_id: str, created_at: str, key: BackupKey) -> Header:
    return Header(backup_id, created_at, key.key_id, secrets.token_hex(32))


def read_header(file: IO[bytes]) -> Header:
    """The header of a backup, from the file's beginning. Raises `BackupDamaged`."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupDamaged("this is no backup of Warrant: it does not begin like one")
    line = file.readline(LONGEST_HEADER)
    try:
        fields: dict[str, Any] = json.loads(line)
        header = Header(**fields)
        sound = (
            header.line() == line
            and len(bytes.fromhex(header.salt)) == 32
            and 0 < header.piece_bytes <= 64 << 20
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise BackupDamaged("the backup's header cannot be read: it was altered or cut off") from error
    if not sound:
        raise BackupDamaged("the backup's header is not as it was written: it was altered")
    return header


def _cipher(header: Header, key: BackupKey) -> AESGCM:
    derived = HKDF(hashes.SHA256(), 32, bytes.fromhex(header.salt), b"warrant backup file 1")
    return AESGCM(derived.derive(key.secret))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


class SealedWriter(io.RawIOBase):
    """Encrypts what is written to it. `finish` writes the last piece; without it the file counts as cut off."""

    def __init__(self, file: IO[bytes], header: Header, key: BackupKey) -> None:
        self._file, self._header, self._cipher = file, header, _cipher(header, key)
        self._waiting, self._number = bytearray(), 0
        file.write(MAGIC + header.line())

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        size = self._header.piece_bytes
        while len(self._waiting) > size:
            self._seal(bytes(self._waiting[:size]), last=False)
            del self._waiting[:size]
        return len(data)

    def finish(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        nonce = _nonce(self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, piece, MAGIC + self._header.line()))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Decrypts what was sealed. Raises `KeyUnusable` for another key and `BackupDamaged` for anything else."""

    def __init__(self, file: IO[bytes], key: BackupKey) -> None:
        self._file = file
        self.header = read_header(file)
        if self.header.key != key.key_id:
            raise KeyUnusable(
                f"the backup was made with the key {self.header.key}, and {key.source} holds the key {key.key_id}; "
                "give the key of that time"
            )
        self._cipher = _cipher(self.header, key)
        self._ready, self._number, self._is_over = b"", 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._is_over:
            self._ready = self._open()
        taken = min(len(buffer), len(self._ready))
        buffer[:taken] = self._ready[:taken]
        self._ready = self._ready[taken:]
        return taken

    def _open(self) -> bytes:
        sealed = self._file.read(self.header.piece_bytes + _TAG_BYTES)
        last = not self._file.peek(1) if isinstance(self._file, io.BufferedReader) else True
        associated = MAGIC + self.header.line()
        try:
            piece = self._cipher.decrypt(_nonce(self._number, last=last), sealed, associated)
        except (InvalidTag, ValueError) as error:
            raise self._damage(sealed, last=last) from error
        self._number, self._is_over = self._number + 1, last
        return piece

    def _damage(self, sealed: bytes, *, last: bool) -> BackupDamaged:
        if last:
            try:
                self._cipher.decrypt(_nonce(self._number, last=False), sealed, MAGIC + self.header.line())
            except (InvalidTag, ValueError):
                return BackupDamaged(
                    f"piece {self._number} of the backup, its end, was altered or is cut off; take another copy of it"
                )
            return BackupDamaged(
                "the backup ends before its last piece: it is cut off; take another copy of it"
            )
        return BackupDamaged(f"piece {self._number} of the backup was altered; take another copy of it")
