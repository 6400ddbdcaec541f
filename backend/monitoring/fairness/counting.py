"""Rows of a window to counts by group: one pass over the rows, everything else over the cells that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.fairness.measures import group_name
from backend.monitoring.performance._core import column_of, read_categories
from backend.monitoring.performance.binary import read_binary

Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int64]

MOST_VALUES: Final = 20
MOST_GROUPS: Final = 40
NOT_A_GROUP: Final = ("other", "missing")
"""What stands for values that are rare or not known: shown, and compared with nothing."""
SUMS: Final = (
    "rows", "selected", "awaited", "labelled", "positives", "negatives", "true_positives", "false_positives",
    "chosen", "scored", "residual", "squares",
)  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """Sums (c, len(SUMS)) of each combination of values that occurs, and the code of each attribute in it (c, k).

    names     of each attribute, its values by code
    unread    why labels could not be read; None where they could
    """

    columns: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    codes: Codes
    sums: Floats
    unread: str | None = None


@dataclass(frozen=True)
class Groups:
    """Counts by group of an attribute or an intersection, most rows first.

    names     (g,) `SEX=1 & RAC1P=2`
    compared  (g,) False of rare and missing values
    left_out  rows in groups beyond the `MOST_GROUPS` with most rows, or of intersections with a value not known
    """

    names: tuple[str, ...]
    compared: npt.NDArray[np.bool_]
    sums: Floats
    left_out: int = 0

    def __getitem__(self, name: str) -> Floats:
        return self.sums[:, SUMS.index(name)]


def count_cells(
    spec: ModelSpec, rows: pa.Table, columns: Sequence[str], named: Mapping[str, pa.Array]
) -> Cells:
    """Count the rows of a binary model once.

    rows    prediction, score, label, label_status and the columns
    named   columns whose groups are those of the reference's grid (`segments.part_names`), row by row

    Raises `BadInput` where decisions cannot be read.
    """
    unread = None
    score, prediction, label = (column_of(rows, name) for name in ("score", "prediction", "label"))
    none = pa.nulls(rows.num_rows)
    read = partial(read_binary, score, prediction, cutoff=spec.cutoff, positive=spec.positive)
    try:
        p, hat, y = read(none if label is None else label)
    except BadInput as error:  # labels that cannot be read say nothing, and stop nothing else
        unread = error.message
        p, hat, y = read(none)
    coded = [_codes(named.get(name, rows.column(name))) for name in columns]
    joint, cells = _joint([codes for codes, _ in coded])
    weights = _weights(spec, p, hat, y, _never(rows))
    counted = [np.bincount(joint, weights=weight, minlength=len(cells)) for weight in weights]
    sums = np.stack(counted, axis=1).astype(np.float64)
    return Cells(tuple(columns), tuple(names for _, names in coded), cells, sums, unread)


def groups_of(cells: Cells, columns: Sequence[str]) -> Groups:
    """The counts by one of the columns, or by several at once."""
    at = [cells.columns.index(name) for name in columns]
    joint, codes = _joint([cells.codes[:, place] for place in at])
    sums = np.zeros((len(codes), len(SUMS)))
    np.add.at(sums, joint, cells.sums)
    values = [
        tuple(cells.names[place][code] for place, code in zip(at, row, strict=True)) for row in codes.tolist()
    ]
    known = np.array([not set(NOT_A_GROUP) & set(one) for one in values], dtype=bool)
    order = np.argsort(-sums[:, 0], kind="stable")
    kept = [place for place in order if sums[place, 0] and (known[place] or len(at) == 1)]
    kept = sorted(kept, key=lambda place: not known[place])[:MOST_GROUPS]
    names = tuple(group_name(tuple(columns), values[place]) for place in kept)
    return Groups(names, known[kept], sums[kept], int(sums[:, 0].sum() - sums[kept, 0].sum()))


def _weights(
    spec: ModelSpec, p: Floats, hat: Floats, y: Floats, never: npt.NDArray[np.bool_]
) -> list[Floats]:
    """What each row adds to each of `SUMS`, (n,) each. Only rows with a decision count."""
    decided = ~np.isnan(hat)
    known = decided & ~np.isnan(y)
    positive, negative = known & (y == 1), known & (y == 0)
    chosen = decided & (hat == 1)
    favoured = decided & (hat == 0) if spec.favourable == "negative" else chosen
    scored = known & np.isfinite(p)
    residual = np.where(scored, y - p, 0.0)
    masks = (
        decided, favoured, decided & ~(never & ~known), known, positive, negative, chosen & positive,
        chosen & negative, chosen & known, scored,
    )  # fmt: skip
    return [*(mask.astype(np.float64) for mask in masks), residual, residual * residual]


def _codes(values: object) -> tuple[Codes, tuple[str, ...]]:
    """Codes (n,) into names: the `MOST_VALUES` with most rows, then `other` and `missing`."""
    codes, names = read_categories(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    real = [code for code in np.argsort(-counts, kind="stable") if names[code] not in NOT_A_GROUP]
    often = real[:MOST_VALUES]
    place = np.full(len(names) + 1, len(often), dtype=np.int64)
    place[often] = np.arange(len(often))
    place[[code for code, name in enumerate(names) if name == "missing"]] = len(often) + 1
    place[-1] = len(often) + 1
    return place[codes], (*(names[code] for code in often), *NOT_A_GROUP)


def _joint(codes: Sequence[Codes]) -> tuple[Codes, Codes]:
    """The place (n,) of each row among the combinations of codes that occur, and these (c, k)."""
    widths = [int(one.max(initial=0)) + 1 for one in codes]
    joint = np.zeros(len(codes[0]), dtype=np.int64)
    for one, width in zip(codes, widths, strict=True):
        joint = joint * width + one
    found, place = np.unique(joint, return_inverse=True)
    columns = []
    for width in reversed(widths):
        found, code = np.divmod(found, width)
        columns.append(code)
    return place.astype(np.int64), np.stack(columns[::-1], axis=1)


def _never(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """(n,) whether the label is known never to come."""
    status = column_of(rows, "label_status")
    if status is None:
        return np.zeros(rows.num_rows, dtype=bool)
    codes, names = read_categories(status)
    return np.asarray(codes == (names.index("will_not_come") if "will_not_come" in names else -2))
