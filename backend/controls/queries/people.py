"""Who watches, who may stop it, and whether somebody looked at who may do what."""

from __future__ import annotations

from sqlalchemy import select

from backend.access.tables import AccessReview
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import aged, count, missing, not_shown, utc
from backend.controls.queries.registry import query
from backend.controls.queries.versions import house
from backend.identity.held_roles import counts
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole


@query("role_filled", "Somebody has the role {role}", about="house")
def role_filled(asked: Question, *, role: str, people: int = 1) -> Evidence:
    """Open accounts of people with a role. That they are there, not that they are watching."""
    if not asked.is_now:
        then = house(asked).people
        if then is None:
            return not_shown("who had which role then is shown to those who read payloads of the log")
        found = sum(role in one.roles and one.kind == "person" and not one.disabled for one in then)
    else:
        rows = asked.session.scalars(
            select(Person.id)
            .join(PersonRole, PersonRole.person_id == Person.id)
            .where(
                PersonRole.role == role, counts(), Person.kind == "person", Person.disabled_at.is_(None),
                (Person.expires_at.is_(None)) | (Person.expires_at > asked.at),
            )
        ).all()  # fmt: skip
        found = len(set(rows))
    words = Role(role).value.replace("_", " ") if role in set(Role) else role
    if found < people:
        return missing(f"{count(found, 'person', 'people')} with the role {words}; {people} are asked for")
    return Evidence("present", f"{count(found, 'person', 'people')} with the role {words}", asked.at)


@query("access_reviewed", "Who may do what was reviewed", about="house")
def access_reviewed(asked: Question, *, max_age_days: float = 365) -> Evidence:
    """The newest review of access of which every item was answered, and that none is overdue."""
    running = asked.session.scalars(
        select(AccessReview).where(
            AccessReview.started_at <= asked.at, AccessReview.due_at <= asked.at,
            (AccessReview.closed_at.is_(None)) | (AccessReview.closed_at > asked.at),
        )
    ).first()  # fmt: skip
    if running is not None:
        link = Link("access_review", str(running.id), running.title)
        told = f"the review “{running.title}” was due on {utc(running.due_at)} and is not over"
        return Evidence("contradicted", told, running.started_at, (link,), str(running.id))
    last = asked.session.scalars(
        select(AccessReview)
        .where(AccessReview.closed_at.is_not(None), AccessReview.closed_at <= asked.at)
        .order_by(AccessReview.closed_at.desc())
        .limit(1)
    ).first()
    if last is None or last.closed_at is None:
        return missing("no review of access has been finished")
    link = Link("access_review", str(last.id), last.title)
    told = f"“{last.title}” was over on {utc(last.closed_at)}"
    return aged(asked, last.closed_at, max_age_days, told, links=(link,), mark=str(last.id))
