"""The audit log: search, one entry with its proof, and its state."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse

from backend.api.parameters import Before, Moment, RowId
from backend.api.security import current_actor
from backend.audit.reading import MAX_LIMIT, entry_detail, search_entries
from backend.audit.receipts import receipt
from backend.audit.state import last_verification
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
    since: Moment | None = None,
    until: Moment | None = None,
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


@router.get("/audit/entries/{seq}/receipt", response_class=PlainTextResponse)
def entry_receipt(actor: Caller, seq: RowId, newest: bool = False) -> Response:
    """The entry with the proof that the signed log holds it: a `.tlog-proof` that verifies without Warrant.

    `newest`: in the newest signed head, so under the present key, rather than in the first that holds it.
    """
    with reading() as session:
        content = receipt(session, actor, seq, newest=newest)
    name = f"audit-{seq}.tlog-proof"
    return PlainTextResponse(content, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.get("/audit/verification")
def verification(actor: Caller) -> dict[str, Any]:
    """What the last verification of the whole log found, and when; a worker makes one every six hours (`warrant
    audit verify` recomputes at once). `ok` is null where there was none yet."""
    actor.require_some(Permission.READ_AUDIT)
    with reading() as session:
        return last_verification(session)
