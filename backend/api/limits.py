"""How much of a request is read before anybody is asked who sent it."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import CLIENT_LEFT, problem
from backend.api.rates import ADDRESS_SHARE, Buckets, TooManyRequests
from backend.api.security import client_address
from backend.client_addresses import counted_as
from backend.errors import BadInput
from backend.settings import settings

LARGEST_BODY_BYTES: Final = 1024 * 1024
LARGEST_BATCH_BYTES: Final = 512 * 1024 * 1024
_BATCHES: Final = re.compile(r"(?:/api/v1)?(?:/models/[^/]+/(?:predictions|labels)|/documents)")
"""Routes that read a large body themselves, after they know that the caller may send one: these and no others, whatever
else ends in the same word."""


class BodyTooLarge(BadInput):
    status = 413
    title = "Body too large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes // 1024**2} MiB; send smaller ones")


class BodyLimit:
    """ASGI middleware: a body over 1 MiB is refused, declared or chunked. FastAPI reads it before it asks who calls."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _BATCHES.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        declared = request.headers.get("Content-Length", "0")
        body = bytearray()
        more = not (declared.isdigit() and int(declared) > LARGEST_BODY_BYTES)
        too_large = not more
        while more:
            message = await receive()
            if message["type"] != "http.request":
                await Response(status_code=CLIENT_LEFT)(scope, receive, send)
                return
            body += message.get("body", b"")
            too_large = len(body) > LARGEST_BODY_BYTES
            more = message.get("more_body", False) and not too_large
        if too_large:
            error = BodyTooLarge(LARGEST_BODY_BYTES)
            answer = problem(request, status=error.status, title=error.title, detail=error.message)
            await answer(scope, receive, send)
            return
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def again() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        await self._app(scope, again, send)


class AddressRate:
    """ASGI middleware: an address that asks too often is told so before anything of its request is read."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app, self._buckets = app, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        per_min = settings().api_requests_per_min * ADDRESS_SHARE
        if scope["type"] != "http" or not per_min:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        wait_s = self._buckets.take(f"address {counted_as(client_address(request))}", per_min)
        if not wait_s:
            await self._app(scope, receive, send)
            return
        error = TooManyRequests("this address", per_min, wait_s)
        answer = problem(
            request, status=error.status, title=error.title, detail=error.message, **error.details
        )
        await answer(scope, receive, send)


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """The raw body, refused before it is read where its declared or real length is over the limit."""
    chunks: list[bytes] = []
    size = 0
    declared = request.headers.get("Content-Length", "0")
    too_large = declared.isdigit() and int(declared) > limit_bytes
    if not too_large:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                too_large = True
                break
            chunks.append(chunk)
    if too_large:
        raise BodyTooLarge(limit_bytes)
    return b"".join(chunks)
