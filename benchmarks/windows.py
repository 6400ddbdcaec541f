"""Drift figures of one window of 100,000 rows and 12 features against a reference of 50,000, beside two peers.

All three start from rows in memory (Arrow here, pandas there) and end with numbers for every feature. Warrant
computes every statistic that it registers, its peers one or the few they chose:

    Evidently  DataDriftPreset, which looks at reference and window each time; so ours does too in that figure
    NannyML    UnivariateDriftCalculator with Jensen-Shannon, fitted beforehand; ours profiles the window alone

The reports are not rendered. Each is run once before it is timed.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from backend.monitoring.columns import Column
from backend.monitoring.grids import freeze_grids
from backend.monitoring.profiles import Profile, profile_table
from backend.monitoring.statistics import REGISTRY
from benchmarks.figures import Figure, figure, percentile
from benchmarks.ingest import FEATURES, body

REFERENCE_ROWS: Final = 50_000
ROWS: Final = 100_000
COLUMNS: Final = [Column(name, kind) for name, kind in FEATURES.items()]


def measure(*, repeats: int = 3) -> list[Figure]:
    """Medians in milliseconds; ours and the peers' take turns."""
    reference, window = (
        pq.read_table(pa.BufferReader(body(first, rows, days=30)), columns=list(FEATURES))
        for first, rows in ((0, REFERENCE_ROWS), (10**6, ROWS))
    )
    grids = freeze_grids(reference, COLUMNS)
    profiles = profile_table(reference, grids)

    def both() -> int:
        frozen = freeze_grids(reference, COLUMNS)
        return _statistics(profile_table(reference, frozen), profile_table(window, frozen))

    def alone() -> int:
        return _statistics(profiles, profile_table(window, grids))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        took = _median_ms(
            {
                "both": both,
                "alone": alone,
                "evidently": _evidently(reference, window),
                "nannyml": _nannyml(reference, window),
            },
            repeats,
        )
        logging.disable(logging.NOTSET)
    return [
        figure(
            "drift_with_reference",
            took["both"],
            "ms",
            rows=ROWS,
            peer="Evidently DataDriftPreset",
            peer_value=took["evidently"],
        ),
        figure(
            "drift_of_window",
            took["alone"],
            "ms",
            rows=ROWS,
            peer="NannyML univariate JS",
            peer_value=took["nannyml"],
        ),
    ]


def _median_ms(measured: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in measured}
    for turn in range(repeats + 1):
        for name, run in measured.items():
            began = time.perf_counter()
            run()
            if turn:
                took[name].append((time.perf_counter() - began) * 1000)
    return {name: percentile(times, 0.5) for name, times in took.items()}


def _statistics(reference: Mapping[str, Profile], window: Mapping[str, Profile]) -> int:
    """Every registered statistic of every column that it applies to; how many there were."""
    results = [
        statistic.compute(reference[column.name], window[column.name])
        for column in COLUMNS
        for statistic in REGISTRY.values()
        if column.kind in statistic.applies_to
    ]
    return len(results)


def _evidently(reference: pa.Table, window: pa.Table) -> Callable[[], object]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[column.name for column in COLUMNS if column.kind == "numeric"],
        categorical_columns=[column.name for column in COLUMNS if column.kind == "categorical"],
    )
    sides = [table.to_pandas() for table in (window, reference)]

    def run() -> Any:
        datasets = [Dataset.from_pandas(side, data_definition=definition) for side in sides]
        return Report([DataDriftPreset()]).run(datasets[0], datasets[1])

    return run


def _nannyml(reference: pa.Table, window: pa.Table) -> Callable[[], object]:
    from nannyml import UnivariateDriftCalculator
    from nannyml.chunk import SizeBasedChunker

    calculator = UnivariateDriftCalculator(
        column_names=list(FEATURES),
        continuous_methods=["jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        chunker=SizeBasedChunker(ROWS),
    )
    calculator.fit(reference.to_pandas())
    frame = window.to_pandas()
    return lambda: calculator.calculate(frame)
