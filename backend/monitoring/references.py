"""A version's reference: grids, counts, performance, noise and trust, taken once and stored.

Everything here follows from the reference file whose digest the version records; where the stored digest is
another one, it is taken afresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, select

from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict
from backend.monitoring.cells import place_rows
from backend.monitoring.columns import ModelSpec
from backend.monitoring.effects import CellLosses, count_losses
from backend.monitoring.estimation import assess
from backend.monitoring.falls import Baseline, take_baseline
from backend.monitoring.grids import Grid, freeze_grids
from backend.monitoring.importance import Importance, Importances, fit_importance
from backend.monitoring.label_lag import AT_ONCE, LabelLag, find_label_lag
from backend.monitoring.outcomes import Outcomes, read_outcomes
from backend.monitoring.performance import DEFINITIONS, PRIMARY, Metric, Performance, measure
from backend.monitoring.profiles import Profile, profile_groups, profile_table
from backend.monitoring.tables import ReferenceProfile, ReferenceSummary
from backend.monitoring.thresholds import Noise, reference_noise
from backend.monitoring.windows import windows_between
from backend.registry.artefacts import file_digest
from backend.registry.tables import Version

NOTHING_KNOWN = Importances((), "surrogate")
_MEASURED = ("score", "prediction", "label")
_PLACE = "__warrant_place"


@dataclass(frozen=True)
class Measured:
    """What reference rows say: pure figures, whoever they belong to.

    by_window   {window size: {metric: (value, ...)}} over the reference's own windows
    trust       {"trusted": [metric], "error": {metric: x}, "chunks", "reason"}: whether estimates held on unseen rows
    noise       {window size: values of the statistics of its own windows against the rest}
    labelled    share of rows with a label: what completeness a window can come to
    label_lag   how long after the end of a window its labels can be judged, and how many have come by then
    importances how much each feature matters, and what the primary metric would lose without it
    losses      {column: the primary metric's losses by cell}, from which the effect of its drift is estimated
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

    def baseline(self, size: str) -> Baseline:
        """What a window of this size is held against."""
        return take_baseline(self.performance, self.by_window.get(size, {}))


@dataclass(frozen=True)
class Reference(Measured):
    """What windows of one version are compared with."""

    model: str = ""
    version: int = 0
    digest: str = ""
    path: Path = Path()


def read_reference(path: Path, digest: str) -> pa.Table:
    """The reference rows. Raises `Conflict` when the file is not the one that was recorded."""
    found = file_digest(path)
    if found != digest:
        raise Conflict(f"the reference data at {path} changed: recorded {digest[:19]}…, found {found[:19]}…")
    return pq.read_table(path)


def take_reference(version: Version, spec: ModelSpec) -> Reference:
    """Count, measure and assess a version's reference rows. Takes seconds: NannyML is asked for trust."""
    table = read_reference(Path(version.reference_path), version.reference_digest)
    measured = measure_reference(table.to_pandas(), spec)
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
    return Measured(
        rows=table.num_rows,
        grids=grids,
        profiles=profile_table(table, grids),
        performance=performance,
        by_window={size: _performance_by_window(frame, own[size], spec) for size in spec.sizes},
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
    )


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
    ends = pd.DatetimeIndex([window.end for window in windows]).as_unit("us")
    moments = pd.DatetimeIndex(frame["ts"]).as_unit("us")
    return np.searchsorted(ends.asi8, moments.asi8, side="right").astype(np.int64)


def _performance_by_window(
    frame: pd.DataFrame, place: npt.NDArray[np.int64], spec: ModelSpec
) -> dict[str, tuple[float, ...]]:
    """Each metric in every window of the reference that has enough rows for it."""
    found: dict[str, list[float]] = {}
    needed = [name for name in _MEASURED if name in frame] + [
        name for _, name in spec.classes if name in frame
    ]
    for number, rows in frame[needed].groupby(place, sort=True):
        if number < 0 or len(rows) < spec.min_labels:
            continue
        for name, metric in measure(spec, rows).metrics.items():
            if metric.value is not None:
                found.setdefault(name, []).append(metric.value)
    return {name: tuple(values) for name, values in found.items()}


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
            trust={
                **reference.trust,
                "labelled": reference.labelled,
                "label_looks": [[lag.total_seconds(), share] for lag, share in reference.label_lag.looks],
                "importances": asdict(reference.importances),
            },
            noise={size: _noise_document(noise) for size, noise in reference.noise.items()},
            losses={},
            measured_as="",
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
        labelled=float(summary.trust["labelled"]),
        label_lag=LabelLag(
            tuple((timedelta(seconds=lag), share) for lag, share in summary.trust["label_looks"])
        ),
        importances=_importances(summary.trust["importances"]),
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


def _importances(document: Mapping[str, Any]) -> Importances:
    columns = tuple(Importance(**one) for one in document["columns"])
    return Importances(**{**document, "columns": columns})
