"""Computes what moved one prediction: SHAP on the version that made it, and LIME's second opinion beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.data_rights.explanation import cutoff_at
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.explain.predictions import store_explanations
from backend.observations.reader import one_prediction
from backend.queue import EXPLAIN_PREDICTION
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("explain_and_keep",)


@workflow(EXPLAIN_PREDICTION)
def explain_prediction(run: Run) -> None:
    """Explain the prediction `arguments["prediction_id"]` of the model that is the run's subject."""
    run.progress(0.1, "finding the prediction")
    run.step("explain_and_keep", explain_and_keep, run, run.subject, str(run.arguments["prediction_id"]))


def explain_and_keep(run: Run, model: str, prediction_id: str) -> int:
    """Gives how many inputs it has. Raises `NotFound` for a prediction that is not stored."""
    import pandas as pd

    from jobs.explaining.versions import prepared_version

    row = _row(model, prediction_id)
    run.progress(0.3, f"loading version {row['version']} and its explainer")
    because = "complaint" if run.arguments.get("complaint") else "asked"
    frame = pd.DataFrame([row])
    with prepared_version(run.actor, model, int(row["version"])) as version:
        run.progress(0.7, "computing SHAP values")
        with reading() as session:
            cutoff = cutoff_at(session, model, row, otherwise=version.version.cutoff)
        (shap,) = version.explain(frame, because=because, cutoffs=[cutoff])
        run.progress(0.8, "asking LIME for a second opinion")
        explained = [replace(shap, second_opinion=version.second_opinion(frame, shap))]
    _row(model, prediction_id)  # erased meanwhile: nothing of it is to be stored
    with writing() as session:
        run.require_owned(session)
        store_explanations(session, run.actor, explainer=version.facts, explained=explained)
    return len(version.spec.features)


def _row(model: str, prediction_id: str) -> dict[str, Any]:
    found = one_prediction(settings().observations, model, prediction_id)
    if found is None:
        raise NotFound(f"the prediction is not stored any more, so {model} cannot explain it")
    return found
