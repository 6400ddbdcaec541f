"""Which points wake a person: the levels of what fired, and one alarm for each thing that is wrong.

    page     realised performance, or a trusted estimate of it, has fallen; or data are broken in a way that must cost
             performance by the metric's practical margin
    ticket   anything else that is beyond its limit and can matter: drift of what the model stands on, breaks of data
    info     drift of a column whose whole loss would not be felt

Input drift alone never pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.monitoring.effects import Effect, Z
from backend.monitoring.evaluate import Level, Point, is_break, rank

OUTPUTS = ("score", "prediction")
UNKNOWN_WORTH = 0.5
FELT = 0.25
"""The part of the practical margin from which the effect of drift, or the loss of a column, is felt."""
BEYOND_CHANCE = 3.0
"""So many standard errors from zero the effect of drift counts; nearer to it the loss of the column decides.

So it does where the effect of a window is small and uncertain: the drift of one day after another has one level.
"""


@dataclass(frozen=True)
class Stakes:
    """What each column is worth to the model.

    losses   {column: how much worse the primary metric would be if the column were noise, in the metric's unit}
    margin   the practical margin of the primary metric, in the same unit
    """

    losses: Mapping[str, float]
    margin: float

    def cost(self, column: str, share: float) -> float | None:
        """The metric's loss to expect where `share` of a column's values became noise; None when unknown."""
        loss = self.losses.get(column)
        return None if loss is None else max(loss, 0.0) * share

    def matters(self, column: str | None) -> bool:
        loss = self.losses.get(column or "")
        return loss is None or loss >= FELT * self.margin


def settle_levels(
    points: Sequence[Point], stakes: Stakes | None, effects: Mapping[str, Effect] | None = None
) -> list[Point]:
    """Give alarms of drift and quality their level; without stakes a break of a tenth of the rows pages.

    effects   what the drift of a column does to the primary metric, where that could be estimated
    """
    known = effects or {}
    return [
        point
        if point.level is None
        else replace(point, level=_level(point, stakes, known.get(point.column or "")))
        for point in points
    ]


def _level(point: Point, stakes: Stakes | None, effect: Effect | None) -> Level:
    if point.family not in ("drift", "quality"):
        return point.level or "info"
    if point.family == "drift":
        return "ticket" if _is_felt(point, stakes, effect) else "info"
    broken = float(point.value or 0.0) - float(point.details.get("reference_rate", 0.0))
    if not is_break(point):
        return "ticket"
    if stakes is None:
        return "page"
    cost = stakes.cost(point.column or "", broken)
    if (
        cost is None
    ):  # no labels say what the column is worth: only what takes half of it away is worth waking for
        return "page" if broken >= UNKNOWN_WORTH else "ticket"
    return "page" if cost >= stakes.margin else "ticket"


def _is_felt(point: Point, stakes: Stakes | None, effect: Effect | None) -> bool:
    if stakes is None or point.column in OUTPUTS:
        return True
    if effect is None or effect.effect is None:
        return stakes.matters(point.column)
    if abs(effect.effect) + Z * (effect.se or 0.0) < FELT * stakes.margin:
        return False
    return abs(effect.effect) > BEYOND_CHANCE * (effect.se or 0.0) or stakes.matters(point.column)


def alarms_of(points: Sequence[Point]) -> list[Point]:
    """One point for each (kind, column) and each (kind, segment) that fired, its worst.

    What all rows say already is not said again of a segment.
    """
    fired = sorted((point for point in points if point.verdict == "alarm"), key=rank)
    told = {(p.family, p.column, p.statistic if p.column is None else "") for p in fired if not p.segment}
    worst: dict[tuple[str, str | None, str], Point] = {}
    for point in fired:
        if not point.segment:
            worst.setdefault((point.family, point.column, ""), point)
        elif (point.family, point.column, point.statistic if point.column is None else "") not in told:
            worst.setdefault((point.family, None, point.segment), point)
    return list(worst.values())
