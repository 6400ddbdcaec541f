"""Which figures of a card are contradicted: beyond chance, and by what matters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.cards.contradictions import Claim, Contradiction, claims_of, differs, find_contradictions
from backend.cards.document import parse_card
from backend.cards.facts import Facts
from backend.cards.live import Pooled

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORDED = {"roc_auc": {"value": 0.91, "low": 0.90, "high": 0.92, "rows": 5000}}


def facts(
    live: float | None = None, *, half: float = 0.01, metric: str = "roc_auc", recorded: dict[str, Any] | None = None,
    tier: str = "high", owner: str | None = "Lena",
) -> Facts:  # fmt: skip
    pooled = {}
    if live is not None:
        pooled[metric, ""] = Pooled(metric, "", live, live - half, live + half, 9000, 30, 1, NOW, NOW)
    return Facts("toy", 2, NOW, (), {}, RECORDED if recorded is None else recorded, tier, owner, pooled)


def said(text: str, known: Facts) -> list[Contradiction]:
    return find_contradictions(parse_card(f"# Toy\n\n{text}\n"), known)


def test_a_card_that_promises_more_than_live_windows_show_is_contradicted_with_both_intervals() -> None:
    (found,) = said("Good.", facts(0.84))
    assert found.level == "attention"
    assert (
        "the card says AUC 0.910 (95 % 0.900 to 0.920, 5,000 rows), live it is 0.840 (95 % 0.830 to"
        in found.text
    )
    assert "worse by 0.070 (95 % 0.056 to 0.084)" in found.text
    assert "30 windows" in found.text
    assert "1 more could not be judged" in found.text


@pytest.mark.parametrize(
    ("live", "half"),
    [(0.90, 0.005), (0.895, 0.001), (0.84, 0.08), (0.91, 0.01)],
    ids=["overlaps", "differs by less than matters", "too uncertain", "equal"],
)
def test_what_chance_or_a_trifle_explains_is_no_contradiction(live: float, half: float) -> None:
    assert said("Good.", facts(live, half=half)) == []


def test_live_figures_that_are_better_are_told_without_alarm() -> None:
    (found,) = said("Good.", facts(0.97))
    assert (found.level, "better by 0.060" in found.text) == ("unknown", True)


def test_an_error_that_rose_is_worse() -> None:
    known = facts(13.0, half=0.5, metric="mae", recorded={"mae": {"value": 10.0, "low": 9.5, "high": 10.5}})
    (found,) = said("Good.", known)
    assert (found.level, "worse by 3.000" in found.text) == ("attention", True)


def test_without_live_figures_nothing_is_contradicted() -> None:
    assert said("AUC 0.91 it is.", facts()) == []


@pytest.mark.parametrize(
    "text",
    [
        "It reaches an AUC of 0.95.",
        "ROC AUC: 0.95",
        "AUROC = .95",
        "an auc of 95 %",
        "AUC 95.0%",
        "| AUC: 0.950 |",
        "AUC **0.95**",
        "**AUC**: 0.95",
        "- **AUC:** 0.95",
        "_AUC_ is `0.95`",
        "| AUC | 0.95 |",
        "| ROC AUC (test) | **0.95** | 0.91 |",
        "AUC ≈ 0.95",
        "AUC ~0.95",
        "AUC remained 0.95",
        "AUC score of 0.95",
        "area under the curve 0.95",
        "AUC (test): 0.95",
        "AUC on the test set is 0.95",
        "roc_auc: 0.95",
        "AUC is 0,95",
        "It reaches 0.95 AUC.",
        "[AUC](https://example.com): 0.95",
    ],
)
def test_a_typed_figure_that_is_not_the_recorded_one_is_found_with_its_line(text: str) -> None:
    (found,) = said(text, facts())
    assert found.line == 3
    assert "with the version was recorded 0.910 (95 % 0.900 to 0.920" in found.text


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("| Metric | Value |\n|---|---|\n| AUC | 0.95 |", 5),
        (
            "| Metric | Training | Test |\n|:--|--:|--:|\n| Rows | 9 | 8 |\n| **AUC** | 0.91 | 0.95 (0.94 to 0.96) |",
            6,
        ),
        ("| AUC | F1 |\n|---|---|\n| 0.95 | 0.70 |", 5),
        ("| | AUC |\n|---|---|\n| overall | 0.95 |\n| short haul | 0.80 |", 5),
    ],
)
def test_a_figure_in_a_table_is_found_with_its_line(table: str, line: int) -> None:
    (found,) = said(table, facts())
    assert (found.line, "the card says AUC 0.95" in found.text) == (line, True)


@pytest.mark.parametrize(
    "text",
    [
        "AUC 0.91", "AUC above 0.5 is chance", "version 0.95", "AUC is measured daily", "| AUC | 0.91 |",
        "| Metric | Training |\n|---|---|\n| AUC | 0.99 |",
        "| Metric | Alarm below |\n|---|---|\n| AUC | 0.80 |",
        "| Segment | AUC |\n|---|---|\n| short haul | 0.80 |\n| long haul | 0.70 |",
        "It fell by 0.02 AUC points.", "PR AUC 0.70", "AUC for 10,000 rows",
    ],
)  # fmt: skip
def test_a_rounded_figure_and_words_that_state_none_are_let_be(text: str) -> None:
    assert said(text, facts()) == []


def test_the_model_index_states_figures_too() -> None:
    card = parse_card(
        "---\nmodel-index:\n  - name: toy\n    results:\n      - task: {type: t}\n        dataset: {type: d, name: D}\n"
        "        metrics:\n          - {type: auc, value: 0.99}\n          - {type: wer, value: 3}\n---\n"
    )
    assert [(one.metric, one.value, one.line) for one in claims_of(card, facts(recorded={}))] == [
        ("roc_auc", 0.99, 8)
    ]
    (found,) = find_contradictions(card, facts(0.84, recorded={}))
    assert "the card says AUC 0.99, live it is 0.840" in found.text


def test_owner_and_tier_of_the_registry_win_over_the_cards() -> None:
    card = parse_card("---\nwarrant:\n  owner: Max\n  risk_tier: low\n---\n")
    assert [one.text for one in find_contradictions(card, facts())] == [
        "the card says risk tier low, and the model is governed as high",
        "the card names Max as its owner, and by the registry Lena is its owner",
    ]
    open_fields = parse_card('---\nwarrant:\n  owner: "{{ owner }}"\n  risk_tier: "{{ tier }}"\n---\n')
    assert find_contradictions(open_fields, facts(owner=None)) == []


def test_the_interval_of_a_difference_is_that_of_the_formula() -> None:
    claim = Claim("roc_auc", 0.9, 0.88, 0.93, 0, "")
    found = differs(claim, 0.8, 0.79, 0.82)
    assert found is not None
    assert found == pytest.approx(
        (-0.1, -0.1 - (0.01**2 + 0.03**2) ** 0.5, -0.1 + (0.02**2 + 0.02**2) ** 0.5)
    )
