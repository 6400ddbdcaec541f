"""Another host that co-signs: c2sp.org/tlog-witness. It signs only what continues the last head it saw.

`warrant witness` is such a host; any that follows the document will do. `WARRANT_AUDIT_WITNESSES` names them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import httpx

from backend import outgoing
from backend.audit.anchors.base import AnchorAway, AnchorRefused, Head, Prove, tree_size
from backend.audit.merkle import ProofInvalid
from backend.audit.notes import (
    NoteMalformed,
    VerifierKey,
    encode64,
    parse_note,
    parse_signatures,
    verify_signatures,
)
from backend.audit.witnesses import Witness

TIMEOUT_S: Final = 10.0
LONGEST_ANSWER: Final = 64 * 1024
_TRIES: Final = 3


class WitnessAnchor:
    kind = "witness"

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self.place = str(witness.key)
        self.title = witness.key.name

    def keep(self, head: Head, prove: Prove) -> str:
        known = head.size  # mostly it saw this head, or the one before; its answer says which
        for _ in range(_TRIES):
            answer = self._send(head, known, prove)
            if answer.status_code == 200:
                return self._verified(head, answer.text)
            if answer.status_code != 409:
                break
            known = self._known_size(answer, head, known)
        raise AnchorRefused(
            f"{self.title} refuses the head of {head.size} entries: {answer.status_code} {answer.text.strip()[:200]}"
        )

    def taken_at(self, head: Head, proof: str) -> datetime | None:
        return cosigned_at(head.note, proof, self._witness.key)

    def holds(self, head: Head, proof: str) -> bool:
        try:
            self._verify(head, proof)
        except (NoteMalformed, ProofInvalid):
            return False
        return True

    def _send(self, head: Head, known: int, prove: Prove) -> httpx.Response:
        hashes = prove(known) if known else []
        body = "".join([f"old {known}\n", *(f"{encode64(one)}\n" for one in hashes), "\n", head.note])
        try:
            answer = self._post(body.encode())
        except httpx.HTTPError as error:
            raise AnchorAway(
                f"{self.title} ({self._witness.url}) does not answer: {error or type(error).__name__}"
            ) from error
        if answer.status_code >= 500 or answer.status_code in (404, 403, 429):
            raise AnchorAway(
                f"{self.title} ({self._witness.url}) does not take it: {answer.status_code} {answer.text.strip()[:200]}"
            )
        return answer

    def _post(self, body: bytes) -> httpx.Response:
        """The answer, read no further than an answer can be long: what it holds is kept. Raises `httpx.HTTPError`."""
        content = b""
        address = f"{self._witness.url}/add-checkpoint"
        with outgoing.stream("POST", address, content=body, timeout=TIMEOUT_S) as answer:
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > LONGEST_ANSWER:
                    raise AnchorAway(f"{self.title} answered with more than {LONGEST_ANSWER} bytes")
        return httpx.Response(answer.status_code, content=content)

    def _known_size(self, answer: httpx.Response, head: Head, asked: int) -> int:
        """What it saw last, as it says itself. Raises `AnchorRefused` where ours cannot continue that."""
        said = answer.text.strip()
        size = tree_size(said)
        if size is None or size > head.size or size == asked:
            raise AnchorRefused(
                f"{self.title} has a head of {said[:40]} entries that this one of {head.size} does not continue"
            )
        return size

    def _verified(self, head: Head, lines: str) -> str:
        try:
            self._verify(head, lines)
        except (NoteMalformed, ProofInvalid) as error:
            raise AnchorAway(
                f"{self.title} answered with something else than its signature: {error}"
            ) from error
        return lines

    def _verify(self, head: Head, lines: str) -> None:
        cosigned_at(head.note, lines, self._witness.key)


def cosigned_at(note: str, lines: str, key: VerifierKey) -> datetime | None:
    """When a witness says that it signed the head of this note. Raises `NoteMalformed`, and `ProofInvalid` where its
    lines do not fit."""
    signed = verify_signatures(parse_note(note)[0], parse_signatures(lines), [key])
    return max((one.at for one in signed if one.at is not None), default=None)
