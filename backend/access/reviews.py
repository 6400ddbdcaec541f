"""A review of access: begun over everything there is or a part of it, answered item by item by somebody else, over when
all are.

Whoever answers is never the person concerned. Revoking takes effect at once, in the same transaction. What is not
answered by its day is a finding of who began it; where the review says so it is taken first, but for the last
administrator, and for what a rule would give again at the next sign-on.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.access.rights import Right, rights_now
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
from backend.identity.held_roles import roles_held
from backend.identity.people import GivenByRule, LastAdministrator, names_of, take_role
from backend.identity.roles import GRANTS, Permission, Role
from backend.identity.sessions import actor_of, may_sign_in
from backend.identity.tables import Person, Team
from backend.identity.teams import take_team_role
from backend.identity.tokens import revoke_token
from backend.identity.trust_rules import revoke_rule

TO_MEND: Final = timedelta(days=14)
KINDS: Final = ("role", "team_role", "token", "trust_rule", "loan")


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
    lapsed: int = 0
    reviewer: str | None = None

    @property
    def open(self) -> int:
        return self.items - self.kept - self.revoked - self.lapsed

    @property
    def overdue(self) -> bool:
        return self.review.closed_at is None and clock.now() >= self.review.due_at


@dataclass(frozen=True)
class Scope:
    """Which rights a review is about; empty: every one. kinds: those of `KINDS`; teams by their ids."""

    kinds: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()

    def covers(self, right: Right) -> bool:
        team, _, role = (
            right.subject.rpartition("/") if right.kind == "team_role" else ("", "", right.subject)
        )
        of_roles = right.kind in ("role", "team_role")
        return (
            (not self.kinds or right.kind in self.kinds)
            and (not self.roles or (of_roles and role in self.roles))
            and (not self.teams or team in self.teams)
        )

    def as_dict(self) -> dict[str, list[str]]:
        named = {"kinds": self.kinds, "roles": self.roles, "teams": self.teams}
        return {name: list(values) for name, values in named.items() if values}


def start_review(
    session: WriteSession,
    actor: Actor,
    *,
    title: str,
    due_at: datetime,
    scope: Scope | None = None,
    reviewer: str | None = None,
    revokes_unanswered: bool = False,
) -> AccessReview:
    """Begin a review over every right of every open account, or over those of a scope, to be answered by a day. One at
    a time.

    reviewer              the id of who answers, but for their own; else anybody who may review access
    revokes_unanswered    what nobody answered by the day is taken
    """
    actor.require(Permission.REVIEW_ACCESS)
    scope = scope or Scope()
    _check_scope(scope)
    if reviewer is not None:
        _check_reviewer(session, reviewer)
    running = session.scalars(
        select(AccessReview.id).where(AccessReview.closed_at.is_(None)).limit(1)
    ).first()
    if running is not None:
        raise Conflict(f"review {running} is not over; answer what is left of it first", review=running)
    review = AccessReview(
        title=written(title, "title", longest=200), started_by=actor.person_id, started_at=clock.now(),
        due_at=day_ahead(due_at, "due_at"), reviewer=reviewer, scope=scope.as_dict(),
        revokes_unanswered=revokes_unanswered,
    )  # fmt: skip
    rights = [one for one in rights_now(session, actor) if scope.covers(one)]
    if not rights:
        raise BadInput("nobody has a right of this scope; there is nothing to review", field="scope")
    session.add(review)
    session.flush()
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
        payload={"title": review.title, "due_at": clock.to_iso(due_at), "items": len(rights),
                 "scope": review.scope, "reviewer": reviewer, "revokes_unanswered": revokes_unanswered},
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
    _refuse_others(session, actor, item)
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
        _revoke(session, actor, item, item.reason)
    _close_if_done(session, actor, item.review_id)
    return item


def _close_if_done(session: WriteSession, actor: Actor, review_id: int) -> None:
    left = session.scalar(
        select(func.count()).where(AccessItem.review_id == review_id, AccessItem.answer.is_(None))
    )
    if not left:
        session.get_one(AccessReview, review_id).closed_at = clock.now()
        session.flush()
        record(session, actor, Action.ACCESS_REVIEW_CLOSED, object_kind="access_review", object_id=review_id)


def _refuse_others(session: ReadSession, actor: Actor, item: AccessItem) -> None:
    """Where somebody is named to answer, nobody else does, but for what is the reviewer's own."""
    reviewer = session.get_one(AccessReview, item.review_id).reviewer
    if reviewer is not None and actor.person_id != reviewer and not _is_theirs(session, reviewer, item):
        name = names_of(session, [reviewer])[reviewer]
        raise NotAllowed(f"{name} answers this review; you answer only what is their own")


