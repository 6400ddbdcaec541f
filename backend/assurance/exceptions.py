"""Exceptions from a gate of the policy: asked for by one person, granted by another, over by themselves.

    excepted_gates(session, "toy")     # {"metric_not_worse": 7}: from what the model is excepted now, and by what

For a change it counts where the gate results that are signed name it (`backend.governance.excepted`), and is asked anew
at each decision and when the change is executed: one that has expired or was ended meanwhile lets nothing through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, exists, select

from backend import clock
from backend.assurance.hands import same_hands
from backend.assurance.tables import PolicyException
from backend.assurance.texts import day_ahead, written
from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_about
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model

LONGEST: Final = timedelta(days=366)


_ENTRIES: Final = (
    Action.EXCEPTION_ASKED, Action.EXCEPTION_GRANTED, Action.EXCEPTION_REFUSED, Action.EXCEPTION_ENDED,
)  # fmt: skip


class OwnException(NotAllowed):
    """Nobody grants an exception that they asked for."""

    title = "Your own request"


def ask_exception(
    session: WriteSession, actor: Actor, *, model: str, gate: str, reason: str, expires_at: datetime
) -> PolicyException:
    """Ask that a gate does not stand in this model's way until a day, a year ahead at most. A person asks."""
    from backend.governance.gates import gates

    allow(session, actor, Permission.REQUEST_CHANGE)
    _require_person(actor, "ask for")
    get_model(session, actor, model)
    if gate not in gates():
        raise BadInput(f"there is no gate {gate!r}; there are {', '.join(gates())}", field="gate")
    if day_ahead(expires_at, "expires_at") > clock.now() + LONGEST:
        raise BadInput(
            f"an exception lasts {LONGEST.days} days at most; ask again when it is over", field="expires_at"
        )
    known = _standing(session, model, gate)
    if known is not None:
        raise Conflict(
            f"EXC-{known.id} of {model} from {gate} is {state_of(known)} already", exception=known.id
        )
    row = PolicyException(
        model=model, gate=gate, reason=written(reason, "reason"), asked_by=actor.person_id, asked_at=clock.now(),
        expires_at=expires_at,
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.EXCEPTION_ASKED, object_kind="exception", object_id=row.id, why=row.reason,
        payload={"model": model, "gate": gate, "expires_at": clock.to_iso(expires_at)},
    )  # fmt: skip
    return row


def decide_exception(
    session: WriteSession, actor: Actor, exception_id: int, *, verdict: str, comment: str
) -> PolicyException:
    """Grant or refuse an exception that somebody else asked for; with a comment, which others read.

    A person does, and grants none that would let an open change past its gate on which they may not decide: what they
    asked for, trained, or own the data of. What waits and nobody has decided on rests on it from here on.
    """
    allow(session, actor, Permission.DECIDE_CHANGE)
    _require_person(actor, "decide on")
    row = _locked(session, actor, exception_id)
    if verdict not in ("grant", "refuse"):
        raise BadInput(f"a verdict is grant or refuse, not {verdict!r}", field="verdict")
    if same_hands(session, actor, [row.asked_by]):
        raise OwnException(f"you asked for EXC-{exception_id}; somebody else decides on it")
    if row.state != "asked" or clock.now() >= row.expires_at:
        raise Conflict(f"EXC-{exception_id} is {state_of(row)}; it takes no decision")
    if verdict == "grant":
        _refuse_excluded(session, actor, row)
    row.state = "granted" if verdict == "grant" else "refused"
    row.comment, row.decided_by, row.decided_at = written(comment, "comment"), actor.person_id, clock.now()
    session.flush()
    action = Action.EXCEPTION_GRANTED if verdict == "grant" else Action.EXCEPTION_REFUSED
    record(
        session, actor, action, object_kind="exception", object_id=row.id, why=row.comment,
        payload={"model": row.model, "gate": row.gate, "expires_at": clock.to_iso(row.expires_at)},
    )  # fmt: skip
    if verdict == "grant":
        from backend.governance.settling import bind_granted

        bind_granted(session, actor, row.model)
    return row


def _require_person(actor: Actor, to: str) -> None:
    if actor.kind == "service":
        raise NotAllowed(f"people {to} exceptions, no service account does")


def _refuse_excluded(session: ReadSession, actor: Actor, row: PolicyException) -> None:
    """`NotAllowed` where the rule of an open change that asks this gate excludes who is about to grant it."""
    from backend.governance.authority import refuse_excluded
    from backend.governance.machine import OPEN
    from backend.governance.tables import Change

    for change in session.scalars(select(Change).where(Change.model == row.model, Change.state.in_(OPEN))):
        if any(gate["gate"] == row.gate for gate in change.policy.get("gates", ())):
            try:
                refuse_excluded(session, actor, change)
            except NotAllowed as error:
                raise NotAllowed(
                    f"EXC-{row.id} would let CHG-{change.id} past {row.gate}, and {error.message}"
                ) from error


def end_exception(session: WriteSession, actor: Actor, exception_id: int, *, why: str) -> PolicyException:
    """End an exception before its day: whoever asked for it, or may decide. Ending again does nothing."""
    row = _locked(session, actor, exception_id)
    is_own = same_hands(session, actor, [row.asked_by])
    actor.require_scope(Permission.REQUEST_CHANGE if is_own else Permission.DECIDE_CHANGE)
    if not is_own:
        allow(session, actor, Permission.DECIDE_CHANGE)
        get_model(session, actor, row.model)  # it is theirs to decide about
    if state_of(row) not in ("asked", "granted"):
        return row
    row.state, row.ended_by, row.ended_at, row.ended_because = (
        "ended", actor.person_id, clock.now(), written(why, "why"),
    )  # fmt: skip
    session.flush()
    record(
        session, actor, Action.EXCEPTION_ENDED, object_kind="exception", object_id=row.id, why=row.ended_because,
        payload={"model": row.model, "gate": row.gate},
    )  # fmt: skip
    return row


