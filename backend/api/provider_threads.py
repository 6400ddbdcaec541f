"""Threads for requests that may have to wait for somebody else's server: few, and apart from those of all others.

Whoever asks for nothing but a slow provider then holds up sign-ons, and no page, API or probe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response

from backend.api.problems import problem

AT_ONCE: Final = 2
MOST_WAITING: Final = 200
RETRY_AFTER_S: Final = 10


class ProviderThreads:
    """Runs handlers in threads of its own. More than `most_waiting` that wait for one are told to come again."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._limiter, self._most = CapacityLimiter(at_once), at_once + most_waiting
        self._here = (
            0  # counted on the event loop alone: the limiter knows of those that wait only a moment later
        )

    def __call__(self, handler: Callable[..., Response]) -> Callable[..., Awaitable[Response]]:
        """The same handler of a route, for the event loop. It takes the request as `request`."""

        @wraps(handler)
        async def run(*args: Any, request: Request, **kwargs: Any) -> Response:
            if self._here >= self._most:
                return problem(
                    request, status=503, title="The provider is slow", retry_after_s=RETRY_AFTER_S,
                    detail="too many wait for whoever signs them on; try again in a moment",
                )  # fmt: skip
            asked = partial(handler, *args, request=request, **kwargs)
            self._here += 1
            try:
                return await to_thread.run_sync(asked, limiter=self._limiter)
            finally:
                self._here -= 1

        return run
