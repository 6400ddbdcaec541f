"""Sign-ons that were begun and not finished: how many there may be, and how many of one address.

An address that begins more than its share loses its oldest, so that nobody alone fills the place of all. Which are
whose is in memory alone: each console counts by itself, and after it ends they are over within ten minutes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final

from sqlalchemy import delete, func, select

from backend import clock
from backend.client_addresses import counted_as
from backend.database.session import WriteSession
from backend.errors import TooMany
from backend.identity.tables import OidcFlow

FLOWS_AT_ONCE: Final = 10_000
FLOWS_OF_AN_ADDRESS: Final = 100
ADDRESSES_KEPT: Final = 10_000


class _Begun:
    """Flows by the address that began them, oldest first; addresses by when they last began one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, deque[str]] = OrderedDict()

    def add(self, address: str, flow: str) -> str | None:
        """The flow that is one too many of this address now."""
        with self._lock:
            own = self._by_address.pop(address, None) or deque()
            own.append(flow)
            self._by_address[address] = own
            while len(self._by_address) > ADDRESSES_KEPT:
                self._by_address.popitem(last=False)
            return own.popleft() if len(own) > FLOWS_OF_AN_ADDRESS else None


_BEGUN: Final = _Begun()


def keep_flow(session: WriteSession, flow: OidcFlow, *, address: str | None) -> None:
    """Add a flow, and take away what is over or too many. Raises `TooMany`."""
    session.execute(delete(OidcFlow).where(OidcFlow.expires_at <= clock.now()))
    dropped = _BEGUN.add(counted_as(address), flow.state_hash)
    if dropped is not None:
        session.execute(delete(OidcFlow).where(OidcFlow.state_hash == dropped))
    if (session.scalar(select(func.count()).select_from(OidcFlow)) or 0) >= FLOWS_AT_ONCE:
        raise TooMany("too many sign-ons are under way; try again in ten minutes", retry_after_s=600)
    session.add(flow)
