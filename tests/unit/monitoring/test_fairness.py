"""Fairness of a window: fairlearn's own numbers, by attribute and intersection, and no verdict from a small group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score
from statsmodels.stats.proportion import confint_proportions_2indep

from backend.errors import BadInput
from backend.monitoring.columns import parse_spec
from backend.monitoring.evaluate import Point, alarms_below
from backend.monitoring.fairness import gaps
from backend.monitoring.fairness.measures import GAPS, GROUP_MEASURES, NO_BOUND, needs_labels
from backend.monitoring.fairness.points import NOT_DECLARED, fairness_points
from backend.monitoring.fairness.standing import why_not_compared
from backend.monitoring.label_lag import Hearing
from backend.monitoring.monitors import Figure, bad_side

SPEAKS = Hearing(True, True)
SPEC: dict[str, Any] = {
    "task": "binary", "features": {"x": "numeric"}, "protected": ["sex", "age"], "favourable": "positive",
}  # fmt: skip


def people(rows: int = 3000, *, seed: int = 1, less: float = 0.0, few: int = 0) -> pd.DataFrame:
    """Decisions and labels of two sexes and three ages; the model favours women less often by `less`."""
    draw = np.random.default_rng(seed)
    sex = draw.choice(["f", "m"], rows, p=[0.4, 0.6])
    age = draw.choice(["old", "mid", "young"], rows, p=[0.2, 0.5, 0.3])
    score = draw.uniform(0, 1, rows)
    label = (draw.uniform(0, 1, rows) < score).astype(int)
    refused = (sex == "f") & (draw.uniform(0, 1, rows) < less)
    decided = ((score > 0.4) & ~refused).astype(int)
    if few:
        age[:few], decided[:few] = "rare", 0
    return pd.DataFrame({"sex": sex, "age": age, "score": score, "prediction": decided, "label": label})


def points_of(frame: pd.DataFrame, hearing: Hearing = SPEAKS, **more: Any) -> dict[tuple[str, ...], Point]:
    """{(attribute, statistic, group): point}"""
    table = pa.Table.from_pandas(frame.astype({"label": "Int64"}), preserve_index=False)
    spec = parse_spec({**SPEC, **more})
    return {
        (str(one.column), one.statistic, one.segment): one
        for one in fairness_points(spec, table, {}, hearing)
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("columns", [["sex"], ["age"], ["sex", "age"]])
def test_rates_and_gaps_are_fairlearns(seed: int, columns: list[str]) -> None:
    frame = people(seed=seed, less=0.3)
    found = points_of(frame)
    attribute = " × ".join(columns)
    asked = {"sensitive_features": frame[columns]}
    measured = MetricFrame(
        metrics={"selection_rate": selection_rate, "true_positive_rate": true_positive_rate,
                 "false_positive_rate": false_positive_rate, "precision": precision_score, "count": count},
        y_true=frame["label"], y_pred=frame["prediction"], **asked,
    )  # fmt: skip
    assert len(measured.by_group) == {"sex": 2, "age": 3, "sex × age": 6}[attribute]
    for group, row in measured.by_group.iterrows():
        values = group if isinstance(group, tuple) else (group,)
        name = " & ".join(f"{column}={value}" for column, value in zip(columns, values, strict=True))
        for statistic in ("selection_rate", "true_positive_rate", "false_positive_rate", "precision"):
            assert found[attribute, statistic, name].value == pytest.approx(row[statistic])
        assert found[attribute, "selection_rate", name].rows_current == row["count"]
    for statistic, function in {
        "demographic_parity_difference": demographic_parity_difference,
        "demographic_parity_ratio": demographic_parity_ratio,
        "equalized_odds_difference": equalized_odds_difference,
        "equal_opportunity_difference": equal_opportunity_difference,
    }.items():
        theirs = function(frame["label"], frame["prediction"], **asked)
        assert found[attribute, statistic, ""].value == pytest.approx(theirs)
    precision = measured.difference()["precision"]
    assert found[attribute, "predictive_parity_difference", ""].value == pytest.approx(precision)


def test_calibration_is_the_mean_of_label_less_score() -> None:
    frame = people()
    found = points_of(frame)
    by = (frame["label"] - frame["score"]).groupby(frame["age"]).mean()
    for group, value in by.items():
        point = found["age", "calibration", f"age={group}"]
        assert point.value == pytest.approx(value)
        assert point.low is not None and point.high is not None and point.low < value < point.high
    assert found["age", "calibration_difference", ""].value == pytest.approx(by.max() - by.min())


def test_combinations_that_nobody_has_are_no_groups() -> None:
    frame = people()
    frame = frame[~((frame["sex"] == "f") & (frame["age"] == "old"))]
    found = points_of(frame)
    groups = {segment for attribute, _, segment in found if attribute == "sex × age" and segment}
    assert len(groups) == 5 and "sex=f & age=old" not in groups
    asked = frame[["sex", "age"]]
    theirs = demographic_parity_ratio(frame["label"], frame["prediction"], sensitive_features=asked)
    assert found["sex × age", "demographic_parity_ratio", ""].value == pytest.approx(theirs)


def test_pairs_of_groups_have_the_published_intervals() -> None:
    hits, of = np.array([30.0, 45.0]), np.array([100.0, 90.0])
    asked = (45, 90, 30, 100)
    low, high = confint_proportions_2indep(*asked, compare="diff", method="newcomb")
    found = gaps.difference(hits, of)
    assert (found.low, found.high) == pytest.approx((low, high))
    low, high = confint_proportions_2indep(*asked, compare="ratio", method="log-adjusted")
    ratio = gaps.ratio(hits, of)
    assert ratio is not None and (ratio.low, ratio.high) == pytest.approx((1 / high, 1 / low))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 400)), min_size=2, max_size=8))
def test_an_interval_holds_its_gap(groups: list[tuple[int, int]]) -> None:
    of = np.array([float(max(one)) for one in groups])
    hits = np.array([float(min(one)) for one in groups])
    found = gaps.difference(hits, of)
    assert 0 <= found.low <= found.value <= found.high + 1e-12 <= 1 + 1e-9
    ratio = gaps.ratio(hits, of)
    assert (
        ratio is None if not hits.any() else ratio is not None and ratio.low <= ratio.value <= ratio.high <= 1
    )


def test_a_large_gap_is_beyond_four_fifths_and_none_is_within() -> None:
    beyond = points_of(people(less=0.4))["sex", "demographic_parity_ratio", ""]
    assert (beyond.verdict, beyond.level, beyond.threshold) == ("alarm", "ticket", 0.8)
    assert (
        beyond.text.startswith("sex=f gets a favourable decision 0.")
        and "at least 0.8 is asked" in beyond.text
    )
    assert alarms_below(beyond) and bad_side(Figure("fairness", "sex", "demographic_parity_ratio")) == "below"
    within = points_of(people())["sex", "demographic_parity_ratio", ""]
    assert (within.verdict, within.level, within.reason) == ("ok", None, None)


def test_twelve_people_raise_no_flag_and_give_no_all_clear() -> None:
    found = points_of(people(few=12), protected=["age"])
    rare = found["age", "selection_rate", "age=rare"]
    assert (rare.value, rare.rows_current, rare.verdict) == (0.0, 12, "inconclusive")
    assert rare.reason == "fewer than 30 rows count for it: shown, never judged"
    assert found["age", "demographic_parity_ratio", ""].verdict == "ok"  # of the groups that can be compared
    alone = points_of(people(24), protected=["sex"])["sex", "demographic_parity_ratio", ""]
    assert (alone.verdict, alone.value) == ("inconclusive", None)
    assert alone.reason == "fewer than two groups have 30 rows that count"


def test_an_interval_that_holds_the_bound_gives_no_verdict() -> None:
    found = points_of(people(160, less=0.22, seed=5), protected=["sex"])[
        "sex", "demographic_parity_ratio", ""
    ]
    assert found.low is not None and found.high is not None and found.low < 0.8 <= found.high
    assert (found.verdict, found.reason) == ("inconclusive", "the interval holds the bound")


def test_what_needs_labels_waits_for_them() -> None:
    limits = {"fairness": {"limits": {"demographic_parity_ratio": 0.8, "equalized_odds_difference": 0.1}}}
    none = people(less=0.4).assign(label=None)
    found = points_of(none, Hearing(False, False, None, "no label has come"), **limits)
    assert found["sex", "demographic_parity_ratio", ""].verdict == "alarm"
    odds = found["sex", "equalized_odds_difference", ""]
    assert (odds.value, odds.verdict, odds.reason) == (
        None,
        "inconclusive",
        "no label has come that counts for it",
    )
    early = points_of(
        people(less=0.4), Hearing(False, False, None, "9 of about 90 labels have come"), **limits
    )
    odds = early["sex", "equalized_odds_difference", ""]
    assert odds.value is not None and odds.verdict == "inconclusive"
    assert odds.text.endswith(": 9 of about 90 labels have come")
    assert points_of(people(less=0.4), **limits)["sex", "equalized_odds_difference", ""].verdict == "alarm"


def test_nothing_is_fine_while_labels_of_one_group_lag_behind() -> None:
    limits = {"protected": ["age"], "fairness": {"limits": {"equal_opportunity_difference": 0.3}}}
    frame = people(6000)
    assert points_of(frame, **limits)["age", "equal_opportunity_difference", ""].verdict == "ok"
    late = (frame["age"] == "old") & (np.arange(len(frame)) % 5 > 0)
    found = points_of(frame.assign(label=frame["label"].mask(late)), **limits)
    point = found["age", "equal_opportunity_difference", ""]
    assert point.verdict == "inconclusive"
    assert point.reason is not None and point.reason.startswith("labels of age=old have come for ")
    share = found["age", "labelled_share", "age=old"]
    assert share.value == pytest.approx(0.2, abs=0.03)


def test_labels_that_will_not_come_are_not_waited_for() -> None:
    frame = people(1000)
    gone = np.arange(1000) % 2 == 0
    frame = frame.assign(
        label=frame["label"].mask(gone), label_status=np.where(gone, "will_not_come", "known")
    )
    found = points_of(frame, protected=["sex"])
    assert found["sex", "labelled_share", "sex=f"].value == 1.0


def test_which_decision_is_favourable_is_declared_and_never_guessed() -> None:
    frame = people(less=0.4)
    undeclared = points_of(frame, favourable=None)["sex", "demographic_parity_ratio", ""]
    assert (undeclared.verdict, undeclared.reason) == ("inconclusive", NOT_DECLARED)
    negative = points_of(frame, favourable="negative")
    women = frame[frame["sex"] == "f"]["prediction"]
    assert negative["sex", "selection_rate", "sex=f"].value == pytest.approx(1 - women.mean())
    other = negative["sex", "demographic_parity_difference", ""]
    assert (other.verdict, other.reason) == ("inconclusive", NO_BOUND)


def test_rare_and_missing_values_are_shown_and_compared_with_nothing() -> None:
    frame = people(less=0.0)
    blank = np.arange(len(frame)) < 600
    frame["prediction"] = np.where(blank, 0, frame["prediction"])
    frame["sex"] = frame["sex"].mask(blank)
    found = points_of(frame, protected=["sex"])
    assert found["sex", "selection_rate", "sex=missing"].value == 0.0
    assert found["sex", "demographic_parity_ratio", ""].verdict == "ok"


def test_columns_and_decisions_that_are_not_there_are_said() -> None:
    found = points_of(people().drop(columns="age"))
    gone = found["age", "demographic_parity_ratio", ""]
    assert (gone.verdict, gone.reason) == ("no_data", "the rows hold no column age")
    assert found["sex × age", "demographic_parity_ratio", ""].verdict == "no_data"
    assert found["sex", "demographic_parity_ratio", ""].verdict == "ok"
    strange = points_of(people().assign(prediction="perhaps"))["sex", "demographic_parity_ratio", ""]
    assert strange.verdict == "no_data" and "perhaps" in strange.text
    unread = points_of(people(), positive_label="yes")
    assert unread["sex", "demographic_parity_ratio", ""].value is not None


def test_other_tasks_and_models_without_protected_columns_have_no_points() -> None:
    assert points_of(people(), protected=[]) == {}
    assert points_of(people(), task="regression", favourable=None) == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ""),
        ({"protected": []}, "no protected column is declared, so no group is compared"),
        (
            {"task": "regression"},
            "groups are compared by rates of two decisions, which a regression model does not",
        ),
        (
            {"task": "multiclass"},
            "which a multiclass model does not give; look at its performance by segment",
        ),
    ],
)
def test_why_groups_are_not_compared_is_said(more: dict[str, Any], said: str) -> None:
    spec = parse_spec({"task": "binary", "features": {"sex": "categorical"}, "protected": ["sex"], **more})
    assert said in why_not_compared(spec)
    assert bool(said) == bool(why_not_compared(spec))


@pytest.mark.parametrize(
    ("fairness", "message"),
    [
        (["sex"], "fairness: write a mapping of keys, not list"),
        ({"bounds": {}}, "fairness: bounds is not one of min_group, limits, intersections"),
        ({"min_group": 12}, "fairness.min_group: 12 is no whole number of 20 or more"),
        ({"limits": {"parity": 0.8}}, "fairness.limits: 'parity' is not one of demographic_parity_ratio"),
        ({"limits": {"demographic_parity_ratio": 80}}, "80 is no number between 0 and 1"),
        ({"limits": [0.8]}, "fairness.limits: write a mapping"),
        ({"intersections": ["sex"]}, "fairness.intersections: write a list of lists"),
        ({"intersections": [["sex"]]}, "are not two or more different columns"),
        ({"intersections": [["sex", "city"]]}, "'city' is not protected"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(fairness: Any, message: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_spec({**SPEC, "fairness": fairness})
    assert message in error.value.message
    with pytest.raises(BadInput, match="of binary models"):
        parse_spec({**SPEC, "task": "regression", "favourable": None, "fairness": {"min_group": 30}})


def test_intersections_are_every_two_columns_unless_declared() -> None:
    three = {**SPEC, "protected": ["sex", "age", "city"]}
    rule = parse_spec(three)
    assert rule.fairness.attributes(rule.protected)[3:] == (("sex", "age"), ("sex", "city"), ("age", "city"))
    named = parse_spec({**three, "fairness": {"intersections": [["sex", "age", "city"]]}})
    assert named.fairness.attributes(named.protected)[3:] == (("sex", "age", "city"),)
    assert (
        points_of(people(), fairness={"intersections": []})
        .keys()
        .isdisjoint({("sex × age", "precision", "")})
    )


def test_every_measure_is_explained_once() -> None:
    assert not GROUP_MEASURES.keys() & GAPS.keys()
    assert all(one.explanation.endswith(".") for one in (*GROUP_MEASURES.values(), *GAPS.values()))
    assert needs_labels("equalized_odds_difference") and not needs_labels("selection_rate")
