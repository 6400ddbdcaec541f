"""What a form of a plain page sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.errors import BadInput, NotFound

PAST_ROWS: Final = 2**63  # no row has such a number, and no database takes it


@dataclass(frozen=True)
class Typed:
    """Fields by name; `accept`: every box that was ticked. Templates read `act` and `why` to show again what was
    written where it was refused."""

    fields: Mapping[str, str] = field(default_factory=dict)
    accept: Sequence[str] = ()

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    def number(self, name: str) -> int | None:
        """The number of a row; None where the field is empty. Raises `BadInput` where it is no such number."""
        told = self.get(name)
        if not told:
            return None
        if not told.isdecimal() or len(told) > 19 or int(told) >= PAST_ROWS:
            raise BadInput(
                f"{name}: {told[:20]!r} is no number of anything here; open the page again", field=name
            )
        return int(told)

    @property
    def act(self) -> str:
        return self.get("act")

    @property
    def why(self) -> str:
        return self.get("why")


def require_row(number: int) -> None:
    """`NotFound` for a number of an address that no row can have."""
    if number >= PAST_ROWS:
        raise NotFound("nothing has so large a number")
