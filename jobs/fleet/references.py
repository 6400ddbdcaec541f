"""The reference data of the fleet's versions: one file for each task and version number, shared by all models.

Every column takes ten values at most, so a profile is ten counts. Grids, profiles and performance are measured as those
of a real version are; only the estimator is not assessed, and what noise the reference's own windows have is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from backend.monitoring.columns import Column, ModelSpec, parse_spec
from backend.monitoring.grids import Grid, freeze_grids
from backend.monitoring.importance import Importance, Importances
from backend.monitoring.label_lag import LabelLag
from backend.monitoring.performance import measure
from backend.monitoring.profiles import profile_table
from backend.monitoring.references import Reference
from backend.registry.artefacts import artefact_digest, file_digest
from jobs.fleet.plan import FleetPlan, ModelPlan, features_of, spec_of_model

VALUES: Final = 10
ROWS: Final = 2000
LETTERS: Final = tuple("abcdefghij")
CLASSES: Final = ("0", "1")
NOT_ASSESSED: Final = "synthetic: no estimator was assessed"
CARD: Final = Path(__file__).parents[2] / "models_cards" / "TEMPLATE.md"


@dataclass(frozen=True)
class Shared:
    """The files and figures of one task and version number.

    shares  {column: (10,) how often it takes each of its values}
    cells   {column: (10,) the cell of the grid that counts each value}
    """

    version: int
    spec: ModelSpec
    folder: Path
    artefact: str
    digest: str
    reference: Reference
    shares: Mapping[str, npt.NDArray[np.float64]]
    cells: Mapping[str, npt.NDArray[np.int64]]

    @property
    def file(self) -> Path:
        return self.folder / "reference.parquet"

    @property
    def card(self) -> Path:
        return self.folder / "card.md"


def share_references(plan: FleetPlan, home: Path) -> dict[tuple[str, int], Shared]:
    """{(task, version): what its versions share}; files that are there already are left as they are."""
    found = {}
    for task in ("binary", "regression"):
        for version in (1, 2):
            draw = np.random.default_rng([plan.seed, version, 7 if task == "binary" else 8])
            folder = home / "fleet" / f"{plan.seed}-{plan.features}-{task}-{version}"
            found[task, version] = _share(plan, task, version, draw, folder)
    return found


def _share(plan: FleetPlan, task: str, version: int, draw: np.random.Generator, folder: Path) -> Shared:
    spec = parse_spec({"task": task, "window": "1d", "features": dict(features_of(plan))})
    shares = {column.name: np.sort(draw.dirichlet(np.full(VALUES, 4.0))) + 0.02 for column in spec.features}
    table = _rows(spec, shares, draw)
    _write(table, folder, task, version)
    grids = freeze_grids(table, spec.columns)
    profiles = profile_table(table, grids)
    performance = measure(spec, table)
    weights = np.sort(draw.gamma(0.6, size=len(spec.features)))[::-1]
    importances = Importances(
        tuple(
            Importance(column.name, round(float(weight), 6))
            for column, weight in zip(spec.features, weights / weights.sum(), strict=True)
        ),
        "surrogate",
        reason="synthetic",
    )
    digest = file_digest(folder / "reference.parquet")
    reference = Reference(
        rows=table.num_rows, grids=grids, profiles=profiles, performance=performance, by_window={},
        trusted=frozenset(), noise={}, importances=importances, version=version, digest=digest,
        trust={"trusted": [], "error": {}, "excess": {}, "chunks": 0, "reason": NOT_ASSESSED},
        path=folder / "reference.parquet",
    )  # fmt: skip
    cells = {one.name: _cells(one, grids[one.name]) for one in spec.columns}
    for name in cells.keys() - shares.keys():
        counts = profiles[name].counts[cells[name]].astype(np.float64)
        shares[name] = counts / counts.sum()
    return Shared(
        version, spec, folder, artefact_digest(folder / "artefact"), digest, reference, shares, cells
    )


def _rows(
    spec: ModelSpec, shares: Mapping[str, npt.NDArray[np.float64]], draw: np.random.Generator
) -> pa.Table:
    columns: dict[str, Any] = {}
    for column in spec.features:
        places = draw.choice(VALUES, ROWS, p=shares[column.name] / shares[column.name].sum())
        places[:VALUES] = np.arange(VALUES)
        columns[column.name] = (
            np.array(LETTERS)[places] if column.kind == "categorical" else places.astype(np.float64)
        )
    places = draw.choice(VALUES, ROWS, p=_bell())
    places[:VALUES] = np.arange(VALUES)
    if spec.task == "binary":
        score = (places + 0.5) / VALUES
        columns |= {"score": score, "prediction": np.where(score >= spec.cutoff, "1", "0"),
                    "label": np.where(draw.random(ROWS) < score, "1", "0")}  # fmt: skip
    else:
        prediction = 10.0 * (places + 1)
        columns |= {"prediction": prediction, "label": prediction + np.round(draw.normal(0, 8, ROWS), 3)}
    return pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)


def _bell() -> npt.NDArray[np.float64]:
    weights = np.array([6, 9, 12, 14, 13, 12, 11, 10, 8, 5], dtype=np.float64)
    return np.asarray(weights / weights.sum())


def values_of(column: Column) -> npt.NDArray[np.float64]:
    """The values of a numeric column, ascending."""
    places = np.arange(VALUES, dtype=np.float64)
    if column.name == "score":
        return (places + 0.5) / VALUES
    return 10.0 * (places + 1) if column.name == "prediction" else places


def _cells(column: Column, grid: Grid) -> npt.NDArray[np.int64]:
    """The cell of each value that the column takes."""
    if column.kind == "numeric":
        return grid.locate(values_of(column))
    known = CLASSES if column.name == "prediction" else LETTERS
    return np.array([grid.values.index(value) for value in known], dtype=np.int64)


def _write(table: pa.Table, folder: Path, task: str, version: int) -> None:
    """The reference data, the card, and a file in the place of a model: nothing can be loaded from it."""
    artefact = folder / "artefact"
    artefact.mkdir(parents=True, exist_ok=True)
    (artefact / "synthetic.txt").write_text(f"The place of a synthetic {task} model, version {version}.\n")
    card = CARD.read_text(encoding="utf-8").replace(
        "# Model card: [More Information Needed]", "# A synthetic model"
    )
    (folder / "card.md").write_text(card, encoding="utf-8")
    if not (folder / "reference.parquet").exists():
        pq.write_table(table, folder / "reference.parquet.part")
        (folder / "reference.parquet.part").rename(folder / "reference.parquet")


def reference_for(shared: Shared, model: ModelPlan, plan: FleetPlan) -> tuple[Reference, ModelSpec]:
    """The shared reference as that of one model, and the model's spec."""
    lag = LabelLag(((timedelta(days=model.label_days), 0.97),))
    return (
        replace(shared.reference, model=model.name, label_lag=lag, labelled=0.97),
        parse_spec(spec_of_model(plan, model)),
    )
