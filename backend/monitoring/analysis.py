"""Everything that is asked of one window's labelled rows: what changed, and where it is worst. Pure.

Two searches for slices, since they answer two questions: on which rows the model became worse than the reference on
equal inputs, and on which rows it is bad, also when it always was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.monitoring.attribution import attribute_change
from backend.monitoring.causes import Attribution
from backend.monitoring.cells import PlacedColumn, place_rows
from backend.monitoring.change_words import say_change, scale_of
from backend.monitoring.columns import ModelSpec
from backend.monitoring.grids import Grid
from backend.monitoring.importance import Importances
from backend.monitoring.outcomes import METRICS, Outcomes, measure, read_outcomes
from backend.monitoring.slices import Slice, SliceSearch, search_slices

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 200_000
ROWS_OF_SEGMENT = 20
SEGMENTS = 12
COMPARED_COLUMNS = 6
GOOD_FIT = 0.5  # R² of a surrogate below which its shares are not believed


@dataclass(frozen=True)
class Analysis:
    """The found facts as one JSON document, and why nothing could be told (None where something could)."""

    metric: str
    document: dict[str, Any]
    reason: str | None = None


def metric_of(spec: ModelSpec) -> str:
    """The metric whose change is split: the task's first that is a sum over rows or pairs of rows."""
    return METRICS[spec.task][0]


def analyse_rows(
    spec: ModelSpec,
    reference: pd.DataFrame,
    window: pd.DataFrame,
    grids: Mapping[str, Grid],
    *,
    importances: Importances | None = None,
    rows: tuple[int, int] | None = None,
) -> Analysis:
    """Split the change from the reference to the window, and search the worst slices of the window.

    reference, window  rows with the spec's features, `score`, `prediction`, `label`; absent columns are missing
    grids              frozen on the reference
    importances        of the columns; ignored where they are unknown or come from a surrogate that fits badly

    rows               how many rows there are, where the frames hold fewer of them

    More than 200,000 rows of a side are thinned evenly, and the document says so.
    Raises `BadInput` on labels that the task cannot read.
    """
    metric, rows = metric_of(spec), rows or (len(reference), len(window))
    reference, window = _thinned(reference), _thinned(window)
    features = {column.name: grids[column.name] for column in spec.features if column.name in grids}
    segments = tuple(name for name in spec.segments if name in features)
    split = attribute_change(
        spec, reference, window, features,
        metric=metric, importance=_believed(importances), segments=segments, positive=spec.positive,
    )  # fmt: skip
    sides = _Side.read(spec, metric, reference, features), _Side.read(spec, metric, window, features)
    now = sides[1]
    if split.excess.size:
        became = search_slices(now.placed, now.outcomes, excess=split.excess)
    else:
        became = SliceSearch(metric, (), 0, now.outcomes.known, split.reason)
    always = search_slices(now.placed, now.outcomes)
    compared = list(dict.fromkeys((*segments, *_columns_of(became), *_columns_of(always))))[:COMPARED_COLUMNS]
    scale, unit = scale_of(metric)
    document = {
        "says": say_change(split),
        "scale": scale,
        "unit": unit,
        "split": split_document(split),
        "became_worse": _search_document(became, sides),
        "always_hard": _search_document(always, sides),
        "segments": [{"column": name, "cells": _compare(name, sides)} for name in compared],
        "importance": importances.source if importances and _believed(importances) else None,
        "rows_read": {"reference": rows[0], "window": rows[1]},
        "rows_used": {"reference": len(reference), "window": len(window)},
    }
    return Analysis(metric, document, split.reason)


def split_document(split: Attribution) -> dict[str, Any]:
    return {
        "metric": split.metric, "reference": split.reference, "window": split.window, "worse": split.worse,
        "low": split.low, "high": split.high, "significant": split.significant,
        "rows_reference": split.rows_reference, "rows_window": split.rows_window, "text": split.text,
        "reason": split.reason,
        "parts": [
            {
                "kind": part.kind, "value": part.value, "low": part.low, "high": part.high, "text": part.text,
                "contributors": [{"name": one.name, "points": one.points} for one in part.contributors],
            }
            for part in split.parts
        ],
    }  # fmt: skip


