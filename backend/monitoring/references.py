"""A version's reference: grids, counts, performance, noise and trust, taken once and stored.

Everything here follows from the reference file whose digest the version records; where the stored digest is
another one, it is taken afresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, select

from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import assess_cbpe
from backend.monitoring.grids import Grid, freeze_grids
from backend.monitoring.performance import Metric, Performance, measure_performance
from backend.monitoring.profiles import Profile, profile_table, profile_windows
from backend.monitoring.tables import ReferenceProfile, ReferenceSummary
from backend.monitoring.thresholds import Noise, reference_noise
from backend.monitoring.windows import windows_between
from backend.registry.artefacts import file_digest
from backend.registry.tables import Version

FEWEST_WINDOWS = 5


@dataclass(frozen=True)
class Reference:
    """What windows of one version are compared with."""

    model: str
    version: int
    digest: str
    path: Path
    rows: int
    grids: Mapping[str, Grid]
    profiles: Mapping[str, Profile]
    performance: Performance
    by_window: Mapping[
        str, Mapping[str, tuple[float, ...]]
    ]  # window size -> metric -> values of its own windows
    trusted: frozenset[str]
    trust: Mapping[str, Any]
    noise: Mapping[str, Noise]  # by window size

    def baseline(self, size: str) -> tuple[Performance, bool]:
        """What a window of this size is held against, and whether it comes from windows of that size.

        With at least five of its own windows: their mean, with mean ± 3 standard deviations (ddof 1) as interval.
        Otherwise the pooled rows, with their 95 % intervals.
        """
        values = self.by_window.get(size, {})
        metrics: dict[str, Metric] = {}
        for name, pooled in self.performance.metrics.items():
            seen = values.get(name, ())
            if len(seen) < FEWEST_WINDOWS:
                return self.performance, False
            mean, spread = fmean(seen), 3 * stdev(seen)
            metrics[name] = Metric(mean, mean - spread, mean + spread, pooled.rows)
        return replace(self.performance, metrics=metrics), True


def read_reference(path: Path, digest: str) -> pa.Table:
    """The reference rows. Raises `Conflict` when the file is not the one that was recorded."""
    found = file_digest(path)
    if found != digest:
        raise Conflict(f"the reference data at {path} changed: recorded {digest[:19]}…, found {found[:19]}…")
    return pq.read_table(path)


def take_reference(version: Version, spec: ModelSpec) -> Reference:
    """Count, measure and assess a version's reference rows. Takes seconds: NannyML is asked for trust."""
    table = read_reference(Path(version.reference_path), version.reference_digest)
    grids = freeze_grids(table, spec.columns)
    frame: pd.DataFrame = table.select(["score", "prediction", "label"]).to_pandas()
    trust = assess_cbpe(frame)
    return Reference(
        model=version.model,
        version=version.version,
        digest=version.reference_digest,
        path=Path(version.reference_path),
        rows=table.num_rows,
        grids=grids,
        profiles=profile_table(table, grids),
        performance=measure_performance(frame["score"], frame["prediction"], frame["label"]),
        by_window={size: _performance_by_window(table, size, spec) for size in spec.sizes},
        trusted=trust.trusted,
        trust={
            "trusted": sorted(trust.trusted), "error": dict(trust.error), "chunks": trust.chunks,
            "reason": trust.reason,
        },
        noise={size: _noise(table, grids, size, spec) for size in spec.sizes},
    )  # fmt: skip


def _performance_by_window(table: pa.Table, size: str, spec: ModelSpec) -> dict[str, tuple[float, ...]]:
    """Each metric in every window of the reference that has enough rows for it."""
    if "ts" not in table.column_names or table.num_rows == 0:
        return {}
    frame: pd.DataFrame = table.select(["ts", "score", "prediction", "label"]).to_pandas()
    found: dict[str, list[float]] = {}
    end = frame["ts"].max() + pd.Timedelta(microseconds=1)
    for window in windows_between(frame["ts"].min(), end, size, spec.timezone):
        part = frame[(frame["ts"] >= window.start) & (frame["ts"] < window.end)]
        if len(part) < spec.min_rows:
            continue
        measured = measure_performance(part["score"], part["prediction"], part["label"])
        for name, metric in measured.metrics.items():
            if metric.value is not None:
                found.setdefault(name, []).append(metric.value)
    return {name: tuple(values) for name, values in found.items()}


