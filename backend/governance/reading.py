"""Finding changes: one, many, a person's inbox, and what is new in one since a person last looked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Text, or_, select, type_coerce
from sqlalchemy.orm import defer

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed
from backend.governance import errors, machine
from backend.governance.asking import keep_snapshot, shown_of
from backend.governance.authority import (
    Authority,
    Case,
    Given,
    authority_over,
    decision_of,
    read_owners_of_many,
)
from backend.governance.delegations import lent_to
from backend.governance.kept_documents import signed_otherwise
from backend.governance.machine import OPEN
from backend.governance.news import ALTERED, differing
from backend.governance.tables import Change, Decision, Look, Snapshot
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model

# What a list does not show, and what is large: read from a change only when somebody asks for it.
_AS_LISTED: Final = tuple(
    defer(column) for column in (Change.evidence, Change.gates, Change.bound, Change.subject)
)


def get_change(session: ReadSession, viewer: Actor, change_id: int) -> Change:
    see(session, viewer)
    change = session.get(Change, change_id)
    if change is None:
        raise errors.ChangeNotFound(f"there is no change CHG-{change_id} that you may see")
    if change.model is not None:
        get_model(session, viewer, change.model)
    return change


def list_changes(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    states: tuple[str, ...] = (),
    limit: int = 200,
    before: int | None = None,
    between: tuple[datetime, datetime] | None = None,
) -> list[Change]:
    """Changes, newest first; `before` is the id after which to go on, `between` the time in which they were asked for
    or came to their end. `BadInput` for a state that there is not."""
    see(session, viewer)
    unknown = sorted(set(states) - set(machine.WORDS))
    if unknown:
        raise BadInput(
            f"a state is one of {', '.join(machine.WORDS)}, not {unknown[0][:40]!r}", field="state"
        )
    query = select(Change).options(*_AS_LISTED).order_by(Change.id.desc()).limit(limit)
    if model is not None:
        query = query.where(Change.model == model)
    if states:
        query = query.where(Change.state.in_(states))
    if before is not None:
        query = query.where(Change.id < before)
    if between is not None:
        query = query.where(or_(Change.requested_at.between(*between), Change.finished_at.between(*between)))
    return list(session.scalars(query))


def changes_of(session: ReadSession, viewer: Actor, ids: Sequence[int]) -> list[Change]:
    """These changes as a list shows them, in this order; ids that name none are left out."""
    allow(session, viewer, Permission.READ_MODELS)
    return _listed(session, ids)


def _listed(session: ReadSession, ids: Sequence[int]) -> list[Change]:
    if not ids:
        return []
    found = session.scalars(select(Change).options(*_AS_LISTED).where(Change.id.in_(ids)))
    each = {change.id: change for change in found}
    return [each[number] for number in ids if number in each]


def open_ids(session: ReadSession, viewer: Actor) -> list[int]:
    """Every change that has not come to its end, newest first."""
    allow(session, viewer, Permission.READ_MODELS)
    return list(session.scalars(select(Change.id).where(Change.state.in_(OPEN)).order_by(Change.id.desc())))


def waiting_for(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, before: int | None = None
) -> list[Change]:
    """The viewer's inbox: changes that wait for a decision this person can take, most urgent first; of these `limit`,
    those behind the change `before`."""
    ids = ids_waiting_for(session, viewer)
    first = ids.index(before) + 1 if before in ids else 0
    return _listed(session, ids[first:][:limit])


def ids_waiting_for(session: ReadSession, viewer: Actor) -> list[int]:
    """`waiting_for`, as ids: what every page counts. Reads of each change only what says who decides on it."""
    now = clock.now()
    if not (viewer.may(Permission.DECIDE_CHANGE) or lent_to(session, viewer.person_id, at=now)):
        return []
    waiting = session.execute(
        select(
            Change.id, type_coerce(Change.policy, Text), Change.requested_by, Change.trained_by, Change.data_owner,
            Change.model,
        )
        .where(Change.state == "waiting", Change.expires_at > now)
        .order_by(Change.expires_at, Change.id)
    ).all()  # fmt: skip
    given = _given_while_waiting(session) if waiting else {}
    people = {person for row in waiting for person in row[2:5]} | viewer.people
    read_owners_of_many(session, people | {one for each in given.values() for hand in each for one in hand})
    authorities: dict[tuple[str | None, ...], Authority | None] = {}
    mine = []
    for number, policy, requester, trainer, owner, model in waiting:
        case = (policy, requester, trainer, owner, model)
        if case not in authorities:
            under = Case(number, None, json.loads(policy or "{}"), requester, trainer, owner, model)
            authorities[case] = _authority(session, viewer, under)
        authority = authorities[case]
        if authority and not decision_of(session, viewer, authority, given.get(number, ())):
            mine.append(number)
    return mine


def _given_while_waiting(session: ReadSession) -> dict[int, list[Given]]:
    """The decisions that count on each change that waits for more."""
    rows = session.execute(
        select(Decision.change_id, Decision.person_id, Decision.on_behalf_of)
        .join(Change, (Change.id == Decision.change_id) & (Change.revision == Decision.revision))
        .where(Change.state == "waiting", Decision.retracted_at.is_(None))
    )
    given: dict[int, list[Given]] = {}
    for number, person, lender in rows:
        given.setdefault(number, []).append(Given(person, lender))
    return given


def _authority(session: ReadSession, viewer: Actor, case: Case) -> Authority | None:
    try:
        return authority_over(session, viewer, case)
    except NotAllowed:
        return None


def snapshot_of(session: ReadSession, viewer: Actor, change_id: int, digest: str) -> dict[str, Any]:
    """What was shown of a change under this digest, exactly as it was; also when everything else is gone."""
    see(session, viewer)
    found = session.get(Snapshot, digest)
    if found is None or found.change_id != change_id:
        raise errors.ChangeNotFound(f"nothing was shown of CHG-{change_id} under {digest[:19]}…")
    document: dict[str, Any] = found.document
    return document


def note_look(session: WriteSession, viewer: Actor, change_id: int) -> dict[str, Any] | None:
    """Remember that this person sees the change now; gives what is new since they decided on it, while it is open, or
    else since they last looked; None at first.

    `{"since": time, "decided": bool, "state": [then, now] or None, "parts": [each part that differs, both values]}`
    """
    if viewer.person_row is None:
        raise NotAllowed("only people look at changes")
    change = get_change(session, viewer, change_id)
    known = session.get(Look, (change_id, viewer.person_id))
    keep_snapshot(session, change)
    news = _since_decided(session, viewer, change) or (
        None if known is None else _news(session, known, change)
    )
    if known is None:
        session.add(
            Look(change_id=change_id, person_id=viewer.person_id, looked_at=clock.now(), state=change.state,
                 snapshot=change.digest)
        )  # fmt: skip
    elif known.snapshot != change.digest or known.state != change.state:
        known.looked_at, known.state, known.snapshot = clock.now(), change.state, change.digest
    session.flush()
    return news


def _news(session: ReadSession, known: Look, change: Change) -> dict[str, Any] | None:
    if known.snapshot == change.digest and known.state == change.state:
        return None
    return {
        "since": known.looked_at,
        "decided": False,
        "state": None if known.state == change.state else [known.state, change.state],
        "parts": _parts(session, known.snapshot, change),
    }


def _since_decided(session: ReadSession, viewer: Actor, change: Change) -> dict[str, Any] | None:
    """Against what this person decided on last: it is told until they decide anew, however often they look."""
    if change.state not in OPEN:
        return None
    mine = session.scalars(
        select(Decision)
        .where(Decision.change_id == change.id, Decision.person_id == viewer.person_id)
        .order_by(Decision.decided_at.desc(), Decision.id.desc())
        .limit(1)
    ).first()
    if mine is None or mine.seen_digest == change.digest or session.get(Snapshot, mine.seen_digest) is None:
        return None
    parts = _parts(session, mine.seen_digest, change)
    return {"since": mine.decided_at, "decided": True, "state": None, "parts": parts} if parts else None


def _parts(session: ReadSession, digest: str, change: Change) -> list[dict[str, Any]]:
    then = session.get_one(Snapshot, digest).document
    return [ALTERED] if signed_otherwise(digest, then) else differing(then, shown_of(change))
