"""Figures of explanations against their definitions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backend.errors import BadInput
from backend.explain.figures import (
    cohort_differences,
    interacting,
    mean_sizes,
    ndcg,
    rank_changes,
    with_intervals,
)
from backend.explain.predictions import pack, unpack
from backend.explain.reasons import MOST_REASONS, adverse_reasons, is_declined, is_positive
from backend.monitoring.columns import parse_spec
from backend.monitoring.page_points import _class_shown
from backend.monitoring.performance._core import read_classes

FEATURES = {"income": "numeric", "debt": "numeric", "age": "numeric", "job": "categorical"}


def spec(**more: object):  # type: ignore[no-untyped-def]
    return parse_spec({"task": "binary", "features": FEATURES, "favourable": "positive", **more})


def test_values_are_kept_in_four_bytes_each() -> None:
    assert unpack(pack((1.5, -0.25))) == (1.5, -0.25)
    assert len(pack((0.1,) * 7)) == 28


def test_ndcg_equals_scikit_learns_and_is_one_only_in_the_same_order() -> None:
    from sklearn.metrics import ndcg_score

    reference = {"a": 3.0, "b": 2.0, "c": 0.5, "d": 0.1}
    now = {"a": 0.2, "b": 2.0, "c": 1.0, "d": 0.1}
    mine = ndcg(reference, now)
    assert mine == pytest.approx(ndcg_score([list(reference.values())], [list(now.values())]))
    assert mine < 1
    assert ndcg(reference, reference) == pytest.approx(1.0)
    assert ndcg({"a": 0.0}, {"a": 1.0}) is None


def test_ranks_say_who_moved_farthest() -> None:
    moved = rank_changes({"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0, "new": 9.0})
    assert [(one["column"], one["before"], one["now"], one["moved"]) for one in moved] == [
        ("c", 3, 1, 2), ("a", 1, 3, -2), ("b", 2, 2, 0),
    ]  # fmt: skip


def test_intervals_are_those_of_a_mean() -> None:
    values = np.array([[1.0, 0.0], [-3.0, 0.0], [2.0, 0.0]])
    first = with_intervals(mean_sizes(["a", "b"], values))[0]
    half = 1.959964 * np.std([1, 3, 2], ddof=1) / np.sqrt(3)
    assert (first["column"], first["mean_abs"]) == ("a", 2.0)
    assert (first["low"], first["high"]) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert with_intervals(mean_sizes(["a"], values[:1, :1]))[0]["low"] is None


def test_cohorts_differ_only_beyond_chance_and_small_ones_are_not_compared() -> None:
    draw = np.random.default_rng(1)
    values, member = draw.normal(size=(400, 2)), np.arange(400) < 100
    values[member, 0] += 1.0
    first, second = cohort_differences(["a", "b"], values, member)
    assert first["column"] == "a"
    assert first["low"] > 0
    assert second["low"] < 0 < second["high"]
    assert cohort_differences(["a", "b"], values, np.arange(400) < 12) == []


def test_the_column_that_interacts_is_found() -> None:
    draw = np.random.default_rng(2)
    inputs = draw.normal(size=(500, 3))
    values = np.stack([inputs[:, 0] * np.sign(inputs[:, 2]), inputs[:, 1], inputs[:, 2]], axis=1)
    values[:, 0] = np.where(inputs[:, 0] > 0, values[:, 0], inputs[:, 0])
    assert interacting(values, inputs, 0) == 2


def test_reasons_are_the_declared_sentences_of_what_counted_against_the_case() -> None:
    given = spec(reason_codes={"income": "Low income", "debt": "High debts", "job": "High debts"})
    told = adverse_reasons(given, {"income": -0.5, "debt": -0.4, "job": -0.3, "age": -0.8})
    assert [one["sentence"] for one in told] == ["High debts", "Low income"]
    assert told[0]["columns"] == ["debt", "job"]
    assert told[0]["contribution"] == pytest.approx(-0.7)
    assert told[0]["share"] == pytest.approx(0.35)  # age counted too, and has no sentence
    assert adverse_reasons(given, {"income": 0.5, "debt": 0.1}) == []
    many = spec(reason_codes={name: name for name in FEATURES})
    assert len(adverse_reasons(many, dict.fromkeys(FEATURES, -1.0))) == MOST_REASONS


def test_declined_is_the_decision_that_is_not_favourable() -> None:
    given = spec()
    assert is_declined(given, is_positive(given, "0", None, 0.5))
    assert not is_declined(
        given, is_positive(given, "1", 0.1, 0.5)
    )  # what was answered counts, not the score
    assert is_declined(given, is_positive(given, None, 0.4, 0.5))
    assert not is_declined(given, is_positive(given, None, None, 0.5))
    assert is_positive(spec(positive_label="good"), "Good", None, 0.5)


def test_a_gateway_answers_1_and_0_also_where_the_positive_label_is_a_word() -> None:
    """As in every figure of a window: labels are often words, answers not."""
    word = spec(positive_label="good")
    assert [is_positive(word, one, None, 0.5) for one in ("1", "0", "good", "bad")] == [
        True,
        False,
        True,
        False,
    ]
    assert not is_declined(word, is_positive(word, "1", 0.9, 0.5))
    assert is_declined(word, is_positive(word, "0", 0.1, 0.5))
    number = spec(positive_label="2")
    assert [is_positive(number, one, None, 0.5) for one in ("2", "1")] == [True, False]
    zero = spec(positive_label="0")
    assert [is_positive(zero, one, None, 0.5) for one in ("0", "1")] == [True, False]
    for given in (word, number, zero, spec()):
        for one in ("1", "0", "2", "good"):
            read = (
                read_classes([one], given.positive, "prediction") if given.positive or one in "10" else None
            )
            assert read is None or bool(read[0]) == is_positive(given, one, None, 0.5)
    grid = SimpleNamespace(values=("0", "1"))
    assert _class_shown(word, [SimpleNamespace(grid=grid)]) == "1"  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"reason_codes": {"shoe": "x"}}, "shoe is no feature"),
        ({"reason_codes": {"age": " "}}, "reason_codes.age"),
        ({"reason_codes": {"age": "x"}, "favourable": None}, "say under `favourable`"),
        ({"explanations": {"sample": -1}}, "explanations.sample"),
        ({"explanations": {"sampel": 1}}, "explanations"),
    ],
)
def test_a_wrong_declaration_is_refused_in_words(more: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        spec(**more)
