"""A version's reference: grids, counts, performance, noise and trust, taken once and stored.

Everything here follows from the reference file whose digest the version records; where the stored digest is
another one, it is taken afresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backend.monitoring.cells import place_rows
from backend.monitoring.columns import ModelSpec
from backend.monitoring.effects import CellLosses, count_losses
from backend.monitoring.estimation import assess
from backend.monitoring.falls import Baseline, take_baseline
from backend.monitoring.grids import Grid, freeze_grids
from backend.monitoring.importance import Importances, fit_importance
from backend.monitoring.label_lag import AT_ONCE, LabelLag, find_label_lag
from backend.monitoring.outcomes import Outcomes, read_outcomes
from backend.monitoring.performance import DEFINITIONS, PRIMARY, Performance, measure
from backend.monitoring.profiles import Profile, merge_all, profile_groups, profile_table
from backend.monitoring.reference_rules import Counted
from backend.monitoring.segments import ALL, Parts, measure_parts, name_in, profile_parts, segment_grids
from backend.monitoring.thresholds import Noise, reference_noise
from backend.monitoring.windows import Window, place_moments, window_of, windows_between
from backend.registry.reference_file import read_reference, reference_of
from backend.registry.tables import Version

NOTHING_KNOWN = Importances((), "surrogate")
MEASURED_AS = 3
"""Of this code: a reference that was measured otherwise is measured again."""
_MEASURED = ("score", "prediction", "label")
_PLACE = "__warrant_place"


@dataclass(frozen=True)
class Measured:
    """What reference rows say: pure figures, whoever they belong to.

    by_window   {window size: {metric: (value, ...)}} over the reference's own windows
    window_rows {window size: {metric: labelled rows of those windows, their median}}
    trust       {"trusted": [metric], "error": {metric: x}, "chunks", "reason"}: whether estimates held on unseen rows
    noise       {window size: values of the statistics of its own windows against the rest}
    labelled    share of rows with a label: what completeness a window can come to
    label_lag   how long after the end of a window its labels can be judged, and how many have come by then
    importances how much each feature matters, and what the primary metric would lose without it
    losses      {column: the primary metric's losses by cell}, from which the effect of its drift is estimated
    segments    {segment: profiles of its columns}; `segment_performance` of each. Their noise is in `noise`, under
                the names that `segments.name_in` gives
    """

    rows: int
    grids: Mapping[str, Grid]
    profiles: Mapping[str, Profile]
    performance: Performance
    by_window: Mapping[str, Mapping[str, tuple[float, ...]]]
    trusted: frozenset[str]
    trust: Mapping[str, Any]
    noise: Mapping[str, Noise]
    labelled: float = 1.0
    label_lag: LabelLag = AT_ONCE
    importances: Importances = NOTHING_KNOWN
    losses: Mapping[str, CellLosses] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, Profile]] = field(default_factory=dict)
    segment_performance: Mapping[str, Performance] = field(default_factory=dict)
    window_rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def baseline(self, size: str) -> Baseline:
        """What a window of this size is held against."""
        return take_baseline(self.performance, self.by_window.get(size, {}), self.window_rows.get(size))


@dataclass(frozen=True)
class Reference(Measured):
    """What windows of one version are compared with."""

    model: str = ""
    version: int = 0
    digest: str = ""
    path: Path = Path()

    @property
    def parts(self) -> Parts:
        """The profiles of all rows and of every segment."""
        return {ALL: self.profiles, **self.segments}


def take_reference(version: Version, spec: ModelSpec) -> Reference:
    """Count, measure and assess a version's reference rows. Takes seconds: NannyML is asked for trust."""
    table = read_numbers_of(spec, reference_of(version))
    measured = add_segments(measure_reference(table.to_pandas(), spec), table, spec)
    return Reference(
        **{one.name: getattr(measured, one.name) for one in fields(measured)},
        model=version.model,
        version=version.version,
        digest=version.reference_digest,
        path=Path(version.reference_path),
    )


def measure_reference(frame: pd.DataFrame, spec: ModelSpec) -> Measured:
    """The figures of reference rows: columns ts, score, prediction, label and the features."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    grids = freeze_grids(table, spec.columns)
    trust = assess(spec, frame)
    outcomes = observe(spec, frame)
    performance = measure(spec, frame)
    output = "score" if spec.task == "binary" else "prediction"
    placed = place_rows(frame, {column.name: grids[column.name] for column in spec.features})
    own = {size: _own_windows(frame, size, spec) for size in spec.sizes}
    by_window = {size: _performance_by_window(frame, own[size], spec) for size in spec.sizes}
    return Measured(
        rows=table.num_rows,
        grids=grids,
        profiles=profile_table(table, grids),
        performance=performance,
        by_window={
            size: {name: tuple(value for value, _ in found) for name, found in metrics.items()}
            for size, metrics in by_window.items()
        },
        trusted=trust.trusted,
        trust={
            "trusted": sorted(trust.trusted),
            "error": dict(trust.error),
            "chunks": trust.chunks,
            "excess": dict(trust.excess),
            "reason": trust.reason,
        },
        noise={size: _noise(table, grids, own[size], spec) for size in spec.sizes},
        labelled=float(frame["label"].notna().mean()) if len(frame) else 0.0,
        label_lag=find_label_lag(outcomes, _delays(frame), own[spec.window], margin_of(spec, performance)),
        importances=fit_importance(placed, spec.features, frame[output], outcomes=outcomes),
        losses=count_losses(placed, outcomes),
        window_rows={
            size: {name: median(rows for _, rows in found) for name, found in metrics.items()}
            for size, metrics in by_window.items()
        },
    )


def read_numbers_of(spec: ModelSpec, rows: pa.Table) -> pa.Table:
    """Rows as they are stored, with predictions and labels of a regression read as numbers; what is none is null."""
    if spec.task != "regression":
        return rows
    for name in ("prediction", "label"):
        if name not in rows.column_names:
            continue
        column = rows.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            numbers = pd.to_numeric(column.to_pandas(), errors="coerce").astype("float64")
            column = pa.array(numbers.where(np.isfinite(numbers)), from_pandas=True)
            rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows


def add_segments(measured: Measured, table: pa.Table, spec: ModelSpec) -> Measured:
    """The same with what its segments say. Segments with fewer than `min_rows` rows can be held against nothing."""
    by = segment_grids(spec, measured.grids)
    if not by:
        return measured
    place = _own_windows(table.to_pandas(), spec.window, spec)
    counted = profile_parts(table.append_column(_PLACE, pa.array(place)), measured.grids, _PLACE, by)
    whole: dict[str, dict[str, Profile]] = {}
    for segment in sorted({segment for parts in counted.values() for segment in parts} - {ALL}):
        found = [parts[segment] for parts in counted.values() if segment in parts]
        merged = {
            name: merge_all([one[name] for one in found if name in one], grid)
            for name, grid in measured.grids.items()
        }
        if max(profile.rows for profile in merged.values()) >= spec.min_rows:
            whole[segment] = merged
    quiet = dict(measured.noise.get(spec.window, {}))
    for segment in whole:
        own = [
            parts[segment] for number, parts in sorted(counted.items()) if number >= 0 and segment in parts
        ]
        for (column, statistic), values in reference_noise(own, min_rows=spec.min_rows).items():
            quiet[name_in(column, segment), statistic] = values
    performance = measure_parts(spec, table, by)
    return replace(
        measured,
        segments=whole,
        segment_performance={name: found for name, found in performance.items() if name in whole},
        noise={**measured.noise, spec.window: quiet},
    )


def own_profiles(reference: Reference, spec: ModelSpec, size: str) -> list[Counted]:
    """The reference's own windows of a size, in order of time, with their profiles; read from its file."""
    return list(_own_profiles(str(reference.path), reference.digest, spec, size))


@lru_cache(maxsize=4)
def _own_profiles(path: str, digest: str, spec: ModelSpec, size: str) -> tuple[Counted, ...]:
    frame = read_numbers_of(spec, read_reference(Path(path), digest)).to_pandas()
    table = pa.Table.from_pandas(frame, preserve_index=False)  # as `measure_reference` does: the same grids
    return count_own_windows(frame, freeze_grids(table, spec.columns), spec, size)


def count_own_windows(
    frame: pd.DataFrame, grids: Mapping[str, Grid], spec: ModelSpec, size: str
) -> tuple[Counted, ...]:
    """The own windows of reference rows, in order of time, with their profiles on the reference's grids."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    place = _own_windows(frame, size, spec)
    if not (place >= 0).any():
        return ()
    times = pd.DatetimeIndex(table.column("ts").to_pandas())
    counted = profile_groups(table.append_column(_PLACE, pa.array(place)), grids, _PLACE)
    by_window: dict[int, dict[str, Profile]] = {}
    for (number, name), profile in counted.items():
        by_window.setdefault(number, {})[name] = profile
    found = []
    for number in sorted(number for number in by_window if number >= 0):
        mine = times[place == number]
        first, last = mine.min().to_pydatetime(), mine.max().to_pydatetime()
        window = (
            Window(first, last + timedelta(microseconds=1))
            if size.isdigit()
            else window_of(first, size, spec.timezone)
        )
        found.append(Counted(window, by_window[number]))
    return tuple(found)


def measured_as(spec: ModelSpec) -> str:
    """What a stored reference depends on besides its rows: how it was measured, and these parts of the spec."""
    parts = (
        spec.task, sorted((c.name, c.kind) for c in spec.columns), spec.sizes, spec.timezone, spec.segments,
        spec.cutoff, spec.positive, spec.classes, spec.quantile, spec.costs, spec.min_rows, spec.min_labels,
    )  # fmt: skip
    return f"{MEASURED_AS} {hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def margin_of(spec: ModelSpec, performance: Performance) -> float:
    """The practical margin of the primary metric in its own unit; 0 where the reference does not have it."""
    name = PRIMARY[spec.task]
    value = performance.metrics[name].value
    acceptable = None if value is None else DEFINITIONS[name].worst_acceptable(value)
    return 0.0 if value is None or acceptable is None else abs(acceptable - value)


def _delays(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """(n,) seconds from prediction to label; NaN where either time is unknown."""
    if "label_ts" not in frame or "ts" not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray((frame["label_ts"] - frame["ts"]).dt.total_seconds(), dtype=np.float64)


def observe(spec: ModelSpec, frame: pd.DataFrame) -> Outcomes:
    """The labelled rows of a frame as outcomes of the primary metric."""
    return read_outcomes(
        spec.task, PRIMARY[spec.task], score=frame.get("score"), prediction=frame["prediction"],
        label=frame["label"], cutoff=spec.cutoff, positive=spec.positive,
    )  # fmt: skip


def _own_windows(frame: pd.DataFrame, size: str, spec: ModelSpec) -> npt.NDArray[np.int64]:
    """(n,) the number of each row's window of this size, -1 for rows in none."""
    if "ts" not in frame or not len(frame):
        return np.full(len(frame), -1, dtype=np.int64)
    if size.isdigit():
        many = int(size)
        place = np.empty(len(frame), dtype=np.int64)
        place[np.argsort(frame["ts"].to_numpy(), kind="stable")] = np.arange(len(frame)) // many
        return np.where(place < len(frame) // many, place, -1)
    windows = windows_between(
        frame["ts"].min().to_pydatetime(), (frame["ts"].max() + pd.Timedelta(microseconds=1)).to_pydatetime(),
        size, spec.timezone,
    )  # fmt: skip
    return place_moments(frame["ts"], windows)


def _performance_by_window(
    frame: pd.DataFrame, place: npt.NDArray[np.int64], spec: ModelSpec
) -> dict[str, list[tuple[float, int]]]:
    """Each metric, with its rows, in every window of the reference that has enough rows for it."""
    found: dict[str, list[tuple[float, int]]] = {}
    needed = [name for name in _MEASURED if name in frame] + [
        name for _, name in spec.classes if name in frame
    ]
    for number, rows in frame[needed].groupby(place, sort=True):
        if cast(int, number) < 0 or len(rows) < spec.min_labels:
            continue
        for name, metric in measure(spec, rows).metrics.items():
            if metric.value is not None:
                found.setdefault(name, []).append((metric.value, metric.rows))
    return found


def _noise(
    table: pa.Table, grids: Mapping[str, Grid], place: npt.NDArray[np.int64], spec: ModelSpec
) -> Noise:
    """The statistics of the reference's own windows, each against the rest of the reference."""
    if not (place >= 0).any():
        return {}
    counted = profile_groups(table.append_column(_PLACE, pa.array(place)), grids, _PLACE)
    numbers = sorted({number for number, _ in counted if number >= 0})
    return reference_noise(
        [{name: counted[number, name] for name in grids} for number in numbers], min_rows=spec.min_rows
    )
