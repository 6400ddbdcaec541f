"""Drift of 1,000,000 rows and 30 columns (20 numeric, 10 categorical) in a Parquet file against an equal reference.

Ours profiles the file, computes every default statistic against the stored profile of the reference and decides on
each; peers start from rows in memory (their reading is not counted):

    Evidently  DataDriftPreset with PSI alone, which looks at the reference each time
    NannyML    UnivariateDriftCalculator, fitted beforehand, with those of our default statistics that it has
               (Jensen-Shannon, Kolmogorov-Smirnov, Wasserstein; Jensen-Shannon, chi-squared, L-infinity); and with
               Jensen-Shannon alone, as a figure without a target

Beside them a bare DuckDB scan that counts and averages the same columns. Ours runs in processes of its own, whose
peak memory is read at their end; its first run, which compiles the scan, is a figure of its own.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backend.monitoring.columns import Column, ModelSpec
from benchmarks.figures import Figure, figure, percentile

ROWS: Final = 1_000_000
NUMERIC: Final = [f"n{i}" for i in range(20)]
CATEGORICAL: Final = [f"c{i}" for i in range(10)]
LEVELS: Final = (5, 20, 50, 200, 10, 5, 20, 50, 1000, 3)
COLUMNS: Final = (
    *(Column(name, "numeric") for name in NUMERIC),
    *(Column(name, "categorical") for name in CATEGORICAL),
)
SPEC: Final = ModelSpec(task="binary", features=COLUMNS, window="1d")


def measure(*, repeats: int = 5, peers: bool = True) -> list[Figure]:
    """Medians in milliseconds, megabytes for memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, side in enumerate(("reference", "current")):
            write_rows(folder / f"{side}.parquet", ROWS, index)
        write_rows(folder / "ten.parquet", 10 * ROWS, 2)
        one = _measured_alone(folder, "current", repeats)
        ten = _measured_alone(folder, "ten", max(repeats // 2, 1))
        others = _peers(folder) if peers else {}
    scan, ours = one["scan_ms"], one["ours_ms"]
    evidently, nannyml = others.get("evidently"), others.get("nannyml")
    return [
        figure("drift_speed_scan", ours, "ms", rows=ROWS, target=8 * scan, peer="bare DuckDB scan", peer_value=scan),
        figure("drift_speed_first", one["first_ms"], "ms", rows=ROWS),
        figure("drift_speed_evidently", ours, "ms", rows=ROWS, target=None if evidently is None else evidently / 100,
               peer="Evidently DataDriftPreset (PSI)", peer_value=evidently),
        figure("drift_speed_nannyml", ours, "ms", rows=ROWS, target=None if nannyml is None else nannyml / 20,
               peer="NannyML univariate, the same statistics", peer_value=nannyml),
        figure("drift_speed_nannyml_one", ours, "ms", rows=ROWS, peer="NannyML univariate JS alone",
               peer_value=others.get("nannyml_one")),
        figure("drift_speed_ten_times", ten["ours_ms"], "ms", rows=10 * ROWS, target=10 * ours,
               peer="a tenth of the rows", peer_value=ours),
        figure("drift_speed_memory", one["peak_mb"], "MB", rows=ROWS, target=1000),
        figure("drift_speed_memory_ten_times", ten["peak_mb"], "MB", rows=10 * ROWS),
    ]  # fmt: skip


def write_rows(path: Path, rows: int, seed: int) -> None:
    """Rows of five shapes and ten cardinalities, in files as pandas and pyarrow write them."""
    random = np.random.default_rng(seed)
    writer = None
    for first in range(0, rows, ROWS):
        count = min(ROWS, rows - first)
        table = pa.table(
            {name: _numbers(random, index, count) for index, name in enumerate(NUMERIC)}
            | {
                name: _categories(random, levels, count)
                for name, levels in zip(CATEGORICAL, LEVELS, strict=True)
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _numbers(random: np.random.Generator, index: int, count: int) -> Any:
    shapes: list[Callable[[], Any]] = [
        lambda: random.normal(size=count),
        lambda: random.lognormal(size=count),
        lambda: random.exponential(size=count),
        lambda: random.random(count),
        lambda: np.where(random.random(count) < 0.3, random.normal(size=count), random.normal(4, 2, count)),
    ]
    return shapes[index % len(shapes)]()


def _categories(random: np.random.Generator, levels: int, count: int) -> pa.Array:
    weights = 1 / np.arange(1, levels + 1)
    picks = random.choice(levels, count, p=weights / weights.sum()).astype(np.int32)
    return pa.DictionaryArray.from_arrays(picks, [f"level_{k}" for k in range(levels)]).cast(pa.string())


def _measured_alone(folder: Path, side: str, repeats: int) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.drift_speed", str(folder), side, str(repeats)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def prepare(folder: Path) -> None:
    """Freeze the grids and store the reference's profile, in a process whose memory is not ours to report."""
    from backend.monitoring.profiles import freeze_grids, profile_table

    table = pq.read_table(folder / "reference.parquet")
    grids = freeze_grids(table, COLUMNS)
    profiles = profile_table(table, grids)
    stored = {name: [grids[name].to_json(), profile.to_json()] for name, profile in profiles.items()}
    (folder / "reference.json").write_text(json.dumps(stored))


def alone(folder: Path, side: str, repeats: int) -> dict[str, float]:
    """Our time and the bare scan's, turn by turn, and this process's peak memory."""
    from backend.monitoring.evaluate import evaluate_window
    from backend.monitoring.grids import Grid
    from backend.monitoring.profiles import Profile, profile_table
    from backend.monitoring.sources import connect

    stored = json.loads((folder / "reference.json").read_text())
    grids = {name: Grid.from_json(grid) for name, (grid, _) in stored.items()}
    reference = {name: Profile.from_json(profile, grids[name]) for name, (_, profile) in stored.items()}
    file = folder / f"{side}.parquet"
    reads = [f"count({name}), avg({name})" for name in NUMERIC] + [f"count({name})" for name in CATEGORICAL]
    bare = f"select {', '.join(reads)} from read_parquet('{file}')"  # noqa: S608 - our own names
    connection = connect()

    def ours() -> None:
        evaluate_window(SPEC, grids, reference, profile_table(file, grids))

    began = time.perf_counter()
    ours()
    first = (time.perf_counter() - began) * 1000
    took: dict[str, list[float]] = {"ours": [], "scan": []}
    for _ in range(repeats):
        for name, run in (("ours", ours), ("scan", lambda: connection.execute(bare).fetchall())):
            began = time.perf_counter()
            run()
            took[name].append((time.perf_counter() - began) * 1000)
    return {
        "ours_ms": percentile(took["ours"], 0.5),
        "scan_ms": percentile(took["scan"], 0.5),
        "first_ms": first,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _peers(folder: Path) -> dict[str, float]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
    from nannyml import UnivariateDriftCalculator
    from nannyml.chunk import SizeBasedChunker

    reference, current = (
        pq.read_table(folder / f"{side}.parquet").to_pandas() for side in ("reference", "current")
    )
    definition = DataDefinition(numerical_columns=NUMERIC, categorical_columns=CATEGORICAL)
    names = [*NUMERIC, *CATEGORICAL]
    calculators = {
        key: UnivariateDriftCalculator(
            column_names=names, continuous_methods=continuous, categorical_methods=categorical,
            chunker=SizeBasedChunker(ROWS),
        )
        for key, continuous, categorical in (
            ("nannyml", ["jensen_shannon", "kolmogorov_smirnov", "wasserstein"],
             ["jensen_shannon", "chi2", "l_infinity"]),
            ("nannyml_one", ["jensen_shannon"], ["jensen_shannon"]),
        )
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        began = time.perf_counter()
        sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
        Report([DataDriftPreset(method="psi")]).run(*sides)
        took = {"evidently": (time.perf_counter() - began) * 1000}
        for key, calculator in calculators.items():
            calculator.fit(reference)
            began = time.perf_counter()
            calculator.calculate(current)
            took[key] = (time.perf_counter() - began) * 1000
        logging.disable(logging.NOTSET)
    return took


if __name__ == "__main__":
    place, which, times = sys.argv[1:]
    if not (Path(place) / "reference.json").exists():
        subprocess.run(
            [sys.executable, "-c", "import sys; from pathlib import Path; from benchmarks.drift_speed import prepare; "
             "prepare(Path(sys.argv[1]))", place], check=True,
        )  # fmt: skip
    print(json.dumps(alone(Path(place), which, int(times))))
