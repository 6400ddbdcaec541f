"""Performance without labels: NannyML's CBPE, one chunk a window, and whether to trust it.

NannyML takes about ten seconds to import, so it is imported inside functions: only jobs call these.
A fit is deterministic in the stored reference (NannyML seeds its splits), so an estimator is never pickled; it is
fitted again from the reference when a job needs it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.errors import BadInput
from backend.monitoring.performance import read_classes
from backend.monitoring.windows import Window
from backend.settings import disable_telemetry

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("roc_auc", "f1", "accuracy")
MIN_ROWS = 100
MIN_REFERENCE = 500
CHUNKS = 10
TRUSTED_ERROR = 0.02

_CHUNK = "__chunk"


@dataclass(frozen=True)
class Estimate:
    """A metric of one window estimated without labels. low and high: NannyML's ± 3 sampling errors."""

    window: Window
    metric: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str | None = None


@dataclass(frozen=True)
class Trust:
    """How far estimates were from realised values on reference data the estimator had not seen.

    error    {metric: mean |estimated − realised| over held-out chunks}
    trusted  metrics whose error is at most 0.02
    """

    error: Mapping[str, float]
    chunks: int
    trusted: frozenset[str]
    reason: str | None = None


@dataclass(frozen=True)
class FittedCbpe:
    """A fitted estimator, with what it was fitted on. `reference` holds the realised metrics of the reference."""

    estimator: Any
    metrics: tuple[str, ...]
    score: str
    prediction: str
    rows: int
    reference: Mapping[str, float]
    calibrated: bool


def fit_cbpe(
    reference: pd.DataFrame,
    *,
    score: str = "score",
    prediction: str = "prediction",
    label: str = "label",
    metrics: Sequence[str] = METRICS,
    positive: Any = None,
) -> FittedCbpe:
    """Fit NannyML's CBPE on reference rows in time order; rows without score, prediction or label are left out.

    Raises `BadInput` when fewer than 500 rows remain or all labels are of one class.
    """
    frame = _prepared(reference, score, prediction, label, positive)
    if len(frame) < MIN_REFERENCE:
        raise BadInput(f"the reference has {len(frame)} labelled rows; an estimator needs {MIN_REFERENCE}")
    if frame["label"].nunique() < 2:
        raise BadInput("all labels of the reference are of one class; an estimator needs both")
    frame[_CHUNK] = np.arange(len(frame)) * CHUNKS // len(frame)
    with _quiet():
        from nannyml import CBPE

        estimator = CBPE(
            y_pred_proba="score",
            y_pred="prediction",
            y_true="label",
            problem_type="classification_binary",
            metrics=list(metrics),
            chunker=_chunker(),
        )
        estimator.fit(frame)
    return FittedCbpe(
        estimator=estimator,
        metrics=tuple(metrics),
        score=score,
        prediction=prediction,
        rows=len(frame),
        reference=_realised(frame, metrics),
        calibrated=bool(estimator.needs_calibration),
    )


def estimate_cbpe(
    fitted: FittedCbpe,
    frame_by_window: Mapping[Window, pd.DataFrame],
    *,
    min_rows: int = MIN_ROWS,
    positive: Any = None,
) -> list[Estimate]:
    """Estimates for each window and metric, in the mapping's order. Labels in the frames are not read.

    A window with fewer than `min_rows` usable rows has estimates without value, with the reason.
    """
    import pandas as pd

    chosen: dict[int, tuple[Window, int]] = {}
    parts: list[pd.DataFrame] = []
    estimates: dict[tuple[Window, str], Estimate] = {}
    for index, (window, frame) in enumerate(frame_by_window.items()):
        part = _prepared(frame, fitted.score, fitted.prediction, None, positive)
        if len(part) < min_rows:
            reason = f"{len(part)} rows with score and prediction; {min_rows} are needed"
            for metric in fitted.metrics:
                estimates[window, metric] = Estimate(window, metric, None, None, None, len(part), reason)
            continue
        part[_CHUNK] = index
        chosen[index] = (window, len(part))
        parts.append(part)
    if parts:
        with _quiet():
            result = fitted.estimator.estimate(pd.concat(parts, ignore_index=True))
        table = result.filter(period="analysis").to_df()
        for row in range(len(table)):
            window, rows = chosen[int(table[("chunk", "key")].iloc[row])]
            for metric in fitted.metrics:
                value, low, high = (
                    _finite(table[(metric, name)].iloc[row])
                    for name in ("value", "lower_confidence_boundary", "upper_confidence_boundary")
                )
                missing = None if value is not None else "NannyML gave no estimate; its log has the cause"
                estimates[window, metric] = Estimate(window, metric, value, low, high, rows, missing)
    return [estimates[window, metric] for window in frame_by_window for metric in fitted.metrics]


