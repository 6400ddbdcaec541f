"""What somebody looks for in the log, as one value: the page, the API, exports and saved searches share it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, false, func, select, union_all
from sqlalchemy.orm import InstrumentedAttribute

from backend import clock
from backend.audit.actions import Action
from backend.audit.rows import stored_entries
from backend.audit.search_index import SEARCH, number, saying
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.people import matching_people
from backend.identity.reach import entries_in_reach
from backend.identity.roles import Permission

ROUTINE = (Action.BATCH_INGESTED, Action.WINDOW_COMPUTED)
MOST_APART: Final = 50  # people or actions that are looked up one by one
_AN_ID: Final = re.compile(r"per_[0-9a-f]{20}|system:[a-z_-]+")
MOST_BOUNDED: Final = 100_000  # entries of a time that is looked up first


@dataclass(frozen=True)
class Search:
    """`who` is an id, a user name or part of a name; `action` a whole action or its beginning up to a colon
    (`governance:change`); `since` is included, `until` is not. `text`: words that the entry holds, all of them; `word*`
    is the beginning of one. Without `routine` the entries that machines write all day are left out."""

    who: str = ""
    action: str = ""
    object_kind: str = ""
    object_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    routine: bool = True

    def __post_init__(self) -> None:
        for sent in (self.who, self.action, self.object_kind, self.object_id, self.text):
            if not sent.isprintable():
                raise BadInput(f"{sent!r} holds characters that nothing in the log holds")
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise BadInput(f"{name}: write the time with its zone, as 2026-03-01T09:05:00Z")

    def to_json(self) -> dict[str, Any]:
        """Only what was asked for; times as the log writes them."""
        default = Search()
        return {
            name: clock.to_iso(value) if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value != getattr(default, name)
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Search:
        """Raises `BadInput` for what is no search."""
        known = {one.name: document[one.name] for one in fields(cls) if one.name in document}
        if document.keys() - known.keys():
            raise BadInput(f"a search has no {sorted(document.keys() - known.keys())[0]!r}")
        try:
            times: dict[str, Any] = {
                name: clock.from_iso(known[name]) for name in ("since", "until") if known.get(name)
            }
            text: dict[str, Any] = {
                name: str(value) for name, value in known.items() if name not in ("since", "until", "routine")
            }
        except (TypeError, ValueError) as error:
            raise BadInput(f"this is no search: {error}") from error
        return replace(cls(), **text, **times, routine=bool(known.get("routine", True)))


def matching_entries(
    session: ReadSession,
    viewer: Actor,
    wanted: Search,
    *,
    before_seq: int | None = None,
    after_seq: int | None = None,
    limit: int,
) -> Select[Any]:
    """The stored rows that match, as far as the session may find them: newest first, with `after_seq` oldest first.

    `text` looks into payloads where the viewer may see them, else into the leaves.
    """
    dialect = session.get_bind().dialect.name
    query = stored_entries(dialect, after=after_seq)
    seq: ColumnElement[int] = AuditEntry.seq.expression
    text = wanted.text.strip()
    if text:
        said = saying(dialect, text, clear=viewer.may(Permission.READ_AUDIT_PAYLOAD))
        seq = number(dialect)
        query = query.join(SEARCH, seq == AuditEntry.seq).where(false() if said is None else said)
    conditions = [*entries_in_reach(session), *_conditions(wanted), *_bounds(session, wanted, seq)]
    if before_seq is not None:
        conditions.append(seq < before_seq)
    if after_seq is not None:
        conditions.append(seq > after_seq)
    order = seq if after_seq is not None else seq.desc()
    actors, actions = _actors(session, wanted), _actions(wanted)
    column, several, other = (
        (AuditEntry.action, actions, _one_of(AuditEntry.actor, actors))
        if len(actions) > 1
        else (AuditEntry.actor, actors, _one_of(AuditEntry.action, actions))
    )
    if text or not 1 < len(several) <= MOST_APART:
        conditions += [*other, *_one_of(column, several)]
    else:
        # The newest of each, from an index that has them in order; of all together, each would have to be looked at.
        each = [
            select(AuditEntry.seq)
            .where(column == one, *other, *conditions)
            .order_by(order)
            .limit(limit)
            .subquery()
            for one in several
        ]
        conditions = [AuditEntry.seq.in_(union_all(*(select(one.c.seq) for one in each)))]
    return query.where(*conditions).order_by(order).limit(limit)


def as_recorded(session: ReadSession, wanted: Search) -> dict[str, Any]:
    """A search as an entry holds it: of a person, the ids that were meant. No erasure would reach the name there."""
    found = wanted.to_json()
    if "who" in found:
        who = wanted.who.strip()
        found["who"] = [who] if _AN_ID.fullmatch(who) else sorted(matching_people(session, who))[:MOST_APART]
    return found


def _actors(session: ReadSession, wanted: Search) -> list[str]:
    who = wanted.who.strip()
    return list(dict.fromkeys([who, *matching_people(session, who)])) if who else []


def _actions(wanted: Search) -> list[str]:
    action = wanted.action.strip().rstrip(":")
    under = [one.value for one in Action if one.value.startswith(f"{action}:")]
    return list(dict.fromkeys([action, *under])) if action else []


def _one_of(column: InstrumentedAttribute[str], values: list[str]) -> list[ColumnElement[bool]]:
    return [column.in_(values)] if values else []


def _bounds(session: ReadSession, wanted: Search, seq: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """The numbers between which the entries of a time lie, for a time of not too many: the one thing by which every
    index can leave out the rest. Looked up and not reckoned: a clock may have jumped."""
    if wanted.since is None and wanted.until is None:
        return []
    some = select(AuditEntry.seq).where(*_at(wanted)).limit(MOST_BOUNDED + 1).subquery()
    low, high, count = session.execute(
        select(func.min(some.c.seq), func.max(some.c.seq), func.count())
    ).one()  # fmt: skip
    if count > MOST_BOUNDED:
        return []
    return [seq.between(low, high)] if count else [false()]


def _at(wanted: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(AuditEntry.at >= clock.to_iso(wanted.since))
    if wanted.until is not None:
        found.append(AuditEntry.at < clock.to_iso(wanted.until))
    return found


def _conditions(wanted: Search) -> list[ColumnElement[bool]]:
    """What an entry itself says, but for actor and action."""
    found = _at(wanted)
    if not wanted.routine:
        found.append(AuditEntry.action.not_in([one.value for one in ROUTINE]))
    if wanted.object_kind.strip():
        found.append(AuditEntry.object_kind == wanted.object_kind.strip())
    if wanted.object_id.strip():
        found.append(AuditEntry.object_id == wanted.object_id.strip())
    return found
