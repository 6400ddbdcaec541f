"""Metric points page by page, the newest windows first: a walk down the index of the model's points, so that a page of
one model costs the same whatever is stored of others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, literal, select, tuple_

from backend import clock
from backend.database.session import ReadSession
from backend.database.types import BigId, UtcDateTime
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.service import get_model

_WRITTEN: Final = re.compile(r"(?P<start>\S{20,40})~(?P<number>\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Behind which point a page goes on. Points that are computed again stand where they stood, under new numbers."""

    window_start: datetime
    number: int

    @classmethod
    def read(cls, text: str) -> Place:
        """Raises `BadInput` for what no answer gave as `next`."""
        wrong = BadInput("before: give the `next` of the page before, as it was", field="before")
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise wrong
        try:
            return cls(clock.from_iso(written["start"]), int(written["number"]))
        except ValueError as error:
            raise wrong from error

    def __str__(self) -> str:
        return f"{clock.to_iso(self.window_start)}~{self.number}"


def page_of_points(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str | None = None,
    statistic: str | None = None,
    kind: str | None = None,
    before: Place | None = None,
    limit: int,
) -> tuple[list[tuple[MetricPoint, WindowState]], Place | None]:
    """`limit` points with their windows, the newest windows first, and behind which the next page begins; None: there
    is none."""
    get_model(session, viewer, model)
    sizes = [size] if size is not None else _sizes(session, model, environment)
    found = [
        pair
        for one in sizes
        for pair in _of_size(session, model, environment, one, statistic, kind, before, limit)
    ]
    found.sort(key=lambda pair: (pair[0].window_start, pair[0].id), reverse=True)
    page = found[:limit]
    last = page[-1][0] if len(page) == limit else None
    return page, None if last is None else Place(last.window_start, last.id)


def _of_size(
    session: ReadSession, model: str, environment: str, size: str, statistic: str | None, kind: str | None,
    before: Place | None, limit: int,
) -> list[tuple[MetricPoint, WindowState]]:  # fmt: skip
    query = (
        select(MetricPoint, WindowState)
        .join(WindowState, WindowState.id == MetricPoint.window_id)
        .where(MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size)
        .order_by(MetricPoint.window_start.desc(), MetricPoint.id.desc())
        .limit(limit)
    )
    if statistic is not None:
        query = query.where(MetricPoint.statistic == statistic)
    if kind is not None:
        query = query.where(MetricPoint.kind == kind)
    if before is not None:
        place = tuple_(literal(before.window_start, UtcDateTime()), literal(before.number, BigId))
        query = query.where(tuple_(MetricPoint.window_start, MetricPoint.id) < place)
    return [(point, window) for point, window in session.execute(query)]


def _sizes(session: ReadSession, model: str, environment: str) -> Sequence[str]:
    """The sizes of windows that have points, each found by one step in the index: a model has one or two."""
    found: list[str] = []
    mine = (MetricPoint.model == model, MetricPoint.environment == environment)
    while True:
        further = (MetricPoint.size > found[-1],) if found else ()
        following = session.scalar(select(func.min(MetricPoint.size)).where(*mine, *further))
        if following is None:
            return found
        found.append(following)
