"""The judgement that counts at a moment, and whether it still stands on what the reviewer saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.assurance.tables import Document
from backend.controls.catalogues import Control
from backend.controls.evidence import STATES, Answer, Question
from backend.controls.recorded import Entered, entered_judgements
from backend.controls.tables import ControlJudgement
from backend.identity.people import names_of
from backend.identity.roles import Permission


@dataclass(frozen=True)
class Judged:
    """The judgement that counts at the moment asked about.

    standing  it says met or not applicable, is not over, and its evidence is what the reviewer saw
    changed   the evidence is not what the reviewer saw; None: that cannot be told, and `note` says so
    """

    id: int
    number: int
    outcome: str  # met | not_met | not_applicable
    text: str
    by: str
    by_id: str
    signed_at: datetime
    valid_until: datetime
    digest: str
    version: int | None
    attachment: str | None
    attachment_name: str | None
    entry: int | None
    expired: bool
    changed: bool | None
    standing: bool
    note: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "number": self.number, "outcome": self.outcome, "text": self.text, "by": self.by,
            "by_id": self.by_id, "signed_at": clock.to_iso(self.signed_at),
            "valid_until": clock.to_iso(self.valid_until), "digest": self.digest, "version": self.version,
            "attachment": self.attachment, "attachment_name": self.attachment_name, "entry": self.entry,
            "expired": self.expired, "changed": self.changed, "standing": self.standing, "note": self.note,
        }  # fmt: skip


def judged_of(
    asked: Question, control: Control, catalogue: str, digest: str, answers: Sequence[Answer]
) -> Judged | None:
    """The newest judgement that was signed by that moment; `digest` and `answers` are what is seen now.

    The log says which one that is: a row that no entry bears out never stands, and one that was taken away is told
    from its entry.
    """
    model = asked.model.name if asked.model is not None else None
    if model is None and asked.viewer.models_with(Permission.READ_AUDIT) is not None:
        return None  # what was judged of the house is not theirs to see
    rows = asked.session.scalars(
        select(ControlJudgement)
        .where(
            ControlJudgement.catalogue == catalogue, ControlJudgement.control == control.id,
            ControlJudgement.subject == (model or ""), ControlJudgement.signed_at <= asked.at,
        )
        .order_by(ControlJudgement.number.desc())
    ).all()  # fmt: skip
    about = [
        one for one in _entered(asked)
        if any(one.is_of(row) for row in rows)
        or (one.at <= asked.at and one.is_about(catalogue, control.id, model))
    ]  # fmt: skip
    if not about:
        return _of_row(asked, rows[0], True, "no entry of the log records it") if rows else None
    newest = about[-1]
    row = next((one for one in rows if newest.is_of(one)), None)
    if row is not None and newest.bears_out(row):
        return _of_row(asked, row, *_changed(asked, control, row, digest, answers))
    if row is not None and not newest.said:
        return _of_row(
            asked, row, None, f"the text of entry {newest.seq} was erased, so that nothing bears it out"
        )
    return _of_entry(asked, newest, is_stored=row is not None)


def _entered(asked: Question) -> list[Entered]:
    known: list[Entered] | None = asked.known.get("judgements of the log")
    if known is None:
        known = asked.known["judgements of the log"] = entered_judgements(asked.session)
    return known


def _of_row(asked: Question, row: ControlJudgement, changed: bool | None, note: str) -> Judged:
    paper = asked.session.get(Document, row.attachment) if row.attachment is not None else None
    expired, note = _over(asked, row.valid_until, note)
    return Judged(
        id=row.id, number=row.number, outcome=row.outcome, text=row.text,
        by=names_of(asked.session, {row.signed_by}).get(row.signed_by, row.signed_by), by_id=row.signed_by,
        signed_at=row.signed_at, valid_until=row.valid_until, digest=row.digest, version=row.version,
        attachment=row.attachment, attachment_name=paper.name if paper is not None else None, entry=row.entry,
        expired=expired, changed=changed,
        standing=not expired and changed is False and row.outcome in ("met", "not_applicable"), note=note,
    )  # fmt: skip


def _of_entry(asked: Question, one: Entered, *, is_stored: bool) -> Judged:
    """Of what was signed and is not stored so any more: it answers for nothing, and "not met" holds."""
    said, until = one.said, clock.from_iso(str(one.said["valid_until"]))
    why = "what is stored of it is not what was signed" if is_stored else "it is not stored any more"
    expired, note = _over(asked, until, f"{why}; this is what entry {one.seq} of the log says")
    return Judged(
        id=int(one.judgement), number=int(said["number"]), outcome=str(said["outcome"]), text=str(said.get("why", "")),
        by=names_of(asked.session, {one.actor}).get(one.actor, one.actor), by_id=one.actor, signed_at=one.at,
        valid_until=until, digest=str(said["digest"]), version=said.get("version"), attachment=said.get("attachment"),
        attachment_name=None, entry=one.seq, expired=expired, changed=True, standing=False, note=note,
    )  # fmt: skip


def _over(asked: Question, valid_until: datetime, note: str) -> tuple[bool, str]:
    expired = valid_until <= asked.at
    over = f"it was valid until {clock.to_words(valid_until)}" if expired else ""
    return expired, "; ".join(one for one in (over, note) if one)


def _changed(
    asked: Question, control: Control, row: ControlJudgement, digest: str, answers: Sequence[Answer]
) -> tuple[bool | None, str]:
    """Whether what the reviewer saw has changed, and how. None: that cannot be told here, and it does not stand.

    Who sees named models only, and whoever asks of a day that is over, is told less than the reviewer saw: each
    answer that can be told is compared, and one that cannot is not taken for unchanged.
    """
    if row.wording_digest != control.digest:
        return True, "the control was worded otherwise when it was signed"
    if asked.model is not None and row.version != asked.version:
        return (
            True,
            f"it was about version {row.version}" if row.version is not None else "it was about no version",
        )
    if row.evidence_digest == digest:
        return False, ""
    is_whole = asked.is_now and asked.viewer.models_with(Permission.READ_AUDIT) is None
    then = {_key(one["query"], one["parameters"]): one for one in row.evidence}
    moved, untold = [], []
    for one in answers:
        before, now = then.get(_key(one.query, one.parameters), {}), one.evidence
        if (before.get("state"), before.get("mark")) == (now.state, now.mark):
            continue
        if now.state == "not_shown" and not is_whole:
            untold.append(one.title)
        elif before.get("state") == now.state:
            moved.append(f"{one.title}: it rests on something else now")
        else:
            was = STATES.get(before.get("state"), "not asked")  # type: ignore[arg-type]
            moved.append(f"{one.title}: {was} then, {STATES[now.state]} now")
    if moved:
        return True, f"its evidence has changed since ({'; '.join(moved[:3])})"
    return None, f"whether its evidence had changed cannot be told here ({'; '.join(untold[:3])})"


def _key(query: str, parameters: dict[str, Any]) -> str:
    return f"{query} {sorted(parameters.items())}"
