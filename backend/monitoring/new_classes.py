"""Classes that come true and that the reference's labels do not have: a model can but be wrong about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from backend.monitoring.evaluate import Point
from backend.monitoring.performance import class_name

NAMED = 5


def classes_of(labels: Any) -> frozenset[str]:
    """The names of the classes among labels (n,); missing ones are none."""
    return frozenset(class_name(value) for value in pd.Series(labels).dropna().unique())


def count_new_classes(labels: Any, known: Collection[str]) -> Counter[str]:
    """How many labels (n,) are of each class that is not known, the commonest first."""
    counts = pd.Series(labels).dropna().value_counts()
    found: Counter[str] = Counter()
    for value, rows in counts.items():
        if (name := class_name(value)) not in known:
            found[name] += int(rows)
    return found


def list_names(found: Mapping[str, int]) -> str:
    """The first five, and how many more there are."""
    names = list(found)[:NAMED]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def tell_new_classes(points: Sequence[Point], labels: Any, known: Collection[str]) -> list[Point]:
    """The points; falls of realised performance say how many of the window's known labels are of new classes."""
    if not known or not any(_fell(point) for point in points):
        return list(points)
    found = count_new_classes(labels, known)
    if not found:
        return list(points)
    share = found.total() / int(pd.Series(labels).notna().sum())
    text = f"{share:.0%} of its labels are of classes that the reference does not have: {list_names(found)}"
    return [
        replace(point, text=f"{point.text}; {text}", details={**point.details, "new_classes": dict(found)})
        if _fell(point)
        else point
        for point in points
    ]


def _fell(point: Point) -> bool:
    return point.family == "realised" and point.verdict == "alarm" and not point.segment
