"""Page scripts and memory of the console, over the WebSocket that a browser uses: thirty windows that stay open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.browsing import Window
from benchmarks.endurance import memory_of
from benchmarks.ui.fleet import Fleet
from benchmarks.ui.pages import LOOKS, Look
from benchmarks.ui.served import Site

PAGES_EACH: Final = 6
SETTLE_S: Final = 5.0


def script_ms(site: Site, fleet: Fleet, *, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from asking until the script of each page has finished, in one window that goes through all pages
    again and again. The first round, in which the console reads everything for the first time, is not in it."""

    async def measure() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {look.name: [] for look in LOOKS}
        async with Window(site.port, fleet.tokens[0]) as window:
            for turn in range(rounds + 1):
                for look in LOOKS:
                    took = await window.click(*_place(look, fleet))
                    if turn:
                        found[look.name].append(took)
        return found

    return asyncio.run(measure())


def memory_mb(site: Site, fleet: Fleet) -> float:
    """Resident megabytes of the console while thirty people have windows open and have each been to six pages."""

    async def measure() -> float:
        async with AsyncExitStack() as open_windows:
            windows = [
                await open_windows.enter_async_context(Window(site.port, token)) for token in fleet.tokens
            ]
            await asyncio.gather(*(_walk(one, fleet, place) for place, one in enumerate(windows)))
            await asyncio.sleep(SETTLE_S)
            return memory_of(site.pid)[1] / 1e6

    return asyncio.run(measure())


async def _walk(window: Window, fleet: Fleet, place: int) -> None:
    for look in _some(LOOKS, place):
        await window.click(*_place(look, fleet))


def _some(looks: Sequence[Look], place: int) -> list[Look]:
    return [looks[(place + step * 5) % len(looks)] for step in range(PAGES_EACH)]


def _place(look: Look, fleet: Fleet) -> tuple[str, str]:
    """Name and query of a page, as a browser tells them."""
    path, _, query = look.address(**vars(fleet)).partition("?")
    return path.strip("/"), query
