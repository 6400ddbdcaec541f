"""What a change shows beside its own measurements: earlier trials, code and data, and what nobody measures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from app.components.facts import diff_table
from app.components.rollout import VERDICT_LEVELS, analysis_lines
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.words import OBJECTIVE_WORDS, count_of, share_words
from backend import clock
from backend.slo.evidence import left_words


def show_trials(evidence: Mapping[str, Any]) -> None:
    """The proposed version on live requests of earlier rollouts; nothing where it was never tried."""
    trials = evidence.get("trials")
    if not trials:
        return
    with st.expander(
        f"v{evidence['after']['version']} on live traffic: {count_of(len(trials), 'earlier trial')}",
        expanded=True,
    ):
        rows: list[list[Cell]] = [
            [
                lines(
                    anchor(f"CHG-{one['change_id']}", "change", id=one["change_id"]),
                    small(f"{one['role']}, {share_words(one['share'], one.get('segments'))}"),
                ),
                badge(one["verdict"], VERDICT_LEVELS.get(one["verdict"], "unknown"))
                if one["verdict"]
                else badge("not judged", "unknown"),
                lines(*analysis_lines(one["analysis"])),
                _when(one["started_at"]),
            ]
            for one in trials
        ]
        table(("trial", "says", "what was seen", "since"), rows, caption="earlier trials on live traffic")


def _when(moment: str | None) -> datetime | None:
    return clock.from_iso(moment) if moment else None


def show_provenance(evidence: Mapping[str, Any], *, pending: bool = True) -> None:
    """Code and data of both versions; nothing for a change whose evidence is older than that."""
    found = evidence.get("provenance")
    if not found:
        return
    st.markdown("**Code and data**")
    diff_table(found["before"], found["after"], names=("now", "proposed") if pending else ("before", "after"))


def show_objectives(evidence: Mapping[str, Any]) -> None:
    """What was left of each error budget when it was asked; nothing for a change whose evidence is older than that."""
    found = evidence.get("objectives")
    if found is None:
        return
    st.markdown("**Error budgets when it was asked**")
    if not found:
        st.caption(
            "No objective was defined for this model there, so no budget says what a failure would cost."
        )
        return
    rows: list[list[Cell]] = [
        [
            lines(one["title"], small(one["target"])),
            badge(*OBJECTIVE_WORDS[one["state"]]),
            left_words(one["remaining"]),
            _when(one["as_of"]) if one["as_of"] else "never judged",
        ]
        for one in found
    ]
    table(("objective", "state", "budget", "as of"), rows, caption="error budgets when it was asked")