def _is_theirs(session: ReadSession, reviewer: str, item: AccessItem) -> bool:
    """Whether the right is the reviewer's own, or that of an account of theirs."""
    owner = session.scalar(select(Person.owner_id).where(Person.id == item.person_id))
    return reviewer in (item.person_id, owner)


def _check_scope(scope: Scope) -> None:
    unknown = [one for one in scope.kinds if one not in KINDS]
    if unknown:
        raise BadInput(f"there is no kind of right {unknown[0]!r}; it is {', '.join(KINDS)}", field="kinds")
    wrong = [
        one for one in scope.roles if one not in {role.value for role in Role if role is not Role.SYSTEM}
    ]
    if wrong:
        raise BadInput(f"there is no role {wrong[0]!r}", field="roles")


def _check_reviewer(session: ReadSession, reviewer: str) -> None:
    person = session.get(Person, reviewer)
    if person is None or not may_sign_in(person) or person.kind != "person":
        raise NotFound(f"there is no person {reviewer} with an open account")
    if not actor_of(person, session_id=None).may_in_house(Permission.REVIEW_ACCESS):
        raise BadInput(
            f"{person.display_name} may not review access; name somebody who may", field="reviewer"
        )


def who_may_review(session: ReadSession, viewer: Actor) -> dict[str, str]:
    """`Name (user name)` -> id of every person who may review access."""
    viewer.require(Permission.REVIEW_ACCESS)
    people = session.scalars(
        select(Person)
        .where(Person.kind == "person", Person.disabled_at.is_(None))
        .order_by(Person.display_name)
    )
    may = (one for one in people if actor_of(one, session_id=None).may_in_house(Permission.REVIEW_ACCESS))
    return {f"{one.display_name} ({one.username})": one.id for one in may if may_sign_in(one)}


def teams_in_rights(session: ReadSession, viewer: Actor) -> dict[str, str]:
    """Name -> id of every team, for the scope of a review."""
    viewer.require(Permission.REVIEW_ACCESS)
    return {row.name: row.id for row in session.execute(select(Team.name, Team.id).order_by(Team.name))}


def end_review(session: WriteSession, actor: Actor, review_id: int) -> int:
    """Take what nobody answered by its day, where the review says so; how many rights. Who is the last administrator
    stays, and so does what a rule gives at each sign-on: their items are left open. Again, it takes what is left."""
    review = session.get_one(AccessReview, review_id, with_for_update=True)
    if not review.revokes_unanswered or review.closed_at is not None or clock.now() < review.due_at:
        return 0
    taken = 0
    items = session.scalars(
        select(AccessItem)
        .where(AccessItem.review_id == review_id, AccessItem.answer.is_(None))
        .order_by(AccessItem.id)
    ).all()
    for item in items:
        reason = f"nobody answered by {review.due_at:%Y-%m-%d}"
        try:
            with session.begin_nested():
                _revoke(session, actor, item, reason)
        except (LastAdministrator, GivenByRule):
            continue
        item.answer, item.reason, item.answered_at = "lapsed", reason, clock.now()
        session.flush()
        record(
            session, actor, Action.ACCESS_ANSWERED, object_kind="access_review", object_id=review_id, why=reason,
            payload={"item": item.id, "person": item.person_id, "kind": item.kind, "subject": item.subject,
                     "answer": "lapsed"},
        )  # fmt: skip
        taken += 1
    _close_if_done(session, actor, review_id)
    return taken


