"""LIME (Ribeiro et al. 2016): a straight line through the model's answers around one prediction, by a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from backend.explain.second_opinion import agreement
from jobs.explaining.base import SEED, digest_of_rows
from jobs.explaining.permutations import through_codes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SAMPLES: Final = 5000


class LocalLinear:
    """Of one model and its background rows, which stand for what is usual."""

    def __init__(self, model: Any, background: pd.DataFrame) -> None:
        self._model, self._background = model, background

    def opinion(self, row: pd.DataFrame, shap: Mapping[str, float], *, place: int | None) -> dict[str, Any]:
        """As it is stored, with how far it agrees with the SHAP values. `place`: which of several outputs.

        Numbers are cut into quarters of the background. A number that is missing stays so: LIME knows no gaps.
        """
        import numpy as np
        from lime.lime_tabular import LimeTabularExplainer  # type: ignore[import-untyped]

        ask, given, usual = through_codes(self._model, row, self._background)
        texts = [row[name].dtype == object for name in row.columns]
        taken = [one for one in range(given.shape[1]) if texts[one] or not np.isnan(given[0, one])]
        if not taken:
            return {"known": False, "why": "every input is missing"}
        explainer = LimeTabularExplainer(
            _without_gaps(usual)[:, taken], mode="regression", feature_names=[str(row.columns[one]) for one in taken],
            categorical_features=[number for number, one in enumerate(taken) if texts[one]], feature_selection="none",
            random_state=SEED,
        )  # fmt: skip

        def answer(numbers: np.ndarray) -> np.ndarray:
            whole = np.repeat(given, len(numbers), axis=0)
            whole[:, taken] = numbers
            found = ask(whole)
            return found if found.ndim == 1 else found[:, place or 0]

        found = explainer.explain_instance(
            given[0, taken], answer, num_features=len(taken), num_samples=SAMPLES
        )
        weights = {str(row.columns[taken[number]]): float(weight) for number, weight in found.local_exp[1]}
        conditions = found.domain_mapper.discretized_feature_names
        said = {
            str(row.columns[one]): f"{row.columns[one]} = {_shown(row.iloc[0, one])}"
            if texts[one]
            else conditions[number]
            for number, one in enumerate(taken)
        }
        return {
            "known": True, "method": "LIME", "samples": SAMPLES, "seed": SEED, "r2": float(found.score),
            "background_rows": len(self._background), "background_digest": digest_of_rows(self._background),
            "weights": [
                {"column": name, "condition": said[name], "weight": weight}
                for name, weight in sorted(weights.items(), key=lambda one: (-abs(one[1]), one[0]))
            ],
            "held_fixed": [str(row.columns[one]) for one in range(given.shape[1]) if one not in taken],
            "agreement": agreement(shap, weights),
        }  # fmt: skip


def _without_gaps(usual: np.ndarray) -> np.ndarray:
    """Gaps among the background as the median of the others."""
    import numpy as np

    filled = usual.copy()
    for column in filled.T:
        gaps = np.isnan(column)
        column[gaps] = np.median(column[~gaps]) if not gaps.all() else 0.0
    return filled


def _shown(value: Any) -> str:
    return "missing" if value is None or value != value else str(value)
