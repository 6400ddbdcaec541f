"""Parts of lists: how many are asked for, after how many, and what an answer says of the rest.

GET /people?limit=100              {"people": [...], "next": 100}
GET /people?limit=100&offset=100   {"people": [...], "next": null}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict, TypeVar

from fastapi import Depends, Query

MOST: Final = 500
"""So many of a list are in one answer at most, and where nothing is asked for."""

Row = TypeVar("Row")
Offset = Annotated[int, Query(ge=0, lt=2**31, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


class More(TypedDict):
    """What services that give a part of a list take."""

    offset: int
    limit: int


@dataclass(frozen=True)
class Cut:
    """The part of a list that was asked for."""

    offset: int
    limit: int

    @property
    def more(self) -> More:
        """For a service: the part and one row behind it, which tells whether there is more."""
        return More(offset=self.offset, limit=self.limit + 1)

    def answer(self, key: str, found: Sequence[Row], view: Callable[[Row], Any]) -> dict[str, Any]:
        """The part, and `next`, from where the rest is read: None where there is none. `found` is what `more` asked."""
        return {
            key: [view(one) for one in found[: self.limit]],
            "next": self.offset + self.limit if len(found) > self.limit else None,
        }

    def counted(
        self, key: str, found: Sequence[Row], view: Callable[[Row], Any], total: int
    ) -> dict[str, Any]:
        """The same where the whole is counted: `found` is the part alone."""
        behind = self.offset + self.limit
        return {key: [view(one) for one in found], "total": total, "next": behind if behind < total else None}


def asked_part(offset: Offset = 0, limit: Limit = MOST) -> Cut:
    return Cut(offset, limit)


Part = Annotated[Cut, Depends(asked_part)]


def as_is(row: Row) -> Row:
    return row
