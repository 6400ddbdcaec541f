"""How late the event loop is: time that requests wait before the gateway can know of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

EVERY_S: Final = 0.25
WINDOW: Final = 60  # measurements: 15 seconds, what Prometheus sees of one scrape to the next


class LoopLag:
    """Runs as a task of the loop; `worst_s` may be asked from any thread."""

    def __init__(self) -> None:
        self._late: deque[float] = deque([0.0], WINDOW)

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(EVERY_S)
            self._late.append(max(0.0, time.perf_counter() - began - EVERY_S))

    def worst_s(self) -> float:
        """In the last seconds."""
        return max(self._late.copy())
