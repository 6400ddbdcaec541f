"""What the labels that are there say of a model besides its primary metric: of the last judged window, and of the
newest one with labels, judged or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.database.many import among
from backend.database.session import ReadSession
from backend.monitoring.label_lag import FEW_LABELS
from backend.monitoring.performance import lies_beyond
from backend.monitoring.reading import RecentWindows
from backend.monitoring.tables import JUDGED, MetricPoint


@dataclass(frozen=True)
class Beyond:
    """A metric beyond its limit, in the metric's own unit."""

    metric: str
    value: float
    threshold: float


@dataclass(frozen=True)
class LabelsNow:
    """A window whose labels are not judged yet: so many of so many rows, and what they say so far.

    value   the primary metric; None where they are too few for it
    beyond  the metrics, the primary among them, that lie beyond their limits so far
    """

    window_start: datetime
    labels: int
    rows: int
    value: float | None
    beyond: tuple[Beyond, ...]


@dataclass(frozen=True)
class Heard:
    """settled: other metrics of the last judged window that alarm; so_far: the newer window that is not judged."""

    settled: tuple[Beyond, ...] = ()
    so_far: LabelsNow | None = None


_READ: Final = (
    MetricPoint.window_id, MetricPoint.statistic, MetricPoint.value, MetricPoint.threshold,
    MetricPoint.reference_value, MetricPoint.verdict, MetricPoint.level,
)  # fmt: skip


def hear_labels(session: ReadSession, recent: Mapping[str, RecentWindows]) -> dict[str, Heard]:
    """{model: what its labels say}, one query for any number of models."""
    judged = {
        name: next((one for one in reversed(of.realised) if one.verdict in JUDGED), None)
        for name, of in recent.items()
    }
    asked = {
        one.window_id for name, of in recent.items() for one in (judged[name], of.labelled) if one is not None
    }
    if not asked:
        return {}
    found: dict[int, list[Any]] = {}
    for point in session.execute(
        sa.select(*_READ)
        .where(
            among(MetricPoint.window_id, asked), MetricPoint.kind == "realised", MetricPoint.segment == "",
            MetricPoint.column == "",
        )
        .order_by(MetricPoint.statistic)
    ):  # fmt: skip
        found.setdefault(point.window_id, []).append(point)
    heard = {}
    for name, of in recent.items():
        last, new = judged[name], of.labelled
        settled: tuple[Beyond, ...] = ()
        if last is not None:
            alarms = (one for one in found.get(last.window_id, ()) if one.verdict == "alarm")
            settled = _beyond(one for one in alarms if one.statistic != of.metric and one.level != "info")
        so_far = None
        if (
            new is not None
            and (last is None or new.start > last.window_start)
            and new.labels >= FEW_LABELS * new.rows
        ):
            points = found.get(new.window_id, ())
            value = next((one.value for one in points if one.statistic == of.metric), None)
            so_far = LabelsNow(new.start, new.labels, new.rows, value, _beyond(points, first=of.metric))
        heard[name] = Heard(settled, so_far)
    return heard


def _beyond(points: Iterable[Any], first: str = "") -> tuple[Beyond, ...]:
    """Those beyond their limits, `first` and then the furthest from what the reference had."""
    found: Sequence[tuple[float, Beyond]] = [
        (_excess(one), Beyond(one.statistic, one.value, one.threshold))
        for one in points
        if one.value is not None
        and one.threshold is not None
        and lies_beyond(one.statistic, one.value, one.threshold)
    ]
    ranked = sorted(found, key=lambda pair: (pair[1].metric != first, -pair[0], pair[1].metric))
    return tuple(one for _, one in ranked)


def _excess(point: Any) -> float:
    """How many times the distance from the reference's value to the limit the value went."""
    reference = point.reference_value
    room = abs((point.threshold or 0.0) - reference) if reference is not None else 0.0
    return abs((point.value or 0.0) - reference) / room if room and reference is not None else 0.0
