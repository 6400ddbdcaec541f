"""Rates of protected groups under both versions: fairlearn's own numbers, and no verdict from a small group."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadInput
from backend.governance.gates import Asked, gates
from backend.governance.group_rates import Share, compare_groups, gaps, unknown_groups, verdict_of_ratio
from backend.governance.pairs import PairedRows
from tests.unit.governance.test_pairs import binary, classes, spec_of, texts

PROTECTED: dict[str, Any] = {"protected": ["sex"], "favourable": "positive"}


def people(count: int = 2000, *, less: float = 0.0, seed: int = 1, unknown: float = 0.0) -> PairedRows:
    """Two groups; the candidate decides positively about the second less often, by `less`."""
    pairs = binary(count, seed=seed, unknown=unknown)
    draw = np.random.default_rng(seed)
    sex = draw.choice(["f", "m"], count)
    refused = (sex == "f") & (draw.uniform(0, 1, count) < less)
    decided = np.where(refused, "0", pairs.after.prediction)
    return replace(
        pairs, segments=pd.DataFrame({"sex": sex}), after=replace(pairs.after, prediction=texts(decided))
    )


def numbers(pairs: PairedRows, side: str) -> tuple[Any, Any, Any]:
    answers = pairs.before if side == "before" else pairs.after
    label = np.array([-1 if one is None else int(one) for one in pairs.label])
    return label, np.array([int(one) for one in answers.prediction]), pairs.segments["sex"].to_numpy()


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rates_and_gaps_are_fairlearns(side: str, seed: int) -> None:
    pairs = people(less=0.3, seed=seed)
    label, decided, sex = numbers(pairs, side)
    (column,) = compare_groups(spec_of("binary", **PROTECTED), pairs)["columns"]
    frame = MetricFrame(
        metrics={"favourable": selection_rate, "true_positive": true_positive_rate,
                 "false_positive": false_positive_rate},
        y_true=label, y_pred=decided, sensitive_features=sex,
    )  # fmt: skip
    for group in column["groups"]:
        for rate, share in group[side].items():
            assert share["rate"] == pytest.approx(frame.by_group.loc[group["name"], rate])
    given_sex = {"sensitive_features": sex}
    found = column[side]
    assert found["difference"]["value"] == pytest.approx(
        demographic_parity_difference(label, decided, **given_sex)
    )
    assert found["ratio"]["value"] == pytest.approx(demographic_parity_ratio(label, decided, **given_sex))
    assert found["odds_difference"]["value"] == pytest.approx(
        equalized_odds_difference(label, decided, **given_sex)
    )
    for gap in found.values():
        assert gap["low"] <= gap["value"] <= gap["high"]


def test_where_a_negative_decision_is_favourable_the_rates_are_of_negative_ones() -> None:
    pairs = people(less=0.3)
    turned = compare_groups(spec_of("binary", protected=["sex"], favourable="negative"), pairs)["columns"][0]
    straight = compare_groups(spec_of("binary", **PROTECTED), pairs)["columns"][0]
    for one, other in zip(turned["groups"], straight["groups"], strict=True):
        assert one["after"]["favourable"]["rate"] == pytest.approx(1 - other["after"]["favourable"]["rate"])
        assert one["after"]["true_positive"] == other["after"]["true_positive"]


def test_unlabelled_rows_count_for_decisions_and_not_for_errors() -> None:
    pairs = people(unknown=0.5)
    (column,) = compare_groups(spec_of("binary", **PROTECTED), pairs)["columns"]
    group = column["groups"][0]
    of = group["after"]["true_positive"]["of"] + group["after"]["false_positive"]["of"]
    assert group["after"]["favourable"]["of"] == group["rows"] > of > 0
    alone = compare_groups(spec_of("binary", **PROTECTED), people(unknown=1.1))["columns"][0]
    assert alone["after"]["odds_difference"] is None
    assert alone["after"]["ratio"] is not None


@given(st.integers(0, 29), st.integers(1, 29))
def test_a_group_of_fewer_than_thirty_never_gives_a_verdict(hits: int, of: int) -> None:
    small = {
        "favourable": Share(min(hits, of), of),
        "true_positive": Share(0, 0),
        "false_positive": Share(0, 0),
    }
    large = {"favourable": Share(900, 1000), "true_positive": Share(1, 2), "false_positive": Share(1, 2)}
    found = gaps({"few": small, "many": large})
    assert found["ratio"] is None
    assert verdict_of_ratio(found["ratio"]) == "inconclusive"


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(30, 200)), min_size=2, max_size=6))
def test_intervals_hold_the_gaps_whatever_the_groups(counts: list[tuple[int, int]]) -> None:
    share = {
        str(number): dict.fromkeys(
            ("favourable", "true_positive", "false_positive"), Share(min(hits, of), of)
        )
        for number, (hits, of) in enumerate(counts)
    }
    for gap in gaps(share).values():
        if gap is not None:
            assert 0 <= gap["low"] <= gap["value"] <= gap["high"] <= 1


@pytest.mark.slow
def test_groups_that_are_alike_are_called_unlike_in_at_most_one_of_twenty_looks() -> None:
    draw = np.random.default_rng(7)
    looks, wrong = 1_000, 0
    for _ in range(looks):
        shares = {
            str(number): dict.fromkeys(
                ("favourable", "true_positive", "false_positive"), Share(int(draw.binomial(150, 0.3)), 150)
            )
            for number in range(5)
        }
        found = gaps(shares)["ratio"]
        wrong += found["high"] < 1
    assert wrong / looks <= 0.05


@pytest.mark.parametrize(("less", "verdict"), [(0.6, "fail"), (0.0, "pass")])
def test_the_gate_says_for_certain_or_not_at_all(less: float, verdict: str) -> None:
    gate = gates()["groups_alike"]

    def ask(pairs: PairedRows | None, **more: Any) -> Any:
        spec = spec_of("binary", **{**PROTECTED, **more})
        asked = cast("Asked", SimpleNamespace(spec=spec, rows=pairs, rows_missing="nothing was scored"))
        return gate.check(asked, gate.parameters.model_validate({"odds": 0.5}))

    found = ask(people(less=less))
    assert found.verdict == verdict, found.text
    assert found.low <= found.value <= found.high
    assert ask(people(40, less=less)).verdict == "inconclusive"
    assert ask(None).text == "nothing was scored"
    undeclared = ask(people(less=less), favourable=None)
    assert (undeclared.verdict, "favourable: positive" in undeclared.text) == ("inconclusive", True)
    unheld = ask(people(less=0.0), protected=["sex", "age"])
    assert (unheld.verdict, "do not hold age" in unheld.text) == ("inconclusive", True)


def test_what_cannot_be_measured_says_why() -> None:
    assert compare_groups(spec_of("binary"), people()) == unknown_groups(
        "the model's spec declares no protected columns"
    )
    assert "two classes" in compare_groups(spec_of("multiclass", protected=["sex"]), classes())["why"]
    assert compare_groups(spec_of("binary", protected=["age"]), people())["why"] == "the rows do not hold age"


def test_a_spec_names_the_favourable_decision_or_is_refused() -> None:
    with pytest.raises(BadInput, match="favourable: 'yes'; write one of positive, negative"):
        spec_of("binary", favourable="yes")
    with pytest.raises(BadInput, match="favourable: only a binary model decides"):
        spec_of("regression", favourable="positive")


def test_it_is_plain_data() -> None:
    found = compare_groups(spec_of("binary", **PROTECTED), people())
    assert json.loads(json.dumps(found)) == found
