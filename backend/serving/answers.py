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
Outcome = Answer | Exception


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that is being made: one of the outcomes of a job."""

    future: asyncio.Future[Sequence[Outcome]]
    index: int

    def answer(self) -> Answer:
        """Once the future is done. Raises what the job ended with."""
        outcome = self.future.result()[self.index]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass(slots=True)
class _Known:
    content: bytes
    answer: Answer | Pending


class Answers:
    """Recent answers of one gateway, over all models: an id is the prediction's, within its model."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def find(self, model: str, instance: Instance) -> Answer | Pending | None:
        """The answer, one that is being made, or None. Raises `IdTaken`."""
        known = self._known.get((model, instance.prediction_id))
        if known is None:
            return None
        if known.content != instance.content:
            raise IdTaken(
                f"prediction_id {instance.prediction_id!r} was used for other features; use a new id",
                prediction_id=instance.prediction_id,
            )
        return known.answer

    def begin(self, model: str, instances: Sequence[Instance]) -> list[Pending]:
        """Take the ids; one future for all of them, which `end` ends."""
        future: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        pending = [Pending(future, index) for index in range(len(instances))]
        for instance, one in zip(instances, pending, strict=True):
            self._known[model, instance.prediction_id] = _Known(instance.content, one)
        return pending

    def end(
        self,
        model: str,
        instances: Sequence[Instance],
        pending: Sequence[Pending],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Keep answers; forget the ids after a failure, so that the client may try again."""
        for instance, outcome in zip(instances, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._known.pop((model, instance.prediction_id), None)
            else:
                self.keep(model, instance.prediction_id, instance.content, outcome)
        pending[0].future.set_result(outcomes)

    def keep(self, model: str, prediction_id: str, content: bytes, answer: Answer) -> None:
        """Remember an answer that was given, also one read back from the spool after a restart."""
        self._known[model, prediction_id] = _Known(content, answer)
        while len(self._known) > self._limit:
            oldest = next(iter(self._known))
            if isinstance(self._known[oldest].answer, Pending):
                break
            del self._known[oldest]