def _revoke(session: WriteSession, actor: Actor, item: AccessItem, reason: str) -> None:
    """End the right. One that is gone already, as a token of somebody who was erased, has ended."""
    why = f"review of access {item.review_id}: {reason}"
    with suppress(NotFound):
        if item.kind == "role":
            take_role(session, actor, item.person_id, Role(item.subject), why=why)
        elif item.kind == "team_role":
            team, _, role = item.subject.rpartition("/")
            take_team_role(session, actor, team, item.person_id, Role(role), why=why)
        elif item.kind == "token":
            revoke_token(session, actor, item.subject, why=why)
        elif item.kind == "trust_rule":
            revoke_rule(session, actor, item.subject, why=why)
        else:
            revoke_delegation(session, actor, int(item.subject), why=why)


def list_reviews(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[Progress]:
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
    reviews = session.scalars(
        select(AccessReview).order_by(AccessReview.id.desc()).limit(limit).offset(offset)
    ).all()
    names = names_of(session, {person for one in reviews for person in (one.started_by, one.reviewer)})
    return [
        Progress(
            one, names[one.started_by], sum(count for (review, _), count in counts.items() if review == one.id),
            counts.get((one.id, "keep"), 0), counts.get((one.id, "revoke"), 0), counts.get((one.id, "lapsed"), 0),
            names.get(one.reviewer or ""),
        )
        for one in reviews
    ]  # fmt: skip


def items_of(
    session: ReadSession, viewer: Actor, review_id: int, *, limit: int | None = None, offset: int = 0
) -> list[dict[str, Any]]:
    """The items of a review, those without an answer first."""
    viewer.require(Permission.REVIEW_ACCESS)
    if session.get(AccessReview, review_id) is None:
        raise NotFound(f"there is no review {review_id}")
    items = session.scalars(
        select(AccessItem)
        .where(AccessItem.review_id == review_id)
        .order_by(AccessItem.answer.is_not(None), AccessItem.id)
        .limit(limit)
        .offset(offset)
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


def is_open(session: ReadSession, review_id: int) -> bool:
    return session.get_one(AccessReview, review_id).closed_at is None


def find_overdue_review(session: WriteSession, actor: Actor, review_id: int) -> Finding:
    """Open the finding that a review was not answered in time. Who began it owns it, or whoever else can review where
    that account is closed. Again, it is the same one."""
    review = session.get_one(AccessReview, review_id)
    left = session.scalar(
        select(func.count()).where(AccessItem.review_id == review_id, AccessItem.answer.is_(None))
    )
    return open_finding(
        session, actor, model=None, title=f"review of access {review_id} is overdue", severity="medium",
        detail=f"{left} rights of {review.title!r} were not answered by {review.due_at:%Y-%m-%d}",
        owner_id=_who_mends(session, review), due_at=clock.now() + TO_MEND, source=_source(review_id),
    )  # fmt: skip


def _who_mends(session: ReadSession, review: AccessReview) -> str:
    """Somebody who is there: a review that nobody answers may be one whose beginner has left."""
    by_name = session.scalars(select(Person).where(Person.kind == "person").order_by(Person.username))
    able = [
        one.id
        for one in by_name
        if may_sign_in(one) and any(Permission.REVIEW_ACCESS in GRANTS[each] for each in roles_held(one))
    ]
    started = session.get_one(Person, review.started_by)
    return started.id if may_sign_in(started) or not able else able[0]


def _source(review_id: int) -> str:
    return f"access review {review_id}"
