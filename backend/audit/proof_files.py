"""Proofs as files: `.tlog-proof` (c2sp.org/tlog-proof@v1), and the JSON form of the public test vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from backend.audit.entry_checks import MEMBERS
from backend.audit.merkle import ProofInvalid, leaf_hash, verify_consistency, verify_inclusion
from backend.audit.notes import (
    Checkpoint,
    NoteMalformed,
    Verified,
    VerifierKey,
    decode64,
    encode64,
    verify_note,
)

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_HASHES_AT_MOST: Final = 63


@dataclass(frozen=True)
class TlogProof:
    """An inclusion proof with the checkpoint it leads to. `extra` is the entry itself, which nothing but the hash
    vouches for."""

    extra: bytes | None
    index: int
    hashes: tuple[bytes, ...]
    note: str

    def __str__(self) -> str:
        lines = [FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {encode64(self.extra)}")
        lines += [f"index {self.index}", *(encode64(one) for one in self.hashes), "", self.note]
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> TlogProof:
        """Raises `NoteMalformed`."""
        first, _, rest = text.partition("\n")
        if first != FIRST_LINE:
            raise NoteMalformed(f"the first line is not {FIRST_LINE}")
        head, blank, note = rest.partition("\n\n")
        lines = head.split("\n")
        extra = decode64(lines.pop(0)[6:], "extra") if lines[0].startswith("extra ") else None
        if not blank or not lines or not lines[0].startswith("index ") or not _NUMBER.fullmatch(lines[0][6:]):
            raise NoteMalformed("there is no line `index <number>`, or no blank line before the checkpoint")
        if len(lines) - 1 > _HASHES_AT_MOST:
            raise NoteMalformed(f"a proof has at most {_HASHES_AT_MOST} hashes")
        return cls(extra, int(lines[0][6:]), tuple(decode64(one, "a hash") for one in lines[1:]), note)

    def verify(self, keys: Iterable[VerifierKey]) -> tuple[Checkpoint, list[Verified]]:
        """The checkpoint that holds the entry, and who signed it.

        Raises `ProofInvalid` unless the proof leads from `extra` to it, and `NoteMalformed`.
        """
        text, signed = verify_note(self.note, keys)
        head = Checkpoint.parse(text)
        if self.extra is None:
            raise ProofInvalid("the proof does not carry the entry that it is about (a line `extra`)")
        verify_inclusion(leaf_hash(self.extra), self.index, head.size, self.hashes, head.root)
        return head, signed

    def require_both_signatures(self, head: Checkpoint, signed: Iterable[Verified]) -> None:
        """Warrant signs each of its heads twice, the text and the text with the time: a receipt of an entry with one of
        the two was altered. Logs of others sign as they will. Raises `ProofInvalid`."""
        timed = {one.at is not None for one in signed if one.key.name == head.origin}
        if _is_entry(self.extra) and timed != {True, False}:
            raise ProofInvalid(
                f"one of the two signatures of {head.origin}, of the text and of the time, is missing or of no key "
                "that was given"
            )


def check_json(text: str) -> str:
    """Verify an inclusion or consistency proof in the form of the public vectors, and say what it proves.

    Members `leafIdx`, `treeSize`, `root`, `leafHash`, `proof`, or `size1`, `size2`, `root1`, `root2`, `proof`; hashes
    in base64. What a vector expects (`wantErr`) is not read. Raises `ProofInvalid` and `NoteMalformed`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoteMalformed(f"this is no JSON document: {error}") from error
    if not isinstance(document, dict):
        raise NoteMalformed("the JSON document is not an object")
    if "leafIdx" in document:
        index, size = _number(document, "leafIdx"), _number(document, "treeSize")
        verify_inclusion(_hash(document, "leafHash"), index, size, _hashes(document), _hash(document, "root"))
        return f"entry {index} is in the tree of {size}"
    if "size1" in document:
        old, size = _number(document, "size1"), _number(document, "size2")
        verify_consistency(old, size, _hashes(document), _hash(document, "root1"), _hash(document, "root2"))
        return f"the tree of {old} is a prefix of the tree of {size}"
    raise NoteMalformed("there is neither leafIdx (an inclusion proof) nor size1 (a consistency proof)")


def _is_entry(extra: bytes | None) -> bool:
    """Whether this is the leaf of an entry of Warrant's log."""
    try:
        leaf = json.loads(extra or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(leaf, dict) and leaf.keys() == MEMBERS


def _number(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int:
        raise NoteMalformed(f"{name} is not a whole number")
    return value


def _hash(document: dict[str, Any], name: str) -> bytes:
    return _decoded(_member(document, name), name)


def _hashes(document: dict[str, Any]) -> list[bytes]:
    """None of them is written as null or as an empty list."""
    hashes = _member(document, "proof") or []
    if not isinstance(hashes, list):
        raise NoteMalformed("proof is not a list")
    return [_decoded(one, "a hash of proof") for one in hashes]


def _member(document: dict[str, Any], name: str) -> Any:
    if name not in document:
        raise NoteMalformed(f"{name} is missing")
    return document[name]


def _decoded(value: Any, name: str) -> bytes:
    if value is not None and not isinstance(value, str):
        raise NoteMalformed(f"{name} is not text")
    return decode64(value or "", name)
