"""What a search found, by kind, and what helps where it found nothing."""

from __future__ import annotations

import streamlit as st
from markupsafe import Markup

from app.components.links import href
from app.components.status import empty_state
from app.components.tables import Cell, badge, lines, link, small, table
from app.plain_text import plain
from app.words import CHANGE_LEVELS, count_of, readable
from backend.search.hits import Found, Group, Hit

NOUNS = {
    "model": "model", "incident": "incident", "change": "change", "version": "version", "finding": "finding",
    "prediction": "prediction", "person": "person",
}  # fmt: skip
EXAMPLES = {
    "model": ("flight-delay", "a model by its name, title or what is written about it"),
    "incident": ("INC-42", "an incident by its number, its model or words of its title"),
    "change": ("CHG-118", "a change by its number, its model, its reason or what it does"),
    "version": ("flight-delay v7", "a version; also by its run or the beginning of its files' digest"),
    "finding": ("FND-3", "a finding by its number, its model or its words"),
    "prediction": ("flight-delay/2026-000123", "one prediction by model and id, or by its id alone"),
    "person": ("j.doe", "somebody by user name or name"),
}
_PHASES = {"new": "page", "acknowledged": "attention", "mitigated": "attention"}


def sentence(found: Found) -> str:
    """How much was found of what."""
    if not found.count:
        return f"Nothing that you may see has “{found.text}”"
    parts = [counted(one) for one in found.groups]
    said = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"“{found.text}”: {said}"


def counted(group: Group) -> str:
    count = len(group.hits)
    noun = "people" if group.kind == "person" and count != 1 else None
    return f"{f'{count:,} {noun}' if noun else count_of(count, NOUNS[group.kind])}{' or more' if group.more else ''}"


def show_groups(found: Found, *, alone: bool) -> None:
    """A table for each kind; `alone` where one kind was asked for, so that nothing leads to more of it."""
    for group in found.groups:
        st.header(plain(group.title), anchor=False)
        table((NOUNS[group.kind], "state", "context"), [_row(one) for one in group.hits], caption=group.title)
        if group.more and alone:
            st.caption(
                f"There are more {plain(group.title.lower())} than these. Add a word to find the one you mean."
            )
        elif group.more:
            more = link(f"More {group.title.lower()}", href("search", q=found.text, kind=group.kind))
            st.html(Markup('<p class="w-detail w-take">{}</p>').format(more))


def _row(hit: Hit) -> list[Cell]:
    title = small(readable(hit.title)) if hit.title and hit.title != hit.ref else None
    return [lines(link(hit.ref, hit.address), title), _state(hit), hit.context]


def _state(hit: Hit) -> Cell:
    if hit.kind == "change":
        return badge(hit.state, CHANGE_LEVELS.get(hit.state, "unknown"))
    if hit.kind == "incident":
        return badge(hit.state, _PHASES.get(hit.state, "unknown"))
    return hit.state


def teach(kinds: list[str]) -> None:
    """What can be looked for, with an example each."""
    rows: list[list[Cell]] = [[f"{EXAMPLES[kind][0]}", EXAMPLES[kind][1]] for kind in kinds]
    table(("write", "to find"), rows, caption="what can be looked for", cards=False)


def nothing(found: Found) -> None:
    """Why nothing may have been found, and what to try."""
    several = " Every word has to occur in the same thing: leave one out." if " " in found.text else ""
    empty_state(
        "Nothing found",
        "Ids are found whole, names and titles by any part of them, in capitals or not." + several,
        ("Every model", "/inventory"),
    )
