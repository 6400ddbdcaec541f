"""What one look at the record found, and what it is asked with. Plain data: services, pages and packs read it alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from backend import clock
from backend.database.session import ReadSession
from backend.governance.digests import digest_of
from backend.identity.actor import Actor
from backend.registry.tables import Model

State = Literal["contradicted", "missing", "stale", "not_shown", "present"]
STATES: Final[dict[State, str]] = {
    "contradicted": "contradicted",
    "missing": "missing",
    "stale": "out of date",
    "not_shown": "not shown here",
    "present": "present",
}
"""Every state with its words, the gravest first. `not_shown`: nothing here can tell; it is never taken for present."""
GAPS: Final[frozenset[State]] = frozenset({"contradicted", "missing", "stale"})


@dataclass(frozen=True)
class Link:
    """An object that evidence rests on: its kind as in the audit log, its id, and what people read."""

    kind: str
    id: str
    label: str

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "id": self.id, "label": self.label}


@dataclass(frozen=True)
class Evidence:
    """at: when what was found is from; mark: what a judgement rests on, so that another object is another evidence."""

    state: State
    reason: str
    at: datetime | None = None
    links: tuple[Link, ...] = ()
    mark: str = ""


@dataclass(frozen=True)
class Question:
    """What every query is asked with.

    model     None: the house as a whole
    version   the version that is meant: asked for, else the one that served then, else the newest registered by then
    at        the moment asked about; `is_now`: it is the present one
    """

    session: ReadSession
    viewer: Actor
    model: Model | None
    version: int | None
    environment: str
    at: datetime
    is_now: bool
    known: dict[str, Any] = field(default_factory=dict)  # what one query looked up, for the next one

    @property
    def name(self) -> str:
        """The model's name. Only queries of models ask."""
        if self.model is None:
            raise RuntimeError("a query of models was asked about the house")
        return self.model.name

    @property
    def subject(self) -> str:
        """Whom it is about, in words."""
        if self.model is None:
            return "the house"
        return f"{self.model.name} version {self.version}" if self.version is not None else self.model.name


@dataclass(frozen=True)
class Answer:
    """One query's evidence within a control. query "": what no query can show, in the catalogue's own words."""

    query: str
    title: str
    parameters: dict[str, Any]
    evidence: Evidence

    @property
    def seen(self) -> dict[str, Any]:
        """What a judgement keeps of it: readable, with the mark by which it is compared."""
        return {**self.as_dict(), "mark": self.evidence.mark}

    def as_dict(self) -> dict[str, Any]:
        found = self.evidence
        return {
            "query": self.query, "title": self.title, "parameters": dict(self.parameters), "state": found.state,
            "state_words": STATES[found.state], "reason": found.reason,
            "at": clock.to_iso(found.at) if found.at is not None else None,
            "links": [one.as_dict() for one in found.links],
        }  # fmt: skip


def evidence_digest(wording: str, seen: Iterable[Mapping[str, Any]]) -> str:
    """Of a control's wording and of what was seen of its evidence (`Answer.seen`)."""
    parts = ("query", "parameters", "state", "mark")
    return digest_of({"wording": wording, "evidence": [[one.get(part) for part in parts] for one in seen]})


def gravest(states: Iterable[State]) -> State:
    """The worst of them; `not_shown` where there is none."""
    order = list(STATES)
    return min(states, key=order.index, default="not_shown")
