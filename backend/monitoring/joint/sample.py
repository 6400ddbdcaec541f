"""Rows of one window or of the reference, read as their columns are declared, for whatever looks at columns together.

The same readings as in profiles: a number that cannot be read, NaN and infinity are no value (NaN here); a category is
text (None: no value), 3.0 and 3 are one category; a column the data lack has no value in any row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from backend.monitoring.columns import Column

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

HUGE = 1e150


@dataclass(frozen=True)
class Sample:
    """`rows` rows. numeric: (rows,) floats with NaN for no value; categorical: (rows,) text with None for no value."""

    rows: int
    numeric: Mapping[str, Floats]
    categorical: Mapping[str, npt.NDArray[np.object_]]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numeric, *self.categorical)

    @cached_property
    def usable(self) -> frozenset[str]:
        """Columns with at least one value."""
        return frozenset(
            [name for name, values in self.numeric.items() if np.isfinite(values).any()]
            + [name for name, values in self.categorical.items() if not missing_texts(values).all()]
        )

    def take(self, index: Index) -> Sample:
        return Sample(
            len(index),
            {name: values[index] for name, values in self.numeric.items()},
            {name: values[index] for name, values in self.categorical.items()},
        )

    def only(self, names: Iterable[str]) -> Sample:
        kept = set(names)
        return Sample(
            self.rows,
            {name: values for name, values in self.numeric.items() if name in kept},
            {name: values for name, values in self.categorical.items() if name in kept},
        )

    def thinned(self, limit: int) -> Sample:
        """At most `limit` rows, evenly spaced: the same rows every time, in order, from the whole time."""
        if self.rows <= limit:
            return self
        return self.take(np.linspace(0, self.rows - 1, limit).round().astype(np.intp))


def read_sample(source: pa.Table | pd.DataFrame, columns: Sequence[Column]) -> Sample:
    """`columns` of a table or frame. Nothing that the data hold makes this fail."""
    rows = source.num_rows if isinstance(source, pa.Table) else len(source)
    numeric: dict[str, Floats] = {}
    categorical: dict[str, npt.NDArray[np.object_]] = {}
    for column in columns:
        series = _series(source, column.name)
        if column.kind == "numeric":
            numeric[column.name] = np.full(rows, np.nan) if series is None else _numbers(series)
        else:
            categorical[column.name] = np.full(rows, None, dtype=object) if series is None else _texts(series)
    return Sample(rows, numeric, categorical)


def missing_texts(texts: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """(rows,): where a categorical column has no value."""
    import pandas as pd

    return np.asarray(pd.isna(texts), dtype=np.bool_)


def _series(source: pa.Table | pd.DataFrame, name: str) -> pd.Series[Any] | None:
    if isinstance(source, pa.Table):
        places = source.schema.get_all_field_indices(name)
        if not places:
            return None
        column = source.column(places[0])  # the first of columns that share a name is the one that is read
        if pa.types.is_decimal(column.type):
            column = pc.cast(column, pa.float64())
        series: pd.Series[Any] = column.to_pandas()
        return series
    places = np.flatnonzero(source.columns == name)
    return source.iloc[:, int(places[0])] if len(places) else None


def _numbers(series: pd.Series[Any]) -> Floats:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        moments = pd.to_datetime(series, utc=True).astype("datetime64[us, UTC]")
        values = moments.astype("int64").to_numpy(dtype=np.float64) / 1e6
        values[moments.isna().to_numpy()] = np.nan
        return np.asarray(values, dtype=np.float64)
    try:
        read = pd.to_numeric(series, errors="coerce")
        values = read.to_numpy(dtype=np.float64, na_value=np.nan).copy()
    except (TypeError, ValueError):  # lists, structs and other things that are no numbers
        return np.full(len(series), np.nan)
    values[~(np.abs(values) <= HUGE)] = np.nan
    return np.asarray(values, dtype=np.float64)


def _texts(series: pd.Series[Any]) -> npt.NDArray[np.object_]:
    import pandas as pd

    try:
        codes, values = pd.factorize(series, use_na_sentinel=True)
    except TypeError:  # values that cannot be hashed, such as lists
        codes, values = pd.factorize(series.map(lambda value: None if value is None else str(value)))
    labels = np.empty(len(values) + 1, dtype=object)
    labels[:-1] = [_text(value) for value in np.asarray(values).tolist()]
    labels[-1] = None  # code -1: no value
    return np.asarray(labels[codes], dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and abs(value) < 1e15 and value.is_integer():
        return str(int(value))
    return str(value)
