"""Who flips: the cases that champion and candidate decide otherwise, on the same rows, at the deployed cut-offs.

The result is plain data: evidence that is frozen with a change, signed, and shown before any chart. Examples carry ids
and scores and no features: what is asked to be erased later must not live on in evidence.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from backend import clock
from backend.governance.pairs import Floats, PairedRows
from backend.monitoring.columns import ModelSpec
from backend.monitoring.performance import read_classes, wilson

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    Mask = npt.NDArray[np.bool_]

EXAMPLES: Final = 20
MOVED: Final = 0.10
"""A number that moves by more than a tenth counts as moved."""
VALUES_OF_A_SEGMENT: Final = 12
FOUR: Final = ("stays_negative", "stays_positive", "becomes_positive", "becomes_negative")


def unknown_flips(why: str) -> dict[str, Any]:
    """Nothing is known of who flips."""
    return {"schema": 1, "known": False, "why": why}


def count_flips(
    spec: ModelSpec, pairs: PairedRows, *, reasons: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Counts, outcome rates, segments and examples.

    Binary: four counts that sum to the rows. Several classes: the rows whose class stays or changes, and the commonest
    changes. Regression: the shares of rows that rise or fall by more than a tenth.
    reasons   how often the first reason changes of a case that both decide positively (the adverse decision, where
              the positive class is what a model warns of); None: unknown
    """
    groups = _groups(spec, pairs)
    outcome = _outcome(spec, pairs)
    segments = [
        {"column": column, "value": value, "protected": column in spec.protected, "rows": int(rows.sum()),
         **_counted(pairs, groups, outcome, rows)}
        for column in pairs.segments
        for value, rows in parts_of(pairs.segments[column])
    ]  # fmt: skip
    span = pairs.span
    return {
        "schema": 1, "known": True, "task": spec.task, "source": pairs.source, "where": pairs.in_words(),
        "rows": pairs.rows, "from": clock.to_iso(span[0]) if span else None,
        "until": clock.to_iso(span[1]) if span else None,
        "before": {"version": pairs.before.version, "cutoff": pairs.before.cutoff},
        "after": {"version": pairs.after.version, "cutoff": pairs.after.cutoff},
        **_counted(pairs, groups, outcome, np.ones(pairs.rows, dtype=bool)),
        "segments": segments, "examples": _examples(pairs, groups),
        "reasons": reasons or {"share": None, "why": "reasons of single rows are not stored for these versions"},
    }  # fmt: skip


def _groups(spec: ModelSpec, pairs: PairedRows) -> dict[str, Mask]:
    """Every row in exactly one group, by what becomes of its decision."""
    before, after = pairs.before.prediction, pairs.after.prediction
    if spec.task == "binary":
        was, is_now = before == "1", after == "1"
        return dict(zip(FOUR, (~was & ~is_now, was & is_now, ~was & is_now, was & ~is_now), strict=True))
    if spec.task == "multiclass":
        same: Mask = before == after
        return {"stays": same, "changes": ~same}
    old, new = (side.astype(np.float64) for side in (before, after))
    reach = MOVED * np.abs(old)
    rises, falls = new - old > reach, old - new > reach
    return {"stays": ~rises & ~falls, "rises": rises, "falls": falls}


def _outcome(spec: ModelSpec, pairs: PairedRows) -> Floats:
    """(n,) what came true, NaN where it is unknown: 1 or 0 (several classes: the candidate's choice), or a number."""
    found = np.full(pairs.rows, np.nan)
    known = np.flatnonzero(pairs.labelled)
    if not len(known):
        return found
    labels = pairs.label[known]
    if spec.task == "binary":
        found[known] = read_classes(list(labels), spec.positive, "label")
    elif spec.task == "multiclass":
        found[known] = (labels == pairs.after.prediction[known]).astype(np.float64)
    else:
        found[known] = [float(value) for value in labels]
    return found


