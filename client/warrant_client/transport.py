"""One connection to a console: token, retries, idempotency, pages. The operations are generated beside it."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from warrant_client.errors import NotReached, WarrantError, problem_of

Json = Any
"""Whatever JSON holds: the console's OpenAPI document does not describe what is in its answers."""
JsonObject = dict[str, Any]

TRIES: Final = 5
LONGEST_PAUSE_S: Final = 60.0
AGAIN: Final = frozenset({429, 503})


class Transport:
    """Sends requests. 429 and 503 are tried again after `Retry-After`, also a lost connection: everything that changes
    something carries an `Idempotency-Key`, so a second try has no second effect.

    url      the console, such as https://warrant.example.com; default: WARRANT_URL, else http://localhost:8501
    token    an API token; default: WARRANT_TOKEN
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout_s: float = 60.0, tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        token = token or os.environ.get("WARRANT_TOKEN", "")
        if not token:
            raise WarrantError(
                "no API token: make one on the Account page, and set WARRANT_TOKEN or pass `token`"
            )
        base = (url or os.environ.get("WARRANT_URL") or "http://localhost:8501").rstrip("/")
        self._tries, self._sleep = tries, sleep
        self._http = httpx.Client(
            base_url=f"{base}/api/v1", timeout=timeout_s, transport=transport,
            headers={"Authorization": f"Bearer {token}", "User-Agent": "warrant-client"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(
        self, method: str, path: str, *, parts: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None, body: object = None, content_type: str = "application/json",
        idempotency_key: str | None = None,
    ) -> httpx.Response:  # fmt: skip
        """One operation, with its tries. Raises `Problem` for a refusal and `NotReached` without an answer."""
        address = path.format(**{name: quote(_text(one), safe="") for name, one in (parts or {}).items()})
        headers = {}
        if method != "GET":
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        options: dict[str, Any] = {"params": _query(query or {}), "headers": headers}
        if isinstance(body, bytes):
            options["content"] = body
            headers["Content-Type"] = content_type
        elif body is not None:
            options["json"] = body
        for left in range(self._tries - 1, -1, -1):
            try:
                answer = self._http.request(method, address, **options)
            except httpx.HTTPError as error:
                if not left or not isinstance(error, httpx.TransportError):
                    raise NotReached(f"{self._http.base_url}: {type(error).__name__}: {error}") from error
                self._sleep(_pause(None, self._tries - left))
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in AGAIN or not left:
                raise problem_of(answer)
            self._sleep(_pause(answer.headers.get("Retry-After"), self._tries - left))
        raise NotReached("no try was allowed")

    def pages(self, fetch: Callable[[Any], Json], *, key: str, start: object = None) -> Iterator[JsonObject]:
        """Everything that a listing holds, page by page: `fetch` is given the `next` of the page before."""
        cursor = start
        while True:
            page = fetch(cursor)
            yield from page[key]
            cursor = page.get("next")
            if cursor is None:
                return


def _pause(told: str | None, tried: int) -> float:
    """As long as the console says; else longer with each try, and not at the same moment as everybody else."""
    if told is not None and told.isascii() and told.isdigit():
        return min(float(told), LONGEST_PAUSE_S)
    return min(0.25 * 2.0**tried, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _query(given: Mapping[str, object]) -> dict[str, Any]:
    """What is None is left out."""
    return {
        name: [_text(each) for each in one] if isinstance(one, (list, tuple)) else _text(one)
        for name, one in given.items()
        if one is not None
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)
