"""From the rows of windows to their figures: pure, no database.

A window belongs to the version that answered most of its rows, and its figures are of that version's rows
alone: rows of two versions in one figure would say something about neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import BadInput
from backend.monitoring.budget import window_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import METRICS_OF, Estimate, Fitted, estimate, fit_estimator
from backend.monitoring.evaluate import Point, evaluate_window
from backend.monitoring.falls import judge_estimates, judge_realised
from backend.monitoring.performance import PRIMARY, measure
from backend.monitoring.profiles import Profile, profile_windows
from backend.monitoring.references import Reference, read_reference
from backend.monitoring.windows import Window

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class WindowResult:
    """Everything computed of one window. `version` is None where it has no rows.

    Rows and labels are counted over the whole window; `completeness` and the figures are of `version` alone.
    """

    window: Window
    version: int | None
    rows: int
    injected_rows: int
    labels_known: int
    labels_absent: int
    watermark: datetime | None
    completeness: float | None
    profiles: Mapping[str, Profile]
    points: tuple[Point, ...]


def columns_needed(spec: ModelSpec) -> list[str]:
    """What `compute_windows` reads of a model's rows."""
    return [
        "ts",
        "version",
        "injected",
        "score",
        "prediction",
        *(c.name for c in spec.features),
        "label",
        "label_status",
    ]


def compute_windows(
    spec: ModelSpec,
    size: str,
    windows: Sequence[Window],
    rows: pa.Table,
    references: Mapping[int, Reference],
) -> list[WindowResult]:
    """The figures of windows of one size. `rows` holds `columns_needed`, ordered by ts; others are ignored."""
    parts = [_rows_of(rows, window) for window in windows]
    versions = [_majority(part) for part in parts]
    mine = [
        part if version is None else part.filter(pc.equal(part.column("version"), version))
        for part, version in zip(parts, versions, strict=True)
    ]
    profiles: list[Mapping[str, Profile]] = [{} for _ in windows]
    estimates: dict[Window, list[Estimate]] = {}
    for version, reference in references.items():
        chosen = [index for index, served in enumerate(versions) if served == version]
        if not chosen:
            continue
        counted = profile_windows(
            pa.concat_tables([mine[index] for index in chosen]),
            reference.grids,
            [windows[index] for index in chosen],
        )
        for index in chosen:
            profiles[index] = {name: counted[windows[index].start, name] for name in reference.grids}
        estimates |= _estimates(spec, reference, {windows[index]: mine[index] for index in chosen})
    results = []
    for index, window in enumerate(windows):
        served = versions[index]
        reference_of = references.get(served) if served is not None else None
        results.append(
            _result(spec, size, window, served, parts[index], mine[index], reference_of, profiles[index],
                    estimates.get(window, []))
        )  # fmt: skip
    return results


def _rows_of(rows: pa.Table, window: Window) -> pa.Table:
    ts = rows.column("ts")
    start, end = (pa.scalar(moment, type=ts.type) for moment in (window.start, window.end))
    return rows.filter(pc.and_(pc.greater_equal(ts, start), pc.less(ts, end)))


def _majority(part: pa.Table) -> int | None:
    counts = Counter(part.column("version").to_pylist())
    # Between equals the newer version: it is the one that serves on.
    return max(counts, key=lambda version: (counts[version], version)) if counts else None


def _estimates(
    spec: ModelSpec, reference: Reference, parts: Mapping[Window, pa.Table]
) -> dict[Window, list[Estimate]]:
    try:
        found = estimate(_estimator(spec, str(reference.path), reference.digest), parts)
    except (
        BadInput
    ) as error:  # a reference too small, or of one class; rows without scores: said on every window
        found = [
            Estimate(window, metric, None, None, None, part.num_rows, error.message)
            for window, part in parts.items()
            for metric in METRICS_OF[spec.task]
        ]
    by: dict[Window, list[Estimate]] = {}
    for one in found:
        by.setdefault(one.window, []).append(one)
    return by


@lru_cache(maxsize=16)
def _estimator(spec: ModelSpec, path: str, digest: str) -> Fitted:
    """The estimator of a reference file; a fit is deterministic in it, so it is made again where it is needed."""
    return fit_estimator(spec, read_reference(Path(path), digest))


def _result(
    spec: ModelSpec, size: str, window: Window, version: int | None, part: pa.Table, mine: pa.Table,
    reference: Reference | None, profiles: Mapping[str, Profile], estimates: Sequence[Estimate],
) -> WindowResult:  # fmt: skip
    status = Counter(part.column("label_status").to_pylist())
    absent = Counter(mine.column("label_status").to_pylist())["will_not_come"]
    points: list[Point] = []
    completeness: float | None = None
    if reference is not None and mine.num_rows:
        noise = reference.noise.get(size)
        points += evaluate_window(spec, reference.grids, reference.profiles, profiles, noise=noise or None)
        realised = measure(spec, mine, will_not_come=absent)
        completeness = realised.label_completeness
        baseline = reference.baseline(size)
        primary = PRIMARY[spec.task]
        alpha = window_alpha(spec, window.hours * 3600)
        points += judge_realised(baseline, realised, primary=primary, alpha=alpha)
        points += judge_estimates(
            baseline, estimates, primary=primary, alpha=alpha, error=reference.trust.get("excess", {}),
            trusted=reference.trusted, min_rows=spec.min_rows,
        )  # fmt: skip
    watermark: datetime | None = pc.max(part.column("ts")).as_py() if part.num_rows else None
    return WindowResult(
        window=window, version=version, rows=part.num_rows,
        injected_rows=part.num_rows - part.column("injected").null_count,
        labels_known=status["known"], labels_absent=status["will_not_come"], watermark=watermark,
        completeness=completeness, profiles=profiles, points=tuple(points),
    )  # fmt: skip


def expects_no_traffic(window: Window, quiet: str | None, timezone: str) -> bool:
    """Whether a window lies wholly inside the hours in which the spec expects no traffic ("01:00-04:00")."""
    if quiet is None:
        return False
    first, last = (time.fromisoformat(text.strip()) for text in quiet.split("-"))
    zone = ZoneInfo(timezone)
    start, end = (moment.astimezone(zone).replace(tzinfo=None) for moment in (window.start, window.end))
    since_first = (datetime.combine(start, start.time()) - datetime.combine(start, first)) % _DAY
    return (
        since_first + (end - start) <= (datetime.combine(start, last) - datetime.combine(start, first)) % _DAY
    )
