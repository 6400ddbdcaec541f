"""What somebody typed into the field, and the conditions that it makes in the database."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, false, func, or_

from backend.errors import BadInput

LONGEST: Final = 200
MOST_WORDS: Final = 8
_NUMBER: Final = re.compile(r"(?:([A-Za-z]+)\s*-\s*|#)?([0-9]{1,18})")
_VERSION: Final = re.compile(r"(?P<model>[^\s/@]+)(?:\s*[/@]\s*|\s+)[vV]?(?P<number>[0-9]{1,9})")


@dataclass(frozen=True)
class Typed:
    """`text` in Unicode's composed form with single spaces; `words` are its parts, all of which must be found."""

    text: str

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text.split(" "))[:MOST_WORDS]

    def number(self, prefix: str) -> int | None:
        """The number in `INC-42`, `inc - 42`, `#42` or `42`; None where another prefix, or something else, stands."""
        found = _NUMBER.fullmatch(self.text)
        if found is None or (found[1] is not None and found[1].upper() != prefix):
            return None
        return int(found[2])

    def is_named(self, prefix: str) -> bool:
        """Whether the prefix itself was typed before the number, so that it can mean one thing only."""
        found = _NUMBER.fullmatch(self.text)
        return found is not None and (found[1] or "").upper() == prefix

    @property
    def version(self) -> tuple[str, int] | None:
        """Model and number in `flight-delay v7`, `flight-delay/7` or `flight-delay@7`."""
        found = _VERSION.fullmatch(self.text)
        return (found["model"], int(found["number"])) if found else None


def read_typed(text: str) -> Typed:
    """Raises `BadInput`: nothing was typed, or too much."""
    clean = " ".join(unicodedata.normalize("NFC", text).replace("\x00", " ").split())
    if not clean:
        raise BadInput("write what to look for: a name, a number such as INC-42, or words", field="q")
    if len(clean) > LONGEST:
        raise BadInput(f"write at most {LONGEST} characters to look for", field="q")
    return Typed(clean)


def same(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column holds this text, whatever its case."""
    found: ColumnElement[bool] = func.lower(column) == func.lower(text)
    return found


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Whether it begins so. `%` and `_` are what they are, not wildcards."""
    found: ColumnElement[bool] = column.istartswith(text, autoescape=True)
    return found


def holds(columns: Sequence[Any], words: Sequence[str]) -> ColumnElement[bool]:
    """Whether every word stands in some of these columns. `%` and `_` are what they are, not wildcards."""
    if not words:
        return false()
    return and_(
        *(or_(*(column.icontains(form, autoescape=True) for column in columns for form in _forms(word)))
          for word in words)
    )  # fmt: skip


def rank(first: Any, text: str) -> ColumnElement[int]:
    """0 where the column is the text, 1 where it begins with it, else 2."""
    return case((same(first, text), 0), (begins(first, text), 1), else_=2)


def _forms(word: str) -> set[str]:
    """SQLite's `lower` knows the letters of ASCII alone, so other words are also asked for as they may be written."""
    return {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
