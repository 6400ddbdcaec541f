"""What the newest windows that can speak say of every gap: read by alerts, gates, cards, controls and the page alike.

A gap that needs no label is told by the newest finished window, one that needs labels by the newest window for which
labels speak; where there is none, by the newest finished one, whose point says what is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.fairness import KIND
from backend.monitoring.fairness.measures import GAPS, MEASURES, attribute_name, needs_labels
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.service import get_model


def why_not_compared(spec: ModelSpec) -> str:
    """Why no groups are compared for a model of this spec, in words; empty where they are."""
    if spec.task != "binary":
        return (
            f"groups are compared by rates of two decisions, which a {spec.task} model does not give; look at its "
            "performance by segment"
        )
    return "" if spec.protected else "no protected column is declared, so no group is compared"


@dataclass(frozen=True)
class Standing:
    """A gap as the newest window that can speak of it has it."""

    point: MetricPoint
    window: WindowState

    @property
    def judged(self) -> bool:
        """Whether a bound is declared for it, so that it has a verdict once enough is known."""
        return self.point.threshold is not None or self.point.verdict == "no_data"


def subject_of(statistic: str, attribute: str) -> str:
    """What an alert about a gap is about: `demographic parity ratio by SEX`."""
    return f"{MEASURES[statistic].title} by {attribute}"


def subjects_of(spec: ModelSpec) -> set[str]:
    """Every gap that the spec has judged, as `subject_of` calls it."""
    if spec.task != "binary":
        return set()
    return {
        subject_of(statistic, attribute_name(columns))
        for statistic, _ in spec.fairness.limits
        for columns in spec.fairness.attributes(spec.protected)
    }


def standing(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec, version: int | None = None
) -> list[Standing]:
    """Every gap that is stored, in the order of attributes and measures; of one version alone where it is named."""
    mine = [
        WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
        WindowState.computed_at.is_not(None), WindowState.rows >= spec.min_rows,
    ]  # fmt: skip
    if version is not None:
        mine.append(WindowState.version == version)
    query = (
        select(WindowState).where(*mine).order_by(WindowState.start.desc(), WindowState.number.desc()).limit(1)
    )  # fmt: skip
    finished = session.scalars(query.where(WindowState.state == "complete")).first()
    labelled = session.scalars(query.where(WindowState.labelled_at.is_not(None))).first()
    if finished is None:
        return []
    found = [Standing(point, finished) for point in gap_points(session, finished.id, labels=False)]
    speaks = labelled or finished
    found += [Standing(point, speaks) for point in gap_points(session, speaks.id, labels=True)]
    attributes = [attribute_name(columns) for columns in spec.fairness.attributes(spec.protected)]
    return [
        one
        for attribute in attributes
        for name in GAPS
        for one in found
        if (one.point.column, one.point.statistic) == (attribute, name)
    ]


def read_standing(session: ReadSession, viewer: Actor, model: str, environment: str) -> list[Standing]:
    """As `standing`, of the version that answered the newest windows. `NotFound` for a model the viewer may not see."""
    found = get_model(session, viewer, model)
    if not found.described:
        return []
    return standing(session, model=model, environment=environment, spec=parse_spec(found.spec))


def gap_points(session: ReadSession, window_id: int, *, labels: bool) -> Iterator[MetricPoint]:
    """The gaps of a window that need labels, or those that do not."""
    points = session.scalars(
        select(MetricPoint).where(
            MetricPoint.window_id == window_id, MetricPoint.kind == KIND, MetricPoint.segment == ""
        )
    )
    return (point for point in points if needs_labels(point.statistic) == labels)


def verdict_of(found: Sequence[Standing]) -> str:
    """`fail` where a gap is beyond its bound, `pass` where each that has one is within, else `inconclusive`."""
    judged = [one.point.verdict for one in found if one.judged]
    if "alarm" in judged:
        return "fail"
    return "pass" if judged and all(one == "ok" for one in judged) else "inconclusive"
