"""Signing what evidence cannot tell: a reviewer's judgement on one control, as an immutable version with its entry.

It says met, not met or not applicable, why, and until when. It binds the evidence that the reviewer saw: where that has
changed since, the judgement stays readable and no longer stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.assurance.documents import require_document
from backend.assurance.tables import Document
from backend.assurance.texts import day_ahead, written
from backend.assurance.validations import NotIndependent, require_independent
from backend.audit.actions import Action
from backend.audit.log import record
from backend.controls.assessment import assess
from backend.controls.catalogues import catalogue_named
from backend.controls.tables import ControlJudgement
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen, NotFound
from backend.governance.digests import digest_of
from backend.identity.actor import Actor
from backend.identity.confirmation import Confirmed, require_confirmed
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.registry.service import get_model

OUTCOMES: Final[dict[str, str]] = {
    "met": "met", "not_met": "not met", "not_applicable": "does not apply",
}  # fmt: skip


def sign_judgement(
    session: WriteSession,
    actor: Actor,
    *,
    catalogue: str,
    control: str,
    model: str | None,
    outcome: str,
    text: str,
    valid_until: datetime,
    seen_digest: str,
    confirmed: Confirmed,
    attachment: str | None = None,
) -> ControlJudgement:
    """Sign a judgement on one control, as the next version. Its audit entry commits with it and binds its digest.

    seen_digest  of the evidence that was looked at; where it is another by now: `ChangedSinceSeen`
    attachment   the digest of a file that was handed in
    Raises `NotIndependent` for who owns, built or owns the data of the model, `NotConfirmed`, `BadInput`.
    """
    actor.require(Permission.JUDGE_CONTROLS)
    require_confirmed(actor, confirmed)
    asked = catalogue_named(catalogue).control(control)
    if (asked.scope == "model") != (model is not None):
        about = "one model: name it" if asked.scope == "model" else "the house: name no model"
        raise BadInput(f"the control {control} is about {about}", field="model")
    if outcome not in OUTCOMES:
        raise BadInput(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}", field="outcome")
    barred: dict[str, Any] = {}
    if model is not None:
        barred = require_independent(session, actor, get_model(session, actor, model), None)
    document = require_document(session, attachment) if attachment is not None else None
    found = assess(session, actor, catalogue=catalogue, model=model, only=control)
    seen = found.controls[0]
    if seen.digest != seen_digest:
        raise ChangedSinceSeen(
            "what the record shows of this control changed since you looked; read it again"
        )
    row = ControlJudgement(
        catalogue=catalogue, control=control, subject=model or "", model=model, version=found.version,
        number=_next_number(session, catalogue, control, model or ""), outcome=outcome,
        text=written(text, "judgement"), attachment=document.digest if document is not None else None,
        valid_until=day_ahead(valid_until, "valid_until"), wording_digest=asked.digest, evidence_digest=seen.digest,
        evidence=[one.seen for one in seen.answers], barred=barred, confirmed_by=confirmed.how,
        signed_by=actor.person_id, signed_at=clock.now(), digest="",
    )  # fmt: skip
    row.digest = digest_of(row.signed)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:  # two signed at once, and the other was first
        raise ChangedSinceSeen(
            f"somebody signed a judgement on {control} meanwhile; read it first"
        ) from error
    row.entry = record(
        session, actor, Action.CONTROL_JUDGED, object_kind="judgement", object_id=row.id, why=row.text,
        payload={"digest": row.digest, "catalogue": catalogue, "control": control, "model": model,
                 "version": row.version, "number": row.number, "outcome": outcome, "attachment": row.attachment,
                 "valid_until": clock.to_iso(row.valid_until), "evidence": row.evidence_digest,
                 "wording": row.wording_digest, "confirmed_by": confirmed.how},
    )  # fmt: skip
    session.flush()
    return row


def list_judgements(
    session: ReadSession,
    viewer: Actor,
    *,
    catalogue: str,
    control: str,
    model: str | None,
    limit: int | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Every judgement on a control about a model (None: the house), newest first, as plain data."""
    see(session, viewer, Permission.READ_AUDIT)
    catalogue_named(catalogue).control(control)
    if model is not None:
        get_model(session, viewer, model)
    rows = session.scalars(
        select(ControlJudgement)
        .where(
            ControlJudgement.catalogue == catalogue, ControlJudgement.control == control,
            ControlJudgement.subject == (model or ""),
        )
        .order_by(ControlJudgement.number.desc())
        .limit(limit)
        .offset(offset)
    ).all()  # fmt: skip
    return judgement_views(session, rows)


def judgement_views(session: ReadSession, rows: Sequence[ControlJudgement]) -> list[dict[str, Any]]:
    names = names_of(session, {one.signed_by for one in rows})
    papers = papers_of(session, rows)
    return [
        {
            "id": one.id, "catalogue": one.catalogue, "control": one.control, "model": one.model,
            "version": one.version, "number": one.number, "outcome": one.outcome,
            "outcome_words": OUTCOMES[one.outcome], "text": one.text, "attachment": one.attachment,
            "attachment_name": papers.get(one.attachment or ""), "valid_until": one.valid_until,
            "evidence_digest": one.evidence_digest, "evidence": one.evidence, "digest": one.digest,
            "altered": one.is_altered, "confirmed_by": one.confirmed_by,
            "by": names.get(one.signed_by, one.signed_by), "by_id": one.signed_by, "signed_at": one.signed_at,
            "entry": one.entry,
        }
        for one in rows
    ]  # fmt: skip


def papers_of(session: ReadSession, rows: Sequence[ControlJudgement]) -> dict[str, str]:
    """Digest of an attachment -> its name."""
    wanted = {one.attachment for one in rows if one.attachment is not None}
    return {
        one.digest: one.name for one in session.scalars(select(Document).where(Document.digest.in_(wanted)))
    }


def get_judgement(session: ReadSession, viewer: Actor, number: int) -> ControlJudgement:
    """One judgement by its id. Raises `NotFound`."""
    see(session, viewer, Permission.READ_AUDIT)
    found = session.get(ControlJudgement, number)
    if found is None:
        raise NotFound(f"there is no judgement {number} that you may see")
    return found


def _next_number(session: WriteSession, catalogue: str, control: str, subject: str) -> int:
    """Two who sign at once: the second meets the unique key and signs again."""
    last = session.scalar(
        select(func.max(ControlJudgement.number)).where(
            ControlJudgement.catalogue == catalogue, ControlJudgement.control == control,
            ControlJudgement.subject == subject,
        )
    )  # fmt: skip
    return (last or 0) + 1


def why_not_judge(session: ReadSession, viewer: Actor, model: str | None) -> str:
    """Why the viewer cannot sign a judgement about a model (None: the house); empty where they can."""
    if not viewer.may(Permission.JUDGE_CONTROLS):
        return "Judgements are signed by compliance."
    if viewer.kind != "person":
        return "A person signs, not a service account."
    if model is not None:
        try:
            require_independent(session, viewer, get_model(session, viewer, model), None)
        except NotIndependent as error:
            return error.message[:1].upper() + error.message[1:] + "."
    return ""
