"""Requests that another system can trust: signed, repeated under one key, and tried again where that may help.

Each carries `Idempotency-Key` (one effect a key), `Warrant-Timestamp` (Unix seconds), and `Warrant-Signature`:
`sha256=` and the HMAC-SHA256, under the shared secret, of four lines and the body:

    <timestamp>
    <method>
    <path, and ?query where there is one>
    <Idempotency-Key>
    <body>

Lines end with one line feed. A receiver should refuse what is not signed so, or older than some minutes: whoever sees a
request can then neither send it elsewhere nor have it take effect again under another key.

A request is tried again where it did not get through. One that got through and was not answered in time is not: what
came of it is unknown, and the other side may be at it still. Whoever sent it asks under its key what became of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any, Final

import httpx

from backend import outgoing
from backend.errors import Conflict, Unavailable
from backend.foreign_text import storable

TIMEOUT_S: Final = 10.0
LONGEST_ANSWER: Final = 1024 * 1024  # bytes
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)


class NotTaken(Conflict):
    """The other system will not take it, however often it is sent; says what it answered."""

    title = "The other system refused"


class NotAnswered(Unavailable):
    """The other system did not answer, or said that it cannot now; it may later."""

    title = "The other system does not answer"


class OutcomeUnknown(NotAnswered):
    """It may have been taken: it got through, and no answer came in time."""

    title = "It is not known what came of it"


class SignedSender:
    """Sends to one address under one secret.

    pauses_s   how long to wait before each further try
    timeout_s  for one try
    within_s   no further try begins after so long; None: all are made
    quotes     whether errors repeat what the other side said; not where the address is a secret: it may say that
    """

    def __init__(
        self, url: str, secret: str, *, pauses_s: tuple[float, ...] = PAUSES_S, timeout_s: float = TIMEOUT_S,
        within_s: float | None = None, quotes: bool = True,
    ) -> None:  # fmt: skip
        self.url, self._secret, self._pauses_s = url.rstrip("/"), secret.encode(), pauses_s
        self._timeout_s, self._within_s, self._quotes = timeout_s, within_s, quotes

    def post(self, document: dict[str, Any], key: str) -> httpx.Response:
        """Tell it something, as canonical JSON. Raises `OutcomeUnknown`, `NotAnswered`, `NotTaken`."""
        body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        return self._send("POST", self.url, body, key)

    def get(self, key: str, *, once: bool = False) -> httpx.Response:
        """Ask `<url>/<key>`; 404 is an answer. `once`: whoever asks comes again anyway."""
        path, mark, query = self.url.partition("?")
        return self._send(
            "GET", f"{path.rstrip('/')}/{key}{mark}{query}", b"", key, pauses_s=() if once else self._pauses_s
        )

    def _send(
        self, method: str, url: str, body: bytes, key: str, *, pauses_s: tuple[float, ...] | None = None
    ) -> httpx.Response:
        problem, tries, begun = "", 0, time.monotonic()
        for pause_s in (*(self._pauses_s if pauses_s is None else pauses_s), None):
            tries += 1
            try:
                answer = self._ask(method, url, body, key)
            except httpx.ReadTimeout as failure:
                problem = f"no answer within {self._timeout_s:g} s"
                if method == "POST":
                    raise OutcomeUnknown(
                        f"it is not known whether {self.url} took it: {problem}"
                    ) from failure
            except outgoing.NotReachable as failure:
                raise NotTaken(f"it is not sent: {failure}") from failure
            except httpx.HTTPError as failure:
                problem = f"{type(failure).__name__}: {failure}"
            else:
                if answer.status_code < 300 or (method == "GET" and answer.status_code == 404):
                    return answer
                said = f": {storable(answer.text[:200])}" if self._quotes else ""
                problem = f"{answer.status_code}{said}"
                if answer.status_code < 500 and answer.status_code not in (408, 425, 429):
                    raise NotTaken(f"{self.url} answered {problem}")
            left_s = float("inf") if self._within_s is None else begun + self._within_s - time.monotonic()
            if pause_s is None or left_s <= pause_s:
                break
            time.sleep(pause_s)
        times = f"{tries} times" if tries > 1 else "in time"
        raise NotAnswered(f"{self.url} did not answer {times} ({problem})")

    def _ask(self, method: str, url: str, body: bytes, key: str) -> httpx.Response:
        """One try. An answer that comes in drops is cut off as one that does not come."""
        headers = self._headers(method, url, body, key)
        with outgoing.stream(method, url, content=body, headers=headers, timeout=self._timeout_s) as answer:
            content = b""
            for part in answer.iter_bytes():
                content += part
                if len(content) > LONGEST_ANSWER:
                    raise NotTaken(f"{self.url} answered more than {LONGEST_ANSWER} bytes")
            return httpx.Response(answer.status_code, content=content, request=answer.request)

    def _headers(self, method: str, url: str, body: bytes, key: str) -> dict[str, str]:
        at = str(int(time.time()))
        return {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "Warrant-Timestamp": at,
            "Warrant-Signature": signature(self._secret, at, method, _target(url), key, body),
        }


def signature(secret: bytes, timestamp: str, method: str, target: str, key: str, body: bytes) -> str:
    """What a receiver computes itself and compares in constant time. `target`: the path as asked, with the query."""
    signed = f"{timestamp}\n{method}\n{target}\n{key}\n".encode() + body
    return "sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()


def _target(url: str) -> str:
    """As it stands in the request's first line."""
    return httpx.URL(url).raw_path.decode("ascii")
