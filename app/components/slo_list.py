"""The list of objectives: its sentence, its columns, and its filters in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from app import data
from app.components.listing import Column
from app.components.slo_parts import (
    burn_words,
    lasts_words,
    left_cell,
    level_of,
    name_of,
    objective_cell,
    spark_cell,
    state_cell,
)
from app.components.status import headline
from app.components.tables import link
from app.data.slos import Part
from app.plain_text import plain
from app.words import OBJECTIVE_WORDS, count_of
from backend.slo.objectives_service import WORST_FIRST
from backend.slo.reading import Standing

PLACE: Final = "row"
"""What the first row is called in the address: `from` is the beginning of a range of time."""
COLUMNS: Final[tuple[Column[Standing], ...]] = (
    Column("objective", "objective", objective_cell, fixed=True),
    Column("state", "state", state_cell),
    Column("left", "budget left", left_cell),
    Column("burns", "burns", burn_words),
    Column("lasts", "lasts", lasts_words),
    Column("days", "30 days", spark_cell),
)


def answer_of(first: Standing, counts: Mapping[str, int]) -> tuple[str, str, str]:
    """The page's question answered: (sentence, level, what it rests on).

    first   the worst of all
    counts  {state: how many are in it}
    """
    total, danger, unknown = sum(counts.values()), counts.get("breach", 0), counts.get("no_data", 0)
    rest = f"{count_of(total, 'objective')}, judged every minute"
    if danger:
        more = f"{danger:,} of {count_of(total, 'objective')} in danger: "
        return f"{more}{name_of(first.objective)} of {first.revision.model}", level_of(first), first.says
    if unknown:
        told = f"{unknown:,} of {count_of(total, 'objective')} cannot be judged; no other is in danger"
        return told, "unknown", rest
    holds = "holds" if total == 1 else "hold"
    return f"No objective is in danger; {count_of(total, 'objective')} {holds}", "ok", rest


def say_all(part: Part) -> None:
    if part.worst is None:
        headline("No objective is set", "unknown", detail="nothing is promised, so nothing can be in danger")
        return
    sentence, level, rests_on = answer_of(part.worst, part.counts)
    headline(sentence, level, detail=rests_on)


def pick_filters(scope: data.Scope) -> tuple[str | None, str | None]:
    """Model and state, set to what the address asks for; a name in it that is not there is left out of it."""
    with st.container(horizontal=True):
        model = _pick("Model", "model", sorted(data.models(scope)), {}, "every model")
        words = {name: OBJECTIVE_WORDS[name][0] for name in WORST_FIRST}
        state = _pick("State", "state", WORST_FIRST, words, "any state")
    return model, state


def _pick(label: str, name: str, options: Sequence[str], words: Mapping[str, str], every: str) -> str | None:
    asked = st.query_params.get(name)
    index = 1 + list(options).index(asked) if asked in options else 0
    chosen = st.selectbox(
        plain(label),
        ["", *options],
        index,
        width=260,
        format_func=lambda one: words.get(one, one) if one else every,
    )
    if chosen != (asked or ""):
        st.query_params.pop(PLACE, None)  # another list begins at its first row
        if chosen:
            st.query_params[name] = chosen
        else:
            st.query_params.pop(name, None)
    return chosen or None


def offer_definitions() -> None:
    st.html(
        '<div class="w-take">'
        + str(link("All as OpenSLO", "/export/objectives.yaml"))
        + " · "
        + str(link("as rules of Prometheus", "/export/slo-rules.yml"))
        + "</div>"
    )
