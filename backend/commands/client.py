"""The command line as a client of the REST API: it goes by the same rules as every other caller."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from backend.errors import BadInput, Unavailable, WarrantError
from backend.settings import settings

TIMEOUT_S = 120.0
AT_ONCE = 500  # of a list that is given in parts


class Refused(WarrantError):
    """The console refused a request; the message is its own."""

    title = "Refused"


class Api:
    """A caller with a bearer token."""

    def __init__(self, token: str) -> None:
        if not token:
            raise BadInput(
                "no API token: create one on the Account page and set WARRANT_TOKEN, or pass --token"
            )
        self._headers = {"Authorization": f"Bearer {token}"}
        self._url = f"{settings().console}/api/v1"

    def get(self, path: str, **query: Any) -> Any:
        return self._send(
            "GET", path, params={key: value for key, value in query.items() if value is not None}
        )

    def parts(self, path: str, **query: Any) -> Iterator[Any]:
        """The answers of a list that is given in parts (`offset` and `next`), one after the other."""
        offset: int | None = 0
        while offset is not None:
            found = self.get(path, **query, offset=offset, limit=AT_ONCE)
            yield found
            offset = found["next"]

    def every(self, path: str, key: str, **query: Any) -> Any:
        """The first of `parts` with all rows of the list `key`."""
        first, *rest = self.parts(path, **query)
        del first["next"]
        for found in rest:
            first[key] += found[key]
        return first

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """A file, as the console makes it."""
        found = self._answer("GET", path, params={key: one for key, one in query.items() if one is not None})
        return bytes(found.content)

    def call(self, method: str, path: str, *, fields: dict[str, Any], document: Any = None) -> bytes:
        """Any operation: fields are the query of a GET or DELETE, and else the body where no document is given."""
        asked = method in ("GET", "DELETE") or document is not None
        options: dict[str, Any] = {"params": fields} if asked else {"json": fields}
        if document is not None:
            options["json"] = document
        return bytes(self._answer(method, path, **options).content)

    def post(self, path: str, document: dict[str, Any]) -> Any:
        """POST a JSON document. A key makes the request safe to repeat if the connection breaks."""
        return self._send("POST", path, json={k: v for k, v in document.items() if v is not None})

    def put(self, path: str, document: dict[str, Any]) -> Any:
        """PUT a JSON document, with a key as `post` has."""
        return self._send("PUT", path, json={k: v for k, v in document.items() if v is not None})

    def post_body(self, path: str, body: bytes, content_type: str) -> Any:
        return self._send("POST", path, content=body, headers={"Content-Type": content_type})

    def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            return self._answer(method, path, **options).json()
        except ValueError as error:
            raise Unavailable(f"what answers at {settings().console} is not Warrant's console") from error

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        """What was answered, whatever it holds. Raises `Refused` in the console's own words."""
        headers = self._headers | options.pop("headers", {})
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        try:
            answer = httpx.request(method, self._url + path, headers=headers, timeout=TIMEOUT_S, **options)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the console at {settings().console} does not answer ({error}); is it running?"
            ) from error
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            detail, title = problem["detail"], problem["title"]
        except (ValueError, KeyError):
            detail, title = answer.text[:300], f"HTTP {answer.status_code}"
        refused = Refused(detail)
        refused.title = title
        raise refused
