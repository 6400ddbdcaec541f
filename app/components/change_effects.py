"""What a change does: the effect in a sentence, both versions on the same rows, and what is at risk a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from markupsafe import escape

from app.components.evidence import moves_cutoff_alone, unresolved
from app.components.tables import Cell, badge, lines, open_point, small, table
from app.formats import (
    MINUS,
    NARROW,
    format_count,
    format_decimal,
    format_metric,
    format_share,
    format_signed,
    written,
)
from app.plain_text import plain
from app.words import count_of, metric_word, rollout_of

SAYS = {
    "worse": ("worse", "attention"),
    "better": ("better", "ok"),
    "alike": ("no difference shown", "unknown"),
}
MOST_SEGMENTS = 12


def signed(value: float | None) -> str:
    """`+0.012`, `−0.062`: a difference always shows its sign."""
    return format_signed(value)


def signed_points(difference: float) -> str:
    """`+4.1 points`: a difference of two shares, in hundredths of the whole."""
    shown = format_decimal(abs(difference) * 100, 1)
    return ("" if shown == "0.0" else "+" if difference > 0 else MINUS) + f"{shown}{NARROW}points"


def effect_sentence(change: Mapping[str, Any]) -> str:
    """`v7: AUC +0.012 (95 % +0.006 to +0.018); 3.1 % of decisions flip; −1,900 to +4,100 EUR a day.`; only what is
    known."""
    evidence = change["evidence"]
    told: list[str] = []
    compared = evidence.get("same_rows") or {}
    if compared.get("known"):
        for first in metrics_that_can_move(evidence)[:1]:
            around = (
                f" (95 % {signed(first['low'])} to {signed(first['high'])})"
                if first["low"] is not None
                else ""
            )
            told.append(f"{metric_word(first['metric'])} {signed(first['value'])}{around}")
    flipped = flipped_share(evidence.get("flips") or {})
    if flipped is not None:
        told.append(f"{format_share(flipped)} of decisions flip")
    risk = evidence.get("at_risk") or {}
    if risk.get("value") is not None:
        told.append(f"{_amount(risk)} a day")
    if not told:
        return ""
    return f"v{evidence['after']['version']}: " + "; ".join(told) + "."


def show_effect(change: Mapping[str, Any]) -> None:
    """The effect in one sentence, then all that is not settled; nothing of the latter once it is decided."""
    sentence = effect_sentence(change)
    if sentence:
        st.html(f'<p class="w-lead"><strong>{escape(sentence)}</strong></p>')
    if change["state"] in ("checking", "waiting"):
        for point in unresolved(change):
            open_point(written(point))


def show_same_rows(evidence: Mapping[str, Any]) -> bool:
    """Both versions on the same rows, and the segments that are worse. False where nothing was measured so."""
    compared = evidence.get("same_rows")
    if not compared:
        return False
    if not compared["known"]:
        st.caption(f"On the same rows nothing could be measured: {plain(compared['why'])}.")
        return False
    before = f"v{evidence['before']['version']}" if evidence["before"] else "before"
    after = f"v{evidence['after']['version']}"
    if before == after:
        before, after = (f"cut-off {cutoff:g}" for cutoff in compared["cutoffs"])
    rows: list[list[Cell]] = [
        [
            _named(one["metric"], evidence),
            format_metric(one["before"]),
            format_metric(one["after"]),
            f"{signed(one['value'])} [{signed(one['low'])}, {signed(one['high'])}]"
            if one["low"] is not None
            else one["reason"] or signed(one["value"]),
            format_count(one["rows"]),
            badge(*SAYS.get(one["says"], ("not known", "unknown"))),
        ]
        for one in metrics_that_can_move(evidence)
    ]
    if rows:
        table(("metric", before, after, "difference", "rows", "says"), rows, caption="both on the same rows")
    st.caption(
        f"The same {plain(compared['where'])}, scored by both; 95 % intervals of the difference in brackets."
    )
    if len(rows) < len(compared["metrics"]):
        st.caption(
            "Metrics of scores, such as AUC and log loss, are the same at every cut-off and not listed."
        )
    show_segments(compared["segments"], before, after)
    return True


def metrics_that_can_move(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics on the same rows, without those that a change of the cut-off alone cannot move."""
    found: list[Mapping[str, Any]] = evidence["same_rows"]["metrics"]
    if not moves_cutoff_alone(evidence):
        return found
    return [one for one in found if one["before"] != one["after"]]


