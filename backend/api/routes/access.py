"""Who can do what, and reviews of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.access.movements import counted, movements_in
from backend.access.reviews import Progress, Scope, answer_item, items_of, list_reviews, start_review
from backend.access.rights import Right, count_accounts, rights_now
from backend.api.idempotency import body_of, once
from backend.api.pages import Part, as_is
from backend.api.parameters import RowId, ZonedMoment
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.audit.population import parse_period
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor

router = APIRouter(tags=["access"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class ReviewRequest(BaseModel):
    title: Short
    due_at: ZonedMoment
    kinds: list[Literal["role", "team_role", "token", "trust_rule", "loan"]] = Field(default=[], max_length=5)
    roles: list[Short] = Field(
        default=[], max_length=20, description="only rights by these roles; none: every one"
    )
    teams: list[Short] = Field(default=[], max_length=200, description="only roles in these teams, by id")
    reviewer: Short | None = Field(
        default=None, description="the id of who answers; null: whoever may review access"
    )
    revokes_unanswered: bool = Field(default=False, description="what nobody answered by its day is taken")


class AccessAnswer(BaseModel):
    answer: Literal["keep", "revoke"]
    reason: Text


def _right(one: Right) -> dict[str, Any]:
    return dict(one.__dict__)


def _review(one: Progress) -> dict[str, Any]:
    return {
        "id": one.review.id, "title": one.review.title, "started_by": one.started_by,
        "started_at": one.review.started_at, "due_at": one.review.due_at, "closed_at": one.review.closed_at,
        "items": one.items, "kept": one.kept, "revoked": one.revoked, "lapsed": one.lapsed,
        "reviewer": one.reviewer, "scope": one.review.scope, "revokes_unanswered": one.review.revokes_unanswered,
        "open": one.open, "overdue": one.overdue,
    }  # fmt: skip


@router.get("/access")
def access(actor: Caller, part: Part) -> dict[str, Any]:
    """Every right of every open account: roles with permissions, tokens, lent rights, and when each was last used.
    `limit` and `offset` count accounts; the rights of one stay together."""
    with reading() as session:
        found = rights_now(session, actor, limit=part.limit, offset=part.offset)
        total = count_accounts(session, actor)
    answer = part.counted("rights", found, _right, total)
    answer["accounts"] = answer.pop("total")
    return answer


@router.get("/access-movements")
def movements(actor: Caller, part: Part, period: Annotated[str, Query(max_length=40)]) -> dict[str, Any]:
    """Who joined, moved and left in a period (2026Q3, 2026-07, 2026, 2026-07-01..2026-09-30), oldest first."""
    with reading() as session:
        found = movements_in(session, actor, parse_period(period))
    cut = part.answer("movements", found[part.offset :], lambda one: one.as_dict())
    return {**cut, **dict(counted(found))}


@router.get("/access-reviews")
def reviews(actor: Caller, part: Part) -> dict[str, Any]:
    """Reviews of access, newest first, with how far each is."""
    with reading() as session:
        return part.answer("reviews", list_reviews(session, actor, **part.more), _review)


@router.post("/access-reviews", status_code=201)
def start(request: Request, actor: Caller, body: Body, asked: ReviewRequest) -> Response:
    """Begin a review over every right of every open account, or over those of a scope."""

    def act(session: WriteSession) -> dict[str, Any]:
        start_review(
            session, actor, title=asked.title, due_at=asked.due_at, reviewer=asked.reviewer,
            scope=Scope(tuple(asked.kinds), tuple(asked.roles), tuple(asked.teams)),
            revokes_unanswered=asked.revokes_unanswered,
        )  # fmt: skip
        return _review(list_reviews(session, actor, limit=1)[0])

    return once(request, actor, body, act, status=201)


@router.get("/access-reviews/{review_id}/items")
def items(actor: Caller, review_id: RowId, part: Part) -> dict[str, Any]:
    """The items of a review, those without an answer first."""
    with reading() as session:
        return part.answer("items", items_of(session, actor, review_id, **part.more), as_is)


@router.post("/access-items/{item_id}/answer", status_code=201)
def answer(request: Request, actor: Caller, body: Body, item_id: RowId, asked: AccessAnswer) -> Response:
    """Keep or revoke one right of somebody else; what is revoked is gone at once."""

    def act(session: WriteSession) -> dict[str, Any]:
        item = answer_item(session, actor, item_id, answer=asked.answer, reason=asked.reason)
        return {"id": item.id, "answer": item.answer, "answered_at": item.answered_at}

    return once(request, actor, body, act, status=201)
