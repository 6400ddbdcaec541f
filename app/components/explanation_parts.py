"""On what the version that serves and the proposed one lean, side by side, from the snapshot of a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.change_effects import signed_points
from app.components.tables import Cell, badge, small, table
from app.formats import format_count, format_metric, format_share
from app.plain_text import plain
from app.session import perform, viewer
from app.words import count_of
from backend.explain.service import request_explanation
from backend.identity.roles import Permission

MOST_COLUMNS = 8
LARGE = 0.05
"""A share that moves by so much is marked: 5 points of the whole"""


def explanation_words(evidence: Mapping[str, Any]) -> str:
    """`What each version leans on: 8.1 % of the weight moves, rank correlation 0.964`; without figures where there are
    none, empty where there is nothing to compare."""
    found = evidence.get("explanations")
    if not found or evidence.get("before") is None:
        return ""
    if not found["known"]:
        return "What each version leans on: not known"
    told = f"{format_share(found['moved'])} of the weight moves"
    if found["rank_correlation"] is not None:
        told += f", rank correlation {format_metric(found['rank_correlation'])}"
    return f"What each version leans on: {told}"


def show_explanations(evidence: Mapping[str, Any], model: str, *, pending: bool, bind: str) -> None:
    """The largest differences of the shares of mean |SHAP|; or why they are not known, and the job that would tell.

    bind   how what the job finds gets into the evidence, in words: "“Evaluate the gates again”"
    """
    title = explanation_words(evidence)
    if not title:
        return
    found = evidence["explanations"]
    with st.expander(plain(title)):
        if found["known"]:
            _show_columns(found)
            return
        st.caption(
            f"{plain(found['why'][:1].upper())}{plain(found['why'][1:])}, so what differs between both is not known."
        )
        for version in found["missing"] if pending else ():
            _offer_job(model, version, bind)


def _show_columns(found: Mapping[str, Any]) -> None:
    before, after = found["before"], found["after"]
    rows: list[list[Cell]] = [
        [
            one["column"],
            format_share(one["before"]) if one["before"] is not None else small("not used"),
            format_share(one["after"]) if one["after"] is not None else small("not used"),
            signed_points(one["difference"]),
            badge("large", "attention") if abs(one["difference"]) >= LARGE else "",
        ]
        for one in found["columns"][:MOST_COLUMNS]
    ]
    heads = ("column", f"v{before['version']}", f"v{after['version']}", "difference", "")
    table(heads, rows, caption="shares of the mean |SHAP|")
    more = len(found["columns"]) - MOST_COLUMNS
    rank = found["rank_correlation"]
    told = [
        "Each column's share of the sum of mean |SHAP|, each version on rows of its own reference "
        f"({format_count(before['rows'])} and {format_count(after['rows'])})",
        f"Spearman's rank correlation {format_metric(rank)}"
        if rank is not None
        else "too few columns for a rank correlation",
        f"{count_of(more, 'column')} that moved less {'is' if more == 1 else 'are'} left out"
        if more > 0
        else "",
        f"computed in two ways ({before['method']}; {after['method']}), which may differ by themselves"
        if before["method"] != after["method"]
        else before["method"],
    ]
    st.caption(plain("; ".join(filter(None, told)) + "."))


def _offer_job(model: str, version: int, bind: str) -> None:
    """Have the missing explanation computed; or say how the one that was stored since gets into the evidence."""
    actor = viewer()
    if data.explanation(data.scope_of(actor), model, version) is not None:
        st.caption(
            f"The explanation of v{version} is stored by now; {plain(bind)} takes it into the evidence."
        )
        return
    allowed = actor.may(Permission.COMPUTE_METRICS)
    if st.button(
        f"Explain v{version}", key=f"explain:{model}/{version}", disabled=not allowed,
        help=plain(None if allowed else f"Your role lacks {Permission.COMPUTE_METRICS.value}."),
    ) and perform(
        lambda session, me: request_explanation(session, me, model=model, version=version),
        done=f"A worker explains v{version}; it takes minutes.",
    ):  # fmt: skip
        st.rerun()
