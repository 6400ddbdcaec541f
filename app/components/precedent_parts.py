"""What a change shows beside its own measurements: earlier trials, code and data, and what nobody measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from app.components.facts import diff_table
from app.components.links import viewer_zone
from app.components.rollout import VERDICT_LEVELS, analysis_lines
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_count, format_metric, format_share, format_when
from app.plain_text import plain
from app.words import OBJECTIVE_WORDS, count_of, readable, share_words
from backend import clock
from backend.slo.evidence import left_words


def show_trials(evidence: Mapping[str, Any]) -> None:
    """The proposed version on live requests of earlier rollouts, folded where none of them failed; nothing where it was
    never tried."""
    trials = evidence.get("trials")
    if not trials:
        return
    with st.expander(
        f"v{evidence['after']['version']} on live traffic: {count_of(len(trials), 'earlier trial')}",
        expanded=any(one["verdict"] not in ("success", "skipped") for one in trials),
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
    """What was left of each error budget when it was asked, folded unless one is missed; nothing for a change whose
    evidence is older than that."""
    found = evidence.get("objectives")
    if found is None:
        return
    missed = [one for one in found if one["state"] == "breach"]
    told = (
        f"{len(missed)} of {count_of(len(found), 'objective')} missed"
        if found
        else "no objective was defined"
    )
    with st.expander(f"Error budgets when it was asked: {plain(told)}", expanded=bool(missed)):
        if found:
            _show_budgets(found)
        else:
            st.caption(
                "No objective was defined for this model there, so no budget says what a failure would cost."
            )


def _show_budgets(found: Sequence[Mapping[str, Any]]) -> None:
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


def show_drift(evidence: Mapping[str, Any]) -> None:
    """How the features drifted when it was asked, folded unless one did; nothing for a change whose evidence is older
    than that."""
    found = evidence.get("drift")
    if found is None:
        return
    drifting = found.get("drifting", ())
    told = f"{len(drifting)} of {found['judged']} judged features" if found["known"] else "not known"
    with st.expander(f"Drift when it was asked: {plain(told)}", expanded=bool(drifting)):
        if found["known"]:
            _show_drift(found)
        else:
            st.caption(f"How the features drift is not known: {plain(found['why'])}.")


def _show_drift(found: Mapping[str, Any]) -> None:
    rows: list[list[Cell]] = [
        [
            one["column"],
            badge("drifts", "attention") if one["verdict"] == "alarm" else badge("within its limit", "ok"),
            lines(format_metric(one["value"], of=one["statistic"]), small(readable(one["statistic"]))),
            format_metric(one["limit"], of=one["statistic"]),
            format_share(one["importance"]),
        ]
        for one in found["features"]
    ]
    table(("feature", "says", "value", "limit", "importance"), rows, caption="drift when it was asked")
    zone = viewer_zone()
    start, end = (format_when(clock.from_iso(found[name]), zone) for name in ("from", "until"))
    missing = found["not_judged"]
    told = f"The window from {start} to {end}, {format_count(found['rows'])} rows, against the reference of "
    told += f"v{found['version']}" if found["version"] is not None else "the version that served it"
    if found["judged"] > len(found["features"]):
        told += f"; the first {len(found['features'])} of {found['judged']}"
    if missing:
        told += f"; not judged: {', '.join(missing[:5])}"
        told += f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    st.caption(f"{plain(told)}.")
