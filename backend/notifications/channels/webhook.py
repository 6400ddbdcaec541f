"""A web address of the user's own, told with a signed POST (`backend.signed_http`).

    {"key": "…/incidents/12", "incident": 12, "state": "open", "severity": "SEV-2", "title": "…", "lines": ["…"],
     "link": "https://…/i/12", "model": "…", "environment": "…", "opened_at": "…", "by": "", "round": 1, "change": null}

A reminder of a change has its number under `change`, no `incident`, and an empty `severity`.

The `Idempotency-Key` is of this message: the same one may come twice, and means the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from backend.notifications.channels.base import Heard, Receipt, web_address
from backend.notifications.messages import Message, Told
from backend.signed_http import NotAnswered, NotTaken, SignedSender


class Webhook:
    kind: ClassVar[str] = "webhook"
    changes: ClassVar[bool] = True
    refresh: ClassVar[timedelta | None] = None
    hears = False

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._host = web_address(url, "webhook url"), urlsplit(url).netloc.rpartition("@")[2]
        self._sender = SignedSender(self._url, secret, pauses_s=(0.2,), quotes=False)

    def tell(self, message: Message, told: Told | None) -> Receipt:
        document = message.as_dict() | {"severity": message.word}
        try:
            answer = self._sender.post(document, f"{message.key}/{message.state}/{message.digest}")
        except (
            NotAnswered,
            NotTaken,
        ) as error:  # an address often is the secret: errors name host and status alone
            raise type(error)(error.message.replace(self._url, self._host)) from error
        return Receipt(message.key, f"answered {answer.status_code}")

    def hear(self, key: str, ref: str) -> Heard | None:
        return None
