"""What gates find is bound to a change: settled once for each revision, asked for again, and what was granted since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed
from backend.governance import machine
from backend.governance.asking import (
    ask_gates,
    checked_text,
    expire_if_late,
    is_requester,
    keep_snapshot,
    locked,
    reopen,
    shown_digest,
    signed_digest,
)
from backend.governance.authority import authority_over
from backend.governance.digests import digest_of
from backend.governance.evaluations import EVALUATIONS, with_evaluation
from backend.governance.excepted import with_exceptions
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.roles import Permission


def settle_gates(
    session: WriteSession,
    actor: Actor,
    change_id: int,
    *,
    revision: int,
    results: list[dict[str, Any]],
    flips: dict[str, Any] | None,
    measured: Mapping[str, Any] | None = None,
) -> Change | None:
    """Keep what the gates found and open the change for decisions. None where this revision no longer waits for it.

    `flips` and `measured` (parts of the evidence by name) are what scoring with both versions showed besides.
    """
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    if change.state != "checking" or change.revision != revision or expire_if_late(session, change):
        return None
    results = with_exceptions(session, change, results)
    change.gates, change.gates_at = results, clock.now()
    if flips is not None:
        change.evidence = {**change.evidence, **(measured or {}), "flips": flips}
    change.evidence = {**change.evidence, EVALUATIONS: with_evaluation(session, change, results)}
    change.state = machine.after(change.state, "gates_settled", what=f"CHG-{change.id}")
    _sign_results(session, actor, change)
    return change


def _sign_results(session: WriteSession, actor: Actor, change: Change) -> None:
    """What is signed from here on, its snapshot, and its entry; with the exceptions that it rests on."""
    change.digest = signed_digest(change)
    session.flush()
    keep_snapshot(session, change)
    leaned = {one["gate"]: one["exception"]["id"] for one in change.gates if one.get("exception")}
    record(
        session, actor, Action.GATES_EVALUATED, object_kind="change", object_id=change.id,
        payload={"digest": change.digest, "gates": digest_of(change.gates), "shown": shown_digest(change),
                 "verdicts": {result["gate"]: result["verdict"] for result in change.gates}}
        | ({"exceptions": leaned} if leaned else {}),
    )  # fmt: skip


def bind_granted(session: WriteSession, actor: Actor, model: str) -> None:
    """Take an exception that was granted now into the results of what waits: its digest is another one from here on.

    What somebody has decided on stays as it is; there it counts once the gates are evaluated again.
    """
    waiting = session.scalars(
        select(Change)
        .where(Change.model == model, Change.state == "waiting")
        .order_by(Change.id)
        .with_for_update()
    )
    for change in waiting.all():
        results = with_exceptions(session, change, change.gates)
        if change.counted or results == change.gates or expire_if_late(session, change):
            continue
        change.gates = results
        _sign_results(session, actor, change)


def recheck_gates(session: WriteSession, actor: Actor, change_id: int, *, reason: str) -> Change:
    """Evaluate the gates again, on today's data. What was decided so far no longer counts, also an approval that no
    worker has taken up. Who asked for the change may, and who could decide on it."""
    change = locked(session, actor, change_id)
    why_not = why_not_recheck(session, actor, change)
    if why_not is not None:
        raise NotAllowed(
            f"who asked for CHG-{change.id}, and who could decide on it, have its gates evaluated again: {why_not}"
        )
    if not change.policy["gates"]:
        raise BadInput(f"the rule {change.policy['name']!r} of CHG-{change.id} names no gate")
    reopen(change, "recheck")
    change.revision += 1
    change.gates, change.gates_at = [], None
    session.flush()
    ask_gates(session, change)
    record(
        session, actor, Action.GATES_REQUESTED, object_kind="change", object_id=change.id,
        payload={"revision": change.revision}, why=checked_text(reason, "reason", required=False),
    )  # fmt: skip
    return change


def why_not_recheck(session: ReadSession, actor: Actor, change: Change) -> str | None:
    """Why this actor does not have the gates evaluated again, in words: who could, as often as they like, would undo
    decisions of others as often."""
    if change.is_urgent:
        return "it goes ahead without a decision; its gates are not asked"
    if is_requester(session, actor, change):
        return (
            None
            if actor.may_about(Permission.REQUEST_CHANGE, change.model)
            else "your role does not ask for changes"
        )
    try:
        authority_over(session, actor, change)
    except NotAllowed as error:
        return error.message
    return None
