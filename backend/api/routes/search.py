"""Search over everything that has a name or a number."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from backend.api.security import current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.search.hits import MOST
from backend.search.service import search
from backend.search.typed import LONGEST
from backend.settings import settings

router = APIRouter(tags=["search"])
Caller = Annotated[Actor, Depends(current_actor)]
Kind = Literal["model", "incident", "change", "version", "finding", "prediction", "person"]


@router.get("/search")
def find(
    actor: Caller,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST, description="a name, a number such as INC-42, or words")],
    kind: Annotated[Kind | None, Query(description="this kind alone")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="of each kind")] = 8,
    stored: Annotated[bool, Query(description="also read stored predictions for this id")] = False,
) -> dict[str, Any]:  # fmt: skip
    """Find what the caller may see by its id, the beginning of its name, or words.

    Of each kind those with this id first, then what begins with the text, then what has every word. `exact` is the one
    thing whose id `q` is.
    """
    with reading() as session:
        found = search(
            session,
            actor,
            q,
            kind=kind,
            limit=limit,
            observations=settings().observations if stored else None,
        )
    return {
        "query": found.text,
        "exact": found.exact.document() if found.exact else None,
        "groups": [
            {"kind": one.kind, "title": one.title, "more": one.more, "hits": [hit.document() for hit in one.hits]}
            for one in found.groups
        ],
        "not_asked": dict(found.not_asked),
    }  # fmt: skip
