"""Fit an estimator for a spec, estimate windows with it, and find out on held-out reference data how good it is.

A fit is deterministic in the stored reference (NannyML seeds its splits, LightGBM is told to be repeatable), so an
estimator is never pickled; it is fitted again from the reference when a job needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec, Task
from backend.monitoring.estimation._core import (
    METRICS_OF,
    MIN_REFERENCE,
    MIN_ROWS,
    Estimate,
    Fitted,
    Model,
    Trust,
)
from backend.monitoring.estimation.cbpe import fit_binary, fit_multiclass
from backend.monitoring.estimation.dle import fit_dle
from backend.monitoring.performance import DEFINITIONS, Metric, measure
from backend.monitoring.performance._core import read_categories
from backend.monitoring.windows import Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FOLDS = (0.5, 0.75, 1.0)
CHUNKS_A_FOLD = 5

_FITS: Mapping[Task, Callable[[ModelSpec, Any], tuple[Model, int]]] = {
    "binary": fit_binary,
    "multiclass": fit_multiclass,
    "regression": fit_dle,
}


def fit_estimator(spec: ModelSpec, reference: pd.DataFrame | pa.Table) -> Fitted:
    """The estimator of the spec's task, fitted on reference rows in time order. Takes seconds.

    Raises `BadInput` with the reason where the task has no estimator on such rows.
    """
    frame = _pandas(reference)
    model, rows = _FITS[spec.task](spec, frame)
    metrics = tuple(model.names)
    return Fitted(spec, model, metrics, rows, _values(measure(spec, frame).metrics, metrics))


def estimate(
    fitted: Fitted,
    frames_by_window: Mapping[Window, pd.DataFrame | pa.Table],
    *,
    min_rows: int = MIN_ROWS,
) -> list[Estimate]:
    """Estimates for each window and metric, in the mapping's order; labels in the frames are not read.

    One call for many windows costs much less than one call each. A window with fewer than `min_rows` usable rows
    has estimates without value, with the reason. Raises `BadInput` where an output column is not there at all.
    """
    import pandas as pd

    windows = list(frames_by_window)
    frames = [_only(_pandas(frame), fitted.model.reads) for frame in frames_by_window.values()]
    found: dict[int, Any] = {}
    counts = np.zeros(len(windows), dtype=np.int64)
    note: str | None = None
    sizes = [len(frame) for frame in frames]
    if sum(sizes):
        numbers = np.repeat(np.arange(len(windows)), sizes)
        rows = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
        prepared, usable, note = fitted.model.prepare(rows)
        numbers = numbers[usable]
        counts = np.bincount(numbers, minlength=len(windows))
        enough = counts[numbers] >= min_rows
        if enough.any():
            found = dict(fitted.model.figures(prepared[enough].reset_index(drop=True), numbers[enough]))
    estimates: list[Estimate] = []
    for place, window in enumerate(windows):
        rows_here = int(counts[place])
        for metric in fitted.metrics:
            if place not in found:
                reason = f"{rows_here} rows that the estimator can read; {min_rows} are needed"
                estimates.append(Estimate(window, metric, None, None, None, rows_here, reason))
                continue
            value, low, high, se = (_finite(number) for number in found[place][metric])
            missing = note if value is not None else "NannyML gave no estimate for these rows"
            estimates.append(Estimate(window, metric, value, low, high, rows_here, missing, se))
    return estimates


def assess(spec: ModelSpec, reference: pd.DataFrame | pa.Table) -> Trust:
    """Whether estimates held on reference rows that came after those the estimator was fitted on.

    Twice: fitted on the first half and estimating the third quarter, fitted on three quarters and estimating the
    last, each in 5 chunks in time order. A metric is trusted when over these 10 chunks

        |mean (estimated − realised)| and the excess (what of the rms the realised values' own sampling error does
        not explain) are at most the practical margin of the metric, and the mean's standard error is at most
        half of it (else there is too little to tell by).

    An estimator that misses on data of its own time is not to page anyone about later data.
    """
    frame = _labelled(_pandas(reference))
    metrics = METRICS_OF[spec.task]
    pairs: dict[str, list[tuple[float, Metric]]] = {metric: [] for metric in metrics}
    size = len(frame) // (4 * CHUNKS_A_FOLD)
    if len(frame) * FOLDS[0] < MIN_REFERENCE or size < MIN_ROWS // 2:
        reason = (
            f"the reference has {len(frame)} labelled rows, too few to check an estimator on held-out data"
        )
        return Trust({}, 0, frozenset(), reason)
    for first, last in pairwise(FOLDS):
        start, end = int(first * len(frame)), int(last * len(frame))
        cuts = np.linspace(start, end, CHUNKS_A_FOLD + 1).astype(int)
        chunks = {_numbered(place): frame.iloc[low:high] for place, (low, high) in enumerate(pairwise(cuts))}
        try:
            fitted = fit_estimator(spec, frame.iloc[:start])
            estimates = estimate(fitted, chunks, min_rows=1)
        except BadInput as failure:
            return Trust({}, 0, frozenset(), failure.message)
        realised = {window: measure(spec, rows).metrics for window, rows in chunks.items()}
        for one in estimates:
            came = realised[one.window][one.metric]
            if one.value is not None and came.value is not None:
                pairs[one.metric].append((one.value, came))
    return _judge(pairs, _values(measure(spec, frame).metrics, metrics))


def _judge(pairs: Mapping[str, list[tuple[float, Metric]]], reference: Mapping[str, float]) -> Trust:
    error: dict[str, float] = {}
    rms: dict[str, float] = {}
    bias: dict[str, float] = {}
    excess: dict[str, float] = {}
    skill: dict[str, float] = {}
    trusted: set[str] = set()
    for metric, found in pairs.items():
        if len(found) < CHUNKS_A_FOLD or metric not in reference:
            continue
        misses = np.array([value - (came.value or 0.0) for value, came in found])
        noise = np.array([came.se or 0.0 for _, came in found])
        error[metric] = float(np.abs(misses).mean())
        rms[metric] = float(np.sqrt((misses**2).mean()))
        bias[metric] = float(misses.mean())
        excess[metric] = math.sqrt(max(float((misses**2 - noise**2).mean()), 0.0))
        varied = float(np.var([came.value or 0.0 for _, came in found], ddof=1)) - float((noise**2).mean())
        if varied > float((noise**2).mean()):
            skill[metric] = 1 - excess[metric] ** 2 / varied
        limit = DEFINITIONS[metric].worst_acceptable(reference[metric])
        margin = abs((limit if limit is not None else math.nan) - reference[metric])
        unsure = float(misses.std(ddof=1)) / math.sqrt(misses.size)
        if abs(bias[metric]) <= margin and excess[metric] <= margin and unsure <= margin / 2:
            trusted.add(metric)
    chunks = max((len(found) for found in pairs.values()), default=0)
    return Trust(error, chunks, frozenset(trusted), None, rms, bias, excess, skill)


def _numbered(index: int) -> Window:
    """A stand-in window for a chunk of rows."""
    from datetime import UTC, datetime, timedelta

    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=index)
    return Window(start, start + timedelta(days=1))


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    if "label" not in frame.columns:
        return frame.iloc[:0]
    codes, _ = read_categories(frame["label"])
    return frame[codes >= 0]


def _values(metrics: Mapping[str, Metric], names: tuple[str, ...]) -> dict[str, float]:
    found = {name: metrics[name].value for name in names if name in metrics}
    return {name: value for name, value in found.items() if value is not None}


def _only(frame: pd.DataFrame, names: frozenset[str]) -> pd.DataFrame:
    return frame[[name for name in frame.columns if name in names]]


def _pandas(rows: pd.DataFrame | pa.Table) -> pd.DataFrame:
    import pandas as pd

    return rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
