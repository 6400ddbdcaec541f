"""Packs that somebody asked for. The file lies beside the database; the row says what it must be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base, new_id
from backend.database.types import BigId


class EvidencePack(Base):
    """One pack. `file` is empty until it is whole, and again once it is no longer kept."""

    __tablename__ = "evidence_packs"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("pack"))
    kind: Mapped[str] = mapped_column(Text)  # backend.packs.scope.KINDS
    # None: the whole house, or a change of it; those limited to some models never see such a pack
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)
    version: Mapped[int | None]
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"), index=True)
    period: Mapped[str] = mapped_column(Text, default="")
    about: Mapped[str] = mapped_column(Text)  # the scope in words
    environment: Mapped[str] = mapped_column(Text)
    as_of: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    clear: Mapped[bool]  # whether payloads of the log are in it, as far as they are not sealed or erased
    requested_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime] = mapped_column(index=True)
    run_id: Mapped[str] = mapped_column(Text)
    file: Mapped[str] = mapped_column(Text, default="")
    bytes: Mapped[int] = mapped_column(default=0)
    digest: Mapped[str] = mapped_column(Text, default="")  # of the ZIP, sha256:<hex>
    manifest: Mapped[str] = mapped_column(Text, default="")  # of manifest.json, sha256:<hex>
    gaps: Mapped[dict[str, Any]]  # {"high", "medium", "low"}: how many; {} before it is made
    people: Mapped[list[str]]  # opaque ids of the people who are named in it
    log_size: Mapped[int | None] = mapped_column(BigId)  # entries that the log had when it was made
    made_at: Mapped[datetime | None]
    entry: Mapped[int | None] = mapped_column(BigId)  # of the audit log: that it was made
    forgotten_at: Mapped[datetime | None]
    forgotten_because: Mapped[str] = mapped_column(Text, default="")
