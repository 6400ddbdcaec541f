"""Trees: shap's TreeExplainer, exact for trees that split on thresholds (Lundberg et al. 2020, path-dependent).

For scikit-learn's trees that split on sets of categories it gives wrong numbers without saying so (shap 0.51 reads the
bit sets as thresholds), so its values are used only when they add up to what the model answers, as SHAP values must.
XGBoost's own sets of categories are read rightly: there shap asks the library itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backend.serving.portable import XGBoostModel, feature_types
from jobs.explaining.base import Attributed, Kind, encoded, output_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

METHOD: Final = "shap TreeExplainer, exact"


class TreesOfPipeline:
    """A scikit-learn pipeline whose last step is trees and whose steps before give one number for each column."""

    kind: Kind = "tree"
    method = METHOD
    background_rows = 0

    def __init__(self, pipeline: Any) -> None:
        import shap

        self._pipeline = pipeline
        self._explainer = shap.TreeExplainer(pipeline[-1])

    def values(self, rows: pd.DataFrame) -> Attributed:
        import numpy as np

        found = encoded(self._pipeline, rows)
        if found is None:
            raise ValueError("its steps do not give one number for each column")
        matrix, where = found
        # Whether the values add up is checked by us, on every row, and shown.
        values = np.asarray(self._explainer.shap_values(matrix, check_additivity=False), dtype="float64")
        output = np.asarray(output_of(self._pipeline[-1])(matrix), dtype="float64")
        return _attributed(values[:, where], self._explainer.expected_value, output)


class TreesOfXGBoost:
    """A booster as our trainer writes it."""

    kind: Kind = "tree"
    method = METHOD
    background_rows = 0

    def __init__(self, model: XGBoostModel, columns: list[str]) -> None:
        import shap

        self._model = model
        names = [column.name for column in model.encoder.columns]
        self._where = [names.index(name) for name in columns]
        self._explainer = shap.TreeExplainer(model.booster)

    def values(self, rows: pd.DataFrame) -> Attributed:
        import numpy as np
        import xgboost

        encoder = self._model.encoder
        matrix = xgboost.DMatrix(
            encoder.matrix(rows), feature_types=feature_types(encoder), enable_categorical=True
        )
        values = np.asarray(self._explainer.shap_values(matrix, check_additivity=False), dtype="float64")
        output = self._model.booster.predict(matrix, output_margin=self._model.task != "regression")
        base = self._explainer.expected_value
        return _attributed(values[:, self._where], base, np.asarray(output, dtype="float64"))


def _attributed(values: np.ndarray, base: Any, output: np.ndarray) -> Attributed:
    import numpy as np

    bases = np.asarray(base, dtype="float64").reshape(-1)
    if values.ndim != output.ndim + 1 or len(bases) != (1 if output.ndim == 1 else output.shape[1]):
        raise ValueError("its values have another shape than what it answers")
    return Attributed(values, bases, output)
