"""Explains a version with SHAP on rows of its reference data, in the way that `jobs.explaining` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backend.database.session import reading, writing
from backend.explain.service import Contribution, Explanation, ranked, store_explanation
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.queue import COMPUTE_SHAP
from backend.registry.reference_file import reference_of
from backend.registry.service import get_model, get_version
from jobs.explain_sample import tell_drift
from jobs.explaining import Prepared, input_of
from jobs.explaining.base import SEED
from jobs.models import open_model
from jobs.models.explaining import prepared_there
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

STEPS = ("explain_and_store",)

TREE_ROWS: Final = 2000
ASKED_ROWS: Final = 200


@workflow(COMPUTE_SHAP)
def compute_shap(run: Run) -> None:
    """Explain version `arguments["version"]` of the model that is the run's subject."""
    run.progress(0.1, "loading the version and shap")
    run.step("explain_and_store", explain_and_store, run, run.subject, int(run.arguments["version"]))


def explain_and_store(run: Run, model: str, number: int) -> int:
    """Returns how many rows were explained."""
    with reading() as session:
        spec = parse_spec(get_model(session, run.actor, model).spec)
        version = get_version(session, run.actor, model, number)
    reference = reference_of(version).to_pandas()
    with open_model(version.uri, version.artefact_digest) as opened:
        run.progress(0.3, "computing SHAP values")
        explanation = explain(
            prepared_there(opened, reference, spec), reference, spec, model=model, version=number
        )
    with writing() as session:
        run.require_owned(session)
        store_explanation(session, run.actor, explanation=explanation)
    tell_drift(run, model)
    return explanation.rows


def explain(
    prepared: Prepared, reference: pd.DataFrame, spec: ModelSpec, *, model: str, version: int
) -> Explanation:
    """Mean |SHAP| a column over rows drawn from the reference (fixed seed), in the unit of the model's raw output.

    Classifiers: log-odds (`decision_function`), probability where there is none. Several classes: the mean over them.
    """
    import numpy as np

    most = ASKED_ROWS if prepared.way.kind == "permutation" else TREE_ROWS
    used = input_of(reference, spec).sample(min(len(reference), most), random_state=SEED)
    found = prepared.explain(used)
    values, size = found.values, np.abs(found.values)
    mean_abs = size.mean(axis=0) if size.ndim == 2 else size.mean(axis=(0, 2))
    contributions = [
        Contribution(
            column.name,
            float(mean_abs[position]),
            _direction(used[column.name].to_numpy("float64"), values[:, position])
            if column.kind == "numeric" and values.ndim == 2
            else None,
            _standard_error(size[:, position]),
        )
        for position, column in enumerate(spec.features)
    ]
    base = float(found.base.mean())
    return Explanation(model, version, len(used), prepared.method, base, tuple(ranked(contributions)))


def _standard_error(size: np.ndarray) -> float | None:
    """Of the mean over rows, and over the classes where there are several."""
    import numpy as np

    of_rows = size if size.ndim == 1 else size.mean(axis=1)
    return float(np.std(of_rows, ddof=1) / np.sqrt(len(of_rows))) if len(of_rows) > 1 else None


def _direction(values: np.ndarray, effects: np.ndarray) -> float | None:
    """Pearson correlation over rows with a value; None where either does not vary."""
    import numpy as np

    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(effects[known]) == 0:
        return None
    return float(np.clip(np.corrcoef(values[known], effects[known])[0, 1], -1.0, 1.0))
