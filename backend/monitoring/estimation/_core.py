"""What every estimator gives: estimates with their band, and whether to trust them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from backend.monitoring.columns import ModelSpec, Task
from backend.monitoring.windows import Window

if TYPE_CHECKING:
    import pandas as pd

METRICS: tuple[str, ...] = ("roc_auc", "f1", "accuracy")
METRICS_OF: Mapping[Task, tuple[str, ...]] = {
    "binary": METRICS,
    "multiclass": ("roc_auc", "macro_f1", "accuracy"),
    "regression": ("mae", "rmse"),
}
"""What is estimated of each task, by the names realised performance has. Several classes without a probability for
each: accuracy alone."""

MIN_ROWS = 100
MIN_REFERENCE = 500


@dataclass(frozen=True)
class Estimate:
    """A metric of one window estimated without labels.

    low, high   NannyML's band: ± 3 sampling errors
    se          one sampling error: how far the realised value of so many rows would scatter by chance
    """

    window: Window
    metric: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str | None = None
    se: float | None = None


@dataclass(frozen=True)
class Trust:
    """How far estimates were from realised values on reference data the estimator had not seen.

    error    {metric: mean |estimated − realised| over held-out chunks}
    rms      {metric: root mean square of the same}
    bias     {metric: mean (estimated − realised)}; above 0 the estimator hopes for more than comes
    excess   {metric: what of rms is left when the realised values' own sampling error is taken out}
    skill    {metric: 1 − excess² / (variance of the true values between chunks)}: 1 follows every rise and fall, 0 is
             no better than always saying the mean; absent where the chunks differ by chance alone
    trusted  metrics whose estimates were as good as the practical margin asks for
    """

    error: Mapping[str, float]
    chunks: int
    trusted: frozenset[str]
    reason: str | None = None
    rms: Mapping[str, float] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)
    excess: Mapping[str, float] = field(default_factory=dict)
    skill: Mapping[str, float] = field(default_factory=dict)


class Model(Protocol):
    """A fitted estimator of one kind: which rows it can read, and the figures of chunks of them."""

    @property
    def names(self) -> Mapping[str, str]:
        """What is estimated: our metric -> the library's."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns that `prepare` looks for; it may be given others, which cost what it takes to copy them."""

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        """The usable rows in the estimator's form, the mask (n,) of these, and what is to be said of the rest."""

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        """{chunk: {metric: (value, low, high, se)}}, NaN where there is none; `chunk` (n,) numbers the rows."""


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator and what it was fitted on. `reference`: the realised metrics of the reference."""

    spec: ModelSpec
    model: Model
    metrics: tuple[str, ...]
    rows: int
    reference: Mapping[str, float]
