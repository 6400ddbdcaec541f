"""Numbers of Arrow columns as NumPy has them, from their buffers.

Arrow's own `to_numpy`, `array` and `scalar` import pandas, which takes longer than all counting of a small file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def doubles_of(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column of numbers as doubles (n,), null as NaN."""
    return _read_buffer(column.cast("float64"), np.dtype(np.float64), math.nan)


def wholes_of(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A column of whole numbers (n,), null as -1."""
    return _read_buffer(column.cast("int64"), np.dtype(np.int64), -1)


def _read_buffer(column: pa.ChunkedArray, kind: np.dtype[Any], none: float) -> npt.NDArray[Any]:
    """Values of 64 bits (n,), `none` where they are null."""
    array = column.combine_chunks()
    if not len(array):
        return np.empty(0, dtype=kind)
    valid, values = array.buffers()
    part = slice(array.offset, array.offset + len(array))
    found = np.frombuffer(values, dtype=kind)[part]
    if not array.null_count:
        return found
    known = np.unpackbits(np.frombuffer(valid, dtype=np.uint8), count=part.stop, bitorder="little")[part]
    return np.where(known.astype(bool), found, np.array(none, dtype=kind))
