"""Leases: one holder at a time of a role that any worker can take, such as the writer of the observation store.

A lease is a row with an end. Its holder renews it; when it dies the end passes and another one takes it with the next
`generation`. Acting under a lease means acting with its generation, which a later holder's is always above.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from backend import clock
from backend.database.base import Base
from backend.database.session import ReadSession, WriteSession

WRITER, SCHEDULER, NOTIFIER = "writer", "scheduler", "notifier"


class Lease(Base):
    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[str] = mapped_column(Text)  # worker id; "" when given back
    generation: Mapped[int] = mapped_column(default=1)
    acquired_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    status: Mapped[dict[str, Any] | None]  # what the holder last did, for people


def take_lease(session: WriteSession, name: str, *, holder: str, lasts: timedelta) -> int | None:
    """Take or renew a lease. Returns its generation, or None while somebody else holds it.

    Renewing keeps the generation; taking over an ended lease raises it.
    """
    now = clock.now()
    lease = session.scalars(select(Lease).where(Lease.name == name).with_for_update()).one_or_none()
    if lease is None:
        try:
            with session.begin_nested():
                session.add(Lease(name=name, holder=holder, acquired_at=now, expires_at=now + lasts))
        except IntegrityError:  # another worker made the row first
            return None
        return 1
    if lease.holder != holder:
        if lease.holder and lease.expires_at > now:
            return None
        lease.holder, lease.acquired_at, lease.generation = holder, now, lease.generation + 1
    lease.expires_at = now + lasts
    session.flush()
    return lease.generation


def holds_lease(session: ReadSession, name: str, *, holder: str, generation: int) -> bool:
    """Whether the lease still is this holder's. In a write session the answer holds until the commit."""
    query = select(Lease).where(Lease.name == name, Lease.holder == holder, Lease.generation == generation)
    if isinstance(session, WriteSession):
        query = query.with_for_update()
    return session.scalars(query).one_or_none() is not None


def note_status(session: WriteSession, name: str, *, holder: str, status: dict[str, Any]) -> None:
    """Say what the holder last did."""
    session.execute(update(Lease).where(Lease.name == name, Lease.holder == holder).values(status=status))


def give_back(session: WriteSession, name: str, *, holder: str) -> None:
    """End the lease now, so that the next one need not wait. The generation stays, and rises with the next."""
    session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.holder == holder)
        .values(holder="", expires_at=clock.now())
    )


def lease_of(session: ReadSession, name: str) -> Lease | None:
    return session.get(Lease, name)
