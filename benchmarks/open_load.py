"""Requests to a gateway at a rate of their own, whether or not earlier ones were answered, and what became of each.

Closed loops hide what they wait for: a server that stalls for a second is asked less in that second. Here arrivals are
drawn beforehand (Poisson), and a request's time runs from when it was due. The client speaks HTTP/1.1 over kept
connections itself, because httpx would take as much of a core as the gateway.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Told:
    """One request. Times by `time.monotonic`; `status` 0: the connection failed."""

    due: float
    sent: float
    ended: float
    status: int
    body: Mapping[str, Any]

    @property
    def ms(self) -> float:
        """From when it was due to its answer."""
        return (self.ended - self.due) * 1000


@dataclass
class OpenLoad:
    """`rate` requests a second to one address for `seconds`; `body_of` makes the nth body."""

    host: str
    port: int
    path: str
    body_of: Callable[[int], Mapping[str, Any]]
    rate: float
    seconds: float
    seed: int = 1
    timeout_s: float = 15.0
    told: list[Told] = field(default_factory=list)
    _idle: list[Connection] = field(default_factory=list)

    def run(self) -> list[Told]:
        """All of it; gives every request in the order of its end."""
        asyncio.run(self._run())
        return self.told

    async def _run(self) -> None:
        draw, began, at, number = np.random.default_rng(self.seed), time.monotonic() + 0.1, 0.0, 0
        tasks: set[asyncio.Task[None]] = set()
        while (at := at + draw.exponential(1 / self.rate)) < self.seconds:
            due = began + at
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(due, json.dumps(self.body_of(number)).encode()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()

    async def _ask(self, due: float, body: bytes) -> None:
        sent = time.monotonic()
        try:
            status, answer = await asyncio.wait_for(self._exchange(body), self.timeout_s)
        except (OSError, ValueError, EOFError, TimeoutError):
            status, answer = 0, {}
        self.told.append(Told(due, sent, time.monotonic(), status, answer))

    async def _exchange(self, body: bytes) -> tuple[int, Mapping[str, Any]]:
        while self._idle:  # one that the server has closed meanwhile is no failure, as for any client
            kept = self._idle.pop()
            try:
                return await self._over(kept, body)
            except (OSError, EOFError):
                kept[1].close()
        return await self._over(await asyncio.open_connection(self.host, self.port), body)

    async def _over(self, connection: Connection, body: bytes) -> tuple[int, Mapping[str, Any]]:
        reader, writer = connection
        head = f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(said.partition("content-length:")[2].split("\r\n", 1)[0])
        answer = await reader.readexactly(length)
        if "connection: close" in said:
            writer.close()
        else:
            self._idle.append(connection)
        return int(said.split(" ", 2)[1]), json.loads(answer) if answer else {}


def answered(told: Sequence[Told]) -> list[Told]:
    """Those that got a prediction."""
    return [one for one in told if one.status == 200]
