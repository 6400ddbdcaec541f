"""`fairness:` of the spec: within which bounds groups of people have to be treated alike, and from what size on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from backend.errors import BadInput
from backend.monitoring.fairness.measures import GAPS

MIN_GROUP: Final = 30
LEAST_GROUP: Final = 20
FOUR_FIFTHS: Final = 0.8
"""Of the Uniform Guidelines on Employee Selection Procedures (29 CFR 1607.4 D)."""
KEYS: Final = ("min_group", "limits", "intersections")


@dataclass(frozen=True)
class FairnessRule:
    """What fairness figures are judged by.

    limits         bound of each gap that is judged; the others are shown without a verdict
    min_group      a group of fewer rows that count is shown and never judged
    intersections  columns whose combinations are groups too; None: every two protected columns
    """

    limits: tuple[tuple[str, float], ...] = (("demographic_parity_ratio", FOUR_FIFTHS),)
    min_group: int = MIN_GROUP
    intersections: tuple[tuple[str, ...], ...] | None = None

    def attributes(self, protected: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Every protected column, then the intersections."""
        crossed = tuple(combinations(protected, 2)) if self.intersections is None else self.intersections
        return (*((name,) for name in protected), *crossed)


def read_fairness(value: Any, protected: tuple[str, ...], task: str) -> FairnessRule:
    """From `{limits: {demographic_parity_ratio: 0.8}, min_group: 30, intersections: [[SEX, RAC1P]]}`."""
    if value is None:
        return FairnessRule()
    if not isinstance(value, Mapping):
        raise BadInput(f"fairness: write a mapping of keys, not {type(value).__name__}")
    if unknown := [str(key) for key in value if key not in KEYS]:
        raise BadInput(f"fairness: {', '.join(unknown)} is not one of {', '.join(KEYS)}")
    if task != "binary":
        raise BadInput(f"fairness: groups are compared of binary models, not of task {task}")
    if not protected:
        raise BadInput("fairness: name the columns of groups under protected first")
    least = value.get("min_group", MIN_GROUP)
    if isinstance(least, bool) or not isinstance(least, int) or least < LEAST_GROUP:
        raise BadInput(f"fairness.min_group: {least!r} is no whole number of {LEAST_GROUP} or more")
    limits = FairnessRule.limits if "limits" not in value else _limits(value["limits"])
    crossed = None if "intersections" not in value else _intersections(value["intersections"], protected)
    return FairnessRule(limits, least, crossed)


def _limits(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping):
        raise BadInput("fairness.limits: write a mapping, such as {demographic_parity_ratio: 0.8}")
    found = []
    for name, limit in value.items():
        if name not in GAPS:
            raise BadInput(f"fairness.limits: {name!r} is not one of {', '.join(GAPS)}")
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < 1:
            raise BadInput(f"fairness.limits.{name}: {limit!r} is no number between 0 and 1")
        found.append((str(name), float(limit)))
    return tuple(found)


def _intersections(value: Any, protected: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value):
        raise BadInput("fairness.intersections: write a list of lists of columns, such as [[SEX, RAC1P]]")
    for one in value:
        if len(one) < 2 or len(set(map(str, one))) < len(one):
            raise BadInput(f"fairness.intersections: {one} are not two or more different columns")
        for name in one:
            if name not in protected:
                raise BadInput(
                    f"fairness.intersections: {name!r} is not protected; there are {list(protected)}"
                )
    return tuple(dict.fromkeys(tuple(one) for one in value))
