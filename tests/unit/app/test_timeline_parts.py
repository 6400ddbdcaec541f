"""What the Timeline page draws and merges, and the sentence of a change, from plain data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.charts import Mark, served_figure
from app.components.change_effects import blast_radius, effect_sentence, risk_words
from app.components.registry_parts import _because
from app.components.timeline_parts import merged
from app.words import told_failure

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def hour(number: float) -> datetime:
    return DAY + timedelta(hours=number)


def row(
    version: int, share: float = 1.0, role: str = "champion", *, confirmed: bool = True
) -> dict[str, Any]:
    return {"deployment": version, "version": version, "role": role, "share": share, "cutoff": 0.5, "change_id": 4,
            "confirmed": confirmed, "reason": "", "state": "serving"}  # fmt: skip


def stretch(start: float, end: float | None, *served: dict[str, Any]) -> dict[str, Any]:
    return {"start": hour(start), "end": None if end is None else hour(end), "served": list(served)}


CANARY = [
    stretch(0, 10, row(1)),
    stretch(10, 11, row(1, 0.8), row(2, 0.2, "canary", confirmed=False)),
    stretch(11, 14, row(1, 0.8), row(2, 0.2, "canary")),
    stretch(14, None, row(2), row(3, 0.0, "shadow")),
]


def test_shares_are_stacked_and_a_shadow_lies_beside() -> None:
    figure = served_figure(
        CANARY, start=hour(0), end=hour(20), at=hour(12), marks=[Mark(hour(9), "CHG-4", word="change")]
    )
    bars = {one.name: one for one in figure.data if one.type == "bar"}
    assert list(bars["v1"].y) == [1.0, 0.8, 0.8]
    assert list(bars["v2"].base) == [0.8, 0.8, 0.0]
    assert list(bars["v2"].marker.pattern.shape) == ["/", "/", ""]
    assert bars["v3"].base[0] < 0
    assert "answers nobody" in bars["v3"].customdata[0]
    assert sum(bars["v1"].width) == 14 * 3_600_000
    assert figure.layout.shapes[0].x0 == hour(12).replace(tzinfo=None)


def test_only_the_time_shown_is_drawn_and_an_empty_one_says_so() -> None:
    figure = served_figure(CANARY, start=hour(12), end=hour(13), at=hour(30))
    assert [one.name for one in figure.data] == ["v1", "v2"]
    assert figure.data[0].width[0] == 3_600_000
    assert not figure.layout.shapes
    nothing = served_figure(CANARY, start=hour(-9), end=hour(-5), at=hour(-6))
    assert "Nothing served" in nothing.layout.annotations[0].text


def test_a_late_report_is_no_stretch_of_its_own() -> None:
    found = merged(CANARY)
    assert [(one["start"], one["end"]) for one in found] == [
        (hour(0), hour(10)), (hour(10), hour(14)), (hour(14), None),
    ]  # fmt: skip
    assert found[1]["reported"] == hour(11)
    assert found[1]["served"][1]["confirmed"]
    never = merged([stretch(0, 1, row(1, confirmed=False))])
    assert never[0]["reported"] is None


def change(**evidence: Any) -> dict[str, Any]:
    rollout = {"strategy": "canary", "steps": [0.05, 1]}
    return {"kind": "promote", "policy": {"gates": ["x"], "rollout": rollout},
            "evidence": {"after": {"version": 7}, **evidence}}  # fmt: skip


def test_the_effect_is_one_sentence_of_what_is_known() -> None:
    assert effect_sentence(change()) == ""
    known = {
        "same_rows": {"known": True, "metrics": [{"metric": "roc_auc", "value": 0.012, "low": 0.006, "high": 0.018}]},
        "flips": {"known": True, "rows": 1000, "counts": {"stays": 969, "changes": 31}},
        "at_risk": {"value": 1100.0, "low": -1900.0, "high": 4100.0, "unit": "EUR", "decisions": 41_000.0,
                    "flipped_share": 0.031, "why": ""},
    }  # fmt: skip
    assert effect_sentence(change(**known)) == (
        "v7: AUC +0.012 (95 % +0.006 to +0.018); 3.1\u202f% of decisions flip; −1,900 to +4,100 EUR a day."
    )
    assert risk_words(change(**known)) == (
        "−1,900 to +4,100 EUR a day; −95.0 to +205 EUR a day at the first stage of 5.0\u202f%; 41,000 decisions a day, "
        "1,271 of them decided otherwise than now"
    )


def test_what_is_at_risk_is_said_to_be_unknown_where_it_is() -> None:
    nothing = {
        "value": None,
        "why": "the model's spec declares no costs",
        "decisions": None,
        "flipped_share": None,
    }
    assert risk_words(change(at_risk=nothing)) == "not known: the model's spec declares no costs"
    assert "measured together with the gates" in str(risk_words(change()))
    assert risk_words({"kind": "policy", "policy": {}, "evidence": {}}) is None


@pytest.mark.parametrize(
    ("outcome", "words", "reported"),
    [
        ("v2 serves", "v2 serves", ""),
        (
            "v2 serves; MLflow's alias does not follow yet: MlflowException: API request to http://x",
            "v2 serves; MLflow's alias does not follow yet: a technical error", "MlflowException: API request to http://x",
        ),
        (
            "requests.exceptions.ConnectionError: HTTPConnectionPool(host='x'); v1 serves again",
            "a technical error; v1 serves again", "requests.exceptions.ConnectionError: HTTPConnectionPool(host='x')",
        ),
        ("KeyError", "a technical error", "KeyError"),
        ("its Error rate: 3 %", "its Error rate: 3 %", ""),
    ],
)  # fmt: skip
def test_an_outcome_is_words_and_apart_from_them_what_a_program_reported(
    outcome: str, words: str, reported: str
) -> None:
    assert told_failure(outcome) == (words, reported)


def test_the_reasons_of_a_move_beyond_the_first_are_on_the_page() -> None:
    reasons = [{"says": "refused", "text": f"reason {number}"} for number in range(5)]
    told = str(_because({"reasons": reasons}, 1)[-1])
    assert "4 more reasons" in told
    assert all(f"reason {number}" in told for number in range(1, 5))


def test_the_blast_radius_is_told_where_nobody_scored_the_same_rows() -> None:
    assert blast_radius({}) is None
    assert blast_radius({"decisions_a_day": 1.0, "at_risk": {"decisions": 1.0}}) is None
    assert "no window of the last four weeks is over" in str(blast_radius({"decisions_a_day": None}))
    earlier = {
        "change_id": 4,
        "flips": {"known": True, "rows": 400, "counts": {"stays": 360, "changes": 40}},
    }
    assert blast_radius({"decisions_a_day": 41_000.0, "compared_before": earlier}) == (
        "41,000 decisions a day; CHG-4 counted 10.0\u202f% of rows decided otherwise"
    )
