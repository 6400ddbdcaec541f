"""Signed notes and checkpoints: c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature (Ed25519 only).

A note is a text and lines that sign it, `— <key name> base64(key id ‖ signature)`. A checkpoint's text is the origin of
the log, its size, and its root in base64. Two kinds of signature are known: 1 signs the text, 4 signs the text and the
moment of signing ("cosignature"), which is how a checkpoint of a log that stood still is told from the one before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.audit.merkle import ProofInvalid

PLAIN, TIMED = 1, 4  # signature types
_DASH: Final = "\N{EM DASH} "
_SIGNATURES_AT_MOST: Final = 100
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteMalformed(ValueError):
    """The text is not a note, a checkpoint or a key at all; the message says where."""


class NoteInvalid(ProofInvalid):
    """A note that no known key signed, or that a known key's signature does not fit."""


def decode64(text: str, what: str) -> bytes:
    """Standard base64, strictly. Raises `NoteMalformed`."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteMalformed(f"{what} is not base64: {text[:80]!r}") from error
    if base64.b64encode(value).decode() != text:
        raise NoteMalformed(f"{what} is not canonical base64: {text[:80]!r}")
    return value


def encode64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def check_name(name: str) -> str:
    """A key's name: not empty, no space, no plus. Raises `NoteMalformed`."""
    if not name or "+" in name or any(char.isspace() for char in name) or not name.isprintable():
        raise NoteMalformed(f"a key's name holds no spaces and no plus: {name!r}")
    return name


@dataclass(frozen=True)
class VerifierKey:
    """A public key as verifiers are given it: `name+key id+base64(type ‖ 32 bytes)`.

    until   when another key took over (`@2026-07-01T12:00:00Z` after the key): what it signs with a later time is no
            signature of it. A thief can date earlier; a witness, or what a key without end signed, tells that
    """

    name: str
    public: bytes
    kind: int = PLAIN
    until: datetime | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Raises `NoteMalformed`."""
        name, _, rest = text.strip().partition("+")
        key_id, _, body = rest.partition("+")
        body, ended, until = body.partition("@")
        content = decode64(body, "the verifier key")
        if len(content) != 33 or content[0] not in (PLAIN, TIMED):
            raise NoteMalformed(f"{name!r} is not an Ed25519 verifier key of type 1 or 4")
        key = cls(check_name(name), content[1:], content[0], _moment(until) if ended else None)
        if key.key_id.hex() != key_id:
            raise NoteMalformed(f"the key id of {name!r} is not that of its key")
        return key

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode64(bytes([self.kind]) + self.public)}"

    @property
    def statement(self) -> str:
        """The key as verifiers are given it, with its end where it has one."""
        return f"{self}@{self.until:%Y-%m-%dT%H:%M:%SZ}" if self.until is not None else str(self)

    def timed(self) -> VerifierKey:
        """The same key, for its signatures with a time."""
        return VerifierKey(self.name, self.public, TIMED, self.until)

    def verify(self, text: str, signature: bytes) -> datetime | None:
        """The moment of signing, or None where the signature says none. Raises `NoteInvalid`."""
        moment, message = None, text.encode()
        if self.kind == TIMED:
            if len(signature) != 72:
                raise NoteInvalid(f"the signature of {self.name} has {len(signature)} bytes, not 72")
            seconds = int.from_bytes(signature[:8], "big")
            if seconds > 253402300799:
                raise NoteInvalid(f"the signature of {self.name} is dated beyond the year 9999")
            moment = datetime.fromtimestamp(seconds, UTC)
            if self.until is not None and moment > self.until:
                raise NoteInvalid(
                    f"{self.name} signed on {moment:%Y-%m-%d %H:%M:%S} UTC with a key that ended on "
                    f"{self.until:%Y-%m-%d %H:%M:%S} UTC"
                )
            message, signature = _timed_message(text, seconds), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            raise NoteInvalid(f"the signature of {self.name} does not fit the text") from None
        return moment


def _moment(text: str) -> datetime:
    """Of the end of a key, in whole seconds. Raises `NoteMalformed`."""
    try:
        found = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or f"{found:%Y-%m-%dT%H:%M:%SZ}" != text:
        raise NoteMalformed(f"the end of a key is written as 2026-07-01T12:00:00Z, not {text[:40]!r}")
    return found


class SigningKey:
    """An Ed25519 key with its name. `str` of it is the secret, in the form of golang.org/x/mod/sumdb/note."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self.verifier = VerifierKey(check_name(name), self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Raises `NoteMalformed`, without the secret in its message."""
        parts = text.strip().split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise NoteMalformed("this is not a signing key: PRIVATE+KEY+<name>+<key id>+<base64>")
        try:
            content = base64.b64decode(parts[4], validate=True)
        except binascii.Error:
            content = b""
        if len(content) != 33 or content[0] != PLAIN:
            raise NoteMalformed(f"the signing key {parts[2]!r} is not an Ed25519 key of type 1")
        key = cls(parts[2], content[1:])
        if key.verifier.key_id.hex() != parts[3]:
            raise NoteMalformed(f"the key id of the signing key {parts[2]!r} is not that of its key")
        return key

    def secret(self) -> str:
        name, key_id = self.verifier.name, self.verifier.key_id.hex()
        return f"PRIVATE+KEY+{name}+{key_id}+{encode64(bytes([PLAIN]) + self._seed)}"

    def sign(self, text: str) -> str:
        """A signature line for the text."""
        return _line(self.verifier, self._private.sign(text.encode()))

    def sign_at(self, text: str, moment: datetime) -> str:
        """A signature line for the text and the moment, in whole seconds."""
        seconds = int(moment.timestamp())
        signature = self._private.sign(_timed_message(text, seconds))
        return _line(self.verifier.timed(), seconds.to_bytes(8, "big") + signature)


