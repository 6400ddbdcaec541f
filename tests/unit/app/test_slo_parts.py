"""The headline of the page of objectives."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.components.slo_parts import answer_of
from backend.slo.objectives import Availability, Objective
from backend.slo.reading import Standing
from backend.slo.tables import ObjectiveRevision, ObjectiveState
from backend.slo.windows import Rolling

ANSWERS = Objective(
    name="answers", model="toy", sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
)


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        (["ok"], "No objective is in danger; 1 objective holds"),
        (["ok", "ok"], "No objective is in danger; 2 objectives hold"),
        (["ok", "no_data"], "1 of 2 objectives cannot be judged; no other is in danger"),
    ],
)
def test_the_headline_agrees_with_its_number(states: list[str], sentence: str) -> None:
    standings = [Standing(ObjectiveRevision(), ANSWERS, ObjectiveState(state=one), "", ()) for one in states]
    assert answer_of(standings)[0] == sentence
