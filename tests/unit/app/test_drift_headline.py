"""What the page of drift says first: never that a column is fine which cannot be judged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from app.components.drift_parts import say_window

NOW = datetime(2026, 6, 10, tzinfo=UTC)
WINDOW = {"start": NOW, "rows": 900, "completeness": 1.0, "version": 1.0, "computed_at": pd.NaT, "injected_rows": 0,
          "state": "complete"}  # fmt: skip


def said(**verdicts: str) -> tuple[str, str]:
    """The headline and its level where all statistics of each column have this verdict."""
    points = pd.DataFrame(
        [
            {"column": column, "statistic": statistic, "verdict": verdict, "value": 1.0, "threshold": 2.0,
             "effect": float("nan"), "effect_se": float("nan"), "rows": 900, "kind": "drift", "importance": 0.5,
             "level": "ticket" if verdict == "alarm" else None}
            for column, verdict in verdicts.items()
            for statistic in ("psi", "mean_shift")
        ]
    )  # fmt: skip
    told: list[Any] = []
    say_window(WINDOW, points, metric="roc_auc", say=lambda *what, **_: told.append(what))
    return told[0][0], told[0][1]


def test_a_column_that_cannot_be_judged_is_named_and_not_counted_as_fine() -> None:
    words, level = said(temp="inconclusive", wind="ok", dest="ok")
    assert words == "None of the 2 columns that can be judged drifted beyond its limit; temp cannot be judged"
    assert level == "ok"


@pytest.mark.parametrize("rest", ["ok", "inconclusive"])
def test_with_half_of_the_columns_unknown_nothing_is_fine(rest: str) -> None:
    assert said(temp="inconclusive", wind=rest)[1] == "unknown"


def test_beside_a_column_that_drifted_it_is_named_too() -> None:
    words, level = said(temp="inconclusive", wind="alarm", dest="ok")
    assert words.startswith("1 of 3 columns drifted: wind")
    assert words.endswith("; temp cannot be judged")
    assert level == "attention"


def test_where_all_can_be_judged_that_is_said_plainly() -> None:
    assert said(wind="ok", dest="ok") == ("No column drifted beyond its limit (4 results)", "ok")
