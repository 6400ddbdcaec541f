"""What a destination of entries is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backend.audit.formats import Format
from backend.audit.formats.record import Record


@dataclass(frozen=True)
class Batch:
    """Consecutive entries, oldest first; never empty."""

    origin: str
    form: Format
    records: tuple[Record, ...]

    @property
    def first(self) -> int:
        return self.records[0].seq

    @property
    def last(self) -> int:
        return self.records[-1].seq


class Destination(Protocol):
    """Takes batches. The same batch may come again, in part or in whole; entries are told apart by number and hash."""

    def send(self, batch: Batch) -> None:
        """Return when the other side has all of it. Raises `WarrantError` when that is not known: it is sent again."""
