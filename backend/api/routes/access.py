"""Who can do what, and reviews of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from backend.access.reviews import Progress, answer_item, items_of, list_reviews, start_review
from backend.access.rights import Right, rights_now
from backend.api.idempotency import body_of, once
from backend.api.parameters import RowId, ZonedMoment
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor

router = APIRouter(tags=["access"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class ReviewRequest(BaseModel):
    title: Short
    due_at: ZonedMoment


class AccessAnswer(BaseModel):
    answer: Literal["keep", "revoke"]
    reason: Text


def _right(one: Right) -> dict[str, Any]:
    return dict(one.__dict__)


def _review(one: Progress) -> dict[str, Any]:
    return {
        "id": one.review.id, "title": one.review.title, "started_by": one.started_by,
        "started_at": one.review.started_at, "due_at": one.review.due_at, "closed_at": one.review.closed_at,
        "items": one.items, "kept": one.kept, "revoked": one.revoked, "open": one.open, "overdue": one.overdue,
    }  # fmt: skip


@router.get("/access")
def access(actor: Caller) -> dict[str, Any]:
    """Every right of every open account: roles with permissions, tokens, lent rights, and when each was last used."""
    with reading() as session:
        return {"rights": [_right(one) for one in rights_now(session, actor)]}


@router.get("/access-reviews")
def reviews(actor: Caller) -> dict[str, Any]:
    """Reviews of access, newest first, with how far each is."""
    with reading() as session:
        return {"reviews": [_review(one) for one in list_reviews(session, actor)]}


@router.post("/access-reviews", status_code=201)
def start(request: Request, actor: Caller, body: Body, asked: ReviewRequest) -> Response:
    """Begin a review over every right of every open account."""

    def act(session: WriteSession) -> dict[str, Any]:
        start_review(session, actor, title=asked.title, due_at=asked.due_at)
        return _review(list_reviews(session, actor)[0])

    return once(request, actor, body, act, status=201)


@router.get("/access-reviews/{review_id}/items")
def items(actor: Caller, review_id: RowId) -> dict[str, Any]:
    """The items of a review, those without an answer first."""
    with reading() as session:
        return {"items": items_of(session, actor, review_id)}


@router.post("/access-items/{item_id}/answer", status_code=201)
def answer(request: Request, actor: Caller, body: Body, item_id: RowId, asked: AccessAnswer) -> Response:
    """Keep or revoke one right of somebody else; what is revoked is gone at once."""

    def act(session: WriteSession) -> dict[str, Any]:
        item = answer_item(session, actor, item_id, answer=asked.answer, reason=asked.reason)
        return {"id": item.id, "answer": item.answer, "answered_at": item.answered_at}

    return once(request, actor, body, act, status=201)