def _noise(table: pa.Table, grids: Mapping[str, Grid], size: str, spec: ModelSpec) -> Noise:
    """The statistics of the reference's own windows of this size, each against the rest of the reference."""
    if "ts" not in table.column_names or table.num_rows == 0:
        return {}
    moments = table.column("ts").to_pandas()
    windows = windows_between(
        moments.min(), moments.max() + pd.Timedelta(microseconds=1), size, spec.timezone
    )
    counted = profile_windows(table, grids, windows)
    blocks = [
        {name: counted[window.start, name] for name in grids}
        for window in windows
        if any(counted[window.start, name].rows for name in grids)
    ]
    return reference_noise(blocks, min_rows=spec.min_rows)


def store_reference(session: WriteSession, reference: Reference) -> None:
    """Replace what is stored of this version's reference."""
    where = (reference.model, reference.version)
    for table in (ReferenceProfile, ReferenceSummary):
        session.execute(delete(table).where(table.model == where[0], table.version == where[1]))
    session.add_all(
        ReferenceProfile(
            model=reference.model, version=reference.version, column=name, reference_digest=reference.digest,
            grid=grid.to_json(), profile=reference.profiles[name].to_json(),
        )
        for name, grid in reference.grids.items()
    )  # fmt: skip
    session.add(
        ReferenceSummary(
            model=reference.model, version=reference.version, reference_digest=reference.digest,
            rows=reference.rows,
            performance={
                "pooled": {name: asdict(metric) for name, metric in reference.performance.metrics.items()},
                "by_window": {
                    size: {name: list(values) for name, values in metrics.items()}
                    for size, metrics in reference.by_window.items()
                },
            },
            trust=dict(reference.trust),
            noise={size: _noise_document(noise) for size, noise in reference.noise.items()},
        )
    )  # fmt: skip
    session.flush()


def load_reference(session: ReadSession, version: Version) -> Reference | None:
    """What is stored of a version's reference, or None where nothing of this digest is."""
    summary = session.get(ReferenceSummary, (version.model, version.version))
    if summary is None or summary.reference_digest != version.reference_digest:
        return None
    grids: dict[str, Grid] = {}
    profiles: dict[str, Profile] = {}
    for row in session.scalars(
        select(ReferenceProfile).where(
            ReferenceProfile.model == version.model, ReferenceProfile.version == version.version
        )
    ):
        grids[row.column] = Grid.from_json(row.grid)
        profiles[row.column] = Profile.from_json(row.profile, grids[row.column])
    metrics = {name: Metric(**metric) for name, metric in summary.performance["pooled"].items()}
    return Reference(
        model=version.model, version=version.version, digest=version.reference_digest,
        path=Path(version.reference_path), rows=summary.rows, grids=grids, profiles=profiles,
        performance=Performance(metrics, summary.rows, summary.rows, 0, 1.0),
        by_window={
            size: {name: tuple(values) for name, values in by_size.items()}
            for size, by_size in summary.performance["by_window"].items()
        },
        trusted=frozenset(summary.trust["trusted"]), trust=summary.trust,
        noise={size: _noise_from(document) for size, document in summary.noise.items()},
    )  # fmt: skip


def _noise_document(noise: Noise) -> dict[str, dict[str, list[float]]]:
    document: dict[str, dict[str, list[float]]] = {}
    for (column, statistic), values in noise.items():
        document.setdefault(column, {})[statistic] = list(values)
    return document


def _noise_from(document: Mapping[str, Mapping[str, list[float]]]) -> Noise:
    return {
        (column, statistic): tuple(values)
        for column, statistics in document.items()
        for statistic, values in statistics.items()
    }
