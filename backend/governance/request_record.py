"""Whether a change is still the one that was asked for: by its own digests, and by the log's entry of the request.

Who owns the database can rewrite a row that waits. What was bound is in the digest of the request, the rule's digest is
one of its parts, and the entry of the request names all of it with the people whom the rule excludes. Asked at every
decision that lets a change go on, and before every stage; the log reconciles the same. Whether the log itself was
altered is its verification's to find.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, String, case, cast, func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditErasure, AuditPayload
from backend.database.session import ReadSession
from backend.governance.asking import request_digest
from backend.governance.errors import ChangeAltered
from backend.governance.kinds import Asked
from backend.governance.policies import rule_digest
from backend.governance.tables import Change

REQUESTS: Final = (Action.CHANGE_REQUESTED.value, Action.CHANGE_RESUBMITTED.value)
ERASED: Final = ""  # in place of a text that was erased, and an entry says so
_SAID: Final = {
    "digest": "what was asked for", "requested_by": "who asked for it", "trained_by": "who trained the version",
    "data_owner": "who owns its data",
}  # fmt: skip


def text_of_request(change_id: ColumnElement[Any] | Any) -> ScalarSelect[str]:
    """The text of the newest entry that asks for this change (or sends it again), as JSON; `ERASED` where it was erased
    and that is recorded; NULL where there is no such entry, or its text is gone without a record."""
    return (
        select(func.coalesce(AuditPayload.payload, case((AuditErasure.seq.is_not(None), ERASED))))
        .select_from(AuditEntry)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .outerjoin(AuditErasure, AuditErasure.seq == AuditEntry.seq)
        .where(
            AuditEntry.object_kind == "change", AuditEntry.object_id == cast(change_id, String),
            AuditEntry.action.in_(REQUESTS),
        )
        .order_by(AuditEntry.seq.desc())
        .limit(1)
        .scalar_subquery()
    )  # fmt: skip


def what_was_altered(session: ReadSession, change: Change) -> list[str]:
    """What of a change is not as it was asked for, in words; empty where all is."""
    return contradictions(change) + differences(change, session.scalar(select(text_of_request(change.id))))


def contradictions(change: Change) -> list[str]:
    """What is stored of a change and does not give the digests that are stored with it."""
    found = []
    asked = Asked(change.kind, change.environment, change.model)
    if change.request_digest != request_digest(asked, change.bound):
        found.append("kind, place or bound parts are not those whose digest was asked for")
    if change.bound.get("policy") != rule_digest(change.policy):
        found.append("the rule it is decided by is not the one that was asked for")
    return found


def differences(change: Change, told: str | None) -> list[str]:
    """What is stored of a change and differs from the text of the log's entry of its request; `told`: that text. One
    that was erased is not compared, as reconciliation compares none."""
    if told == ERASED:
        return []
    if told is None:
        return ["the log holds no text of an entry that asks for it"]
    said = parsed(told.encode())
    now = {
        "digest": change.request_digest, "requested_by": change.requested_by, "trained_by": change.trained_by,
        "data_owner": change.data_owner,
    }  # fmt: skip
    differs = [
        f"{words} differs from the log's entry of the request"
        for part, words in _SAID.items()
        if said.get(part) != now[part]
    ]
    if lasts_longer(change, said.get("expires_at")):
        differs.append("its end is later than the log's entry of the request says")
    return differs


def lasts_longer(change: Change, told: Any) -> bool:
    """Whether the row ends later than what the entry of the request told, where it told that."""
    return isinstance(told, str) and change.expires_at > clock.from_iso(told)


def refuse_altered(change: Change, told: str | None) -> None:
    """`ChangeAltered` where the change is not the one that was asked for."""
    altered = contradictions(change) + differences(change, told)
    if altered:
        raise ChangeAltered(
            f"CHG-{change.id} is not as it was asked for: {'; '.join(altered)}. Nobody approves it any more; ask for "
            "it again, and find out who wrote to the database",
            change=change.id, differs=altered,
        )  # fmt: skip
