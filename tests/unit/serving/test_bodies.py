"""Large batches are checked one at a time, few may wait for it, and what finds no room is refused before the work."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from backend.errors import WarrantError
from backend.serving.accounting import Call
from backend.serving.bodies import LARGE_BYTES, MAX_LARGE, Bodies
from backend.serving.errors import BodyTooLarge, Overloaded
from tests.unit.serving.test_shadowing import Slow, serving

ROW = {"features": {"distance": 1.0}}
LARGE = json.dumps({"instances": [ROW] * 1000}).encode().ljust(LARGE_BYTES + 1)


def request(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


async def read(bodies: Bodies, body: bytes, refusal: WarrantError | None = None) -> int:
    def check_room() -> None:
        if refusal is not None:
            raise refusal

    asked = await bodies.read(request(body), serving(Slow()), Call("r", 0.0), check_room)
    return len(asked.instances)


def test_few_large_batches_wait_and_small_requests_pass_them() -> None:
    async def ask() -> list[int | BaseException]:
        bodies = Bodies()
        large = [asyncio.create_task(read(bodies, LARGE)) for _ in range(MAX_LARGE + 2)]
        await asyncio.sleep(0)
        assert await read(bodies, json.dumps(ROW).encode()) == 1
        assert not all(task.done() for task in large)
        found = await asyncio.gather(*large, return_exceptions=True)
        assert await read(bodies, LARGE) == 1000  # room again
        return found

    found = asyncio.run(ask())
    assert [type(one) for one in found] == [int] * MAX_LARGE + [Overloaded] * 2


def test_without_room_no_body_is_read_and_a_huge_one_is_never_kept() -> None:
    with pytest.raises(Overloaded, match="full"):
        asyncio.run(read(Bodies(), b"not even JSON", Overloaded("full")))
    with pytest.raises(BodyTooLarge):
        asyncio.run(read(Bodies(), b" " * (9 << 20)))
