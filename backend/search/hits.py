"""What a search finds, as pages, the API and the command line show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

MOST: Final = 50
"""So many of one kind at most; whoever wants more narrows what is looked for."""


@dataclass(frozen=True)
class Hit:
    """One thing that was found.

    ref      how people name it: INC-42, flight-delay v7
    state    one word or two of how it is
    context  what else tells it from others
    page     the console's page about it, with `query`
    exact    what was typed is its id
    """

    kind: str
    ref: str
    title: str
    state: str
    context: str
    page: str
    query: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False

    @property
    def address(self) -> str:
        return f"/{self.page}" + (f"?{urlencode(self.query)}" if self.query else "")

    def document(self) -> dict[str, Any]:
        """As the API answers it."""
        names = ("kind", "ref", "title", "state", "context", "exact", "address")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Group:
    """What was found of one kind, the nearest first. `more`: there is more than was asked for."""

    kind: str
    title: str
    hits: tuple[Hit, ...]
    more: bool = False


@dataclass(frozen=True)
class Found:
    """What a search found. `exact`: the one thing whose id was typed, where there is just one.

    not_asked  kinds that were not looked among, by title, and why
    """

    text: str
    groups: tuple[Group, ...]
    exact: Hit | None
    not_asked: Mapping[str, str]

    @property
    def count(self) -> int:
        return sum(len(one.hits) for one in self.groups)

    @property
    def is_cut(self) -> bool:
        return any(one.more for one in self.groups)
