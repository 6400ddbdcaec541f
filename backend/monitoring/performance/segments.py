"""Performance by segment: the rows read once, then each value of each segment column on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.performance._core import Codes, Performance, column_of, read_categories
from backend.monitoring.performance.measurement import performance_of, read_rows

TOP = 20
Segment = tuple[str, str | None]


def measure_segments(
    spec: ModelSpec,
    rows: pa.Table | pd.DataFrame,
    segment_columns: Sequence[str],
    *,
    top: int = TOP,
) -> Mapping[Segment, Performance]:
    """Performance by (column, value), for the `top` values with most rows of each column, largest first.

    Value None: rows without one. Labels that will not come are known from a column `label_status`, if there is one.
    Raises `BadInput` where a column is not there.
    """
    read = read_rows(spec, rows)
    absent = _absent(rows)
    return {
        segment: performance_of(read, index, will_not_come=int(absent[index].sum()))
        for column in segment_columns
        for segment, index in segments_of(rows, column, top=top)
    }


def segments_of(
    rows: pa.Table | pd.DataFrame, column: str, *, top: int = TOP
) -> Iterator[tuple[Segment, Codes]]:
    """The rows' places by value of a column, the values with most rows first; equals in the order they appear."""
    values = column_of(rows, column)
    if values is None:
        raise BadInput(f"segments: the data have no column {column!r}")
    codes, names = read_categories(values)
    codes = np.where(codes < 0, len(names), codes)
    counts = np.bincount(codes, minlength=len(names) + 1)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(counts)
    for code in np.argsort(-counts, kind="stable")[:top]:
        if counts[code]:
            name = names[code] if code < len(names) else None
            yield (column, name), order[ends[code] - counts[code] : ends[code]]


def _absent(rows: pa.Table | pd.DataFrame) -> npt.NDArray[np.bool_]:
    status = column_of(rows, "label_status")
    if status is None:
        return np.zeros(len(rows), dtype=np.bool_)
    codes, names = read_categories(status)
    return np.asarray(codes == (names.index("will_not_come") if "will_not_come" in names else -2))
