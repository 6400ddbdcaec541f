"""One prediction's explanation for whoever asks by its id: the stored one at once, else the job that computes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.data_rights.explanation import find_run, request_explanation
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.explain.predictions import Stored, find_stored
from backend.explain.tables import PredictionExplanation
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.queue import JobRun
from backend.registry.service import described_models, get_model
from backend.settings import settings

FAILED_RECENTLY: Final = timedelta(minutes=10)
"""So long a failure is answered; then asking again tries again."""


@dataclass(frozen=True)
class Asked:
    """What is known of an explanation that is not stored: `run` computes it, or None where nobody has asked."""

    model: str
    stored: Stored | None = None
    run: JobRun | None = None


def look_up(session: ReadSession, viewer: Actor, *, prediction_id: str, model: str | None = None) -> Asked:
    """The stored explanation, or the run that computes it now. Raises `Conflict` with the reason where it has just
    failed, and `BadInput` where the model has to be named.
    """
    allow(session, viewer, Permission.EXPLAIN_PREDICTION)
    see(session, viewer)
    name = get_model(session, viewer, model).name if model else _model_of(session, viewer, prediction_id)
    stored = find_stored(session, name, prediction_id)
    if stored is not None:
        return Asked(name, stored)
    run = find_run(session, name, prediction_id, ("queued", "running"))
    if run is None:
        failed = find_run(session, name, prediction_id, ("failed",), since=clock.now() - FAILED_RECENTLY)
        if failed is not None:
            raise Conflict(
                f"the explanation of this prediction of {name} could not be computed: {failed.error}. "
                f"Run {failed.id}; asking again after {FAILED_RECENTLY.seconds // 60} minutes tries again"
            )
    return Asked(name, run=run)


def ask(session: WriteSession, actor: Actor, *, prediction_id: str, model: str) -> JobRun:
    """Have it computed. Raises `NotFound` where no such prediction is stored."""
    from backend.observations.reader import one_prediction  # duckdb and deltalake, for whoever asks

    allow(session, actor, Permission.EXPLAIN_PREDICTION)
    get_model(session, actor, model)
    if one_prediction(settings().observations, model, prediction_id) is None:
        raise NotFound(
            f"no prediction {prediction_id!r} of {model} is stored: it came within the last seconds, was erased, or "
            "its days of retention are over"
        )
    return request_explanation(session, actor, model=model, prediction_id=prediction_id)


def _model_of(session: ReadSession, viewer: Actor, prediction_id: str) -> str:
    """The model whose prediction this is, where it is explained or there is one model alone."""
    within = viewer.models_with(Permission.EXPLAIN_PREDICTION)
    reach = [one.name for one in described_models(session) if within is None or one.name in within]
    query = select(PredictionExplanation.model).where(
        PredictionExplanation.model.in_(reach), PredictionExplanation.prediction_id == prediction_id
    )
    found = sorted(session.scalars(query)) or (reach if len(reach) == 1 else [])
    if len(found) != 1:
        raise BadInput("name the model: ids of predictions are a model's own", field="model")
    return found[0]
