"""One row through ordinal codes and boosted trees without the data frames between them, to the very same bits.

scikit-learn checks and copies a frame at each step of a pipeline: five milliseconds for a row that the trees answer in
half of one. A pipeline of a `ColumnTransformer` (ordinal codes, numbers passed through) and a histogram gradient
boosting, which is what Warrant's own trainer writes, treats each column by itself. So a table of what becomes of each
known value, of a missing one and of any other says all that the steps before the trees do. The tables are filled by
the pipeline itself, and `lean` gives nothing where its answers differ from the pipeline's on rows made of the trees'
own thresholds and categories; the pipeline answers then, as for every other model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from backend.observations.schema import Kind
from backend.serving.frames import frame_of
from backend.serving.trees import Trees, trees_of

log = logging.getLogger(__name__)

CHECKED_ROWS: Final = 256
UNSEEN: Final = "\x00 no category has this text"

Row = Mapping[str, float | str]


@dataclass(frozen=True)
class _Codes:
    """What the trees get for a text. Where `known` lacks it: `other`."""

    known: Mapping[str, float]
    missing: float
    other: float

    def of(self, value: float | str | None) -> float:
        if value is None or value != value:
            return self.missing
        return self.known.get(str(value), self.other)


@dataclass(frozen=True)
class Lean:
    """`columns`: in the order in which the trees take them; None: the number itself."""

    columns: tuple[tuple[str, _Codes | None], ...]
    boost: Any
    trees: Trees

    def fits(self, features: Mapping[str, Kind]) -> bool:
        """Whether the spec takes the same columns for categories."""
        return all(
            features.get(name) == ("numeric" if codes is None else "categorical")
            for name, codes in self.columns
        )

    def answer(self, rows: Sequence[Row]) -> np.ndarray:
        """(rows, classes) probabilities of a classifier, (rows,) values of a regressor."""
        matrix = np.empty((len(rows), len(self.columns)), dtype="float64")
        for place, (name, codes) in enumerate(self.columns):
            if codes is None:
                matrix[:, place] = [row.get(name, np.nan) for row in rows]
            else:
                matrix[:, place] = [codes.of(row.get(name)) for row in rows]
        boost = self.boost
        raw = self.trees.sums(matrix) if 0 < len(rows) <= self.trees.most_rows else self._walked(matrix)
        if hasattr(boost, "classes_"):
            return np.asarray(boost._loss.predict_proba(raw))
        return np.asarray(boost._loss.link.inverse(raw.ravel()))

    def _walked(self, matrix: np.ndarray) -> np.ndarray:
        """scikit-learn's own walk, one tree after the other."""
        boost = self.boost
        raw = np.zeros(
            (len(matrix), boost.n_trees_per_iteration_), boost._baseline_prediction.dtype, order="F"
        )
        raw += boost._baseline_prediction
        boost._predict_iterations(matrix, boost._predictors, raw, False, 1)
        return raw


def lean(estimator: Any) -> Lean | None:
    """The short way to the same answers; None where there is none, or where it was seen to differ."""
    try:
        found = _read(estimator)
        if found is None or _same(found, estimator):
            return found
        log.warning(
            "the short way through %s differs from it; the pipeline answers itself", type(estimator).__name__
        )
    except (
        Exception
    ):  # whatever another release of scikit-learn or an odd pipeline raises: the pipeline answers
        log.info("no short way through this pipeline", exc_info=True)
    return None


def _read(estimator: Any) -> Lean | None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline or len(estimator.steps) != 2:
        return None
    encode, boost = (step for _, step in estimator.steps)
    if type(encode) is not ColumnTransformer or type(boost) not in (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    ):
        return None
    categories = _categories(encode)
    if categories is None or len(set(encode.feature_names_in_)) != len(categories):
        return None
    texts = {name for name, known in categories.items() if known is not None}
    order = list(categories)
    if boost._preprocessor is not None:  # it takes its categorical columns first
        of_trees = dict(zip(order, boost.is_categorical_, strict=True))
        if any(of_trees[name] and name not in texts for name in order):
            return None
        order.sort(key=lambda name: not of_trees[name])
    return Lean(
        tuple(
            (name, None if known is None else _codes(encode, boost, name, known, order, texts))
            for name, known in ((name, categories[name]) for name in order)
        ),
        boost,
        trees_of(boost),
    )


def _categories(encode: Any) -> dict[str, list[str] | None] | None:
    """The texts that each column knows (None: numbers), in the order of the transformer's output."""
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    found: dict[str, list[str] | None] = {}
    for _, step, columns in encode.transformers_:
        names = [str(name) for name in columns]
        if type(step) is OrdinalEncoder:
            for name, known in zip(names, step.categories_, strict=True):
                found[name] = [one for one in known if isinstance(one, str)]
        elif step == "passthrough" or (type(step) is FunctionTransformer and step.func is None):
            found |= dict.fromkeys(names)
        elif names:
            return None
    return found


def _codes(encode: Any, boost: Any, name: str, known: list[str], order: list[str], texts: set[str]) -> _Codes:
    """What the pipeline itself makes of each text of a column."""
    values = [*known, np.nan, UNSEEN]
    frame = pd.DataFrame(
        {
            one: np.array(values, dtype="object") if one == name else _nothing(len(values), one in texts)
            for one in encode.feature_names_in_
        }
    )
    coded = np.asarray(boost._preprocess_X(encode.transform(frame), reset=False), dtype="float64")
    *codes, missing, other = coded[:, order.index(name)].tolist()
    return _Codes(dict(zip(known, codes, strict=True)), missing, other)


def _nothing(rows: int, text: bool) -> np.ndarray:
    return np.full(rows, np.nan, dtype="object" if text else "float64")


def _same(found: Lean, estimator: Any) -> bool:
    rows = _rows(found)
    kinds: dict[str, Kind] = {
        name: "numeric" if codes is None else "categorical" for name, codes in found.columns
    }
    frame = frame_of(rows, [str(name) for name in estimator.feature_names_in_], kinds)
    answer = estimator.predict_proba if hasattr(found.boost, "classes_") else estimator.predict
    right = np.asarray(answer(frame))
    each = np.concatenate([found.answer([row]) for row in rows])
    return np.array_equal(found.answer(rows), right) and np.array_equal(each, right)


def _rows(found: Lean) -> list[Row]:
    """Rows of the trees' thresholds and beside them, of every kind of text, and of nulls."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, float | str]] = [{} for _ in range(CHECKED_ROWS)]
    for place, (name, codes) in enumerate(found.columns):
        if codes is not None:
            choices: list[Any] = [*codes.known, UNSEEN, None]
        else:
            edges = np.unique(np.concatenate([_edges(found.boost, place), [0.0]]))
            choices = [
                *edges,
                *np.nextafter(edges, np.inf),
                *np.nextafter(edges, -np.inf),
                np.inf,
                -np.inf,
                None,
            ]
        for row, at in zip(rows, draw.integers(len(choices), size=CHECKED_ROWS), strict=True):
            if choices[at] is not None:
                row[name] = choices[at]
    return [*rows, {}]


def _edges(boost: Any, place: int) -> np.ndarray:
    """The values at which the trees part this column."""
    at = [
        nodes["num_threshold"][
            (nodes["feature_idx"] == place) & (nodes["is_categorical"] == 0) & (nodes["is_leaf"] == 0)
        ]
        for trees in boost._predictors
        for nodes in (tree.nodes for tree in trees)
    ]
    return np.unique(np.concatenate(at)) if at else np.empty(0)
