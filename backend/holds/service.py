"""Placing and releasing holds, and the one question that retention and erasure ask before they delete.

    why = held(session, "predictions", "flight-delay")     # None: nothing holds it
    require_free(session, "person", person_id)             # raises Held, which says why
    held(session, "person", value, model="toy")            # whose rows: what the subject column of toy holds

Asking and deleting belong into one transaction. A hold on a model's predictions, windows or log holds the model's
rows whatever their time; one on `artefact` names `model/version`. A data subject is held under the pseudonym of the
model whose subject column names them, whether that column is stored as pseudonyms or in clear: who is held is nowhere
in clear. What holds keep of rows is in `backend.holds.rows`, of the log's payloads in `backend.holds.payloads`; both
ask `open_holds`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.tables import Incident
from backend.assurance.serious_tables import SeriousClock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.holds.naming import existing
from backend.holds.tables import EVERYTHING, Hold
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.observations.pseudonyms import pseudonym
from backend.registry.service import get_model

KINDS: Final[dict[str, str]] = {
    "artefact": "the files of a version, as model/version",
    "predictions": "predictions and labels of a model, by its name",
    "windows": "windows, profiles and metric points of a model, by its name",
    "log": "payloads of the audit log; * for all of it, else a model's name",
    "pack": "the file of an evidence pack, by its id",
    "person": "what is stored of a person, by the account's id, or of a data subject, by the value of the subject "
    "column of a model",
}
LONGEST_REASON: Final = 4000


class Held(Conflict):
    """It is kept: somebody placed a hold on it. `details` name the hold."""

    title = "On hold"


def held(session: ReadSession, kind: str, object_id: str, *, model: str | None = None) -> Hold | None:
    """The oldest hold on this object, or on everything of its kind; None where nothing holds it.

    `model` with a person: `object_id` is what the subject column of this model holds, in clear or as a pseudonym.
    Raises `BadInput` for a kind nobody can hold: a misspelt question must not be answered with "free".
    """
    if kind == "person" and model is not None:
        subjects = held_subjects(session, model)
        return subjects.get(EVERYTHING) or subjects.get(pseudonym(model, object_id))
    return next(iter(open_holds(session, kind, object_id)), None)


def held_subjects(session: ReadSession, model: str) -> dict[str, Hold]:
    """Holds on people by the pseudonym under which a model knows them, and on everybody by `EVERYTHING`."""
    return {
        one.object_id if one.object_id == EVERYTHING else pseudonym(model, one.object_id): one
        for one in reversed(open_holds(session, "person"))
        if one.object_id == EVERYTHING or one.model in (None, model)
    }


def open_holds(session: ReadSession, kind: str, object_id: str | None = None) -> list[Hold]:
    """Every hold of a kind that nobody has released, on one object or on everything of its kind; the oldest first."""
    _check_kind(kind)
    query = select(Hold).where(Hold.kind == kind, Hold.released_at.is_(None)).order_by(Hold.id)
    if object_id is not None:
        query = query.where(or_(Hold.object_id == object_id, Hold.object_id == EVERYTHING))
    return list(session.scalars(query))


def require_free(session: ReadSession, kind: str, object_id: str, *, model: str | None = None) -> None:
    """`Held` unless nothing holds it."""
    found = held(session, kind, object_id, model=model)
    if found is not None:
        raise refusal(found)


def refusal(hold: Hold, *, reason: bool = True) -> Held:
    """What is said to whoever wants to delete it. `reason` false: where everybody reads it, who and why stay unsaid."""
    person = hold.kind == "person"
    what = "a person whom this is about" if person else f"{hold.kind} {hold.object_id}"
    why = f": {hold.reason}" if reason or not person else "; compliance finds the reason there"
    return Held(
        f"{what} is on hold since {hold.placed_at:%Y-%m-%d %H:%M:%S UTC} (hold {hold.id}){why}. "
        "Have the hold released before anything of it is deleted",
        hold=hold.id, kind=hold.kind, object=hold.object_id,
    )  # fmt: skip


def place_hold(
    session: WriteSession,
    actor: Actor,
    *,
    kind: str,
    object_id: str,
    reason: str,
    model: str | None = None,
    incident_id: int | None = None,
) -> Hold:
    """Hold one thing that is there, from now on. A data subject is named by the value of the model's subject column.

    Raises `NotFound` and `BadInput` for what is not there: it would hold nothing, and nobody would notice.
    """
    actor.require(Permission.HOLD)
    return _place(
        session, actor, kind=kind, object_id=object_id, reason=reason, model=model, incident_id=incident_id
    )


def hold_for_incident(
    session: WriteSession,
    actor: Actor,
    *,
    kind: str,
    object_id: str,
    reason: str,
    model: str,
    incident_id: int,
) -> Hold:
    """Hold what a serious incident needs, on behalf of who marked it. Placed twice it is one hold."""
    allow(session, actor, Permission.MARK_SERIOUS)
    return _place(
        session, actor, kind=kind, object_id=object_id, reason=reason, model=model, incident_id=incident_id
    )


def _place(
    session: WriteSession, actor: Actor, *, kind: str, object_id: str, reason: str, model: str | None,
    incident_id: int | None,
) -> Hold:  # fmt: skip
    _check_kind(kind)
    reason, object_id = reason.strip(), object_id.strip()
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise BadInput(
            f"write why it is held, in 1 to {LONGEST_REASON} characters: others will read it", field="reason"
        )
    object_id, model = existing(session, actor, kind=kind, object_id=object_id, model=model)
    known = session.scalars(
        select(Hold).where(
            Hold.kind == kind, Hold.object_id == object_id, Hold.incident_id == incident_id,
            Hold.incident_id.is_not(None), Hold.released_at.is_(None),
        )
    ).first()  # fmt: skip
    if known is not None:
        return known
    hold = Hold(
        kind=kind, object_id=object_id, model=model, incident_id=incident_id, reason=reason,
        placed_by=actor.person_id, placed_at=clock.now(),
    )  # fmt: skip
    session.add(hold)
    session.flush()
    record(
        session, actor, Action.HOLD_PLACED, object_kind="hold", object_id=hold.id, why=reason,
        payload={"kind": kind, "object": object_id, "model": model, "incident": incident_id},
    )  # fmt: skip
    return hold


def release_hold(session: WriteSession, actor: Actor, hold_id: int, *, why: str) -> Hold:
    """End a hold; by somebody other than who placed it, and one of a serious incident not before that is over.

    What it kept may be deleted from then on.
    """
    actor.require(Permission.HOLD)
    hold = session.get(Hold, hold_id, with_for_update=True)
    if hold is None:
        raise NotFound(f"there is no hold {hold_id} that you may see")
    if hold.model is not None:
        get_model(session, actor, hold.model)
    if hold.placed_by in actor.people:
        raise Conflict(f"you placed hold {hold_id}; somebody else has to release it")
    _require_over(session, hold)
    if not why.strip():
        raise BadInput("write why it is released: others will read it", field="why")
    if hold.released_at is not None:
        return hold
    hold.released_by, hold.released_at, hold.released_because = (
        actor.person_id,
        clock.now(),
        why.strip()[:LONGEST_REASON],
    )
    session.flush()
    record(
        session, actor, Action.HOLD_RELEASED, object_kind="hold", object_id=hold.id, why=hold.released_because,
        payload={"kind": hold.kind, "object": hold.object_id, "model": hold.model},
    )  # fmt: skip
    return hold


def _require_over(session: ReadSession, hold: Hold) -> None:
    """What a serious incident holds is released when the incident is over, and its clocks."""
    if hold.incident_id is None or hold.released_at is not None:
        return
    incident = session.get(Incident, hold.incident_id)
    running = session.scalar(
        select(SeriousClock.title).where(
            SeriousClock.incident_id == hold.incident_id, SeriousClock.met_at.is_(None)
        )
    )
    if running is not None:
        raise Conflict(
            f"INC-{hold.incident_id} is serious and its time limit runs ({running}); its holds are released when "
            "every limit is met"
        )
    if incident is not None and incident.state == "open":
        raise Conflict(f"INC-{hold.incident_id} is open; its holds are released when it is closed")


def list_holds(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    open_only: bool = True,
    limit: int | None = None,
    offset: int = 0,
) -> list[Hold]:
    """Holds, newest first, of a model or all that the viewer may see. Those on people are for who reads requests."""
    see(session, viewer)
    query = select(Hold).order_by(Hold.id.desc())
    if not viewer.may(Permission.READ_DATA_REQUESTS):
        query = query.where(Hold.kind != "person")
    if model is not None:
        get_model(session, viewer, model)
        query = query.where(Hold.model == model)
    if open_only:
        query = query.where(Hold.released_at.is_(None))
    return list(session.scalars(query.limit(limit).offset(offset)))


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise BadInput(f"a hold is on one of {', '.join(KINDS)}, not on {kind!r}", field="kind")
