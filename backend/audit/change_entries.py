"""What entries say of changes: what was asked for and under which rule, who decided and how, and how each ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import ReadSession

VERDICTS: Final = {
    Action.CHANGE_APPROVED.value: "approve", Action.CHANGE_REJECTED.value: "reject",
    Action.CHANGES_ASKED_FOR.value: "ask",
}  # fmt: skip
ENDS: Final = {
    Action.CHANGE_REJECTED.value: "rejected", Action.CHANGE_CANCELLED.value: "cancelled",
    Action.CHANGE_EXPIRED.value: "expired", Action.CHANGE_VOID.value: "void",
    Action.EXECUTION_STARTED.value: "executing", Action.EXECUTION_FINISHED.value: "executed",
    Action.EXECUTION_FAILED.value: "failed", Action.EXECUTION_OVERTAKEN.value: "failed",
}  # fmt: skip
ASKED: Final = frozenset({Action.CHANGE_REQUESTED.value, Action.CHANGE_RESUBMITTED.value})
GATES: Final = Action.GATES_EVALUATED.value
UNDECIDED: Final = frozenset(
    {Action.GLASS_BROKEN.value, Action.RETURN_TAKEN.value, Action.RETRAINING_COVERED.value}
)
GATES_AGAIN: Final = Action.GATES_REQUESTED.value
RETRACTED: Final = Action.APPROVAL_RETRACTED.value
_READ: Final = (RETRACTED, *VERDICTS, *ENDS, *ASKED, GATES, GATES_AGAIN, *UNDECIDED)


@dataclass(frozen=True)
class Told:
    """One entry about a change. `said` is its payload, None where that was erased; `at` stands in its leaf."""

    seq: int
    action: str
    actor: str
    said: Mapping[str, Any] | None
    at: str = ""

    @property
    def state(self) -> str:
        """The state that it ends the change in, or takes its execution to; empty for others."""
        return ENDS.get(self.action, "")

    @property
    def verdict(self) -> str:
        return VERDICTS.get(self.action, "")


def told_of(session: ReadSession, changes: Collection[int]) -> dict[int, list[Told]]:
    """The entries about these changes, in their order; nothing of a change without any."""
    found: dict[int, list[Told]] = defaultdict(list)
    for some in _portions(sorted(changes)):
        rows = session.execute(
            select(
                AuditEntry.seq, AuditEntry.object_id, AuditEntry.action, AuditEntry.actor, AuditEntry.at,
                AuditPayload.payload,
            )
            .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(
                AuditEntry.object_kind == "change", AuditEntry.object_id.in_([str(one) for one in some]),
                AuditEntry.action.in_(_READ),
            )
            .order_by(AuditEntry.seq)
        )  # fmt: skip
        for seq, number, action, actor, at, payload in rows:
            said = parsed(payload.encode()) if payload is not None else None
            found[int(number)].append(Told(seq, action, actor, said, at))
    return found


@dataclass(frozen=True)
class TakenBack:
    """Approvals that were taken back. `ids`: as entries name them; `entries`: the numbers of the entries of those whose
    taking back was erased; `untold`: entries of which nobody can tell any more what they took back."""

    ids: frozenset[str]
    entries: frozenset[int]
    untold: tuple[Told, ...]


def retracted(told: Iterable[Told]) -> TakenBack:
    """What was taken back. An erased entry took back the newest approval by the same person before it: nobody has two
    that count at a time, and who approved must take that back before they approve again."""
    ids: set[str] = set()
    entries: set[int] = set()
    untold: list[Told] = []
    given: list[Told] = []
    for one in told:
        if one.verdict == "approve":
            given.append(one)
        if one.action != RETRACTED:
            continue
        if one.said is not None:
            ids.add(str(one.said.get("decision")))
            continue
        mine = [each for each in given if one.actor in (each.actor, (each.said or {}).get("on_behalf_of"))]
        newest = mine[-1] if mine else None
        if newest is None or newest.seq in entries or (newest.said or {}).get("decision") in ids:
            untold.append(one)
        else:
            entries.add(newest.seq)
    return TakenBack(frozenset(ids), frozenset(entries), tuple(untold))


def asked_for(session: ReadSession) -> set[int]:
    """The numbers of all changes that the log was asked for."""
    rows = session.scalars(
        select(AuditEntry.object_id).where(
            AuditEntry.action == Action.CHANGE_REQUESTED.value, AuditEntry.object_kind == "change"
        )
    )
    return {int(one) for one in rows if one.isdecimal()}


def last_said(told: Iterable[Told], name: str, actions: Collection[str]) -> Any:
    """What the last of these entries that names it says.

    Raises `LookupError` where none does, or where a later one is erased, as nobody can tell any more what that said.
    """
    found: list[Any] = []
    for one in told:
        if one.action in actions:
            if one.said is None:
                found = []
            elif name in one.said:
                found = [one.said[name]]
    if not found:
        raise LookupError(name)
    return found[0]


def _portions(numbers: list[int]) -> Iterable[list[int]]:
    return (numbers[at : at + 500] for at in range(0, len(numbers), 500))