def nothing_told(metric: str, reason: str) -> Analysis:
    """The document of a window that cannot be analysed at all."""
    scale, unit = scale_of(metric)
    nothing = {"metric": metric, "looked_at": 0, "rows": 0, "reason": reason, "slices": []}
    return Analysis(
        metric,
        {
            "says": f"What changed cannot be told: {reason}.", "scale": scale, "unit": unit,
            "split": {
                "metric": metric, "reference": None, "window": None, "worse": None, "low": None, "high": None,
                "significant": False, "rows_reference": 0, "rows_window": 0, "parts": [], "reason": reason,
                "text": f"What changed cannot be told: {reason}.",
            },
            "became_worse": nothing, "always_hard": nothing, "segments": [], "importance": None,
            "rows_read": {"reference": 0, "window": 0}, "rows_used": {"reference": 0, "window": 0},
        },
        reason,
    )  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """The rows of the reference or the window: placed on the grids, and their outcomes."""

    placed: Mapping[str, PlacedColumn]
    outcomes: Outcomes

    @staticmethod
    def read(spec: ModelSpec, metric: str, frame: pd.DataFrame, grids: Mapping[str, Grid]) -> _Side:
        empty = np.full(len(frame), np.nan)
        prediction = frame.get("prediction", None if spec.task == "binary" else empty)
        outcomes = read_outcomes(
            spec.task, metric, score=frame.get("score", empty), prediction=prediction,
            label=frame.get("label", empty), cutoff=spec.cutoff, positive=spec.positive,
        )  # fmt: skip
        return _Side(place_rows(frame, grids), outcomes)

    def figures(self, rows: Any) -> tuple[int, float | None]:
        """How many of the usable rows are meant by a mask (m,), and the metric on them."""
        y = self.outcomes.outcome[rows]
        value = measure(self.outcomes.metric, self.outcomes.point[rows], y, 1 - y) if y.size else None
        return int(y.size), value

    def codes(self, column: str) -> Any:
        return self.placed[column].codes[self.outcomes.usable]


def _believed(importances: Importances | None) -> dict[str, float] | None:
    if importances is None or importances.reason or not any(importances.shares.values()):
        return None
    badly = importances.source == "surrogate" and (importances.fit is None or importances.fit < GOOD_FIT)
    return None if badly else importances.shares


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    if len(frame) <= MOST_ROWS:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, MOST_ROWS).round().astype(np.int64)]


def _columns_of(found: SliceSearch) -> list[str]:
    return [name for one in found.slices for name in one.columns]


def _search_document(found: SliceSearch, sides: tuple[_Side, _Side]) -> dict[str, Any]:
    return {
        "metric": found.metric, "looked_at": found.looked_at, "rows": found.rows, "reason": found.reason,
        "slices": [_slice_document(one, sides[0]) for one in found.slices],
    }  # fmt: skip


def _slice_document(one: Slice, reference: _Side) -> dict[str, Any]:
    member = np.logical_and.reduce([np.isin(reference.codes(c.column), c.cells) for c in one.conditions])
    rows, before = reference.figures(member)
    return {
        "conditions": [
            {"column": c.column, "text": c.text, "cells": [int(cell) for cell in c.cells]} for c in one.conditions
        ],
        "rows": one.rows, "share": one.share, "inside": one.inside, "outside": one.outside, "effect": one.effect,
        "p_corrected": one.p_corrected, "reference_inside": before, "reference_rows": rows, "text": one.text,
    }  # fmt: skip


def _compare(name: str, sides: tuple[_Side, _Side]) -> list[dict[str, Any]]:
    """The metric in each cell of a column, in the reference and in the window; the largest 12, in the grid's order."""
    labels = sides[1].placed[name].labels
    codes = [side.codes(name) for side in sides]
    counts = np.bincount(codes[1], minlength=len(labels))
    largest = set(np.argsort(-counts, kind="stable")[:SEGMENTS].tolist())
    found = []
    for cell, label in enumerate(labels):
        if cell not in largest or counts[cell] < ROWS_OF_SEGMENT:
            continue
        (rows_before, before), (rows, value) = (
            side.figures(code == cell) for side, code in zip(sides, codes, strict=True)
        )
        found.append(
            {
                "value": label, "rows": rows, "share": rows / max(int(counts.sum()), 1), "metric": value,
                "reference_rows": rows_before, "reference_metric": before if rows_before >= ROWS_OF_SEGMENT else None,
            }
        )  # fmt: skip
    return found
