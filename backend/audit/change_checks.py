"""What the tables of changes and decisions say, and no entry does, and the other way round.

The log has an entry for each asking (its payload has the rule, what is bound and why), for each decision (its payload
names the row) and for each move into a state that ends a change or lets it be executed. A row that differs from them,
or that one of the two lacks, was written or taken away by somebody else than Warrant. What an erased payload said is
not compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.orm import defer, lazyload

from backend import clock
from backend.addresses import all_without_credentials
from backend.audit.actions import Action
from backend.audit.change_entries import (
    ASKED,
    ENDS,
    GATES,
    GATES_AGAIN,
    UNDECIDED,
    Told,
    asked_for,
    last_said,
    retracted,
    told_of,
)
from backend.database.many import among
from backend.database.session import ReadSession
from backend.governance.agreed_returns import agreed_otherwise, finished_times
from backend.governance.digests import digest_of
from backend.governance.request_record import contradictions, lasts_longer
from backend.governance.tables import Change, Decision, WayBack

_AT_ONCE: Final = 500
# A row and the entry of its transaction, which may have waited for the lock of the log in between.
_AT_ONE_TIME: Final = timedelta(minutes=1)
_NEEDS_ONE: Final = frozenset({"approved", "executing", "executed"})
# What an entry calls it, the column of the row, and the entries that say it; the last one holds.
_FIRST: Final = frozenset({Action.CHANGE_REQUESTED.value})
_SAID: Final = (
    ("kind", "kind", _FIRST), ("model", "model", _FIRST), ("environment", "environment", _FIRST),
    ("from_version", "from_version", _FIRST), ("to_version", "to_version", _FIRST),
    ("summary", "summary", ASKED), ("why", "reason", ASKED), ("bound", "bound", ASKED), ("policy", "policy", ASKED),
    ("digest", "request_digest", ASKED), ("trained_by", "trained_by", ASKED), ("data_owner", "data_owner", ASKED),
)  # fmt: skip
_WORDS: Final = {
    "policy": "rule",
    "decided_at": "time",
    "on_behalf_of": "whom it was for",
    "request_digest": "digest of what was asked for",
    "bound": "what is bound",
    "trained_by": "who trained the version",
    "data_owner": "who owns its data",
}
_DECIDED: Final = (
    ("why", "comment"), ("accepted", "accepted"), ("digest", "seen_digest"), ("on_behalf_of", "on_behalf_of"),
)  # fmt: skip


@dataclass(frozen=True)
class Unrecorded:
    """`subject` tells it from others for ever."""

    change: int
    subject: str
    title: str


def unrecorded_changes(session: ReadSession, changes: Collection[int] | None = None) -> Iterator[Unrecorded]:
    """Everything on which log and tables disagree, by change; of `changes` alone where they are given.

    Whether the row of an entry is gone is only told of the whole house: whoever may see some changes lacks rows.
    """
    wanted = select(Change.id).order_by(Change.id)
    numbers = list(session.scalars(wanted if changes is None else wanted.where(among(Change.id, changes))))
    for at in range(0, len(numbers), _AT_ONCE):
        some = numbers[at : at + _AT_ONCE]
        told = told_of(session, some)
        rows = select(Change).where(Change.id.in_(some)).order_by(Change.id)
        for row in session.scalars(rows.options(defer(Change.evidence), defer(Change.subject))):
            entries = told.get(row.id, [])
            yield from _decisions_differ(row, entries)
            yield from _retractions_differ(row, entries)
            yield from _row_differs(row, entries)
            yield from _state_differs(row, entries)
        yield from _returns_differ(session, some)
    if changes is None:
        for number in sorted(asked_for(session) - set(numbers)):
            yield Unrecorded(
                number, f"change {number} gone", f"CHG-{number} was asked for by the log, and its row is gone"
            )


def _returns_differ(session: ReadSession, changes: Sequence[int]) -> Iterator[Unrecorded]:
    """Rows of agreed returns, taken or still open, that say something else than was agreed with these changes."""
    rows = session.execute(
        select(WayBack, Change)
        .join(Change, Change.id == WayBack.change_id)
        .where(Change.id.in_(changes), or_(WayBack.used_by.is_not(None), WayBack.expires_at > clock.now()))
        .options(defer(Change.evidence), defer(Change.subject), lazyload(Change.decisions))
        .order_by(WayBack.id)
    ).all()
    finished = finished_times(session, [row[1].id for row in rows]) if rows else {}
    for way, change in rows:
        evidence = session.scalars(select(Change.evidence).where(Change.id == change.id)).one()
        for said in agreed_otherwise(way, change, evidence.get("way_back"), finished.get(change.id)):
            yield Unrecorded(
                change.id, f"return {way.id}: {said}", f"the return from CHG-{change.id}: {said}"
            )


def _decisions_differ(row: Change, entries: Sequence[Told]) -> Iterator[Unrecorded]:
    """Decisions and their entries, both ways."""
    given = [one for one in entries if one.verdict]
    by_id = {one.said["decision"]: one for one in given if one.said is not None and "decision" in one.said}
    erased = defaultdict(list)
    for told in given:
        if told.said is None:
            erased[told.actor, told.verdict].append(told)
    roles = _roles(given)
    for one in row.decisions:
        entry = by_id.pop(one.id, None)
        subject = f"decision {one.id}"
        if entry is None or (entry.actor, entry.verdict) != (one.person_id, one.verdict):
            possible = erased[one.person_id, one.verdict]
            if possible:
                told = min(possible, key=lambda each: _apart(one, each))
                possible.remove(told)
                if _apart(one, told) > _AT_ONE_TIME:
                    yield _decided_otherwise(row, one, told, ["decided_at"])
                continue
            yield Unrecorded(
                row.id, subject, f"a decision on CHG-{row.id} ({one.verdict}) that no entry records"
            )
            continue
        differs = [name for said, name in _DECIDED if _otherwise(entry.said, said, getattr(one, name))]
        if roles.get(one.id, one.role) != one.role:
            differs.append("role")
        if _apart(one, entry) > _AT_ONE_TIME:
            differs.append("decided_at")
        fresh = clock.to_iso(one.signed_in_at) if one.signed_in_at else None
        if entry.said is not None and entry.said.get("signed_in_at") != fresh:
            differs.append("signed_in_at")
        if differs:
            yield _decided_otherwise(row, one, entry, differs)
    for decision, entry in by_id.items():
        yield Unrecorded(
            row.id, f"decision {decision} gone",
            f"a decision on CHG-{row.id} ({entry.verdict}, entry {entry.seq}) whose row is gone",
        )  # fmt: skip


def _apart(decision: Decision, entry: Told) -> timedelta:
    try:
        return abs(decision.decided_at - clock.from_iso(entry.at))
    except (ValueError, TypeError):  # of a damaged entry
        return timedelta.max


def _decided_otherwise(row: Change, one: Decision, entry: Told, differs: Sequence[str]) -> Unrecorded:
    return Unrecorded(
        row.id, f"decision {one.id} altered",
        f"{_words(differs)} of a decision on CHG-{row.id} ({one.verdict}) differs from entry {entry.seq}",
    )  # fmt: skip


def _retractions_differ(row: Change, entries: Sequence[Told]) -> Iterator[Unrecorded]:
    """A decision that was taken back, and its entry, both ways. Of an entry that was erased its place in the order
    says which it was; where that does not either, it cannot be known, and that is said."""
    back, placed = retracted(entries), _entries_of(row, entries)
    untold = list(back.untold)
    for one in row.decisions:
        by_log = one.id in back.ids or placed.get(one.id) in back.entries
        if (one.retracted_at is not None) == by_log:
            continue
        for_them = [each for each in untold if each.actor in (one.person_id, one.on_behalf_of)]
        if one.retracted_at and for_them:
            untold.remove(for_them[0])
            continue
        said = (
            "counts no longer, and no entry takes it back"
            if one.retracted_at
            else "was taken back, and counts"
        )
        yield Unrecorded(
            row.id, f"retraction of {one.id}", f"a decision on CHG-{row.id} ({one.verdict}) {said}"
        )
    for each in untold:
        yield Unrecorded(
            row.id, f"retraction of entry {each.seq}",
            f"entry {each.seq} took back a decision on CHG-{row.id}; which one cannot be known: its text was erased, "
            "and no decision of that person is taken back in the table",
        )  # fmt: skip


def _entries_of(row: Change, entries: Sequence[Told]) -> dict[str, int]:
    """The number of the entry of each decision: as entries name it, and of erased ones by their order, where there are
    as many as decisions without one."""
    given = [one for one in entries if one.verdict]
    found = {str(one.said["decision"]): one.seq for one in given if one.said and "decision" in one.said}
    rows, erased = defaultdict(list), defaultdict(list)
    for one in sorted(row.decisions, key=lambda one: one.decided_at):
        if one.id not in found:
            rows[one.person_id, one.verdict].append(one.id)
    for told in given:
        if told.said is None:
            erased[told.actor, told.verdict].append(told.seq)
    for whose, ids in rows.items():
        if len(ids) == len(erased[whose]):
            found.update(zip(ids, erased[whose], strict=True))
    return found


def _roles(given: Iterable[Told]) -> dict[str, str]:
    """The role by which each approval counts: its own entry's, until a later one counted anew."""
    found: dict[str, str] = {}
    for one in given:
        if one.said is not None:
            if "decision" in one.said and "role" in one.said:
                found[one.said["decision"]] = one.said["role"]
            found.update(one.said.get("recounted") or {})
    return found


