"""Break-glass: acting without approval where the policy allows it, and the review by somebody else afterwards."""

from __future__ import annotations

import typing
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, String, Table, cast, exists, or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed
from backend.governance import errors
from backend.governance.asking import checked_text
from backend.governance.tables import Change, Review
from backend.identity.actor import Actor, system_actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.identity.tables import TeamModel
from backend.registry.tables import Model

GOVERNANCE: Final = system_actor("governance")
ONLY_PEOPLE: Final = "a person reviews that the glass was broken; a service account does not"
BLOCKED: Final = ("promote", "cutoff")  # not the way back, nor taking a model out of service


# The tables themselves: what a team owes is so whoever asks, also who may see one of its models only.
_REVIEWS, _CHANGES, _ENTRIES, _MODELS, _TEAMS = (
    typing.cast(Table, one.__table__) for one in (Review, Change, AuditEntry, Model, TeamModel)
)


class Owed(NamedTuple):
    """A review that nobody has given, by the log. `verdict`: what the table says all the same."""

    change_id: int
    verdict: str | None


def _owed(review: Any, entry: Any) -> ColumnElement[bool]:
    """A verdict that no entry gives is none: whoever writes it to the table has reviewed nothing."""
    given = exists().where(
        entry.object_kind == "change", entry.object_id == cast(review.change_id, String),
        entry.action == Action.CHANGE_REVIEWED.value, entry.actor == review.reviewed_by,
    )  # fmt: skip
    return or_(review.verdict.is_(None), ~given)


_OWED: Final = _owed(Review, AuditEntry)


def owed_before(session: ReadSession, change: Change) -> str | None:
    """Why this release of the team waits for a review, in words; None where it does not. Breaking the glass again does
    not wait: it is what is reviewed."""
    if change.kind not in BLOCKED or change.model is None or change.break_glass:
        return None
    waiting = outstanding_reviews(session, change.model)
    if not waiting:
        return None
    named = ", ".join(f"CHG-{review.change_id}" for review in waiting)
    planted = [f"CHG-{review.change_id}" for review in waiting if review.verdict is not None]
    by_log = (
        f" (the review of {', '.join(planted)} in the table is in no entry of the log)" if planted else ""
    )
    return f"{named} broke the glass and nobody else has reviewed it{by_log}"


def open_review(session: WriteSession, change: Change, *, within_h: float) -> Review:
    """The review that a break-glass change owes."""
    review = Review(change_id=change.id, due_at=clock.now() + timedelta(hours=within_h))
    session.add(review)
    session.flush()
    return review


def review_change(
    session: WriteSession, actor: Actor, change_id: int, *, verdict: str, comment: str
) -> Review:
    """Say afterwards whether breaking the glass was justified. Somebody else, who decides on changes."""
    allow(session, actor, Permission.DECIDE_CHANGE)
    if actor.kind != "person":
        raise NotAllowed(ONLY_PEOPLE)
    if verdict not in ("justified", "not_justified"):
        raise BadInput(f"a review says justified or not_justified, not {verdict!r}", field="verdict")
    comment = checked_text(comment, "comment", required=True)
    review = session.scalars(
        select(Review).where(Review.change_id == change_id).with_for_update()
    ).one_or_none()
    if review is None:
        raise errors.ChangeNotFound(f"CHG-{change_id} owes no review")
    change = session.get_one(Change, change_id)
    why_not = why_not_review(actor, change)
    if why_not is not None:
        raise errors.OwnRequest(why_not)
    if not is_owed(session, review):
        said = (review.verdict or "").replace("_", " ")
        raise errors.DecidedAlready(f"CHG-{change_id} has been reviewed: {said}")
    review.verdict, review.comment = verdict, comment
    review.reviewed_by, review.reviewed_at = actor.person_id, clock.now()
    session.flush()
    record(
        session, actor, Action.CHANGE_REVIEWED, object_kind="change", object_id=change_id,
        payload={"verdict": verdict}, why=comment,
    )  # fmt: skip
    from backend.governance.time_boxes import note_time_box  # it is about what reviews say

    if change.state == "executed":
        note_time_box(session, GOVERNANCE, change_id)
    return review


def why_not_review(viewer: Actor, change: Change) -> str | None:
    """Why this person cannot review the change, in words, or None when they can."""
    if not viewer.may_about(Permission.DECIDE_CHANGE, change.model):
        return "your role does not decide on changes, nor reviews them"
    if viewer.kind != "person":
        return ONLY_PEOPLE
    if change.requested_by in viewer.people:
        return f"you broke the glass with CHG-{change.id}; somebody else has to review it"
    return None


def outstanding_reviews(session: ReadSession, model: str) -> list[Owed]:
    """Reviews that the team of this model owes: of its own changes, and of those of models of its team or
    with the same owner. All of them, also where the session is limited to some models: the execution asks for all."""
    owner = session.get_one(Model, model).owner_id
    changes, models, teams = _CHANGES.c, _MODELS.c, _TEAMS.c
    mine = select(teams.team_id).where(teams.model == model).scalar_subquery()
    team = or_(
        changes.model == model,
        changes.model.in_(select(teams.model).where(teams.team_id == mine)),
        changes.model.in_(select(models.name).where(models.owner_id == owner, models.owner_id.is_not(None))),
    )
    rows = session.execute(
        select(_REVIEWS.c.change_id, _REVIEWS.c.verdict)
        .join(_CHANGES, changes.id == _REVIEWS.c.change_id)
        .where(_owed(_REVIEWS.c, _ENTRIES.c), team)
        .order_by(_REVIEWS.c.due_at)
    )
    return [Owed(*row) for row in rows]


def is_owed(session: ReadSession, review: Review) -> bool:
    """Whether nobody has reviewed it, by the table and by the log."""
    return (
        session.scalar(select(Review.change_id).where(Review.change_id == review.change_id, _OWED))
        is not None
    )


def verdicts_by_log(session: ReadSession, reviews: Collection[Review]) -> dict[int, str | None]:
    """The verdict of each as its entry gives it; None where no entry does. Of an entry whose text was erased, what the
    table says of that reviewer."""
    entries = entries_about(session, "change", [one.change_id for one in reviews], (Action.CHANGE_REVIEWED,))
    found: dict[int, str | None] = {}
    for one in reviews:
        given = next(reversed(entries.get(str(one.change_id), [])), None)
        if given is None:
            found[one.change_id] = None
        elif given.payload is None:
            found[one.change_id] = one.verdict if one.reviewed_by == given.actor else None
        else:
            found[one.change_id] = given.payload.get("verdict")
    return found


def all_outstanding_reviews(session: ReadSession, viewer: Actor) -> list[tuple[Review, Change]]:
    """Every review that is owed, the most urgent first."""
    see(session, viewer)
    rows = session.execute(
        select(Review, Change)
        .join(Change, Change.id == Review.change_id)
        .where(_OWED)
        .order_by(Review.due_at)
    )
    return [(review, change) for review, change in rows]
