"""What every metric shares: the value with its interval, and how columns of any kind become arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import BadInput

Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int64]

_WORDS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Rest:
    """A metric without the handful of rows that make up most of it.

    rows    rows that are left
    left    rows left out; share: their part of all errors, 0..1
    """

    value: float
    low: float | None
    high: float | None
    rows: int
    se: float | None
    left: int
    share: float


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval, or the reason why it is undefined.

    rows    rows it was computed from
    reason  why there is no value, or what was left out of it
    se      standard error of the value; None where it has none
    rest    the same without the few rows that make up over half of it; None where there are none such
    """

    value: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str | None = None
    se: float | None = None
    rest: Rest | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Metric:
        """From what `dataclasses.asdict` gave."""
        rest = document.get("rest")
        return cls(**{**document, "rest": None if rest is None else Rest(**rest)})


@dataclass(frozen=True)
class Performance:
    """All metrics of a window.

    rows                predictions in the window
    known               of these, with a label
    label_completeness  known / (rows − will_not_come); None when no label is to be expected
    """

    metrics: Mapping[str, Metric]
    rows: int
    known: int
    will_not_come: int
    label_completeness: float | None


def undefined(rows: int, reason: str) -> Metric:
    return Metric(None, None, None, rows, reason)


def completeness(known: int, rows: int, will_not_come: int) -> float | None:
    """The share of labels to be expected that are known; None when none is to be expected."""
    expected = rows - will_not_come
    return min(known / expected, 1.0) if expected > 0 else None


def column_of(rows: pa.Table | pd.DataFrame, name: str) -> Any | None:
    """A column by name, or None where the rows have none of that name."""
    names = rows.column_names if isinstance(rows, pa.Table) else rows.columns
    if name not in names:
        return None
    return rows.column(name) if isinstance(rows, pa.Table) else rows[name]


def read_numbers(values: Any, name: str = "score") -> Floats:
    """Numbers (n,), NaN where there is none. Raises `BadInput` on text that is not a number."""
    array = _arrow(values)
    if array is not None and (pa.types.is_null(array.type) or len(array) == 0):
        return np.full(len(array), np.nan)
    if array is not None and _is_number(array.type):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    found = np.empty(len(values))
    for row, value in enumerate(_listed(values)):
        try:
            found[row] = np.nan if _unknown(value) else float(value)
        except (TypeError, ValueError):
            raise BadInput(f"{name}, row {row}: {value!r} is not a number") from None
    return found


def read_classes(values: Any, positive: Any, name: str) -> Floats:
    """Classes (n,) as 1, 0 and NaN (unknown). Raises `BadInput` on a value that is neither.

    positive    the class that counts as 1, every other as 0; None: values are 0/1, booleans or text of these.
                Where it is a word, values that are all 0/1 mean themselves: labels are often words, answers not
    """
    codes, kinds = _encoded(values)
    wanted = None if positive is None else class_name(positive)
    if wanted is not None and not _is_amount(wanted) and all(str(k).strip().lower() in _WORDS for k in kinds):
        wanted = None
    meaning = np.empty(len(kinds) + 1)
    meaning[-1] = np.nan  # code −1
    for code, kind in enumerate(kinds):
        if wanted is not None:
            meaning[code] = float(class_name(kind) == wanted)
            continue
        number = _WORDS.get(str(kind).strip().lower())
        if number is None:
            row = int(np.argmax(codes == code))
            raise BadInput(f"{name}, row {row}: {kind!r} is not 0 or 1; name the positive class")
        meaning[code] = number
    return meaning[codes]


def read_categories(values: Any) -> tuple[Codes, tuple[str, ...]]:
    """Codes (n,) into the names of the classes found, −1 where there is none. 1, 1.0 and "1" are one class."""
    codes, kinds = _encoded(values)
    names = [class_name(kind) for kind in kinds]
    known = {name: place for place, name in enumerate(dict.fromkeys(names))}
    place = np.array([known[name] for name in names] + [-1], dtype=np.int64)
    return place[codes], tuple(known)


def class_name(value: Any) -> str:
    """The name of a class: whole numbers without a fraction, anything else as its text."""
    if isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _is_amount(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in _WORDS
    return True


def _encoded(values: Any) -> tuple[Codes, list[Any]]:
    """Codes (n,) and the distinct values they name; −1 for null and NaN."""
    array = _arrow(values)
    if array is not None and (pa.types.is_null(array.type) or array.null_count == len(array)):
        return np.full(len(array), -1, dtype=np.int64), []
    if array is not None:
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        encoded = array.dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, encoded.dictionary.to_pylist()
    kinds: dict[Any, int] = {}
    found = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(_listed(values)):
        found[row] = -1 if _unknown(value) else kinds.setdefault(value, len(kinds))
    return found, list(kinds)


def _arrow(values: Any) -> pa.Array | None:
    """The values as one Arrow array with NaN as null where pandas means that, None where types are mixed."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def _listed(values: Any) -> list[Any]:
    found: list[Any] = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return found


def _is_number(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    )


def _unknown(value: Any) -> bool:
    """None, NaN and pandas' NA, which are the values that do not equal themselves."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)
