"""Requests of data subjects, the rules of each model's data, and opt-outs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base, new_id
from backend.database.types import BigId, Json


class DataRequest(Base):
    """What somebody is entitled to, as a change carries it out. Who they are stays here until it is done, no longer."""

    __tablename__ = "data_requests"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("dsr"))
    kind: Mapped[str] = mapped_column(Text)  # erase | access: a kind of change
    about: Mapped[str] = mapped_column(Text)  # rows | person | entries
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)  # of rows
    person_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    how: Mapped[str] = mapped_column(Text)  # "2 prediction ids", "by the column customer": names nobody
    selector: Mapped[dict[str, Any] | None] = mapped_column(Json)  # prediction_ids, or column and value
    found: Mapped[dict[str, Any] | None] = mapped_column(Json)  # ids, until it is done
    digest: Mapped[str] = mapped_column(Text)  # of all this with a salt: what the approval is bound to
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"), index=True)
    requested_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime] = mapped_column(index=True)
    carried_out_at: Mapped[datetime | None]  # what lies outside the database is done
    done_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None] = mapped_column(Json)  # rows by place: what and how many
    file: Mapped[str] = mapped_column(Text, default="")  # of an access request, in the home's artefacts
    file_digest: Mapped[str] = mapped_column(Text, default="")


class DataRule(Base):
    """What a model's data may be used for, and how long they are kept. None: as long as nobody says otherwise."""

    __tablename__ = "data_rules"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    purposes: Mapped[list[Any]]
    basis: Mapped[str] = mapped_column(Text, default="")  # on which ground: consent, contract, duty, in words
    predictions_days: Mapped[int | None]
    explanations_days: Mapped[int | None]
    payloads_days: Mapped[int | None]
    updated_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    updated_at: Mapped[datetime]


class OptOut(Base):
    """Somebody does not want to be learnt from. `token` is a keyed digest of who: the list itself names nobody."""

    __tablename__ = "data_opt_outs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    token: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]

    __table_args__ = (Index("uq_data_opt_outs", "model", "token", unique=True),)
