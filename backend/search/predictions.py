"""Predictions, which are about people: found by their whole id alone, for those who may look at one.

The database knows those that were explained. The others lie in the observation store, a table to each model, which is
read only where somebody asks for that.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy import select

from backend.data_rights.explanation import LONGEST_ID
from backend.database.many import among
from backend.database.session import ReadSession
from backend.explain.tables import PredictionExplanation
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.service import described_models
from backend.registry.tables import Model
from backend.search.hits import Hit
from backend.search.typed import Typed

NOT_LOOKED_UP: Final = "not looked up"
MOST_STORES: Final = 20
"""So many models' stored rows are read for one search."""


def find_predictions(session: ReadSession, viewer: Actor, typed: Typed, limit: int) -> list[Hit]:
    """Those that were explained and have this id; `model/id` names the model, too, and is found by it."""
    model, given = _parts(session, viewer, typed)
    row = PredictionExplanation
    query = select(row.model, row.prediction_id, row.version, row.environment).where(
        row.prediction_id == given
    )
    within = viewer.models_with(Permission.EXPLAIN_PREDICTION)
    models = select(Model.name)  # the table's key begins with the model: without one every row would be read
    if within is not None:
        models = models.where(among(Model.name, sorted(within)))
    if model is not None:
        models = models.where(Model.name == model)
    found = session.execute(query.where(row.model.in_(models)).order_by(row.model).limit(limit))
    hits = [
        _hit(one.model, one.prediction_id, f"v{one.version}, {one.environment}", "explained") for one in found
    ]
    if model is not None and not hits:
        hit = _hit(model, given, "named by model and id; its page looks it up", NOT_LOOKED_UP)
        return [replace(hit, exact=typed.version is None)]  # `toy/7` is a version as well
    return hits


def look_in_stores(
    session: ReadSession, viewer: Actor, typed: Typed, *, observations: Path, known: frozenset[str]
) -> tuple[list[Hit], int]:
    """Read the stored rows of up to `MOST_STORES` models for this id, but of those that are `known` to have it.

    Also how many models were left out for being more than that.
    """
    from backend.observations.reader import present_ids  # duckdb and deltalake, for whoever asks

    model, given = _parts(session, viewer, typed)
    if not 0 < len(given) <= LONGEST_ID:
        return [], 0
    names = [model] if model is not None else _models(session, viewer)
    asked = [one for one in names if one not in known]
    found = [one for one in asked[:MOST_STORES] if given in present_ids(observations, one, [given])]
    return [_hit(one, given, one, "stored") for one in found], max(0, len(asked) - MOST_STORES)


def _parts(session: ReadSession, viewer: Actor, typed: Typed) -> tuple[str | None, str]:
    """Model and id of `model/id` where there is such a model to see, else the text as an id."""
    head, slash, rest = typed.text.partition("/")
    if slash and rest and head in _models(session, viewer):
        return head, rest
    return None, typed.text


def _models(session: ReadSession, viewer: Actor) -> list[str]:
    """Models whose single predictions this person may look at, by name."""
    within = viewer.models_with(Permission.EXPLAIN_PREDICTION)
    return [one.name for one in described_models(session) if within is None or one.name in within]


def _hit(model: str, given: str, context: str, state: str) -> Hit:
    query = {"model": model, "prediction": given}
    return Hit("prediction", given, model, state, context, "prediction", query, exact=True)
