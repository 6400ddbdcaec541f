"""Models that our trainers write as plain data, and their answers: XGBoost as JSON, a tabular network as safetensors.

Nothing in such a folder is code, so loading one runs none. This module is all that is needed to answer from it (numpy
and pandas; xgboost for its own format), and it is what MLflow's `pyfunc` names as the loader. The trainers encode their
training rows by the same `Encoder`, so a value means the same in training and in serving.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from backend.errors import BadInput

FLAVOR: Final = "warrant"
LOADER: Final = "backend.serving.portable"
COLUMNS: Final = "columns.json"
BOOSTER: Final = "booster.json"
NETWORK: Final = "network.json"
WEIGHTS: Final = "weights.safetensors"
ROWS_AT_ONCE: Final = 4096  # bounds the memory of the network's bins

Task = Literal["binary", "regression", "multiclass"]
_TRUTH: Final = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "": np.nan, "1.0": 1.0, "0.0": 0.0}
_DTYPES: Final = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4"}


@dataclass(frozen=True)
class EncodedColumn:
    """A feature. `categories`: the texts that training saw, in the order of their codes 1, 2, …"""

    name: str
    type: Literal["number", "category", "boolean"]
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """From a frame of features to numbers. A category that training did not see counts as missing."""

    columns: tuple[EncodedColumn, ...]

    @property
    def numbers(self) -> list[EncodedColumn]:
        return [column for column in self.columns if column.type != "category"]

    @property
    def categories(self) -> list[EncodedColumn]:
        return [column for column in self.columns if column.type == "category"]

    def encode(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (rows, numbers) as float32 with NaN, and codes (rows, categories) as int64; 0: missing or unseen."""
        missing = [column.name for column in self.columns if column.name not in frame.columns]
        if missing:
            raise BadInput(f"features missing: {', '.join(missing)}")
        numbers = np.empty((len(frame), len(self.numbers)), dtype="float32")
        for position, column in enumerate(self.numbers):
            numbers[:, position] = as_number(frame[column.name])
        codes = np.empty((len(frame), len(self.categories)), dtype="int64")
        for position, column in enumerate(self.categories):
            codes[:, position] = _codes(frame[column.name], column.categories)
        return numbers, codes

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        """One float32 matrix in the order of `columns`; codes from 0, NaN where missing. What XGBoost takes."""
        numbers, codes = self.encode(frame)
        coded = np.where(codes > 0, codes - 1, np.nan).astype("float32")
        both = {
            **dict(zip((column.name for column in self.numbers), numbers.T, strict=True)),
            **dict(zip((column.name for column in self.categories), coded.T, strict=True)),
        }
        return np.column_stack([both[column.name] for column in self.columns])

    def as_document(self) -> list[dict[str, Any]]:
        return [
            {"name": column.name, "type": column.type, "categories": list(column.categories)}
            for column in self.columns
        ]

    @staticmethod
    def of_document(document: Sequence[Mapping[str, Any]]) -> Encoder:
        return Encoder(
            tuple(EncodedColumn(one["name"], one["type"], tuple(one["categories"])) for one in document)
        )


def fitted_encoder(frame: pd.DataFrame, columns: Sequence[tuple[str, Any]]) -> Encoder:
    """The encoder of (name, type) pairs, with the categories that the frame holds, sorted."""
    encoded = []
    for name, type_ in columns:
        known: tuple[str, ...] = ()
        if type_ == "category":
            known = tuple(sorted(str(text) for text in as_text(frame[name]).dropna().unique()))
        encoded.append(EncodedColumn(name, type_, known))
    return Encoder(tuple(encoded))


def as_text(values: pd.Series) -> pd.Series:
    """Categories as text, missing as NaN: whole numbers without a point, truth as true and false.

    Works on the distinct values; rows are only taken from them.
    """
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    texts = np.array([*(_text(value) for value in distinct), np.nan], dtype=object)
    return pd.Series(texts[codes], index=values.index, name=values.name)