def is_excepted(model: Any) -> ColumnElement[bool]:
    """Whether `excepted_gates` finds anything for the model in this column, at the moment of the parameter `now`: for
    a question that is asked anyway."""
    return exists().where(
        PolicyException.model == model, PolicyException.state == "granted",
        PolicyException.expires_at > bindparam("now"),
    )  # fmt: skip


def excepted_gates(session: ReadSession, model: str | None) -> dict[str, int]:
    """Gates that do not stand in this model's way at this moment, with the exception that says so."""
    if model is None:
        return {}
    rows = _granted(session, model)
    otherwise = granted_otherwise(session, rows)
    return {row.gate: row.id for row in rows if row.id not in otherwise}


def why_not_granted(session: ReadSession, model: str | None) -> dict[str, str]:
    """Gate -> why an exception from it that the table has does not count, in words."""
    rows = _granted(session, model) if model is not None else []
    otherwise = granted_otherwise(session, rows)
    return {row.gate: otherwise[row.id] for row in rows if row.id in otherwise}


def granted_otherwise(session: ReadSession, rows: Sequence[PolicyException]) -> dict[int, str]:
    """Those of these granted exceptions that are not what the log says was granted, with what differs, in words. One
    whose entry was erased is not either: nobody can tell any more what it said."""
    entries = entries_about(session, "exception", [one.id for one in rows], _ENTRIES) if rows else {}
    return {
        row.id: f"EXC-{row.id} does not count: {wrong}. Have it ended and granted anew, and find out who wrote to the "
        "database"
        for row in rows
        if (wrong := _differs(row, entries.get(str(row.id), [])))
    }


def _differs(row: PolicyException, entries: Sequence[Said]) -> str:
    said = {one.action: one for one in entries}
    told = {"model": row.model, "gate": row.gate, "expires_at": clock.to_iso(row.expires_at)}
    for action, who, word in (
        (Action.EXCEPTION_ASKED, row.asked_by, "asks for it"),
        (Action.EXCEPTION_GRANTED, row.decided_by, "grants it"),
    ):
        one = said.get(action)
        if one is None:
            return f"no entry of the log {word}"
        if one.payload is None:
            return f"the text of entry {one.seq}, which {word}, was erased"
        if one.actor != who or not one.says(**told):
            return f"entry {one.seq}, which {word}, says another person, model, gate or end"
    over = said.get(Action.EXCEPTION_ENDED) or said.get(Action.EXCEPTION_REFUSED)
    return f"entry {over.seq} ends it" if over is not None else ""


def _granted(session: ReadSession, model: str) -> Sequence[PolicyException]:
    return session.scalars(
        select(PolicyException)
        .where(
            PolicyException.model == model, PolicyException.state == "granted",
            PolicyException.expires_at > clock.now(),
        )
        .order_by(PolicyException.id)
    ).all()  # fmt: skip


def list_exceptions(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    standing: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> list[PolicyException]:
    """Exceptions, newest first. `standing`: only those that count or wait for a decision."""
    see(session, viewer)
    query = select(PolicyException).order_by(PolicyException.id.desc())
    if model is not None:
        get_model(session, viewer, model)
        query = query.where(PolicyException.model == model)
    if standing:
        query = query.where(
            PolicyException.state.in_(("asked", "granted")), PolicyException.expires_at > clock.now()
        )
    return list(session.scalars(query.limit(limit).offset(offset)))


def state_of(row: PolicyException) -> str:
    """asked, granted, refused, ended, or expired: its day is over, whatever it was."""
    late = row.state in ("asked", "granted") and clock.now() >= row.expires_at
    return "expired" if late else row.state


def exception_views(session: ReadSession, rows: Iterable[PolicyException]) -> list[dict[str, Any]]:
    found = list(rows)
    names = names_of(
        session, {person for one in found for person in (one.asked_by, one.decided_by, one.ended_by)}
    )
    return [
        {
            "id": one.id, "ref": f"EXC-{one.id}", "model": one.model, "gate": one.gate, "reason": one.reason,
            "state": state_of(one), "counts": state_of(one) == "granted", "asked_by": names[one.asked_by],
            "asked_at": one.asked_at, "expires_at": one.expires_at, "comment": one.comment,
            "decided_by": names.get(one.decided_by) if one.decided_by else None, "decided_at": one.decided_at,
            "ended_by": names.get(one.ended_by) if one.ended_by else None, "ended_at": one.ended_at,
            "ended_because": one.ended_because,
        }
        for one in found
    ]  # fmt: skip


def _standing(session: ReadSession, model: str, gate: str) -> PolicyException | None:
    return session.scalars(
        select(PolicyException)
        .where(
            PolicyException.model == model, PolicyException.gate == gate,
            PolicyException.state.in_(("asked", "granted")), PolicyException.expires_at > clock.now(),
        )
        .limit(1)
    ).first()  # fmt: skip


def _locked(session: WriteSession, actor: Actor, exception_id: int) -> PolicyException:
    see(session, actor)
    row = session.get(PolicyException, exception_id, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no exception EXC-{exception_id} that you may see")
    get_model(session, actor, row.model)
    return row
