"""The track record of a model's estimates as it is stored: frozen when labels first speak, and read afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.falls import standard_error
from backend.monitoring.performance import PRIMARY, Metric
from backend.monitoring.tables import MetricPoint, ReferenceSummary, TrackedEstimate, WindowState
from backend.monitoring.track_record import (
    Realised,
    StoredEstimate,
    TrackPoint,
    TrackRecord,
    allowed_to_page,
    settle,
    track_record,
)
from backend.monitoring.windows import Window
from backend.registry.service import get_model

MOST_OF_THE_ROWS = 0.95
"""An estimate made of fewer of a window's rows is one of another window."""


@dataclass(frozen=True)
class TrackSummary:
    """How good the estimates of one metric turned out to be.

    record    None until labels have spoken for a window whose estimate was stored before
    may_page  whether estimates may page at present, and `sentence` why (not), or how they held
    points    of this metric, oldest first
    """

    metric: str
    record: TrackRecord | None
    may_page: bool
    sentence: str
    points: tuple[TrackPoint, ...]


def load_track(
    session: ReadSession, *, model: str, environment: str, version: int, size: str
) -> tuple[TrackPoint, ...]:
    """What is frozen of a version's estimates of windows of one size, oldest first."""
    found = session.scalars(
        select(TrackedEstimate)
        .where(
            TrackedEstimate.model == model, TrackedEstimate.environment == environment,
            TrackedEstimate.version == version, TrackedEstimate.size == size,
        )
        .order_by(TrackedEstimate.window_start, TrackedEstimate.metric)
    )  # fmt: skip
    return tuple(
        TrackPoint(
            window=Window(one.window_start, one.window_end), metric=one.metric, estimated=one.estimated, low=one.low,
            high=one.high, realised=one.realised, estimated_at=one.estimated_at, realised_at=one.realised_at,
            realised_se=one.realised_se,
        )
        for one in found
    )  # fmt: skip


def freeze_estimates(
    session: WriteSession,
    state: WindowState,
    window: Window,
    *,
    version: int,
    rows: int,
    stored: Iterable[MetricPoint],
    realised: Mapping[str, Metric],
    now: datetime,
) -> int:
    """Put a window's stored estimates beside what came true, once; gives how many points were frozen.

    stored  the window's points as they were stored before this computation
    """
    if session.scalar(select(TrackedEstimate.id).where(TrackedEstimate.window_id == state.id).limit(1)):
        return 0
    estimates = [
        StoredEstimate(window, point.statistic, point.value, point.low, point.high, point.computed_at)
        for point in stored
        if point.kind == "estimated"
        and point.segment == ""
        and point.value is not None
        and point.rows >= MOST_OF_THE_ROWS * rows
    ]
    came = [
        Realised(window, name, metric.value, now, standard_error(metric))
        for name, metric in realised.items()
        if metric.value is not None
    ]
    found = settle((), estimates, came)
    session.add_all(
        TrackedEstimate(
            model=state.model, environment=state.environment, version=version, size=state.size, window_id=state.id,
            window_start=window.start, window_end=window.end, metric=point.metric, estimated=point.estimated,
            low=point.low, high=point.high, realised=point.realised, realised_se=point.realised_se,
            estimated_at=point.estimated_at, realised_at=point.realised_at,
        )
        for point in found
    )  # fmt: skip
    return len(found)


def read_track_record(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    version: int,
    size: str | None = None,
    metric: str | None = None,
    until: datetime | None = None,
) -> TrackSummary:
    """How good a version's estimates of a metric turned out to be, by default the task's primary one.

    Labels that were deleted since change nothing in it. Raises `NotFound` for a model the viewer may not see.
    """
    spec = parse_spec(get_model(session, viewer, model).spec)
    name = metric or PRIMARY[spec.task]
    track = load_track(
        session, model=model, environment=environment, version=version, size=size or spec.window
    )
    record = track_record(track, name, until=until or clock.now())
    summary = session.get(ReferenceSummary, (model, version))
    if summary is None:
        return TrackSummary(name, record, False, "the version's reference has not been measured yet", ())
    may_page, why = allowed_to_page(record, summary.trust, name)
    points = tuple(point for point in track if point.metric == name)
    return TrackSummary(name, record, may_page, why, points)
