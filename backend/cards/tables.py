"""Versions of model cards, and what reviewers said of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, event, inspect
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class CardVersion(Base):
    """One version of the card of a model's version. Its text is never altered; only `state` and what belongs to it is.

    state: `draft`, `in_review`, `approved`, `superseded` (a later one took its place). At most one is approved, and at
    most one is being worked on.
    """

    __tablename__ = "card_versions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    version: Mapped[int]  # of the model
    number: Mapped[int]  # of the card, from 1
    text: Mapped[str] = mapped_column(Text)  # the source: facts are placeholders
    digest: Mapped[str] = mapped_column(Text)  # sha256 of `text`
    based_on: Mapped[int | None]  # the number its writer began from
    source: Mapped[str] = mapped_column(Text)  # editor | file | mlflow | huggingface
    source_name: Mapped[str] = mapped_column(Text, default="")  # the file's path, the MLflow version
    author_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: a process of ours
    written_by: Mapped[list[str]]  # everyone whose hand it was: the account, and the owner it acts for
    why: Mapped[str] = mapped_column(Text, default="")
    made_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(Text, default="draft")
    submitted_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    facts: Mapped[dict[str, Any]]  # what the system knew when it was approved; {} before
    facts_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("model", "version", "number"),
        Index(
            "uq_card_versions_approved", "model", "version", unique=True,
            sqlite_where=sql("state = 'approved'"), postgresql_where=sql("state = 'approved'"),
        ),
        Index(
            "uq_card_versions_open", "model", "version", unique=True,
            sqlite_where=sql("state IN ('draft', 'in_review')"),
            postgresql_where=sql("state IN ('draft', 'in_review')"),
        ),
    )  # fmt: skip


_MAY_CHANGE: Final = frozenset({"state", "submitted_at", "approved_at", "facts", "facts_at"})


@event.listens_for(CardVersion, "before_update")
def _refuse_alteration(_: object, __: object, card: CardVersion) -> None:
    """A version says for ever what it said: only its state moves. An edit of the database itself is found by digest."""
    altered = sorted(
        one.key for one in inspect(card).attrs if one.key not in _MAY_CHANGE and one.history.has_changes()
    )
    if altered:
        raise RuntimeError(
            f"a card version is never altered, and here {', '.join(altered)} would be; make the next one"
        )


class CardReview(Base):
    """One person's word on one version of a card, on exactly the text they saw."""

    __tablename__ = "card_reviews"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    card_version_id: Mapped[int] = mapped_column(ForeignKey("card_versions.id"), index=True)
    verdict: Mapped[str] = mapped_column(Text)  # approve | return
    comment: Mapped[str] = mapped_column(Text)
    reviewer_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    seen_digest: Mapped[str] = mapped_column(Text)
    reviewed_at: Mapped[datetime]
