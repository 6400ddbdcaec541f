"""From the rows of windows to their figures: pure, no database.

A window belongs to the version that answered most of its rows, and its figures are of that version's rows
alone: rows of two versions in one figure would say something about neither.

The verdicts are those of `backend.monitoring.backtest`, which plays the same functions over a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from backend import clock
from backend.errors import BadInput
from backend.monitoring.budget import Rota, window_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import METRICS_OF, Estimate, Fitted, estimate, fit_estimator
from backend.monitoring.evaluate import Point
from backend.monitoring.fairness.points import fairness_points
from backend.monitoring.falls import judge_estimates, judge_realised
from backend.monitoring.inputs import find_broken_input, judge_inputs
from backend.monitoring.label_lag import Hearing, hear_labels, wait_for_labels
from backend.monitoring.new_classes import classes_of, tell_new_classes
from backend.monitoring.numbering import micros
from backend.monitoring.performance import PRIMARY, Performance, measure
from backend.monitoring.profiles import Profile
from backend.monitoring.references import Reference, read_numbers_of
from backend.monitoring.segments import (
    ALL,
    Parts,
    judge_parts,
    measure_parts,
    part_names,
    profile_parts,
    segment_grids,
)
from backend.monitoring.tables import JUDGED
from backend.monitoring.track_record import TrackPoint, allowed_to_page, track_record
from backend.monitoring.windows import Window
from backend.registry.reference_file import read_reference

Places = npt.NDArray[np.int64]
UNHEARD = Hearing(False, False)
_DAY = timedelta(days=1)
_PLACE = "__warrant_place"


@dataclass(frozen=True)
class Circumstances:
    """What the figures of windows depend on besides their rows and references.

    now     when they are computed: by then labels speak for a window, or they do not
    rota    the models whose pages reach the same person
    tracks  {version: how good its estimates of windows of this size turned out to be}
    """

    now: datetime
    rota: Rota | None = None
    tracks: Mapping[int, tuple[TrackPoint, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowResult:
    """Everything computed of one window. `version` is None where it has no rows.

    Rows and labels are counted over the whole window; `completeness` and the figures are of `version` alone.

    judged_by  the rule of reference of its points of drift and quality; None: they have yet to be judged
    """

    window: Window
    version: int | None
    rows: int
    injected_rows: int
    labels_known: int
    labels_absent: int
    watermark: datetime | None
    completeness: float | None
    parts: Parts
    points: tuple[Point, ...]
    hearing: Hearing = UNHEARD
    performance: Performance | None = None
    judged_by: str | None = None

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Of all rows of the version."""
        return self.parts.get(ALL, {})

    @property
    def profiled_rows(self) -> int:
        """Rows of the version."""
        return max((profile.rows for profile in self.profiles.values()), default=0)


def columns_needed(spec: ModelSpec) -> list[str]:
    """What `compute_windows` reads of a model's rows."""
    return [
        "ts",
        "version",
        "injected",
        "score",
        "prediction",
        *dict.fromkeys(
            [*(c.name for c in spec.features), *(column for _, column in spec.classes), *spec.protected]
        ),
        "label",
        "label_status",
    ]


def compute_windows(
    spec: ModelSpec,
    size: str,
    windows: Sequence[Window],
    rows: pa.Table,
    references: Mapping[int, Reference],
    circumstances: Circumstances | None = None,
    place: Places | None = None,
) -> list[WindowResult]:
    """The figures of windows of one size. `rows` holds `columns_needed`, ordered by ts.

    place  (rows,) index of each row's window, negative for none; None: by its time
    """
    circumstances = circumstances or Circumstances(clock.now())
    spec = live_spec(spec, rows)
    rows = read_numbers_of(spec, rows)
    parts = _split(rows, _places(rows, windows) if place is None else place, len(windows))
    versions = [_majority(part) for part in parts]
    mine = [
        part if version is None else part.filter(pc.equal(part.column("version"), version))
        for part, version in zip(parts, versions, strict=True)
    ]
    counted: list[Parts] = [{} for _ in windows]
    estimates: dict[int, list[Estimate]] = {}
    for version, reference in references.items():
        chosen = [index for index, served in enumerate(versions) if served == version]
        if not chosen:
            continue
        by = segment_grids(spec, reference.grids) if size == spec.window else {}
        together = pa.concat_tables([mine[index] for index in chosen])
        numbers = np.repeat(chosen, [mine[index].num_rows for index in chosen])
        found = profile_parts(together.append_column(_PLACE, pa.array(numbers)), reference.grids, _PLACE, by)
        for index in chosen:
            counted[index] = found[index]
        estimates |= _estimates(spec, reference, {index: mine[index] for index in chosen})
    results = []
    for index, window in enumerate(windows):
        served = versions[index]
        reference_of = references.get(served) if served is not None else None
        results.append(
            _result(spec, size, window, served, parts[index], mine[index], reference_of, counted[index],
                    estimates.get(index, []), circumstances)
        )  # fmt: skip
    return results


