"""Canonical feature rows as the frame that an estimator takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from backend.observations.schema import Kind


def frame_of(
    rows: Sequence[Mapping[str, float | str]], names: Iterable[str], kinds: Mapping[str, Kind]
) -> pd.DataFrame:
    """(rows, names): float64 for numeric columns, object for the others; NaN where a row lacks a feature."""
    columns: dict[str, Any] = {}
    for name in names:
        values = [row.get(name, np.nan) for row in rows]
        columns[name] = np.array(values, dtype="float64" if kinds[name] == "numeric" else "object")
    return pd.DataFrame(columns)
