"""Storing what a version's reference says, and reading it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, select

from backend.database.session import ReadSession, WriteSession
from backend.monitoring.columns import ModelSpec
from backend.monitoring.effects import CellLosses
from backend.monitoring.grids import Grid
from backend.monitoring.importance import Importance, Importances
from backend.monitoring.label_lag import LabelLag
from backend.monitoring.performance import Metric, Performance
from backend.monitoring.profiles import Profile
from backend.monitoring.references import Reference, measured_as
from backend.monitoring.segments import ALL
from backend.monitoring.tables import ReferenceProfile, ReferenceSummary
from backend.monitoring.thresholds import Noise
from backend.registry.tables import Version


def store_reference(session: WriteSession, reference: Reference, spec: ModelSpec) -> None:
    """Replace what is stored of this version's reference."""
    where = (reference.model, reference.version)
    for table in (ReferenceProfile, ReferenceSummary):
        session.execute(delete(table).where(table.model == where[0], table.version == where[1]))
    session.add_all(
        ReferenceProfile(
            model=reference.model, version=reference.version, column=name, segment=segment,
            reference_digest=reference.digest, grid=reference.grids[name].to_json(), profile=profile.to_json(),
        )
        for segment, profiles in reference.parts.items()
        for name, profile in profiles.items()
    )  # fmt: skip
    session.add(
        ReferenceSummary(
            model=reference.model, version=reference.version, reference_digest=reference.digest,
            rows=reference.rows,
            performance={
                "pooled": {name: asdict(metric) for name, metric in reference.performance.metrics.items()},
                "segments": {
                    segment: {"rows": found.rows, "known": found.known,
                              "metrics": {name: asdict(metric) for name, metric in found.metrics.items()}}
                    for segment, found in reference.segment_performance.items()
                },
                "by_window": {
                    size: {name: list(values) for name, values in metrics.items()}
                    for size, metrics in reference.by_window.items()
                },
                "window_rows": {size: dict(rows) for size, rows in reference.window_rows.items()},
            },
            trust={
                **reference.trust,
                "labelled": reference.labelled,
                "label_looks": [[lag.total_seconds(), share] for lag, share in reference.label_lag.looks],
                "importances": asdict(reference.importances),
            },
            noise={size: _noise_document(noise) for size, noise in reference.noise.items()},
            losses={name: _losses_document(found) for name, found in reference.losses.items()},
            measured_as=measured_as(spec),
        )
    )  # fmt: skip
    session.flush()


def load_reference(session: ReadSession, version: Version, spec: ModelSpec) -> Reference | None:
    """What is stored of a version's reference, or None where nothing is that was measured of these data, so."""
    summary = session.get(ReferenceSummary, (version.model, version.version))
    if summary is None or summary.reference_digest != version.reference_digest:
        return None
    if summary.measured_as != measured_as(spec):
        return None
    grids: dict[str, Grid] = {}
    parts: dict[str, dict[str, Profile]] = {ALL: {}}
    for row in session.scalars(
        select(ReferenceProfile).where(
            ReferenceProfile.model == version.model, ReferenceProfile.version == version.version
        )
    ):
        grid = grids.setdefault(row.column, Grid.from_json(row.grid))
        parts.setdefault(row.segment, {})[row.column] = Profile.from_json(row.profile, grid)
    profiles = parts.pop(ALL)
    metrics = {name: Metric.from_json(metric) for name, metric in summary.performance["pooled"].items()}
    return Reference(
        model=version.model, version=version.version, digest=version.reference_digest,
        path=Path(version.reference_path), rows=summary.rows, grids=grids, profiles=profiles,
        performance=Performance(metrics, summary.rows, summary.rows, 0, 1.0),
        by_window={
            size: {name: tuple(values) for name, values in by_size.items()}
            for size, by_size in summary.performance["by_window"].items()
        },
        window_rows=summary.performance["window_rows"],
        trusted=frozenset(summary.trust["trusted"]), trust=summary.trust,
        labelled=float(summary.trust["labelled"]),
        label_lag=LabelLag(
            tuple((timedelta(seconds=lag), share) for lag, share in summary.trust["label_looks"])
        ),
        importances=_importances(summary.trust["importances"]),
        noise={size: _noise_from(document) for size, document in summary.noise.items()},
        losses={name: _losses_from(document) for name, document in summary.losses.items()},
        segments=parts,
        segment_performance={
            segment: Performance(
                {name: Metric.from_json(metric) for name, metric in found["metrics"].items()},
                found["rows"], found["known"], 0, 1.0,
            )
            for segment, found in summary.performance["segments"].items()
        },
    )  # fmt: skip


def _losses_document(losses: CellLosses) -> dict[str, Any]:
    document = {one.name: getattr(losses, one.name) for one in fields(losses)}
    return {
        name: value.tolist()
        if isinstance(value, np.ndarray)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in document.items()
    }


def _losses_from(document: Mapping[str, Any]) -> CellLosses:
    def counts(name: str) -> npt.NDArray[np.int64] | None:
        found = document[name]
        return None if found is None else np.array(found, dtype=np.int64)

    return CellLosses(
        column=document["column"], metric=document["metric"], labels=tuple(document["labels"]),
        rows=np.array(document["rows"], dtype=np.int64), loss=np.array(document["loss"], dtype=np.float64),
        square=np.array(document["square"], dtype=np.float64), positives=counts("positives"),
        negatives=counts("negatives"), edges=tuple(document["edges"]),
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
