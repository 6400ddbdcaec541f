"""Every other way to reach people, through Apprise: mail, Teams, Telegram, ntfy and a hundred more.

Apprise says False, raises nothing and tries nothing again; its reasons are only in its log, and its addresses hold
secrets. It cannot change what it sent: only what a person must know is sent again. https://appriseit.com

It follows redirects unless told not to: one would lead to an address that nobody judged, with the message.
"""

from __future__ import annotations

import logging
import warnings
from datetime import timedelta
from typing import ClassVar

from backend import outgoing
from backend.errors import BadInput
from backend.notifications.channels.base import Heard, Receipt
from backend.notifications.messages import Message, Told
from backend.signed_http import NotAnswered, NotTaken


class AppriseUrl:
    kind: ClassVar[str] = "apprise"
    changes: ClassVar[bool] = False
    refresh: ClassVar[timedelta | None] = None
    hears = False

    def __init__(self, url: str) -> None:
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines may hold the address
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of a module of Python's that it tries to import
            import apprise

            self._sender = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
            known = self._sender.add(url)
        if not known:
            raise BadInput(
                "apprise url: it names no service that Apprise knows; see `apprise --help` for the forms"
            )
        if any(one.redirects for one in self._sender):
            raise BadInput("apprise url: redirects are not followed; leave redirect= out")
        self._services = ", ".join(str(one.service_name) for one in self._sender)

    def tell(self, message: Message, told: Told | None) -> Receipt:
        from apprise import NotifyType

        self._refuse_unreachable()
        kinds = {"open": "failure", "acknowledged": "warning", "resolved": "success"}
        kind = kinds[message.state] if message.change is None else "info"
        taken = self._sender.notify(title=message.summary, body=message.text, notify_type=NotifyType(kind))
        if not taken:
            raise NotAnswered(f"{self._services} did not take it; Apprise does not say why")
        return Receipt("", f"handed to {self._services}")

    def _refuse_unreachable(self) -> None:
        """Apprise connects by itself: the hosts that its addresses name are judged just before."""
        for one in self._sender:
            if "host" not in one.template_tokens:
                continue  # a service with an address of its own: what stands in this place is a token
            host = getattr(one, "smtp_host", None) or one.host
            try:
                outgoing.refuse_host(str(host))
            except outgoing.NotReachable as error:
                raise NotTaken(f"it is not sent: {error}") from error
            except OSError as error:
                raise NotAnswered(f"{host} is not known") from error

    def hear(self, key: str, ref: str) -> Heard | None:
        return None
