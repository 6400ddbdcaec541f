"""What all ways of explaining share: the model's input and output, values that add up, digests of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from backend.errors import BadInput
from backend.explain.predictions import ADDITIVITY
from backend.monitoring.columns import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


Kind = Literal["tree", "deep", "permutation"]
BACKGROUND_ROWS: Final = 50
SEED: Final = 7


@dataclass(frozen=True)
class Attributed:
    """SHAP values of rows, in the order of the spec's features.

    values   (rows, features), or (rows, features, classes)
    base     (1,) or (classes,): what the model answers as a rule
    output   (rows,) or (rows, classes): what it answered
    """

    values: np.ndarray
    base: np.ndarray
    output: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """What of the output base and values do not account for, in the shape of `output`."""
        base = self.base[0] if self.output.ndim == 1 else self.base
        found: np.ndarray = self.output - base - self.values.sum(axis=1)
        return found

    @property
    def adds_up(self) -> bool:
        import numpy as np

        if not self.output.size:
            return True
        scale = max(1.0, float(np.abs(self.output).max()))
        return bool(np.abs(self.gap).max() <= ADDITIVITY * scale)


class Way(Protocol):
    """One way of explaining a model. `rows` have the columns of `input_of`."""

    kind: Kind
    method: str
    background_rows: int

    def values(self, rows: pd.DataFrame) -> Attributed: ...


class Second(Protocol):
    """Asks the model in another way about one row."""

    def opinion(
        self, row: pd.DataFrame, shap: Mapping[str, float], *, place: int | None
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Prepared:
    """The way chosen for a version, and its second opinion. `background_digest` names the rows that stood for what is
    usual."""

    way: Way
    spec: ModelSpec
    unit: str
    background_digest: str
    second: Second
    not_taken: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """In words: how, and why no better way was taken."""
        return "; ".join((self.way.method, *self.not_taken))

    def explain(self, rows: pd.DataFrame) -> Attributed:
        """SHAP values of any number of rows, in their order."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        # Thousands of small predictions: threads that wait for each other cost more than they do.
        with threadpool_limits(limits=1):
            return self.way.values(input_of(rows, self.spec))


def input_of(rows: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """The features as the model reads them: numbers as float64, categories as text or NaN."""
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    for column in spec.features:
        if column.name not in rows:
            raise BadInput(f"the reference data lack the feature {column.name}")
        values = rows[column.name]
        if column.kind == "numeric":
            columns[column.name] = values.astype("float64")
        else:
            text = values.astype("object")
            columns[column.name] = text.where(text.notna(), np.nan)
    return pd.DataFrame(columns, index=rows.index)


def output_of(estimator: Any) -> Callable[[Any], np.ndarray]:
    """What is explained: the raw score of a classifier, the prediction of a regressor."""
    for name in _ASKED:
        if hasattr(estimator, name):
            answer: Callable[[Any], np.ndarray] = getattr(estimator, name)
            return answer
    raise BadInput(f"a {type(estimator).__name__} neither scores nor predicts")


def unit_of(estimator: Any, spec: ModelSpec) -> str:
    """Of the values: what `output_of` answers in."""
    asked = next((name for name in _ASKED if hasattr(estimator, name)), "")
    if spec.task == "regression":
        return spec.label_unit or "the unit of the prediction"
    return "log-odds" if asked == "decision_function" else "probability"


_ASKED: Final = ("decision_function", "predict_proba", "predict")


def digest_of_rows(rows: pd.DataFrame) -> str:
    """`sha256:<hex>` over names and values of the rows, in their order."""
    import pandas as pd

    digest = hashlib.sha256("\x1f".join(rows.columns).encode())
    digest.update(pd.util.hash_pandas_object(rows.astype("str"), index=False).to_numpy("<u8").tobytes())
    return f"sha256:{digest.hexdigest()}"


def encoded(pipeline: Any, frame: pd.DataFrame) -> tuple[np.ndarray, list[int]] | None:
    """The matrix that the pipeline's last step sees, and where each column of `frame` is in it.

    None when its steps before the last do not give exactly one number for each column.
    """
    import numpy as np

    steps = getattr(pipeline, "steps", None)
    if not steps or len(steps) < 2:
        return None
    try:
        matrix = np.asarray(pipeline[:-1].transform(frame), dtype="float64")
        names = [str(name) for name in pipeline[:-1].get_feature_names_out()]
    except (AttributeError, ValueError, TypeError):
        return None
    if sorted(names) != sorted(frame.columns) or matrix.shape[1] != len(names):
        return None
    return matrix, [names.index(name) for name in frame.columns]