def live_spec(spec: ModelSpec, rows: pa.Table) -> ModelSpec:
    """The spec as these rows can be read: without the probabilities of classes where they have never been sent."""
    there = set(rows.column_names)
    return spec if all(name in there for _, name in spec.classes) else replace(spec, classes=())


def _places(rows: pa.Table, windows: Sequence[Window]) -> Places:
    """(rows,) the window that holds each row; windows in order of time, -1 for rows in none."""
    moments = micros(rows.column("ts"))
    starts = np.array([_micros(window.start) for window in windows], dtype=np.int64)
    ends = np.array([_micros(window.end) for window in windows], dtype=np.int64)
    order = np.argsort(starts)
    at = np.searchsorted(starts[order], moments, side="right") - 1
    inside = (at >= 0) & (moments < ends[order][np.clip(at, 0, None)])
    return np.where(inside, order[np.clip(at, 0, None)], -1).astype(np.int64)


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _split(rows: pa.Table, place: Places, count: int) -> list[pa.Table]:
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(count + 1))
    return [rows.take(pa.array(order[edges[i] : edges[i + 1]])) for i in range(count)]


def _majority(part: pa.Table) -> int | None:
    counts = Counter(part.column("version").to_pylist())
    # Between equals the newer version: it is the one that serves on.
    return max(counts, key=lambda version: (counts[version], version)) if counts else None


def _estimates(
    spec: ModelSpec, reference: Reference, parts: Mapping[int, pa.Table]
) -> dict[int, list[Estimate]]:
    # Estimates are keyed by a window; runs of N rows may overlap in time, so days stand in for their numbers.
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    numbered = {Window(zero + index * _DAY, zero + (index + 1) * _DAY): index for index in parts}
    try:
        found = estimate(
            _estimator(spec, str(reference.path), reference.digest),
            {window: parts[index] for window, index in numbered.items()},
        )
    except (
        BadInput
    ) as error:  # a reference too small, or of one class; rows without scores: said on every window
        found = [
            Estimate(window, metric, None, None, None, parts[index].num_rows, error.message)
            for window, index in numbered.items()
            for metric in METRICS_OF[spec.task]
        ]
    by: dict[int, list[Estimate]] = {}
    for one in found:
        by.setdefault(numbered[one.window], []).append(one)
    return by


@lru_cache(maxsize=16)
def _estimator(spec: ModelSpec, path: str, digest: str) -> Fitted:
    """The estimator of a reference file; a fit is deterministic in it, so it is made again where it is needed."""
    return fit_estimator(spec, read_numbers_of(spec, read_reference(Path(path), digest)))


@lru_cache(maxsize=16)
def _classes_of(path: str, digest: str) -> frozenset[str]:
    """The classes among the labels of a reference file."""
    return classes_of(read_reference(Path(path), digest).column("label"))