def _row_differs(row: Change, entries: Sequence[Told]) -> Iterator[Unrecorded]:
    """What was asked for, by whom, under which rule, and what the gates found."""
    asked = [one for one in entries if one.action in ASKED]
    if not any(one.action in _FIRST for one in asked):
        yield Unrecorded(
            row.id, f"change {row.id} unasked", f"CHG-{row.id} is in the table, and no entry asks for it"
        )
        return
    differs = [
        name for said, name, actions in _SAID if _said_otherwise(asked, said, actions, getattr(row, name))
    ]
    who = asked[0].said.get("requested_by", asked[0].actor) if asked[0].said is not None else asked[0].actor
    if who != row.requested_by and (asked[0].said is not None or row.way_back_id is None):
        differs.append("requester")
    if _gates_differ(row, entries):
        differs.append("gates")
    if lasts_longer(row, _told(asked, "expires_at")):
        differs.append("end")
    if _signed_differs(row, entries):
        yield Unrecorded(
            row.id, f"change {row.id} signed otherwise",
            f"what is signed of CHG-{row.id} is not what the log says was shown: evidence, gate results or people",
        )  # fmt: skip
    for one in contradictions(row):
        yield Unrecorded(row.id, f"change {row.id} contradicts itself: {one}", f"CHG-{row.id}: {one}")
    if differs:
        yield Unrecorded(
            row.id, f"change {row.id} altered: {', '.join(sorted(differs))}",
            f"{_words(differs)} of CHG-{row.id} differs from what its entries say",
        )  # fmt: skip


