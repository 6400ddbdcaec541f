"""A system of one's own, told over HTTP what should serve.

    POST <url>          the wanted state, with `action` ensure or restore; 200 or 202: it is begun, or done already
    GET  <url>/<key>    {"state": "working" | "done" | "failed", "text": "..."}; 404: it was never told of this key

Requests are signed, and repeated under one key: `backend/signed_http.py` describes what a receiver checks. A receiver
that answers too late has not failed: it is asked what became of the state, and told again only where it says that it
knows nothing of the key.

A part with `segments` gets its share of the rows of these segments alone. A receiver that cannot tell rows apart
refuses such a state with a status of 4xx and the reason; it must not give the part rows of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from backend.deployment.targets import Observed, TargetAway, TargetRefused, Wanted
from backend.errors import BadInput
from backend.foreign_text import storable
from backend.settings import settings
from backend.signed_http import PAUSES_S, TIMEOUT_S, NotAnswered, NotTaken, OutcomeUnknown, SignedSender


class WebhookTarget:
    """Tells a URL, signed, and asks it until it is done."""

    name = "webhook"

    def __init__(
        self, url: str, secret: str, *, pauses_s: tuple[float, ...] = PAUSES_S, timeout_s: float = TIMEOUT_S,
        within_s: float | None = None,
    ) -> None:  # fmt: skip
        self._sender = SignedSender(url, secret, pauses_s=pauses_s, timeout_s=timeout_s, within_s=within_s)
        self._url = self._sender.url

    @classmethod
    def from_settings(cls) -> WebhookTarget:
        if not settings().webhook_url or not settings().webhook_secret:
            raise BadInput("the webhook target needs WARRANT_WEBHOOK_URL and WARRANT_WEBHOOK_SECRET")
        wait_s = settings().gateway_wait_s
        return cls(
            settings().webhook_url or "", settings().webhook_secret or "", timeout_s=min(TIMEOUT_S, wait_s),
            within_s=wait_s,
        )  # fmt: skip

    def ensure(self, wanted: Wanted) -> None:
        self._tell("ensure", wanted)

    def restore(self, wanted: Wanted) -> None:
        self._tell("restore", wanted)

    def lacks(self, wanted: Wanted) -> str | None:
        return f"{self._url} knows nothing of it" if self._ask(wanted).status_code == 404 else None

    def observe(self, wanted: Wanted) -> Observed:
        try:
            answer = self._sender.get(wanted.key, once=True)
        except NotAnswered as failure:
            return Observed(False, f"it is not known whether it is so: {failure.message}")
        except NotTaken as failure:
            raise TargetRefused(failure.message) from failure
        if answer.status_code == 404:  # what was told got lost on the other side
            self._tell("ensure", wanted)
            return Observed(False, f"{self._url} knew nothing of it and was told again")
        found = _document(answer)
        state, text = found.get("state"), storable(found.get("text"))
        if state == "failed":
            raise TargetRefused(f"{self._url} failed: {text or 'it does not say why'}")
        return Observed(state == "done", text or f"{self._url} is {state}")

    def _ask(self, wanted: Wanted) -> httpx.Response:
        with _as_target():
            return self._sender.get(wanted.key)

    def _tell(self, action: str, wanted: Wanted) -> None:
        with _as_target(), suppress(OutcomeUnknown):  # `observe` finds out
            self._sender.post({"action": action, **wanted.as_dict()}, wanted.key)


@contextmanager
def _as_target() -> Iterator[None]:
    try:
        yield
    except NotTaken as failure:
        raise TargetRefused(failure.message) from failure
    except NotAnswered as failure:
        raise TargetAway(failure.message) from failure


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError as failure:
        raise TargetRefused(f"the target answered no JSON: {storable(answer.text[:200])}") from failure
    if not isinstance(found, dict) or found.get("state") not in ("working", "done", "failed"):
        raise TargetRefused(f"the target answered without a known state: {storable(answer.text[:200])}")
    return found
