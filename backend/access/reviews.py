"""A review of access: begun over everything there is, answered item by item by somebody else, over when all are.

Whoever answers is never the person concerned. Revoking takes effect at once, in the same transaction. A review that is
not answered by its day is a finding of who began it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.access.rights import rights_now
from backend.access.tables import AccessItem, AccessReview
from backend.assurance.findings import open_finding
from backend.assurance.hands import same_hands
from backend.assurance.tables import Finding
from backend.assurance.texts import day_ahead, written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.governance.delegations import revoke_delegation
from backend.identity.actor import Actor
from backend.identity.people import names_of, take_role
from backend.identity.roles import Permission, Role
from backend.identity.tokens import revoke_token

TO_MEND: Final = timedelta(days=14)


class OwnAccess(NotAllowed):
    """Nobody says of their own access that it is to be kept."""

    title = "Your own access"


@dataclass(frozen=True)
class Progress:
    """How far a review is."""

    review: AccessReview
    started_by: str
    items: int
    kept: int
    revoked: int

    @property
    def open(self) -> int:
        return self.items - self.kept - self.revoked

    @property
    def overdue(self) -> bool:
        return self.review.closed_at is None and clock.now() >= self.review.due_at


def start_review(session: WriteSession, actor: Actor, *, title: str, due_at: datetime) -> AccessReview:
    """Begin a review over every right of every open account, to be answered by a day. One at a time."""
    actor.require(Permission.REVIEW_ACCESS)
    running = session.scalars(
        select(AccessReview.id).where(AccessReview.closed_at.is_(None)).limit(1)
    ).first()
    if running is not None:
        raise Conflict(f"review {running} is not over; answer what is left of it first", review=running)
    review = AccessReview(
        title=written(title, "title", longest=200), started_by=actor.person_id, started_at=clock.now(),
        due_at=day_ahead(due_at, "due_at"),
    )  # fmt: skip
    session.add(review)
    session.flush()
    rights = rights_now(session, actor)
    session.add_all(
        AccessItem(
            review_id=review.id, person_id=one.person_id, kind=one.kind, subject=one.subject, facts=one.facts,
            last_used_at=one.last_used_at,
        )
        for one in rights
    )  # fmt: skip
    session.flush()
    record(
        session, actor, Action.ACCESS_REVIEW_STARTED, object_kind="access_review", object_id=review.id,
        payload={"title": review.title, "due_at": clock.to_iso(due_at), "items": len(rights)},
    )  # fmt: skip
    return review


def answer_item(session: WriteSession, actor: Actor, item_id: int, *, answer: str, reason: str) -> AccessItem:
    """Keep or revoke one right, with a reason. What is revoked is gone with the same commit."""
    actor.require(Permission.REVIEW_ACCESS)
    item = session.get(AccessItem, item_id, with_for_update=True)
    if item is None:
        raise NotFound(f"there is no item {item_id} of a review")
    if answer not in ("keep", "revoke"):
        raise BadInput(f"an answer is keep or revoke, not {answer!r}", field="answer")
    if same_hands(session, actor, [item.person_id]):
        raise OwnAccess("this is your own access; somebody else answers for it")
    if item.answer is not None:
        if item.answer == answer:
            return item
        raise Conflict(f"somebody answered {item.answer} already")
    item.answer, item.reason = answer, written(reason, "reason")
    item.answered_by, item.answered_at = actor.person_id, clock.now()
    session.flush()
    record(
        session, actor, Action.ACCESS_ANSWERED, object_kind="access_review", object_id=item.review_id,
        payload={"item": item.id, "person": item.person_id, "kind": item.kind, "subject": item.subject,
                 "answer": answer},
        why=item.reason,
    )  # fmt: skip
    if answer == "revoke":
        _revoke(session, actor, item)
    left = session.scalar(
        select(func.count()).where(AccessItem.review_id == item.review_id, AccessItem.answer.is_(None))
    )
    if not left:
        session.get_one(AccessReview, item.review_id).closed_at = clock.now()
        session.flush()
        record(
            session, actor, Action.ACCESS_REVIEW_CLOSED, object_kind="access_review", object_id=item.review_id
        )
    return item


def _revoke(session: WriteSession, actor: Actor, item: AccessItem) -> None:
    why = f"review of access {item.review_id}: {item.reason}"
    if item.kind == "role":
        take_role(session, actor, item.person_id, Role(item.subject), why=why)
    elif item.kind == "token":
        revoke_token(session, actor, item.subject, why=why)
    else:
        revoke_delegation(session, actor, int(item.subject), why=why)


def list_reviews(session: ReadSession, viewer: Actor) -> list[Progress]:
    """Reviews, newest first, with how far each is."""
    viewer.require(Permission.REVIEW_ACCESS)
    counts: dict[tuple[int, str | None], int] = {
        (row[0], row[1]): row[2]
        for row in session.execute(
            select(AccessItem.review_id, AccessItem.answer, func.count()).group_by(
                AccessItem.review_id, AccessItem.answer
            )
        )
    }
    reviews = session.scalars(select(AccessReview).order_by(AccessReview.id.desc())).all()
    names = names_of(session, {one.started_by for one in reviews})
    return [
        Progress(
            one, names[one.started_by], sum(count for (review, _), count in counts.items() if review == one.id),
            counts.get((one.id, "keep"), 0), counts.get((one.id, "revoke"), 0),
        )
        for one in reviews
    ]  # fmt: skip


def items_of(session: ReadSession, viewer: Actor, review_id: int) -> list[dict[str, Any]]:
    """The items of a review, those without an answer first."""
    viewer.require(Permission.REVIEW_ACCESS)
    if session.get(AccessReview, review_id) is None:
        raise NotFound(f"there is no review {review_id}")
    items = session.scalars(
        select(AccessItem)
        .where(AccessItem.review_id == review_id)
        .order_by(AccessItem.answer.is_not(None), AccessItem.id)
    ).all()
    names = names_of(session, {person for one in items for person in (one.person_id, one.answered_by)})
    return [
        {
            "id": one.id, "person_id": one.person_id, "person": names[one.person_id], "kind": one.kind,
            "subject": one.subject, "facts": one.facts, "last_used_at": one.last_used_at, "answer": one.answer,
            "reason": one.reason, "answered_by": names.get(one.answered_by or ""), "answered_at": one.answered_at,
            "own": one.person_id in viewer.people,
        }
        for one in items
    ]  # fmt: skip


def overdue_reviews(session: ReadSession, now: datetime) -> list[int]:
    """Reviews whose day is over and that no finding tells of yet."""
    told = select(Finding.source).where(Finding.source.is_not(None))
    known = set(session.scalars(told))
    late = session.scalars(
        select(AccessReview.id).where(AccessReview.closed_at.is_(None), AccessReview.due_at <= now)
    )
    return [review for review in late if _source(review) not in known]


def find_overdue_review(session: WriteSession, actor: Actor, review_id: int) -> Finding:
    """Open the finding that a review was not answered in time; who began it owns it. Again, it is the same one."""
    review = session.get_one(AccessReview, review_id)
    left = session.scalar(
        select(func.count()).where(AccessItem.review_id == review_id, AccessItem.answer.is_(None))
    )
    return open_finding(
        session, actor, model=None, title=f"review of access {review_id} is overdue", severity="medium",
        detail=f"{left} rights of {review.title!r} were not answered by {review.due_at:%Y-%m-%d}",
        owner_id=review.started_by, due_at=clock.now() + TO_MEND, source=_source(review_id),
    )  # fmt: skip


def _source(review_id: int) -> str:
    return f"access review {review_id}"
