"""Backups that were made, and drills that restored one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class Backup(Base):
    """One backup as it was made. That its file is still there is for the folder to say."""

    __tablename__ = "backups"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    file: Mapped[str] = mapped_column(Text)  # its name in WARRANT_BACKUP_FOLDER
    digest: Mapped[str] = mapped_column(Text)  # of the file, sha256:<hex>
    bytes: Mapped[int] = mapped_column(BigId)
    entries: Mapped[int] = mapped_column(BigId)  # of the audit log
    made_at: Mapped[datetime]
    snapshot_at: Mapped[datetime] = mapped_column(index=True)  # the moment it holds
    left_out: Mapped[list[str]]  # in words
    took_s: Mapped[float]


class RestoreDrill(Base):
    """One drill: the newest backup restored into a scratch place, verified, and taken away."""

    __tablename__ = "restore_drills"

    id: Mapped[str] = mapped_column(Text, primary_key=True)  # of the run
    at: Mapped[datetime] = mapped_column(index=True)  # when it began
    ok: Mapped[bool]
    problem: Mapped[str] = mapped_column(Text, default="")
    file: Mapped[str] = mapped_column(Text, default="")
    rto_s: Mapped[float | None]  # from the file to a verified installation
    rpo_s: Mapped[float | None]  # how old the restored moment was when the drill began
    entries: Mapped[int | None] = mapped_column(BigId)  # of the log that was restored and verified
    entries_since: Mapped[int | None] = mapped_column(
        BigId
    )  # entries since, which a loss at that time would have cost
