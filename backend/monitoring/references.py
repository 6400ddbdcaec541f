"""A version's reference: grids, counts, performance, noise and trust, taken once and stored.

Everything here follows from the reference file whose digest the version records; where the stored digest is
another one, it is taken afresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
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
    trusted: frozenset[str]
    trust: Mapping[str, Any]
    noise: Mapping[str, Noise]  # by window size


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
        trusted=trust.trusted,
        trust={
            "trusted": sorted(trust.trusted), "error": dict(trust.error), "chunks": trust.chunks,
            "reason": trust.reason,
        },
        noise={size: _noise(table, grids, size, spec) for size in spec.sizes},
    )  # fmt: skip


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
            performance={name: asdict(metric) for name, metric in reference.performance.metrics.items()},
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
    metrics = {name: Metric(**metric) for name, metric in summary.performance.items()}
    return Reference(
        model=version.model, version=version.version, digest=version.reference_digest,
        path=Path(version.reference_path), rows=summary.rows, grids=grids, profiles=profiles,
        performance=Performance(metrics, summary.rows, summary.rows, 0, 1.0),
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
