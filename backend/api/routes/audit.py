"""The audit log: search, one entry with its proof, and its state."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from backend.api.parameters import Before, RowId
from backend.api.security import current_actor
from backend.audit.reading import MAX_LIMIT, entry_detail, search_entries
from backend.audit.verification import verify
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission

router = APIRouter(tags=["audit"])
Caller = Annotated[Actor, Depends(current_actor)]


@router.get("/audit/entries")
def entries(
    actor: Caller,
    who: str = "",
    action: str = "",
    object_kind: str = "",
    object_id: str = "",
    text: str = "",
    routine: bool = True,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
) -> dict[str, Any]:
    """Entries, newest first. Pass `next` of an answer as `before` for the following page."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise BadInput(f"{name}: write the time with its zone, as 2026-03-01T09:05:00Z")
    with reading() as session:
        found = search_entries(
            session, actor, who=who, action=action, object_kind=object_kind, object_id=object_id, text=text,
            routine=routine,
            since=since, until=until, before_seq=before, limit=limit,
        )  # fmt: skip
    return {"entries": [asdict(one) for one in found], "next": found[-1].seq if len(found) == limit else None}


@router.get("/audit/entries/{seq}")
def entry(actor: Caller, seq: RowId) -> dict[str, Any]:
    """One entry: what was hashed, and the proof that it is in the log."""
    with reading() as session:
        return asdict(entry_detail(session, actor, seq))


@router.get("/audit/verification")
def verification(actor: Caller) -> dict[str, Any]:
    """Recompute the whole tree and say where the first altered entry is, if any is."""
    actor.require(Permission.READ_AUDIT)
    return asdict(verify())