def _result(
    spec: ModelSpec, size: str, window: Window, version: int | None, part: pa.Table, mine: pa.Table,
    reference: Reference | None, parts: Parts, estimates: Sequence[Estimate], circumstances: Circumstances,
) -> WindowResult:  # fmt: skip
    status = Counter(part.column("label_status").to_pylist())
    points: list[Point] = []
    performance: Performance | None = None
    hearing, judged_by = UNHEARD, None
    if reference is not None and version is not None and mine.num_rows:
        if spec.reference.kind == "fixed":
            noise = reference.noise.get(size)
            points += judge_inputs(spec, reference, reference.parts, parts, noise=noise or None)
            judged_by = spec.reference.text
        performance, hearing, realised = _realised(spec, size, window, mine, reference, circumstances)
        broken = find_broken_input(spec, reference, points, parts, noise=reference.noise.get(size))
        points += realised
        if size == spec.window:
            points += _fairness(spec, mine, reference, hearing)
        points += _estimated(spec, size, window, version, reference, estimates, circumstances, broken)
    watermark: datetime | None = pc.max(part.column("ts")).as_py() if part.num_rows else None
    return WindowResult(
        window=window, version=version, rows=part.num_rows,
        injected_rows=part.num_rows - part.column("injected").null_count,
        labels_known=status["known"], labels_absent=status["will_not_come"], watermark=watermark,
        completeness=None if performance is None else performance.label_completeness,
        parts=parts, points=tuple(points), hearing=hearing, performance=performance, judged_by=judged_by,
    )  # fmt: skip


def _realised(
    spec: ModelSpec, size: str, window: Window, rows: pa.Table, reference: Reference, circumstances: Circumstances
) -> tuple[Performance | None, Hearing, list[Point]]:  # fmt: skip
    """Realised performance of all rows and by segment; no verdict before the labels speak for the window."""
    primary = PRIMARY[spec.task]
    absent = Counter(rows.column("label_status").to_pylist())["will_not_come"]
    try:
        performance = measure(spec, rows, will_not_come=absent)
    except BadInput as error:  # labels that the task cannot read say nothing, and stop nothing else
        point = Point(None, primary, "realised", None, None, "inconclusive", reference.rows, rows.num_rows,
                      f"realised {primary}: {error.message}", error.message)  # fmt: skip
        return None, UNHEARD, [point]
    hearing = hear_labels(
        wait_for_labels(reference.label_lag, spec.label_delay_s), end=window.end, rows=rows.num_rows,
        known=performance.known, absent=absent, labelled=reference.labelled, now=circumstances.now,
    )  # fmt: skip
    alpha = window_alpha(spec, window.hours * 3600, circumstances.rota, "realised")
    points = judge_realised(
        reference.baseline(size), performance, primary=primary, alpha=alpha, min_labels=spec.min_labels,
        may_page=hearing.may_page, label_unit=spec.label_unit,
    )  # fmt: skip
    if spec.task == "multiclass":
        points = tell_new_classes(
            points, rows.column("label"), _classes_of(str(reference.path), reference.digest)
        )
    if size == spec.window and reference.segment_performance:
        found = measure_parts(spec, rows, segment_grids(spec, reference.grids))
        points += judge_parts(spec, found, reference.segment_performance, alpha=alpha)
    return performance, hearing, points if hearing.speaks else [_hush(point, hearing) for point in points]


def _fairness(spec: ModelSpec, rows: pa.Table, reference: Reference, hearing: Hearing) -> list[Point]:
    """Groups of protected columns; numbers are parted as the reference's grid parts them."""
    numeric = {name for name, kind in ((c.name, c.kind) for c in spec.features) if kind == "numeric"}
    by = {name: reference.grids[name] for name in spec.protected if name in numeric & reference.grids.keys()}
    return fairness_points(spec, rows, part_names(rows, by), hearing)


def _hush(point: Point, hearing: Hearing) -> Point:
    """The point without its verdict, where too few labels have come."""
    if point.verdict not in JUDGED:
        return point
    return replace(
        point,
        verdict="inconclusive",
        level=None,
        reason=hearing.reason,
        text=f"{point.text}: {hearing.reason}",
    )


def _estimated(
    spec: ModelSpec, size: str, window: Window, version: int, reference: Reference, estimates: Sequence[Estimate],
    circumstances: Circumstances, broken: str | None,
) -> list[Point]:  # fmt: skip
    primary = PRIMARY[spec.task]
    record = track_record(circumstances.tracks.get(version, ()), primary, until=window.end)
    allowed, why = allowed_to_page(record, reference.trust, primary)
    return judge_estimates(
        reference.baseline(size), estimates, primary=primary,
        alpha=window_alpha(spec, window.hours * 3600, circumstances.rota, "estimated"),
        error=reference.trust.get("excess", {}), trusted=reference.trusted, min_rows=spec.min_rows,
        distrust=None if allowed else why, broken=broken, label_unit=spec.label_unit,
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
