"""Computes what moved one prediction, with SHAP on the version that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.data_rights.explanation import keep_explanation
from backend.database.session import reading, writing
from backend.errors import BadInput, NotFound
from backend.monitoring.columns import parse_spec
from backend.observations.reader import one_prediction
from backend.queue import EXPLAIN_PREDICTION
from backend.registry.artefacts import file_digest
from backend.registry.service import get_model, get_version
from backend.settings import settings
from jobs.compute_shap import BACKGROUND_ROWS, SEED, explain_rows
from jobs.runtime import Run, workflow

STEPS = ("explain_and_keep",)
METHOD: Final = (
    "SHAP values: by how much each input moved the model's raw output (log-odds for a classifier) away from what is "
    "usual in the data it was trained on."
)


@workflow(EXPLAIN_PREDICTION)
def explain_prediction(run: Run) -> None:
    """Explain the prediction `arguments["prediction_id"]` of the model that is the run's subject."""
    run.progress(0.2, "loading the version and shap")
    run.step("explain_and_keep", explain_and_keep, run, run.subject, str(run.arguments["prediction_id"]))


def explain_and_keep(run: Run, model: str, prediction_id: str) -> int:
    """Gives how many inputs it has. Raises `NotFound` for a prediction that is not stored."""
    import numpy as np
    import pandas as pd

    from backend.serving.loader import Loader, load_estimator

    row = one_prediction(settings().observations, model, prediction_id)
    if row is None:
        raise NotFound(f"the prediction is not stored any more, so {model} cannot explain it")
    with reading() as session:
        spec = parse_spec(get_model(session, run.actor, model).spec)
        version = get_version(session, run.actor, model, int(row["version"]))
    hidden = [column.name for column in spec.features if column.name in spec.pseudonymise]
    if hidden:
        raise BadInput(
            f"{', '.join(hidden)} of {model} is stored as a pseudonym: the model cannot be asked again what moved it"
        )
    reference = Path(version.reference_path)
    if file_digest(reference) != version.reference_digest:
        raise BadInput(
            f"the reference data of {model} version {version.version} are not the recorded ones: {reference}"
        )
    folder = Loader(settings().resolved_home() / "jobs" / "artefacts", tracking_uri=settings().mlflow).fetch(
        version.uri, version.artefact_digest
    )
    usual = pd.read_parquet(reference)
    usual = usual.sample(min(BACKGROUND_ROWS, len(usual)), random_state=SEED)
    values = explain_rows(load_estimator(folder), pd.DataFrame([row]), usual, spec)[0]
    if (
        values.ndim > 1
    ):  # several classes: the one that was predicted is not known by number, so the largest counts
        values = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]
    with writing() as session:
        run.require_owned(session)
        keep_explanation(
            session, run.actor, model=model, prediction_id=prediction_id, version=version.version, method=METHOD,
            contributions=[
                {"column": column.name, "value": row.get(column.name), "contribution": float(values[position])}
                for position, column in enumerate(spec.features)
            ],
        )  # fmt: skip
    return len(spec.features)