def as_number(values: pd.Series) -> np.ndarray:
    """Numbers and truth as float64 with NaN. Raises `BadInput` that names the column."""
    if values.dtype == object:
        codes, distinct = pd.factorize(values, use_na_sentinel=True)
        try:
            found = [
                _TRUTH[_text(one)] if isinstance(one, bool | str) and _text(one) in _TRUTH else float(one)
                for one in distinct
            ]
        except (TypeError, ValueError):
            raise BadInput(f"feature {values.name}: not every value is a number") from None
        return np.array([*found, np.nan], dtype="float64")[codes]
    return values.to_numpy(dtype="float64", na_value=np.nan)


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _codes(values: pd.Series, categories: Sequence[str]) -> np.ndarray:
    """1 + the position of each text in `categories`; 0 for missing and unseen."""
    known = pd.Index(np.array(categories, dtype=object))
    found: np.ndarray = known.get_indexer(pd.Index(as_text(values)))
    return found.astype("int64") + 1


class PortableModel:
    """What all formats share: scikit-learn's names, so that whatever asks an estimator can ask these."""

    def __init__(self, encoder: Encoder, task: Task, classes: Sequence[str]) -> None:
        self.encoder, self.task = encoder, task
        self.feature_names_in_ = np.array([column.name for column in encoder.columns], dtype=object)
        if task != "regression":
            self.classes_ = np.array(classes, dtype=object)

    def margins(self, frame: pd.DataFrame) -> np.ndarray:
        """Before the link: log-odds (rows,), log-probabilities up to a constant (rows, classes), or the value."""
        raise NotImplementedError

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Values of a regression, else the likelier class."""
        if self.task == "regression":
            return self.margins(frame)
        chosen: np.ndarray = self.classes_[self.predict_proba(frame).argmax(axis=1)]
        return chosen

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """(rows, classes) in the order of `classes_`."""
        if self.task == "regression":
            raise AttributeError("a regression has no predict_proba")
        return probabilities(self.margins(frame))

    def decision_function(self, frame: pd.DataFrame) -> np.ndarray:
        return self.margins(frame)


class XGBoostModel(PortableModel):
    """A booster; `booster` and `encoder.matrix(frame)` are what a tree explainer needs."""

    def __init__(self, encoder: Encoder, task: Task, classes: Sequence[str], booster: Any) -> None:
        super().__init__(encoder, task, classes)
        self.booster = booster

    def margins(self, frame: pd.DataFrame) -> np.ndarray:
        import xgboost

        rows = xgboost.DMatrix(
            self.encoder.matrix(frame), feature_types=feature_types(self.encoder), enable_categorical=True
        )
        return np.asarray(
            self.booster.predict(rows, output_margin=self.task != "regression"), dtype="float64"
        )


class NetworkModel(PortableModel):
    """A tabular network: bins and embeddings of numbers, embeddings of categories, dense layers with ReLU."""

    def __init__(
        self,
        encoder: Encoder,
        task: Task,
        classes: Sequence[str],
        weights: Mapping[str, np.ndarray],
        *,
        layers: int,
        centre: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(encoder, task, classes)
        self._weights, self._layers = weights, layers
        self._centre, self._scale = centre, scale

    def margins(self, frame: pd.DataFrame) -> np.ndarray:
        numbers, codes = self.encoder.encode(frame)
        parts = [
            self._forward(numbers[start : start + ROWS_AT_ONCE], codes[start : start + ROWS_AT_ONCE])
            for start in range(0, len(frame), ROWS_AT_ONCE)
        ]
        found = np.concatenate(parts).astype("float64") if parts else np.empty((0, 1))
        if self.task == "multiclass":
            return found
        return found[:, 0] * self._scale + self._centre

    @property
    def scale(self) -> float:
        """By what the last layer's answer is multiplied."""
        return self._scale

    def embedded(self, frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
        """What the dense layers read (rows, places), and of which feature each place is."""
        encoder = self.encoder
        signal = self._embed(*encoder.encode(frame))
        features = [column.name for column in (*encoder.numbers, *encoder.categories)]
        size = signal.shape[1] // len(features)
        return signal, [name for name in features for _ in range(size)]

    def dense(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias of each dense layer, the last one the output; ReLU between them."""
        names = [*(f"hidden.{layer}" for layer in range(self._layers)), "output"]
        return [(self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]) for name in names]

    def _forward(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        signal = self._embed(numbers, codes)
        *hidden, (weight, bias) = self.dense()
        for one, other in hidden:
            signal = np.maximum(signal @ one.T + other, 0)
        answer: np.ndarray = signal @ weight.T + bias
        return answer

    def _embed(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        held = self._weights
        parts = []
        if numbers.shape[1]:
            filled = np.clip((numbers[:, :, None] - held["bins.low"]) * held["bins.inverse_width"], 0, 1)
            absent = np.isnan(numbers)
            filled[absent] = 0
            bins = np.concatenate([filled, absent[:, :, None].astype("float32")], axis=2)
            # (numbers, rows, bins) @ (numbers, bins, size)
            embedded = np.matmul(bins.transpose(1, 0, 2), held["numbers.weight"]).transpose(1, 0, 2)
            parts.append(np.maximum(embedded + held["numbers.bias"], 0).reshape(len(numbers), -1))
        if codes.shape[1]:
            table = held["categories.weight"][codes + held["categories.offset"]]
            parts.append(table.reshape(len(codes), -1))
        return np.concatenate(parts, axis=1)


def probabilities(margins: np.ndarray) -> np.ndarray:
    """(rows, classes) of log-odds (rows,) or of log-probabilities (rows, classes)."""
    if margins.ndim == 1:
        positive = 0.5 * (1 + np.tanh(margins / 2))
        return np.column_stack([1 - positive, positive])
    shifted = np.exp(margins - margins.max(axis=1, keepdims=True))
    share: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return share


def feature_types(encoder: Encoder) -> list[str]:
    """As XGBoost writes them: c for categories, q for quantities."""
    return ["c" if column.type == "category" else "q" for column in encoder.columns]


def load_portable(folder: Path) -> PortableModel:
    """The model in the data folder of an artefact. Raises `BadInput` for files that are none."""
    try:
        described = json.loads((folder / COLUMNS).read_text())
        encoder = Encoder.of_document(described["columns"])
        task, classes = described["task"], described["classes"]
        if (folder / BOOSTER).is_file():
            import xgboost

            booster = xgboost.Booster(params={"nthread": 1})
            booster.load_model(str(folder / BOOSTER))
            return XGBoostModel(encoder, task, classes, booster)
        network = json.loads((folder / NETWORK).read_text())
        weights = read_safetensors(folder / WEIGHTS)
        return NetworkModel(encoder, task, classes, weights, **network)
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise BadInput(
            f"the model in {folder} does not read: {type(failure).__name__}: {failure}"
        ) from failure


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file: eight bytes of length, a JSON header, then the bytes it points into.

    Raises `ValueError` for a header that points outside the file or names another type.
    """
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if size > len(content) - 8:
        raise ValueError(f"{path.name} ends within its header")
    body = memoryview(content)[8 + size :]
    arrays = {}
    for name, held in json.loads(content[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        start, end = held["data_offsets"]
        dtype = np.dtype(_DTYPES[held["dtype"]])
        if not 0 <= start <= end <= len(body) or (end - start) != dtype.itemsize * int(
            np.prod(held["shape"])
        ):
            raise ValueError(f"{path.name}: the place of {name} does not fit the file")
        arrays[name] = np.frombuffer(body[start:end], dtype=dtype).reshape(held["shape"])
    return arrays


class _PythonFunction:
    """What `mlflow.pyfunc` calls: probabilities of classifiers, values of regressions."""

    def __init__(self, model: PortableModel) -> None:
        self._model = model

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> np.ndarray:
        return (
            self._model.predict(frame)
            if self._model.task == "regression"
            else self._model.predict_proba(frame)
        )


def _load_pyfunc(path: str) -> _PythonFunction:
    """MLflow's entry point; `path` is the data folder."""
    return _PythonFunction(load_portable(Path(path)))