def _named(metric: str, evidence: Mapping[str, Any]) -> str:
    unit = (evidence.get("at_risk") or {}).get("unit") if metric == "value_per_prediction" else None
    return metric_word(metric) + (f" ({unit})" if unit else "")


def show_segments(found: Mapping[str, Any], before: str, after: str) -> None:
    """Which segments are worse beyond chance, of how many."""
    if not found["looked_at"] and not found["unknown"]:
        return
    metric, worse = metric_word(found["metric"]), found["worse"]
    few = f"; {count_of(found['unknown'], 'segment')} with too few labels" if found["unknown"] else ""
    total = count_of(found["looked_at"], "segment")
    if not worse:
        st.markdown(f"**No segment is worse** by {plain(metric)}, of {total} looked at{plain(few)}.")
        return
    verb = "is" if len(worse) == 1 else "are"
    st.markdown(
        f"**{len(worse)} of {total} {plain(verb)} worse** by {plain(metric)}, beyond chance "
        f"among all of them{plain(few)}."
    )
    table(
        ("segment", before, after, "difference", "rows"),
        [
            [lines(f"{one['column']} = {one['name']}", small("protected") if one["protected"] else None),
             format_metric(one["before"]), format_metric(one["after"]),
             f"{signed(one['value'])} [{signed(one['low'])}, {signed(one['high'])}]", format_count(one["rows"])]
            for one in worse[:MOST_SEGMENTS]
        ],
        caption="segments that are worse",
    )  # fmt: skip
    if len(worse) > MOST_SEGMENTS:
        st.caption(f"the worst {MOST_SEGMENTS} of {len(worse)}")


def risk_words(change: Mapping[str, Any]) -> str | None:
    """`−1,900 to +4,100 EUR a day; 41,000 decisions a day, 1,271 of them decided otherwise than now`; None where it is
    not asked."""
    evidence = change["evidence"]
    if "after" not in evidence:
        return None
    risk = evidence.get("at_risk")
    if not risk:
        named = bool(change["policy"]["gates"])
        return (
            f"not known: it is measured together with the gates{'' if named else ', and the rule names none'}"
        )
    told = [f"{_amount(risk)} a day" if risk["value"] is not None else f"not known: {risk['why']}"]
    rollout = rollout_of(change)
    if (
        risk["value"] is not None
        and change["kind"] == "promote"
        and rollout["strategy"] == "canary"
        and not rollout.get("segments")
    ):
        share = rollout["steps"][0]
        told.append(f"{_amount(risk, share)} a day at the first stage of {format_share(share)}")
    if risk["decisions"] is not None:
        a_day = f"{format_count(risk['decisions'])} decisions a day"
        if risk["flipped_share"] is not None:
            a_day += f", {format_count(risk['decisions'] * risk['flipped_share'])} of them decided otherwise than now"
        told.append(a_day)
    return "; ".join(told)


def blast_radius(evidence: Mapping[str, Any]) -> str | None:
    """How many decisions a change reaches, where what is at risk was not measured: as many as there are a day, and how
    many of them an earlier change counted as decided otherwise. None where the evidence does not say."""
    if evidence.get("at_risk") or "decisions_a_day" not in evidence:
        return None
    a_day, earlier = evidence["decisions_a_day"], evidence.get("compared_before")
    told = "how many decisions there are a day is not known: no window of the last four weeks is over"
    if a_day is not None:
        told = f"{format_count(a_day)} decisions a day"
    share = flipped_share(earlier["flips"]) if earlier else None
    if earlier is None or share is None:
        return f"{told}; how many of them are decided otherwise is not known"
    return f"{told}; CHG-{earlier['change_id']} counted {format_share(share)} of rows decided otherwise"


def flipped_share(flips: Mapping[str, Any]) -> float | None:
    """Of the rows that were counted, those that are decided otherwise; None where none was counted."""
    if not flips.get("known") or not flips["rows"]:
        return None
    return float(
        sum(number for name, number in flips["counts"].items() if not name.startswith("stays"))
        / flips["rows"]
    )


def _amount(risk: Mapping[str, Any], share: float = 1.0) -> str:
    if risk["low"] is None or risk["high"] is None:
        return f"{signed(risk['value'] * share)} {risk['unit']}"
    return f"{signed(risk['low'] * share)} to {signed(risk['high'] * share)} {risk['unit']}"
