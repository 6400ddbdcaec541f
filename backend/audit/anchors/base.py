"""What an anchor is: somebody else who keeps our signed heads, so that a log rewritten with all its keys is seen.

An anchor takes a signed head and gives back a short text that shows it has it. Asked again with the same head it
gives an equally good one. It refuses a head that contradicts one it has.
`tests/integration/audit/test_anchors.py` holds each kind to that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from backend.errors import Conflict, Unavailable

Prove = Callable[[int], list[bytes]]
"""The consistency proof from a size to the head's; empty from 0. Raises `backend.audit.proofs.LogDamaged`."""
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")


def tree_size(text: str) -> int | None:
    """The number of entries that somebody else says; None for anything else, also for other digits than 0 to 9."""
    return int(text) if _NUMBER.fullmatch(text) else None


class AnchorAway(Unavailable):
    """It does not answer, or cannot take the head now; it will be given the next one."""

    title = "An anchor does not answer"


class AnchorRefused(Conflict):
    """It has a head that ours contradicts: one of the two histories is not the true one."""

    title = "An anchor refuses the head"


@dataclass(frozen=True)
class Head:
    """A signed head: its tree (root in hex) and the note."""

    size: int
    root: str
    note: str


class Anchor(Protocol):
    """One place. `kind` is a key of `KINDS`; `place` names it for ever; `title` is what people read."""

    kind: str
    place: str
    title: str

    def keep(self, head: Head, prove: Prove) -> str:
        """Give it the head. Returns the proof that it has it. Raises `AnchorAway` and `AnchorRefused`."""
        ...

    def taken_at(self, head: Head, proof: str) -> datetime | None:
        """When it took the head, as the proof says; None where it does not."""
        ...

    def holds(self, head: Head, proof: str) -> bool:
        """Whether the proof shows that it has this head, asking it where it must be asked."""
        ...
