"""What a change's page says of protected groups."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from app.components.group_parts import show_groups
from backend.governance.group_rates import compare_groups, unknown_groups
from tests.unit.governance.test_group_rates import PROTECTED, people
from tests.unit.governance.test_pairs import spec_of


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for name in ("caption", "header"):
        monkeypatch.setattr(f"app.components.group_parts.st.{name}", lambda text, **_: found.append(text))
    monkeypatch.setattr("app.components.tables.st.html", found.append)
    return found


def evidence_of(groups: dict[str, Any] | None) -> dict[str, Any]:
    return {"groups": groups, "before": {"version": 1}, "after": {"version": 2}}


def test_a_gap_below_four_fifths_is_said_with_its_interval_and_the_groups(told: list[str]) -> None:
    show_groups(evidence_of(compare_groups(spec_of("binary", **PROTECTED), people(less=0.6))))
    table = next(one for one in told if "gaps between protected groups" in one)
    assert "below four fifths" in table and "f against m" in table
    assert any(
        "A positive decision is the favourable one" in one and "fewer than 30 rows" in one for one in told
    )
    assert any("groups of sex" in one and "true positives, v1 → v2" in one for one in told)


def test_without_a_declared_decision_no_ratio_is_judged(told: list[str]) -> None:
    show_groups(evidence_of(compare_groups(spec_of("binary", protected=["sex"]), people(less=0.6))))
    assert not any("four fifths or more" in one or "below four fifths" in one for one in told)
    assert any("is not declared" in one for one in told)


def test_what_is_not_known_says_why_and_older_evidence_says_nothing(told: list[str]) -> None:
    show_groups(evidence_of(unknown_groups("nothing was scored")))
    assert told[-1] == "How groups of people fare is not known: nothing was scored."
    told.clear()
    show_groups({"before": None, "after": {"version": 2}})
    assert told == []


def test_groups_are_folded_unless_a_gap_is_below_four_fifths(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folds: list[tuple[str, bool]] = []

    def fold(label: str, *, expanded: bool = False) -> AbstractContextManager[None]:
        folds.append((label, expanded))
        return nullcontext()

    monkeypatch.setattr("app.components.group_parts.st.expander", fold)
    for less, declared in ((0.6, PROTECTED), (0.0, PROTECTED), (0.6, {"protected": ["sex"]})):
        show_groups(evidence_of(compare_groups(spec_of("binary", **declared), people(less=less))))
    show_groups(evidence_of(unknown_groups("nothing was scored")))
    outer = [one for one in folds if one[0].startswith("Groups of people")]
    assert outer[0] == ("Groups of people: sex below four fifths", True)
    assert [is_open for _, is_open in outer] == [True, False, False, False]
    assert "is not declared" in outer[2][0] and outer[3][0] == "Groups of people: not known"
