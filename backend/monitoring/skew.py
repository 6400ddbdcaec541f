"""Training-serving skew: the features logged when a model answered, against those extracted for training, by id.

The same prediction should have the same features in both. Where it has not, training learns from something else than
serving sees, however alike the two distributions are; so values are compared row by row, not in distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.evaluate import Point
from backend.monitoring.joint.sample import Index, Sample, missing_texts, read_sample

if TYPE_CHECKING:
    import pandas as pd

STATISTIC = "training_serving_skew"
UNMATCHED = "unmatched_ids"
LIMIT = 0.01
UNMATCHED_LIMIT = 0.05
TOLERANCE = 1e-5  # 32-bit copies of a number differ by up to 6e-8 of it
EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """One prediction whose value differs; None where a side has no value."""

    id: str
    logged: float | str | None
    extracted: float | str | None


@dataclass(frozen=True)
class ColumnSkew:
    """One column over the ids on both sides.

    differing        ids whose values differ, those with a value on one side alone included
    only_logged, only_extracted   ids with a value on that side alone
    mean_difference  numeric: mean of logged − extracted over ids with both; None otherwise
    absent           the side that lacks the column as a whole: "logged", "extracted", "both" or None
    """

    column: str
    rows: int
    differing: int
    only_logged: int
    only_extracted: int
    mean_difference: float | None
    absent: str | None
    examples: tuple[Example, ...]

    @property
    def share(self) -> float | None:
        return self.differing / self.rows if self.rows else None


@dataclass(frozen=True)
class Skew:
    """The whole comparison. ids: on both sides, on one side alone; repeated: further rows of an id, left out."""

    joined: int
    only_logged: int
    only_extracted: int
    repeated_logged: int
    repeated_extracted: int
    columns: tuple[ColumnSkew, ...]
    points: tuple[Point, ...]


def compare_by_id(
    logged: pa.Table | pd.DataFrame,
    extracted: pa.Table | pd.DataFrame,
    columns: Sequence[Column],
    *,
    id_column: str = "prediction_id",
    tolerance: float = TOLERANCE,
    limit: float = LIMIT,
    min_rows: int = 50,
) -> Skew:
    """Compare every column over the ids that both sides have; of a repeated id the first row counts.

    tolerance  numbers differ when |a − b| > tolerance · max(|a|, |b|)
    limit      a share of differing values above it is a ticket

    NaN, infinite and unreadable values are no value, as everywhere. Raises `BadInput` when a side has no ids.
    """
    left, left_ids = _read(logged, columns, id_column, "the logged rows")
    right, right_ids = _read(extracted, columns, id_column, "the extracted rows")
    places_left, repeated_left = _first_places(left_ids)
    places_right, repeated_right = _first_places(right_ids)
    ids, at_left, at_right = np.intersect1d(
        left_ids[places_left], right_ids[places_right], assume_unique=True, return_indices=True
    )
    a, b = left.take(places_left[at_left]), right.take(places_right[at_right])
    found = tuple(
        _column(column, ids, a, b, tolerance, absent=_absent(column.name, logged, extracted))
        for column in columns
    )
    only = len(places_left) - len(ids), len(places_right) - len(ids)
    points = [_unmatched(len(ids), *only, min_rows=min_rows)]
    points += [_judge(skew, limit=limit, min_rows=min_rows) for skew in found]
    return Skew(len(ids), *only, repeated_left, repeated_right, found, tuple(points))


def _read(
    source: pa.Table | pd.DataFrame, columns: Sequence[Column], id_column: str, side: str
) -> tuple[Sample, npt.NDArray[np.str_]]:
    """The rows that have an id, and their ids as text."""
    names = source.column_names if isinstance(source, pa.Table) else list(source.columns)
    if id_column not in names:
        raise BadInput(f"{side} have no column {id_column!r}, by which the two sides are joined")
    ids = read_sample(source, [Column(id_column, "categorical")]).categorical[id_column]
    known = np.flatnonzero(~missing_texts(ids))
    return read_sample(source, columns).take(known), ids[known].astype(str)


def _first_places(ids: npt.NDArray[np.str_]) -> tuple[Index, int]:
    places = np.unique(ids, return_index=True)[1]
    return places, len(ids) - len(places)


def _absent(name: str, logged: Any, extracted: Any) -> str | None:
    sides = [
        side
        for side, source in (("logged", logged), ("extracted", extracted))
        if name not in (source.column_names if isinstance(source, pa.Table) else source.columns)
    ]
    return None if not sides else "both" if len(sides) == 2 else sides[0]


def _column(
    column: Column, ids: npt.NDArray[np.str_], a: Sample, b: Sample, tolerance: float, *, absent: str | None
) -> ColumnSkew:
    mean: float | None = None
    if column.kind == "numeric":
        x, y = a.numeric[column.name], b.numeric[column.name]
        has_x, has_y = np.isfinite(x), np.isfinite(y)
        with np.errstate(invalid="ignore"):
            apart = np.abs(x - y) > tolerance * np.maximum(np.abs(x), np.abs(y))
        both = has_x & has_y
        mean = float((x[both] - y[both]).mean()) if both.any() else None
        values: tuple[Any, Any] = (x, y)
    else:
        s, t = a.categorical[column.name], b.categorical[column.name]
        has_x, has_y = ~missing_texts(s), ~missing_texts(t)
        apart = np.where(has_x, s, "").astype(str) != np.where(has_y, t, "").astype(str)
        both = has_x & has_y
        values = (s, t)
    differs = (both & apart) | (has_x != has_y)
    places = np.flatnonzero(differs)[:EXAMPLES]
    examples = tuple(
        Example(
            str(ids[place]),
            _plain(values[0][place]) if has_x[place] else None,
            _plain(values[1][place]) if has_y[place] else None,
        )
        for place in places
    )
    return ColumnSkew(
        column=column.name, rows=len(ids), differing=int(differs.sum()), only_logged=int((has_x & ~has_y).sum()),
        only_extracted=int((has_y & ~has_x).sum()), mean_difference=mean, absent=absent, examples=examples,
    )  # fmt: skip


def _judge(skew: ColumnSkew, *, limit: float, min_rows: int) -> Point:
    title = f"Skew of {skew.column}"
    reason = None
    if skew.rows < min_rows:
        reason = f"{skew.rows} ids are on both sides and {min_rows} are needed"
    elif skew.absent == "both":
        reason = "neither side has this column"
    if reason is not None:
        return _point(skew.column, STATISTIC, None, limit, f"{title}: {reason}", skew.rows, reason, {})
    value = skew.differing / skew.rows
    if skew.absent is not None:
        value = 1.0
        text = f"{title}: the {skew.absent} rows do not have this column"
    else:
        text = f"{title}: {value:.1%} of values differ (limit {limit:.1%}), {skew.rows:,} ids"
        if skew.mean_difference:
            text += f", logged less extracted {skew.mean_difference:+.4g} on average"
        gaps = [
            f"{count:,} only {side}"
            for count, side in ((skew.only_logged, "logged"), (skew.only_extracted, "extracted"))
            if count
        ]
        text += f", of them {' and '.join(gaps)}" if gaps else ""
    details = {
        "mean_difference": skew.mean_difference,
        "only_logged": skew.only_logged,
        "only_extracted": skew.only_extracted,
        "absent": skew.absent,
        "examples": [{"id": e.id, "logged": e.logged, "extracted": e.extracted} for e in skew.examples],
    }
    return _point(skew.column, STATISTIC, value, limit, text, skew.rows, None, details)


def _unmatched(joined: int, only_logged: int, only_extracted: int, *, min_rows: int) -> Point:
    total = joined + only_logged + only_extracted
    details = {"only_logged": only_logged, "only_extracted": only_extracted}
    if total < min_rows:
        reason = f"the two sides have {total} ids together and {min_rows} are needed"
        return _point(
            None, UNMATCHED, None, UNMATCHED_LIMIT, f"Unmatched ids: {reason}", total, reason, details
        )
    value = (only_logged + only_extracted) / total
    text = (
        f"Unmatched ids: {only_logged:,} only logged and {only_extracted:,} only extracted of {total:,} "
        f"({value:.1%}, limit {UNMATCHED_LIMIT:.1%})"
    )
    return _point(None, UNMATCHED, value, UNMATCHED_LIMIT, text, total, None, details)


def _point(
    column: str | None, statistic: str, value: float | None, limit: float, text: str, rows: int,
    reason: str | None, details: dict[str, Any],
) -> Point:  # fmt: skip
    fired = value is not None and value > limit
    return Point(
        column=column, statistic=statistic, family="quality", value=value, threshold=limit,
        verdict="inconclusive" if value is None else "alarm" if fired else "ok",
        rows_reference=rows, rows_current=rows, text=text, reason=reason, level="ticket" if fired else None,
        details=details,
    )  # fmt: skip


def _plain(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)
