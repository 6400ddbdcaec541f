"""Roots over ranges of stored entries, and the proofs made of them, from few rows however long the log is.

A complete subtree of 256 entries, and of 256 of those, is stored when its last entry is appended (`log.py`).
A proof needs the root over each of some ranges; a range is cut into stored subtrees and at most two runs of leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, cast

from sqlalchemy import CompoundSelect, Table, bindparam, select, union_all

from backend.audit.merkle import KEPT_LEVEL, complete_runs, fold
from backend.audit.tables import AuditEntry, AuditSubtree
from backend.database.session import ReadSession
from backend.database.types import BigId

Range = tuple[int, int]  # first entry, and the one behind the last
_LEVELS: Final = (3 * KEPT_LEVEL, 2 * KEPT_LEVEL, KEPT_LEVEL)
_CLOSE: Final = 64


def range_roots(session: ReadSession, ranges: Sequence[Range]) -> list[bytes]:
    """The root over each range, which must begin at a multiple of the power of two not below its length, as every
    range of a proof does. Raises `ValueError` where entries are missing or a stored hash is none."""
    pieces = [list(_pieces(low, high)) for low, high in ranges]
    known = _Known(session, pieces)
    if not known.has_all(pieces):
        # A subtree that is not stored (it should be) is made from its leaves.
        pieces = [[known.or_leaves(piece) for piece in some] for some in pieces]
        known = _Known(session, pieces)
    return [fold([peak for piece in some for peak in complete_runs(known.hashes(piece))]) for some in pieces]


Piece = tuple[int, int, int]  # level, first position, position behind the last


def _pieces(low: int, high: int) -> Iterable[Piece]:
    """The range cut into runs of stored subtrees, largest first, and a run of leaves (level 0)."""
    for level in _LEVELS:
        first, last = -(-low >> level), high >> level
        if first < last:
            if low < first << level:
                yield from _pieces(low, first << level)
            yield level, first, last
            if last << level < high:
                yield from _pieces(last << level, high)
            return
    if low < high:
        yield 0, low, high


class _Known:
    """The stored hashes that some pieces need, read by one question: each would take as long as all its rows."""

    def __init__(self, session: ReadSession, pieces: Sequence[Sequence[Piece]]) -> None:
        self._found: dict[int, dict[int, str]] = {level: {} for level in (*_LEVELS, 0)}
        runs = [
            (level, low, high)
            for level in self._found
            for low, high in _merged(
                sorted((low, high) for some in pieces for at, low, high in some if at == level)
            )
        ]
        if not runs:
            return
        asked: dict[str, int] = {}
        for i, (level, low, high) in enumerate(runs):
            asked |= {f"level{i}": level, f"low{i}": low, f"high{i}": high}
        statement = _question(tuple(level > 0 for level, _, _ in runs))
        for level, position, found in session.connection().execute(statement, asked).all():
            self._found[level][position] = found

    def has_all(self, pieces: Sequence[Sequence[Piece]]) -> bool:
        """Whether every subtree among them is stored."""
        return all(self.or_leaves(piece) == piece for some in pieces for piece in some)

    def or_leaves(self, piece: Piece) -> Piece:
        """The piece, or the leaves under it where a subtree of it is not stored."""
        level, first, last = piece
        if level and any(position not in self._found[level] for position in range(first, last)):
            return 0, first << level, last << level
        return piece

    def hashes(self, piece: Piece) -> list[bytes]:
        """Raises `ValueError` where one is missing."""
        level, first, last = piece
        found = self._found[level]
        try:
            return [bytes.fromhex(found[position]) for position in range(first, last)]
        except KeyError as missing:
            raise ValueError(f"entry {missing} is not there") from None


def _merged(runs: Sequence[Range]) -> list[Range]:
    """Runs that lie close together as one: what lies between is read along."""
    merged: list[Range] = []
    for low, high in runs:
        if merged and low - merged[-1][1] <= _CLOSE:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


@cache
def _question(kinds: tuple[bool, ...]) -> CompoundSelect[int, int, str]:
    """Level, position and hash of so many runs, each of subtrees (True) or of leaves."""
    runs = []
    for i, of_subtrees in enumerate(kinds):
        level, low, high = (bindparam(f"{name}{i}", type_=BigId) for name in ("level", "low", "high"))
        if of_subtrees:
            runs.append(select(_SUBTREES.c.level, _SUBTREES.c.position, _SUBTREES.c.hash).where(
                _SUBTREES.c.level == level, _SUBTREES.c.position >= low, _SUBTREES.c.position < high))  # fmt: skip
        else:
            runs.append(select(level.label("level"), _ENTRIES.c.seq, _ENTRIES.c.leaf_hash).where(
                _ENTRIES.c.seq >= low, _ENTRIES.c.seq < high))  # fmt: skip
    return union_all(*runs)


_SUBTREES, _ENTRIES = (cast(Table, table.__table__) for table in (AuditSubtree, AuditEntry))
