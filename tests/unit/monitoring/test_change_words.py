"""A split change in one sentence."""

from __future__ import annotations

import pytest

from backend.monitoring.causes import KINDS, Attribution, Contributor, Kind, Part
from backend.monitoring.change_words import say_baselines, say_change


def split(
    metric: str, before: float, after: float, parts: dict[Kind, tuple[float, str]], *, half: float = 0.001,
    reason: str | None = None, lower_is_better: bool = False,
) -> Attribution:  # fmt: skip
    worse = after - before if lower_is_better else before - after
    made = tuple(
        Part(
            kind, parts.get(kind, (0.0, ""))[0], None, None,
            (Contributor(parts[kind][1], 1.0),) if parts.get(kind, (0, ""))[1] else (), "",
        )
        for kind in KINDS
    )  # fmt: skip
    return Attribution(metric, before, after, worse, worse - half, worse + half, 1000, 500, made, "", reason)


def test_parts_come_largest_first_in_points_with_what_is_behind_them() -> None:
    parts: dict[Kind, tuple[float, str]] = {
        "mix": (0.012, "dep_hour"), "behaviour": (0.040, "origin = JFK"), "quality": (0.009, "dep_hour: 4.1% of rows"),
    }  # fmt: skip
    assert say_change(split("roc_auc", 0.760, 0.699, parts)) == (
        "roc_auc fell by 6.1 points against all reference rows: 4.0 from behaviour in origin = JFK, "
        "1.2 from input mix (dep_hour), 0.9 from data quality (dep_hour)."
    )


def test_an_error_rises_in_its_own_unit_and_a_part_may_pull_the_other_way() -> None:
    parts: dict[Kind, tuple[float, str]] = {"behaviour": (2.0, ""), "mix": (-0.48, "")}
    assert say_change(split("mae", 4.0, 5.52, parts, lower_is_better=True)) == (
        "mae rose by 1.52 against all reference rows: 2 from behaviour, 0.48 from input mix the other way."
    )


def test_what_is_unexplained_is_said_to_be_so() -> None:
    assert say_change(split("accuracy", 0.9, 0.8, {"unexplained": (0.1, "")})) == (
        "accuracy fell by 10.0 points against all reference rows: 10.0 unexplained."
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (split("roc_auc", 0.76, 0.755, {}, half=0.02),
         "roc_auc fell by 0.5 points against all reference rows, which is within what chance gives to so many rows."),
        (split("roc_auc", 0.76, 0.70, {}, reason="the window has 40 rows with output and label; 100 are needed"),
         "roc_auc fell by 6.0 points against all reference rows; why cannot be told: "
         "the window has 40 rows with output and label; 100 are "
         "needed."),
        (split("roc_auc", 0.76, 0.76, {}), "roc_auc is what it was in the reference."),
        (Attribution("roc_auc", 0.76, None, None, None, None, 9, 0, (), "", "no labels"),
         "What changed cannot be told: no labels."),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_said(found: Attribution, sentence: str) -> None:
    assert say_change(found) == sentence


def test_both_baselines_are_named_where_they_differ() -> None:
    assert say_baselines("roc_auc", 0.739, 0.712, 0.594) == (
        "Against all reference rows 0.739; the limit is held against 0.712, "
        "from which roc_auc fell by 11.8 points."
    )
    assert "mae rose by 1.5." in say_baselines("mae", 4.0, 4.5, 6.0)
    for same in ((0.739, 0.7391, 0.6), (None, 0.7, 0.6), (0.7, None, 0.6)):
        assert say_baselines("roc_auc", *same) == ""
