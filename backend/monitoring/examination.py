"""What must be asked of a window's rows, and not of its profiles: joint drift, outlier rows, declared rules. Pure.

It costs seconds a window where profiles cost milliseconds, so a job of its own does it, after the figures of the
window are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.monitoring.budget import Rota, look_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.evaluate import Point
from backend.monitoring.joint import DETECTORS, JointDetector
from backend.monitoring.joint.sample import Index, Sample, read_sample
from backend.monitoring.outliers import STATISTIC as OUTLIERS
from backend.monitoring.outliers import FittedOutliers, find_outliers, fit_outliers
from backend.monitoring.rules import STATISTIC as RULES
from backend.monitoring.rules import parse_rules
from backend.monitoring.windows import Window, windows_between

if TYPE_CHECKING:
    from backend.monitoring.rule_counts import UsualRules

STATISTICS = (*DETECTORS, OUTLIERS, RULES)
"""Names of every statistic that an examination gives."""

SIZE_S = {"1h": 3600.0, "1d": 86_400.0, "1w": 604_800.0, "1mo": 2_629_800.0}
REFERENCE_ROWS = 100_000
WINDOW_ROWS = 50_000


@dataclass(frozen=True)
class Examiner:
    """A reference that windows of one size are examined against."""

    spec: ModelSpec
    detectors: tuple[JointDetector, ...]
    outliers: FittedOutliers | str
    rules: UsualRules | None
    alpha: float  # the chance that one look at an unchanged window may alarm


def columns_examined(spec: ModelSpec) -> list[str]:
    """The columns that `examine` reads of a window's rows."""
    return list(dict.fromkeys(["prediction_id", *(column.name for column in spec.columns)]))


def prepare(spec: ModelSpec, reference: pa.Table, size: str, rota: Rota | None = None) -> Examiner:
    """Fit everything on a version's reference rows. Takes up to a minute on many rows.

    size  of the windows to come ("1d", or a number of rows): the reference's own windows of that size give the noise
    More than 100,000 reference rows are thinned evenly, and a window's to 50,000; rules are counted on all rows.
    rota  whose pages are shared with the model's; how sure a look must be follows from the budget of false alarms
    Raises `BadInput` when a rule of the spec cannot be read.
    """
    ordered = reference.sort_by("ts") if "ts" in reference.column_names else reference
    windows = own_windows(ordered, size, spec)
    rules = prepare_rules(spec, ordered, size)
    kept = _thinned(ordered, REFERENCE_ROWS)
    sample = read_sample(kept, spec.features)
    blocks = _blocks(kept, windows, size)
    alpha = look_alpha(spec, _seconds(ordered, size), rota)
    detectors = tuple(
        detector(alpha=alpha, min_rows=spec.min_rows).fit(sample, blocks) for detector in DETECTORS.values()
    )
    outliers = fit_outliers(sample, blocks, min_rows=spec.min_rows)
    return Examiner(spec, detectors, outliers, rules, alpha)


def examine(examiner: Examiner, rows: pa.Table) -> list[Point]:
    """Every figure of one window: a point of each detector, of outlier rows, and of each rule."""
    spec = examiner.spec
    kept = _thinned(rows, WINDOW_ROWS)
    sample: Sample = read_sample(kept, spec.features)
    ids = kept.column("prediction_id").to_pylist() if "prediction_id" in kept.column_names else None
    points = [detector.score(sample).point() for detector in examiner.detectors]
    found = find_outliers(examiner.outliers, sample, ids, min_rows=spec.min_rows, alpha=examiner.alpha)
    points.append(found.point)
    if examiner.rules is not None:
        from backend.monitoring.rule_counts import count_rules

        points += examiner.rules.judge(count_rules(rows, examiner.rules.rules).get((0, ""), {}))
    return points


def prepare_rules(spec: ModelSpec, reference: pa.Table, size: str) -> UsualRules | None:
    """The spec's rules counted on reference rows; None where it has none.

    Raises `BadInput` on a rule that cannot be read.
    """
    rules = parse_rules(spec.rules, spec.columns)
    if not rules:
        return None
    from backend.monitoring.rule_counts import measure_rules

    return measure_rules(rules, reference, own_windows(reference, size, spec), min_rows=spec.min_rows)


def own_windows(ordered: pa.Table, size: str, spec: ModelSpec) -> list[Window]:
    """The reference's own windows by the clock; none when windows are counted in rows or there are no times."""
    if size.isdigit() or "ts" not in ordered.column_names or ordered.num_rows == 0:
        return []
    times = pc.min_max(ordered.column("ts")).as_py()
    if times["min"] is None or times["min"].tzinfo is None:
        return []
    return windows_between(times["min"], times["max"], size, spec.timezone)


def _seconds(ordered: pa.Table, size: str) -> float:
    """How long a window lasts; one counted in rows as long as so many rows of the reference took, else a day."""
    if not size.isdigit():
        return SIZE_S[size]
    if "ts" not in ordered.column_names or ordered.num_rows < 2:
        return SIZE_S["1d"]
    times = pc.min_max(ordered.column("ts")).as_py()
    if times["min"] is None:
        return SIZE_S["1d"]
    return float((times["max"] - times["min"]).total_seconds() * int(size) / ordered.num_rows)


def _blocks(kept: pa.Table, windows: Sequence[Window], size: str) -> list[Index]:
    """The rows of each window of the reference, which is in the order of time."""
    if size.isdigit():
        return list(np.array_split(np.arange(kept.num_rows), max(kept.num_rows // int(size), 1)))
    if not windows:
        return []
    times = kept.column("ts").cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()).to_numpy()
    edges = [pa.scalar(moment, pa.timestamp("us", "UTC")).cast(pa.int64()).as_py()
             for moment in (*(window.start for window in windows), windows[-1].end)]  # fmt: skip
    places = np.searchsorted(times, edges)
    return [np.arange(first, last) for first, last in pairwise(places) if last > first]


def _thinned(table: pa.Table, limit: int) -> pa.Table:
    if table.num_rows <= limit:
        return table
    return table.take(pa.array(np.linspace(0, table.num_rows - 1, limit).round().astype(np.int64)))
