"""The headline of the page of objectives."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from app.components.slo_list import answer_of
from app.components.slo_parts import gone_word
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
    first = Standing(ObjectiveRevision(), ANSWERS, ObjectiveState(state=states[0]), "", ())
    assert answer_of(first, Counter(states))[0] == sentence


@pytest.mark.parametrize(
    ("bad", "left_s", "word"),
    [(0.5, 29 * 86_400, ""), (9, 29 * 86_400, "ahead of budget"), (100, 29 * 86_400, "budget gone"),
     (11, 0.0, "budget gone"), (11, None, "budget gone")],
)  # fmt: skip
def test_a_budget_is_gone_only_where_more_was_used_than_its_whole_period_allows(
    bad: float, left_s: float | None, word: str
) -> None:
    """A hundred requests so far, of which one may fail; thirty in a month as things go."""
    figures = {"period": {"good": 100 - bad, "total": 100}, "period_s": 30 * 86_400, "left_s": left_s}
    remaining = 1 - bad / 100 / 0.01
    one = Standing(ObjectiveRevision(), ANSWERS, ObjectiveState(remaining=remaining, figures=figures), "", ())
    assert gone_word(one) == word
