"""An anchor in memory, for tests of what uses anchors."""

from __future__ import annotations

from datetime import datetime

from backend.audit.anchors.base import AnchorAway, AnchorRefused, Head, Prove
from backend.audit.merkle import ProofInvalid, verify_consistency


class FakeAnchor:
    """Keeps heads in a list. `away`: it does not answer."""

    kind = "fake"

    def __init__(self, place: str = "memory", *, away: bool = False) -> None:
        self.place, self.title, self.away = place, "memory", away
        self.heads: list[Head] = []

    def keep(self, head: Head, prove: Prove) -> str:
        if self.away:
            raise AnchorAway(f"{self.place} is away")
        last = self.heads[-1] if self.heads else None
        if last is not None and last.size:
            try:
                verify_consistency(
                    last.size,
                    head.size,
                    prove(last.size) if head.size >= last.size else [],
                    bytes.fromhex(last.root),
                    bytes.fromhex(head.root),
                )
            except ProofInvalid as error:
                raise AnchorRefused(
                    f"{self.place} refuses the head of {head.size} entries: {error}"
                ) from error
        self.heads.append(head)
        return f"{head.size} {head.root}"

    def taken_at(self, head: Head, proof: str) -> datetime | None:
        return None

    def holds(self, head: Head, proof: str) -> bool:
        return proof == f"{head.size} {head.root}" and any(
            (one.size, one.root) == (head.size, head.root) for one in self.heads
        )
