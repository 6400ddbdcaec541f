"""What was done by breaking the glass stands for a time: until a review calls it justified, or something else serves.

When the time is over, or a review says that it was not justified, an alert is raised that lasts until then; where the
rule says so, what served before comes back by itself. The version before can be returned to by one person meanwhile.
A verdict is what its entry says: one of the table alone ends nothing, and one that is gone from it still counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import began_as, champion
from backend.deployment.tables import Deployment
from backend.errors import WarrantError
from backend.governance import errors, machine
from backend.governance.agreed_returns import finished_at
from backend.governance.reviews import verdicts_by_log
from backend.governance.tables import Change, Review, WayBack
from backend.governance.urgent import return_on_breach
from backend.identity.actor import Actor

ALERT: Final = "break_glass"


def boxes_due(session: ReadSession, now: datetime) -> list[int]:
    """Break-glass changes of which something has to be said, or no longer has to be."""
    serves = (
        select(Deployment.id)
        .where(
            Deployment.model == Change.model, Deployment.environment == Change.environment,
            Deployment.version == Change.to_version, Deployment.ended_at.is_(None), Deployment.role == "champion",
        )
        .exists()
    )  # fmt: skip
    firing = session.scalars(select(Alert).where(Alert.kind == ALERT, Alert.state == "firing"))
    rows = session.execute(
        select(Change, Review)
        .join(Review, Review.change_id == Change.id)
        .where(
            Change.break_glass.is_(True),
            Change.state == "executed",
            or_(
                serves,  # perhaps by another change since: `_stands`
                Change.id.in_([one.details["change"] for one in firing]),
                Change.kind == "retire",  # perhaps justified since: the log knows
            ),
        )
        .order_by(Change.id)
    ).all()
    given = verdicts_by_log(session, [review for _, review in rows])
    due = []
    for change, review in rows:
        said = _why_over(session, change, review, given[change.id], now)
        alert = _firing(session, change)
        if (said is None) != (alert is None) or (
            alert is not None and said is not None and (alert.level != said[0] or _waited_for(session, alert))
        ):
            due.append(change.id)
    return due


def _waited_for(session: ReadSession, alert: Alert) -> bool:
    """Whether the change, or the freeze, is over that stood in the way of the return: then it is tried again."""
    until = alert.details.get("waits_until")
    if until is not None and clock.now() >= clock.from_iso(until):
        return True
    number = alert.details.get("waits_for")
    change = session.get(Change, number) if number is not None else None
    return change is not None and change.state in machine.FINISHED


def note_time_box(session: WriteSession, actor: Actor, change_id: int) -> Change | None:
    """Raise, or resolve, the alert of one break-glass change. Gives the return that was taken, if one was."""
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    review = session.get_one(Review, change_id)
    verdict = verdicts_by_log(session, [review])[change_id]
    said, known = _why_over(session, change, review, verdict, clock.now()), _firing(session, change)
    if said is None:
        if known is not None:
            resolve(session, actor, known, why=_why_resolved(change, review, verdict))
        return None
    level, why = said
    alert = fire(
        session, actor,
        Firing(
            change.model or "", change.environment, change.to_version, ALERT, level, why, _subject(change),
            finished_at(session, change) or clock.now(), {"change": change.id, "review": verdict},
        ),
    )  # fmt: skip
    if level != "page" or change.policy["break_glass"].get("when_over") != "return":
        return None
    way = session.scalars(select(WayBack).where(WayBack.change_id == change.id)).one_or_none()
    if way is None:
        alert.details = {**alert.details, "return": "nothing is known that could come back by itself"}
        session.flush()
    if way is None or way.used_by is not None:
        return None
    try:
        with session.begin_nested():
            return return_on_breach(session, actor, way.id, reason=why, alert_id=alert.id)
    except WarrantError as error:
        refused: dict[str, Any] = {"return": f"what served before could not come back: {error.message}"}
        if isinstance(error, errors.ChangeAlreadyOpen):
            refused["waits_for"] = error.details["change"]
        if error.details.get("opens_at"):
            refused["waits_until"] = error.details["opens_at"]
        alert.details = {**alert.details, **refused}
        session.flush()
    return None


def ends_at(session: ReadSession, change: Change) -> datetime | None:
    """Until when what was done without approval may stand without a review that calls it justified."""
    lasts_h = (change.policy.get("break_glass") or {}).get("lasts_h")
    done_at = finished_at(session, change) if change.break_glass and lasts_h is not None else None
    return done_at + timedelta(hours=float(lasts_h)) if done_at is not None and lasts_h is not None else None


def stands_until(session: ReadSession, change: Change, review: Review) -> datetime | None:
    """`ends_at` of what still serves and was not called justified; None where nothing ends any more, or not yet."""
    justified = verdicts_by_log(session, [review])[change.id] == "justified"
    return ends_at(session, change) if not justified and _stands(session, change) else None


def _why_over(
    session: ReadSession, change: Change, review: Review, verdict: str | None, now: datetime
) -> tuple[str, str] | None:
    """(level, reason in words) by the verdict of the log; None while it may stand."""
    if verdict == "justified" or not _stands(session, change):
        return None
    end, named = ends_at(session, change), f"CHG-{change.id} broke the glass ({change.summary})"
    if end is not None and now >= end:
        said = "its review says that this was not justified" if verdict else "nobody has reviewed it"
        if review.verdict is not None and verdict != review.verdict:
            said += f" (the table says {review.verdict.replace('_', ' ')}, and no entry of the log does)"
        return "page", f"{named}; its time was over at {end:%Y-%m-%d %H:%M:%S UTC}, and {said}"
    if verdict is not None:
        return "ticket", f"{named}, and its review says that this was not justified: {review.comment}"
    return None


def _stands(session: ReadSession, change: Change) -> bool:
    """Whether what it did is still so: an ordinary change of what serves ends it, and one that failed does not."""
    if change.model is None:
        return False
    serving = champion(session, change.model, change.environment)
    if change.kind == "retire":
        return serving is None
    return serving is not None and began_as(session, serving).change_id == change.id


def _why_resolved(change: Change, review: Review, verdict: str | None) -> str:
    if verdict == "justified":
        return f"the review of CHG-{change.id} says that it was justified: {review.comment}"
    return f"what CHG-{change.id} did is no longer what serves"


def _subject(change: Change) -> str:
    return f"CHG-{change.id}"


def _firing(session: ReadSession, change: Change) -> Alert | None:
    wanted = fingerprint(change.model or "", change.environment, ALERT, _subject(change))
    return session.scalars(
        select(Alert).where(Alert.fingerprint == wanted, Alert.state == "firing")
    ).one_or_none()
