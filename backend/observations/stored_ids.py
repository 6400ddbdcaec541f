"""Which files of a Delta table can hold some of these ids, without reading them again.

A Delta file never changes, so the hashes of its ids are read once and kept, sorted, 8 bytes an id. A batch is
looked up in them; only files with a hit are then read for the exact ids, and a batch of new ids reads none.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

MAX_KEPT_IDS: Final = 8_000_000

Hashes = npt.NDArray[np.int64]


def id_hashes(ids: pa.ChunkedArray) -> Hashes:
    """64-bit hashes of ids, sorted. They are keyed for this process: nobody can send ids made to collide."""
    found = np.fromiter(map(hash, ids.to_pylist()), np.int64, len(ids))
    found.sort()
    return found


@dataclass(slots=True)
class StoredIds:
    """The hashes of every file's ids, up to `max_ids` in all. Thread-safe; files beyond the bound are candidates.

    Files are kept per table (its folder); those that a later version of the table no longer has are dropped.
    """

    max_ids: int = MAX_KEPT_IDS
    _tables: dict[str, dict[str, Hashes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def files_with(self, table: str, files: Sequence[str], ids: pa.ChunkedArray) -> list[str]:
        """Those of `files`, the table's present ones, that hold one of the ids or were not kept."""
        wanted = id_hashes(ids)
        kept = self._kept(table, files)
        return [file for file in files if file not in kept or _overlap(wanted, kept[file])]

    @property
    def count(self) -> int:
        """Ids kept."""
        with self._lock:
            return sum(len(hashes) for kept in self._tables.values() for hashes in kept.values())

    def _kept(self, table: str, files: Sequence[str]) -> dict[str, Hashes]:
        with self._lock:
            before = self._tables.get(table, {})
            kept = {file: before[file] for file in files if file in before}
            room = self.max_ids - sum(
                len(hashes)
                for name, held in self._tables.items()
                if name != table
                for hashes in held.values()
            )
            room -= sum(map(len, kept.values()))
            for file in files:
                if file not in kept and room > 0:
                    hashes = _read(file, room)
                    if hashes is not None:
                        kept[file] = hashes
                        room -= len(hashes)
            self._tables[table] = kept
            return dict(kept)


def _read(file: str, room: int) -> Hashes | None:
    """The hashes of one file's ids; None when they are too many to keep."""
    with pq.ParquetFile(file) as parquet:
        if parquet.metadata.num_rows > room:
            return None
        return id_hashes(parquet.read(["prediction_id"]).column("prediction_id"))


def _overlap(first: Hashes, second: Hashes) -> bool:
    """Whether two sorted arrays share a value; the time is that of the shorter one's look-ups in the other."""
    few, many = (first, second) if len(first) <= len(second) else (second, first)
    if not len(few):
        return False
    places = np.minimum(np.searchsorted(many, few), len(many) - 1)
    return bool(np.any(many[places] == few))
