"""Signed judgements of reviewers on controls. A version is never altered; another judgement is the next version."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Text, UniqueConstraint, event, inspect
from sqlalchemy.orm import Mapped, mapped_column

from backend import clock
from backend.controls.evidence import evidence_digest
from backend.database.base import Base
from backend.database.types import BigId
from backend.governance.digests import digest_of


class ControlJudgement(Base):
    """What a reviewer says of one control about one model, or about the house (`model` None, `subject` empty).

    `digest` is of everything that was signed: the text, the attachment's digest, the wording of the control, and the
    evidence that the reviewer saw. `entry` is the audit entry that holds it, whose receipt proves both.
    """

    __tablename__ = "control_judgements"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    catalogue: Mapped[str] = mapped_column(Text)
    control: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)  # the model's name, or empty: a key that is never NULL
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)
    version: Mapped[int | None]  # of the model, that the evidence was about
    number: Mapped[int]  # from 1
    outcome: Mapped[str] = mapped_column(Text)  # met | not_met | not_applicable
    text: Mapped[str] = mapped_column(Text)
    attachment: Mapped[str | None] = mapped_column(ForeignKey("documents.digest"))
    valid_until: Mapped[datetime]
    wording_digest: Mapped[str] = mapped_column(Text)  # of the control as it was worded
    evidence_digest: Mapped[str] = mapped_column(Text)  # of the states that the reviewer saw
    evidence: Mapped[list[dict[str, Any]]]  # these, readable
    digest: Mapped[str] = mapped_column(Text)
    barred: Mapped[dict[str, Any]]  # person -> why they could not have signed, as it was then
    confirmed_by: Mapped[str] = mapped_column(Text)  # how the account was confirmed: password | name
    signed_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    signed_at: Mapped[datetime]
    entry: Mapped[int | None] = mapped_column(BigId)

    __table_args__ = (UniqueConstraint("catalogue", "control", "subject", "number"),)

    @property
    def signed(self) -> dict[str, Any]:
        """Everything that the digest covers."""
        return {
            "catalogue": self.catalogue, "control": self.control, "model": self.model, "version": self.version,
            "number": self.number, "outcome": self.outcome, "text": self.text, "attachment": self.attachment,
            "valid_until": clock.to_iso(self.valid_until), "wording": self.wording_digest,
            "evidence": self.evidence_digest, "signed_by": self.signed_by,
            "signed_at": clock.to_iso(self.signed_at), "confirmed_by": self.confirmed_by,
        }  # fmt: skip

    @property
    def is_altered(self) -> bool:
        """Whether the row is not what was signed: somebody edited the database."""
        if not all(isinstance(one, dict) for one in self.evidence):
            return True
        seen = evidence_digest(self.wording_digest, self.evidence)
        return digest_of(self.signed) != self.digest or seen != self.evidence_digest


_SET_LATER: Final = frozenset({"entry"})


@event.listens_for(ControlJudgement, "before_update")
def _refuse_alteration(_: object, __: object, row: ControlJudgement) -> None:
    altered = sorted(
        one.key
        for one in inspect(row).attrs
        if one.history.has_changes()
        and not (one.key in _SET_LATER and one.history.deleted in ((), (None,), [None]))
    )
    if altered:
        raise RuntimeError(f"a judgement is never altered ({', '.join(altered)}); sign the next one")


@event.listens_for(ControlJudgement, "before_delete")
def _refuse_deletion(_: object, __: object, row: ControlJudgement) -> None:
    raise RuntimeError(f"judgement {row.id} is kept; sign the next one")