def _counted(pairs: PairedRows, groups: dict[str, Mask], outcome: Floats, rows: Mask) -> dict[str, Any]:
    counts = {name: int((group & rows).sum()) for name, group in groups.items()}
    found: dict[str, Any] = {
        "counts": counts,
        "outcomes": {name: _rate(pairs, outcome[group & rows]) for name, group in groups.items()},
    }
    if pairs.task == "multiclass":
        moved = Counter(
            zip(pairs.before.prediction[groups["changes"] & rows], pairs.after.prediction[groups["changes"] & rows],
                strict=True)
        )  # fmt: skip
        found["moves"] = [
            {"before": one, "after": other, "rows": count} for (one, other), count in moved.most_common(10)
        ]
    return found


def _rate(pairs: PairedRows, outcome: Floats) -> dict[str, Any]:
    """How often it came true among the labelled rows of a group, with Wilson's interval; regression: the mean."""
    known = outcome[np.isfinite(outcome)]
    if not len(known):
        return {"labelled": 0, "rate": None, "low": None, "high": None}
    if pairs.task == "regression":
        return {"labelled": len(known), "rate": float(known.mean()), "low": None, "high": None}
    low, high = wilson(float(known.sum()), float(len(known)))
    return {"labelled": len(known), "rate": float(known.mean()), "low": low, "high": high}


def parts_of(values: pd.Series) -> list[tuple[str, Mask]]:
    """The rows of each value of a segment column, the commonest first, then the others and the missing.

    A number with more than a dozen values is parted at its quartiles.
    """
    import pandas as pd

    missing = values.isna().to_numpy()
    there = values[~missing]
    parts: list[tuple[str, Mask]] = []
    if pd.api.types.is_numeric_dtype(values) and there.nunique() > VALUES_OF_A_SEGMENT:
        numbers = values.to_numpy("float64")
        edges = np.unique(np.quantile(numbers[~missing], [0, 0.25, 0.5, 0.75, 1]))
        for number, (low, high) in enumerate(pairwise(edges)):
            last = number == len(edges) - 2
            inside = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
            parts.append((f"{low:.6g} to {'' if last else 'under '}{high:.6g}", inside))
    else:
        text = values.astype("object")
        often = there.value_counts().index[:VALUES_OF_A_SEGMENT]
        parts += [(str(value), (text == value).to_numpy() & ~missing) for value in often]
        named = np.logical_or.reduce([mask for _, mask in parts]) if parts else np.zeros(len(values), bool)
        parts.append(("other", ~named & ~missing))
    parts.append(("missing", missing))
    return [(name, mask) for name, mask in parts if mask.any()]


def _examples(pairs: PairedRows, groups: dict[str, Mask]) -> list[dict[str, Any]]:
    """Up to twenty rows that are decided otherwise, in equal parts from each direction, the furthest moved first."""
    if pairs.task == "regression":
        old, new = (side.prediction.astype(np.float64) for side in (pairs.before, pairs.after))
        moved = np.abs(new - old)
    else:
        moved = np.abs(pairs.after.score - pairs.before.score)
    moved = np.nan_to_num(moved)
    directions = [
        rows[np.argsort(-moved[rows], kind="stable")]
        for name, group in groups.items()
        if not name.startswith("stays") and len(rows := np.flatnonzero(group))
    ]
    chosen: list[int] = []
    for rank in range(EXAMPLES):
        chosen += [int(rows[rank]) for rows in directions if rank < len(rows)]
    return [
        {
            "id": pairs.ids[row],
            "at": clock.to_iso(moment) if (moment := pairs.times[row]) is not None else None,
            "before": {"decision": pairs.before.prediction[row], "score": _number(pairs.before.score[row])},
            "after": {"decision": pairs.after.prediction[row], "score": _number(pairs.after.score[row])},
            "label": pairs.label[row],
        }
        for row in chosen[:EXAMPLES]
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
