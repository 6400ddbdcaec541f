"""Reading and checking the bodies of requests, so that large ones hold up no small ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request

from backend import clock
from backend.serving.accounting import Call
from backend.serving.board import Serving
from backend.serving.errors import BodyTooLarge, Overloaded
from backend.serving.requests import PredictRequest, parse_request

MAX_BYTES: Final = 8 << 20
LARGE_BYTES: Final = 65_536
MAX_LARGE: Final = 8


class Bodies:
    """Used from the event loop only."""

    def __init__(self) -> None:
        self._large = 0  # batches that are checked or wait for it
        self._checking = asyncio.Semaphore(1)

    async def read(
        self, request: Request, serving: Serving, call: Call, check_room: Callable[[], None]
    ) -> PredictRequest:
        """A checked request. `check_room` raises where there is none: before the work, and again before the work of a
        large batch, which takes tens of milliseconds in a thread, one at a time.

        Raises `Overloaded`, `BodyTooLarge` and `BadFeature`.
        """
        check_room()
        body = await read_body(request)
        call.body_read = True
        check = partial(
            parse_request, body, serving.features, now=clock.now(), stored=serving.stored,
            whole=serving.predictor.whole,
        )  # fmt: skip
        if len(body) <= LARGE_BYTES:
            return check()
        if self._large >= MAX_LARGE:
            raise Overloaded(f"{self._large} large batches wait to be checked; send again more slowly")
        self._large += 1
        try:
            async with self._checking:
                check_room()
                return await asyncio.to_thread(check)
        finally:
            self._large -= 1


async def read_body(request: Request) -> bytes:
    """All of it. Raises `BodyTooLarge`, and `ClientDisconnect` when the client leaves."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise BodyTooLarge(f"the body is larger than {MAX_BYTES >> 20} MiB; send smaller batches")
        chunks.append(chunk)
    return b"".join(chunks)
