"""Stored explanations for tests whose subject is not their computation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend import clock
from backend.database.session import WriteSession
from backend.explain.predictions import ExplainerFacts, LocalExplanation, store_explanations
from backend.explain.tables import PredictionExplanation
from tests.worlds import SYSTEM


def store_explained(
    session: WriteSession,
    prediction_id: str,
    *,
    model: str = "toy",
    version: int = 2,
    moved: Mapping[str, float] | None = None,
    inputs: Mapping[str, Any] | None = None,
    base: float = 0.1,
    gap: float = 0.0,
    ts: datetime | None = None,
    computed_at: datetime | None = None,
    **more: Any,
) -> PredictionExplanation:
    """One explanation, as a job leaves it; `more` goes into its row."""
    moved = {"distance": -2.5, "carrier": 0.25} if moved is None else moved
    facts = ExplainerFacts(
        model, version, "tree", "shap TreeExplainer, exact", "log-odds", tuple(moved), "sha256:a", "", 0
    )
    explained = LocalExplanation(
        prediction_id, ts or clock.now(), "production", base, base + sum(moved.values()) + gap,
        tuple(moved.values()), tuple((inputs or {"distance": 100.0, "carrier": "UA"}).get(one) for one in moved),
        **more,
    )  # fmt: skip
    store_explanations(session, SYSTEM, explainer=facts, explained=[explained])
    row = session.get_one(PredictionExplanation, (model, prediction_id))
    row.computed_at = computed_at or row.computed_at
    session.flush()
    return row
