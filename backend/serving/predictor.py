"""A loaded model: canonical feature rows in, scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.observations.columns import number_text
from backend.observations.schema import Kind, Task
from backend.serving.errors import NotLoadable
from backend.serving.frames import frame_of
from backend.serving.lean import lean
from backend.serving.signature import Signature, check_signature, whole_columns


@dataclass(frozen=True, slots=True)
class Scored:
    """`score` is the positive class's probability (binary), the chosen class's (multiclass) or None (regression)."""

    score: float | None
    prediction: str


class Predictor:
    """A fitted scikit-learn estimator. Used from one thread at a time per call; scoring changes nothing in it."""

    def __init__(
        self, estimator: Any, *, digest: str, load_s: float, signature: Signature | None = None
    ) -> None:
        self._estimator = estimator
        self._signature = signature or {}
        self._lean = lean(estimator)
        self.whole = whole_columns(self._signature)
        self.digest = digest
        self.load_s = load_s
        names = getattr(estimator, "feature_names_in_", None)
        self._names: tuple[str, ...] | None = None if names is None else tuple(str(name) for name in names)

    def check_fits(self, features: Mapping[str, Kind], task: Task) -> None:
        """Raise `NotLoadable` when the artefact cannot answer requests that follow the spec."""
        unknown = [name for name in self._names or () if name not in features]
        if unknown:
            raise NotLoadable(
                f"the artefact needs {', '.join(unknown)}, which the model's spec does not declare as a feature"
            )
        check_signature(self._signature, features)
        method = "predict" if task == "regression" else "predict_proba"
        if not hasattr(self._estimator, method):
            raise NotLoadable(f"the artefact has no {method}, which a {task} model needs")

    def score(
        self,
        rows: Sequence[Mapping[str, float | str]],
        *,
        features: Mapping[str, Kind],
        task: Task,
        cutoff: float,
    ) -> list[Scored]:
        """One `Scored` a row. A feature that a row lacks is null. Binary: "1" when score >= cutoff, else "0"."""
        found = self._answer(rows, features, task)
        if task == "regression":
            return [Scored(None, number_text(float(value))) for value in found]
        chances = np.asarray(found, dtype="float64")
        if task == "binary":
            return [Scored(score, "1" if score >= cutoff else "0") for score in chances[:, 1].tolist()]
        best = chances.argmax(axis=1)
        return [
            Scored(float(chances[row, index]), str(self._estimator.classes_[index]))
            for row, index in enumerate(best)
        ]

    def _answer(
        self, rows: Sequence[Mapping[str, float | str]], features: Mapping[str, Kind], task: Task
    ) -> Any:
        """Values of a regression, else (rows, classes) probabilities."""
        if self._lean is not None and self._lean.fits(features):
            return self._lean.answer(rows)
        frame = frame_of(rows, self._names or tuple(features), features)
        return (
            self._estimator.predict(frame) if task == "regression" else self._estimator.predict_proba(frame)
        )