def _timed_message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _line(key: VerifierKey, signature: bytes) -> str:
    return f"{_DASH}{key.name} {encode64(key.key_id + signature)}\n"


@dataclass(frozen=True)
class Signature:
    """One line of a note, not verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Verified:
    """A signature that fits: whose, and when where it says so."""

    key: VerifierKey
    at: datetime | None


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Signature lines, each with its line break. Raises `NoteMalformed`."""
    if not lines.endswith("\n"):
        raise NoteMalformed("a signature line is not ended")
    found = []
    for line in lines[:-1].split("\n"):
        name, _, value = line.removeprefix(_DASH).partition(" ")
        content = decode64(value, "a signature") if line.startswith(_DASH) else b""
        if len(content) < 5:
            raise NoteMalformed(f"this is not a signature line: {line[:80]!r}")
        found.append(Signature(check_name(name), content[:4], content[4:]))
    if len(found) > _SIGNATURES_AT_MOST:
        raise NoteMalformed(f"a note has at most {_SIGNATURES_AT_MOST} signatures")
    return tuple(found)


def parse_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """The text (with its last line break) and the signature lines. Raises `NoteMalformed`."""
    if any(ord(char) < 0x20 and char != "\n" for char in note):
        raise NoteMalformed("a note holds no control characters")
    text, blank, lines = note.rpartition("\n\n")
    if not blank:
        raise NoteMalformed("a note has a text, a blank line and signatures")
    return text + "\n", parse_signatures(lines)


def verify_note(note: str, keys: Iterable[VerifierKey]) -> tuple[str, list[Verified]]:
    """The text, and who of `keys` signed it. Signatures of other keys are ignored.

    Raises `NoteMalformed`, and `NoteInvalid` where a known key's signature does not fit or none of them signed.
    """
    text, signatures = parse_note(note)
    return text, verify_signatures(text, signatures, keys)


def verify_signatures(
    text: str, signatures: Sequence[Signature], keys: Iterable[VerifierKey]
) -> list[Verified]:
    """As `verify_note`, for signatures that came apart from their text."""
    known = {(key.name, key.key_id): key for key in keys}
    found = [
        Verified(key, key.verify(text, line.signature))
        for line in signatures
        if (key := known.get((line.name, line.key_id))) is not None
    ]
    if not found:
        raise NoteInvalid("no known key signed this")
    if all(one.key.until is not None and one.at is None for one in found):
        raise NoteInvalid(f"{found[0].key.name} signed this with a key that has ended, and does not say when")
    return found


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says: `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The first three lines of a note's text; further ones are for others. Raises `NoteMalformed`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise NoteMalformed("a checkpoint has an origin, a size and a root, each on its line")
        if not _SIZE.fullmatch(lines[1]):
            raise NoteMalformed(f"the size of a checkpoint is a number: {lines[1][:40]!r}")
        root = decode64(lines[2], "the root")
        if len(root) != 32:
            raise NoteMalformed(f"the root of a checkpoint has 32 bytes, not {len(root)}")
        return cls(lines[0], int(lines[1]), root)