def assess_cbpe(
    reference: pd.DataFrame,
    *,
    score: str = "score",
    prediction: str = "prediction",
    label: str = "label",
    metrics: Sequence[str] = METRICS,
    positive: Any = None,
) -> Trust:
    """Fit on the earlier 60 % of the reference, estimate the later 40 % in 10 chunks, compare with what came true.

    An estimator that misses on data of its own time is not to page anyone about later data.
    """
    frame = _prepared(reference, score, prediction, label, positive)
    cut = int(len(frame) * 0.6)
    earlier, later = frame.iloc[:cut], frame.iloc[cut:]
    size = len(later) // CHUNKS
    if cut < MIN_REFERENCE or size < MIN_ROWS:
        reason = (
            f"the reference has {len(frame)} labelled rows, too few to check an estimator on held-out data"
        )
        return Trust({}, 0, frozenset(), reason)
    try:
        fitted = fit_cbpe(earlier, metrics=metrics)
    except BadInput as failure:
        return Trust({}, 0, frozenset(), failure.message)
    chunks = {_numbered(i): later.iloc[i * size : (i + 1) * size] for i in range(CHUNKS)}
    misses: dict[str, list[float]] = {metric: [] for metric in metrics}
    for estimate in estimate_cbpe(fitted, chunks):
        realised = _realised(chunks[estimate.window], [estimate.metric]).get(estimate.metric)
        if estimate.value is not None and realised is not None:
            misses[estimate.metric].append(abs(estimate.value - realised))
    error = {metric: float(np.mean(found)) for metric, found in misses.items() if found}
    return Trust(error, CHUNKS, frozenset(m for m, e in error.items() if e <= TRUSTED_ERROR))


def _numbered(index: int) -> Window:
    """A stand-in window for a chunk of rows."""
    from datetime import UTC, datetime, timedelta

    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=index)
    return Window(start, start + timedelta(days=1))


def _prepared(
    frame: pd.DataFrame, score: str, prediction: str, label: str | None, positive: Any
) -> pd.DataFrame:
    """Columns score (float), prediction and label (0/1 integers); rows with a gap in them are left out."""
    import pandas as pd

    for name in (score, prediction, *([label] if label else [])):
        if name not in frame.columns:
            raise BadInput(f"the data have no column {name!r}, which the estimator reads")
    columns: dict[str, Any] = {
        "score": pd.to_numeric(frame[score], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan),
        "prediction": read_classes(frame[prediction], positive, prediction),
    }
    if label:
        columns["label"] = read_classes(frame[label], positive, label)
    usable = np.logical_and.reduce([np.isfinite(values) for values in columns.values()])
    kept = pd.DataFrame({name: values[usable] for name, values in columns.items()})
    integers = {name: "int64" for name in kept.columns if name != "score"}
    return kept.astype(integers)


def _realised(frame: pd.DataFrame, metrics: Sequence[str]) -> dict[str, float]:
    from backend.monitoring.performance import measure_performance

    found = measure_performance(frame["score"], frame["prediction"], frame["label"]).metrics
    values = {metric: found[metric].value for metric in metrics if metric in found}
    return {metric: value for metric, value in values.items() if value is not None}


def _chunker() -> Any:
    """A NannyML chunker that cuts where our chunk column changes."""
    from nannyml.chunk import Chunk, Chunker

    class WindowChunker(Chunker):  # type: ignore[misc]
        def _split(self, data: pd.DataFrame) -> list[Any]:
            groups: Iterator[tuple[Any, pd.DataFrame]] = iter(data.groupby(_CHUNK, sort=True))
            return [Chunk(key=str(key), data=part.drop(columns=_CHUNK)) for key, part in groups]

    return WindowChunker()


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of NannyML and what it imports are not ours to fail on; they are silenced for its calls alone."""
    disable_telemetry()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
