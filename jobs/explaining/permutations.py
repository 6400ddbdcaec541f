"""Any model: shap's PermutationExplainer asks it with columns replaced by those of background rows, in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jobs.explaining.base import SEED, Attributed, Kind, encoded, output_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Permutations:
    """Two orders of the columns, each walked forth and back."""

    kind: Kind = "permutation"

    def __init__(self, pipeline: Any, background: pd.DataFrame) -> None:
        self._pipeline, self._background = pipeline, background
        self.background_rows = len(background)
        self.method = f"shap PermutationExplainer, {len(background)} background rows of the reference"

    def values(self, rows: pd.DataFrame) -> Attributed:
        import numpy as np
        import shap

        found, behind = encoded(self._pipeline, rows), encoded(self._pipeline, self._background)
        if found is not None and behind is not None:
            ask, (matrix, where), (usual, _) = output_of(self._pipeline[-1]), found, behind
        else:
            ask, matrix, usual = through_codes(self._pipeline, rows, self._background)
            where = list(range(rows.shape[1]))
        explainer = shap.PermutationExplainer(
            ask, shap.maskers.Independent(usual, max_samples=len(usual)), seed=SEED
        )
        result = explainer(matrix, max_evals=2 * (2 * matrix.shape[1] + 1), silent=True)
        values = np.asarray(result.values, dtype="float64")[:, where]
        output = np.asarray(ask(matrix), dtype="float64")
        base = np.asarray(ask(usual), dtype="float64").mean(axis=0).reshape(-1)
        return Attributed(values, base, output)


def through_codes(
    pipeline: Any, used: pd.DataFrame, background: pd.DataFrame
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, np.ndarray]:
    """The whole pipeline as a function of numbers: categories become codes, and names again before it is asked."""
    import numpy as np
    import pandas as pd

    levels: dict[int, pd.Index] = {}
    matrices = [np.empty(part.shape, dtype="float64") for part in (used, background)]
    for position, name in enumerate(used.columns):
        if used[name].dtype == object:
            levels[position] = pd.Index(pd.concat([used[name], background[name]]).dropna().unique())
        for part, matrix in zip((used, background), matrices, strict=True):
            codes = levels[position].get_indexer(pd.Index(part[name])) if position in levels else part[name]
            matrix[:, position] = codes
    output = output_of(pipeline)

    def ask(numbers: np.ndarray) -> np.ndarray:
        columns: dict[str, Any] = {}
        for position, name in enumerate(used.columns):
            if position in levels:
                codes = numbers[:, position].astype("int64")
                names = np.append(levels[position].to_numpy(dtype=object), np.nan)  # code -1: missing
                columns[name] = names[codes]
            else:
                columns[name] = numbers[:, position]
        return np.asarray(output(pd.DataFrame(columns)), dtype="float64")

    return ask, matrices[0], matrices[1]