def _told(told: Iterable[Told], name: str) -> Any:
    try:
        return last_said(told, name, ASKED)
    except LookupError:
        return None


def _gates_differ(row: Change, entries: Sequence[Told]) -> bool:
    """Whether the results are others than those that were evaluated last; none are left once it is asked for anew."""
    found: Any = None
    for one in entries:
        if one.action in ASKED or one.action == GATES_AGAIN:
            found = None
        elif one.action == GATES:
            if one.said is None:
                return False
            found = one.said.get("gates")
    return bool(row.gates) if found is None else bool(digest_of(row.gates) != found)


def _signed_differs(row: Change, entries: Sequence[Told]) -> bool:
    """Whether another digest is signed than the newest entry says was shown: evidence, gate results or people."""
    shown = next((one for one in reversed(entries) if one.action in ASKED or one.action == GATES), None)
    if shown is None or shown.said is None:
        return False
    signed = shown.said.get("digest" if shown.action == GATES else "signed")
    return signed is not None and bool(signed != row.digest)


def _state_differs(row: Change, entries: Sequence[Told]) -> Iterator[Unrecorded]:
    recorded = next((one.state for one in reversed(entries) if one.state), "")
    if row.state != recorded and (row.state in ENDS.values() or recorded):
        yield Unrecorded(
            row.id, f"change {row.id} {row.state}",
            f"CHG-{row.id} is {row.state} in the table, and {recorded or 'nothing of the kind'} by the log",
        )  # fmt: skip
    elif row.state in _NEEDS_ONE and (lacks := lacking_approvals(row, entries)):
        yield Unrecorded(row.id, f"change {row.id} let through", f"CHG-{row.id} is {row.state}, and {lacks}")


def lacking_approvals(row: Change, entries: Sequence[Told]) -> str:
    """What the log lacks of the approvals that the rule of a change asks for, role by role; empty: nothing.

    Counted are approvals of what was signed last, given before the execution began. The rule is the one that the asking
    names; where that was erased, the row's. An approval whose entry was erased counts for any role.
    """
    if any(one.action in UNDECIDED for one in entries):
        return ""
    begun = min((one.seq for one in entries if one.state == "executing"), default=None)
    given = [one for one in entries if one.verdict == "approve" and (begun is None or one.seq < begun)]
    if not given:
        return "no entry approves it"
    try:
        rule = last_said(entries, "policy", ASKED)
    except LookupError:
        rule = None
    roles = _roles(given)
    back = retracted(entries)
    counted = [
        one for one in given
        if one.seq not in back.entries and (
            one.said is None
            or (one.said.get("digest", row.digest) == row.digest and one.said.get("decision") not in back.ids)
        )
    ]  # fmt: skip
    have = Counter(
        roles.get(one.said.get("decision", "")) if one.said is not None else None for one in counted
    )
    spare = have.pop(None, 0)
    lacks = []
    for role, number in (rule if isinstance(rule, dict) else row.policy).get("roles", {}).items():
        short = number - have[role]
        if short > spare:
            lacks.append(f"{have[role] + spare} of {number} approvals by {role}")
        spare -= min(spare, max(0, short))
    return f"the log has {', '.join(lacks)}" if lacks else ""


def _said_otherwise(told: Iterable[Told], name: str, actions: Collection[str], value: Any) -> bool:
    try:
        return bool(last_said(told, name, actions) != all_without_credentials(value))
    except LookupError:
        return False


def _otherwise(said: Any, name: str, value: Any) -> bool:
    return said is not None and name in said and said[name] != all_without_credentials(value)


def _words(names: Sequence[str]) -> str:
    return " and ".join(_WORDS.get(name, name.replace("_", " ")) for name in names)
