"""The binary estimator under its former names, for callers without a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.estimation._core import MIN_ROWS, Estimate, Fitted, Trust
from backend.monitoring.estimation.estimators import assess, estimate, fit_estimator
from backend.monitoring.windows import Window

if TYPE_CHECKING:
    import pandas as pd

FittedCbpe = Fitted
_BINARY = ModelSpec(task="binary", features=(Column("score", "numeric"),), window="1d")


def fit_cbpe(reference: pd.DataFrame) -> Fitted:
    """`fit_estimator` of a binary classifier with columns score, prediction and label."""
    return fit_estimator(_BINARY, reference)


def estimate_cbpe(
    fitted: Fitted, frame_by_window: Mapping[Window, pd.DataFrame], *, min_rows: int = MIN_ROWS
) -> list[Estimate]:
    return estimate(fitted, frame_by_window, min_rows=min_rows)


def assess_cbpe(reference: pd.DataFrame) -> Trust:
    return assess(_BINARY, reference)
