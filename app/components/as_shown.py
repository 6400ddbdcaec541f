"""A change as people were shown it under a digest: drawn from what was stored then, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.assurance_parts import show_of_change
from app.components.change_effects import show_effect, show_same_rows
from app.components.change_parts import VERDICT_WORDS, show_flips, show_gates, show_plan, show_texts
from app.components.code_block import code_block
from app.components.evidence import show_alert, show_differences, show_live, show_metrics, show_policy
from app.components.explanation_parts import show_explanations
from app.components.facts import key_values
from app.components.group_parts import show_groups
from app.components.links import viewer_zone
from app.components.precedent_parts import show_drift, show_objectives, show_provenance, show_trials
from app.components.status import headline
from app.formats import format_when
from app.plain_text import plain
from app.session import page_link


def show_as_shown(shown: Mapping[str, Any]) -> None:
    """The whole page of the change as it was, what decided on it, and whether it is what the log says."""
    zone = viewer_zone()
    decided = [
        f"{one['person']} {VERDICT_WORDS[one['verdict']]} {format_when(one['at'], zone, seconds=True)}"
        for one in shown["decided"]
    ]
    first = f"as it was shown from {format_when(shown['shown_at'], zone, seconds=True)} on"
    told = "; ".join(decided) or "nobody decided on this"
    about = f": {shown['summary']}" if shown.get("summary") else ""
    headline(f"{shown['ref']} as it was shown{about}", detail=f"{first} · {told}")
    page_link("change", "As it is now", icon=":material/arrow_forward:", id=shown["id"])
    _say_whether_altered(shown)
    if shown["kept"] is not None:
        st.caption("This is all that is kept under the digest, as it is now; nobody was shown it so.")
        code_block(json.dumps(shown["kept"], indent=1, ensure_ascii=False, default=str))
        return
    show_effect(shown)
    st.header("Gates", anchor=False)
    show_gates(shown)
    if "after" in shown["evidence"]:
        _show_versions(shown)
    else:
        st.header("What differed", anchor=False)
        show_texts(shown["evidence"])
    show_plan(shown)
    st.header("People", anchor=False)
    people = ("requested_by", "asked by"), ("trained_by", "trained by"), ("data_owner", "owns the data")
    key_values(
        {"why it is asked": shown["reason"], **{word: shown[part] for part, word in people if shown[part]}}
    )
    show_of_change(shown)
    if "after" in shown["evidence"]:
        _show_folded(shown)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(shown["policy"], shown["bound"], shown["digest"])


def _say_whether_altered(shown: Mapping[str, Any]) -> None:
    if shown["altered"]:
        st.error(f"**Altered since.** What is kept {plain(shown['altered'])}.", icon=":material/error:")
    elif shown["untold"]:
        st.warning(f"It is what was signed, but {plain(shown['untold'])}.", icon=":material/help:")
    else:
        st.caption("What is kept is what the log says was shown.")


def _show_versions(shown: Mapping[str, Any]) -> None:
    evidence = shown["evidence"]
    st.header("Who flips", anchor=False)
    show_flips(shown)
    st.header("Before and after", anchor=False)
    if not show_same_rows(evidence):
        show_metrics(evidence)
    show_groups(evidence)
    show_objectives(evidence)
    show_drift(evidence)
    show_trials(evidence)


def _show_folded(shown: Mapping[str, Any]) -> None:
    evidence = shown["evidence"]
    if evidence.get("alert"):
        with st.expander("The alert it answers"):
            show_alert(evidence)
    if (evidence.get("same_rows") or {}).get("known"):  # else they stand above
        with st.expander("Held-out metrics, each on its own rows"):
            show_metrics(evidence)
    with st.expander("Both in service, when it was asked"):
        show_live(evidence)
    show_explanations(evidence, shown["model"], pending=False, bind="")
    with st.expander("Code, data, parameters and card: what differs"):
        show_provenance(evidence)
        show_differences(evidence)
