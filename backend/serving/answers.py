"""Answers by prediction id, so that a client may ask again: same id and content, same answer, one stored row.

Used from the event loop only. The newest `limit` ids are known; beyond them the writer drops true duplicates.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backend.serving.errors import IdTaken
from backend.serving.requests import Instance

LIMIT: Final = 100_000

Answer = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    content: bytes
    answer: Answer | asyncio.Future[Answer]


class Answers:
    """Recent answers of one gateway, over all models: an id is the prediction's, within its model."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def find(self, model: str, instance: Instance) -> Answer | asyncio.Future[Answer] | None:
        """The answer, a future where the same prediction is being made, or None. Raises `IdTaken`."""
        known = self._known.get((model, instance.prediction_id))
        if known is None:
            return None
        if known.content != instance.content:
            raise IdTaken(
                f"prediction_id {instance.prediction_id!r} was used for other features; use a new id",
                prediction_id=instance.prediction_id,
            )
        return known.answer

    def begin(self, model: str, instances: Sequence[Instance]) -> list[asyncio.Future[Answer]]:
        """Take the ids; each future is ended with `end`."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in instances]
        for instance, future in zip(instances, futures, strict=True):
            self._known[model, instance.prediction_id] = _Known(instance.content, future)
        return futures

    def end(
        self, model: str, instance: Instance, future: asyncio.Future[Answer], outcome: Answer | Exception
    ) -> None:
        """Keep an answer; forget the id after a failure, so that the client may try again."""
        key = (model, instance.prediction_id)
        if isinstance(outcome, Exception):
            self._known.pop(key, None)
            future.set_exception(outcome)
            future.exception()  # seen here: nobody else may be waiting for it
        else:
            self.keep(model, instance.prediction_id, instance.content, outcome)
            future.set_result(outcome)

    def keep(self, model: str, prediction_id: str, content: bytes, answer: Answer) -> None:
        """Remember an answer that was given, also one read back from the spool after a restart."""
        self._known[model, prediction_id] = _Known(content, answer)
        while len(self._known) > self._limit:
            oldest = next(iter(self._known))
            if isinstance(self._known[oldest].answer, asyncio.Future):
                break
            del self._known[oldest]
