"""The numbers behind a figure, for whoever wants to work on with them."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.serialised import SerialisedFigure
from backend.audit.formats.csv_rows import safe_cell

COLUMNS = ("series", "x", "y", "size", "said")
_TAG = re.compile(r"<[^>]+>")


def has_rows(figure: go.Figure) -> bool:
    """Whether anything is drawn; a kept figure says so without being read again."""
    return figure.has_traces if isinstance(figure, SerialisedFigure) else bool(figure.data)


def figure_csv(figure: go.Figure) -> str:
    """Every point that is drawn: its series, place, the value of a cell or length of a bar, and what a hover adds.

    Bands and what only catches clicks have no rows of their own. Cells that a spreadsheet would take for a formula
    are made plain.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for trace in figure.data:
        for row in _rows(trace):
            writer.writerow([_cell(one) for one in row])
    return out.getvalue()


def _rows(trace: Any) -> Iterator[tuple[Any, ...]]:
    name = trace.name or trace.type
    if trace.type == "heatmap":
        xs = _list(trace.x)
        for y, cells in zip(_list(trace.y), _list(trace.z), strict=True):
            yield from ((name, x, y, z, "") for x, z in zip(xs, cells, strict=True) if x is not None)
        return
    if (
        trace.type not in ("bar", "scatter", "scattergl", "waterfall")
        or getattr(trace, "fill", None) == "toself"
    ):
        return
    xs, ys = _list(trace.x), _list(trace.y)
    xs, ys = xs or list(range(len(ys))), ys or list(range(len(xs)))
    said = _list(trace.customdata)
    for place, (x, y) in enumerate(zip(xs, ys, strict=False)):
        if x is not None and y is not None:
            yield name, x, y, "", said[place] if place < len(said) else ""


def _list(values: Any) -> list[Any]:
    """Values as they were given, or as plotly writes arrays of numbers (`dtype`, `bdata` and, of tables, `shape`)."""
    if isinstance(values, Mapping):
        numbers = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
        shape = values.get("shape")
        return list(numbers.reshape([int(one) for one in str(shape).split(",")]) if shape else numbers)
    return [] if values is None else list(values)


def _cell(value: Any) -> Any:
    """A number as it is; all else as text that no spreadsheet takes for a formula."""
    if isinstance(value, int | float | np.integer | np.floating) and np.isfinite(value):
        return float(value)
    return safe_cell(_plain(value))


def _plain(cell: Any) -> str:
    if isinstance(cell, list | tuple | np.ndarray):
        return "; ".join(part for part in (_plain(one) for one in cell) if part)
    if cell is None or (isinstance(cell, float | np.floating) and not np.isfinite(cell)):
        return ""
    return _TAG.sub(" ", str(cell)).strip()
