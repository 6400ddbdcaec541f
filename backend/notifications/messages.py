"""What is told of an incident, or of a change that waits: a few facts and a link. The same facts make the same
message, whoever asks and when."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self

from backend import clock

STATES: Final = ("open", "acknowledged", "resolved")
SEVERITIES: Final = ("SEV-1", "SEV-2", "SEV-3", "SEV-4")  # the first is the worst


@dataclass(frozen=True)
class Message:
    """One incident as another system is told of it. What `key` names is one page, one alert, one message there.

    A reminder of a change that waits is one, too: it has `change` and no `incident`, is told once, and asks for no
    acknowledgement.
    """

    key: str  # of this incident at this installation: the dedup key
    incident: int | None
    state: str  # one of STATES
    severity: int  # 1 to 4
    title: str
    lines: tuple[str, ...]  # one fact each
    link: str
    model: str
    environment: str
    opened_at: str  # ISO 8601, UTC
    by: str = ""  # who acknowledged or resolved it, for people
    round: int = (
        1  # which asking for an acknowledgement this is: one more each time it grew graver than acknowledged
    )
    change: int | None = None

    @property
    def page_key(self) -> str:
        """The dedup key where an acknowledged page rings nobody again: each asking is a page of its own there."""
        return key_of_round(self.key, self.round)

    def earlier_keys(self, told: Told | None) -> list[str]:
        """Of the askings that `told` may have left open and this one takes the place of."""
        return [key_of_round(self.key, one) for one in range(told.round if told else self.round, self.round)]

    @property
    def word(self) -> str:
        """The severity; a change has none."""
        return SEVERITIES[self.severity - 1] if self.change is None else ""

    @property
    def ref(self) -> str:
        return f"INC-{self.incident}" if self.change is None else f"CHG-{self.change}"

    @property
    def summary(self) -> str:
        """One line: severity, number and what is wrong; or that a change waits."""
        if self.change is not None:
            return f"{self.ref} waits for a decision: {self.title}"
        return f"[{self.word}] {self.ref}: {self.title}"

    @property
    def text(self) -> str:
        """The facts below the summary, a line each, ending in the link."""
        if self.change is not None:
            return "\n".join((*self.lines, self.link))
        state = {"open": "open", "acknowledged": "acknowledged", "resolved": "resolved"}[self.state]
        said = f"{state} by {self.by}" if self.by and self.state != "open" else state
        return "\n".join((f"State: {said}", *self.lines, self.link))

    @property
    def digest(self) -> str:
        """Of all that a reader sees; who resolved it is not what is wrong, so `by` is left out."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("state", "by")}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "lines": list(self.lines)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        return cls(**{**document, "lines": tuple(document["lines"])})


@dataclass(frozen=True)
class Told:
    """What a channel was last told of an incident.

    ref      what the other side calls it: a Slack message's time, an Opsgenie alert's alias
    perhaps  the last attempt was cut off: the other side may have taken it
    """

    ref: str
    state: str
    digest: str
    severity: int
    perhaps: bool = False
    round: int = 1


def key_of_round(key: str, round_: int) -> str:
    return key if round_ == 1 else f"{key}/{round_}"


def iso(at: datetime) -> str:
    return clock.to_iso(at)


def clipped(text: str, longest: int) -> str:
    """At most so many characters; what was cut off is said by an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
