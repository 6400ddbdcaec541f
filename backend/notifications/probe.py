"""A notice that goes the way of all others and ends at Warrant's own door: that it arrives shows that the outbox moves.

A look at Warrant puts it into the outbox; the notifier delivers it in a lane of its own to `Sink`, which asks nobody
outside; its row then has the receipt.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final

from sqlalchemy import delete, update

from backend.audit.signers import origin
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession
from backend.notifications.channels.base import Heard, Receipt
from backend.notifications.messages import Message, Told, iso
from backend.notifications.tables import Notice
from backend.settings import settings

PROBE: Final = "/probe"  # a lane that no channel can be called
WHY: Final = "a look at Warrant itself"
DELIVERED_WITHIN: Final = timedelta(seconds=30)  # the notifier ticks every three seconds
KEPT_FOR: Final = timedelta(hours=1)


class Sink:
    """Takes every message. What it took is the receipt on the row of the notice."""

    kind: ClassVar[str] = "probe"
    changes: ClassVar[bool] = False
    refresh: ClassVar[timedelta | None] = None
    hears = False

    def tell(self, message: Message, told: Told | None) -> Receipt:
        return Receipt(message.key, f"{message.key} came through")

    def hear(self, key: str, ref: str) -> Heard | None:
        return None


def put_probe(session: WriteSession, now: datetime) -> Notice:
    """Queue a notice to the sink. One whose time is over takes no turn any more, and old ones go."""
    mine = Notice.channel == PROBE
    session.execute(delete(Notice).where(mine, Notice.created_at < now - KEPT_FOR))
    late = update(Notice).where(
        mine, Notice.state == "queued", Notice.created_at < now - 2 * DELIVERED_WITHIN
    )
    session.execute(late.values(state="replaced"))
    message = Message(
        key=f"{origin().removesuffix('/audit')}/probe/{new_id('try')}", incident=None, state="open", severity=4,
        title=WHY, lines=(), link=settings().console, model="", environment=settings().environment,
        opened_at=iso(now),
    )  # fmt: skip
    notice = Notice(channel=PROBE, why=WHY, document=message.as_dict(), created_at=now, next_try_at=now)
    session.add(notice)
    session.flush()
    return notice


def came_through(session: ReadSession, notice_id: int) -> bool:
    """Whether the notifier has delivered it within its time."""
    notice = session.get(Notice, notice_id)
    return (
        notice is not None
        and notice.state == "sent"
        and notice.sent_at is not None
        and notice.sent_at - notice.created_at <= DELIVERED_WITHIN
    )
