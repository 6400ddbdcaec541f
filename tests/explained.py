"""Stored explanations for tests whose subject is not their computation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from backend import clock
from backend.database.session import WriteSession
from backend.explain.figures import mean_sizes
from backend.explain.predictions import ExplainerFacts, LocalExplanation, store_explanations
from backend.explain.service import Contribution, Explanation, store_explanation
from backend.explain.tables import PredictionExplanation
from backend.explain.windows import Leaning, store_leanings
from backend.monitoring.tables import WindowState
from tests.worlds import SYSTEM

WEIGHTS = (1.0, 0.6, 0.3, 0.1)


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


def store_windows(session: WriteSession, model: str = "toy", *, rows: int = 120, windows: int = 6) -> None:
    """Sampled predictions of version 2 in windows of a day, the version's own explanation, and what each window leant
    on; in the newest window the carrier has come to lead."""
    draw = np.random.default_rng(4)
    base = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    columns = ("distance", "carrier", "month", "hour")
    facts = ExplainerFacts(
        model, 2, "tree", "shap TreeExplainer, exact", "log-odds", columns, "sha256:a", "", 0
    )
    store_explanation(
        session, SYSTEM,
        explanation=Explanation(
            model, 2, 600, "shap TreeExplainer, exact", 0.1,
            tuple(Contribution(name, size, None, size / 20) for name, size in zip(columns, WEIGHTS, strict=True)),
        ),
    )  # fmt: skip
    for day in range(windows):
        start = base - timedelta(days=windows - day)
        weights = np.array(WEIGHTS if day < windows - 1 else WEIGHTS[::-1])
        given = draw.normal(size=(rows, len(columns)))
        values = given * weights
        store_explanations(
            session, SYSTEM, explainer=facts,
            explained=[
                LocalExplanation(
                    f"d{day}-{number}", start + timedelta(minutes=number), "production", 0.1,
                    0.1 + float(values[number].sum()), tuple(values[number].tolist()),
                    (float(given[number, 0]), "UA" if given[number, 1] > 0 else "AA", *given[number, 2:].tolist()),
                    "sample",
                )
                for number in range(rows)
            ],
        )  # fmt: skip
        window = WindowState(
            model=model, environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
            rows=rows * 10, state="complete",
        )  # fmt: skip
        store_leanings(
            session, SYSTEM, window=window, leanings=[Leaning("", rows, tuple(mean_sizes(columns, values)))]
        )
