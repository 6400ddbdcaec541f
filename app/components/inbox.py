"""A change as a row of a list: what, how far, for how long it has waited, and who can still decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app.components.tables import Cell, anchor, badge, lines, long_text, small
from app.formats import format_age
from app.words import CHANGE_LEVELS, count_of, told_failure

PAGE = 50
COLUMNS = ("change", "what", "state", "asked by", "why", "decisions", "when")
NAMED = 3


def change_row(change: Mapping[str, Any]) -> list[Cell]:
    """`deciders` of a change names who can still decide, where it waits for that."""
    deciders = change.get("deciders")
    return [
        anchor(change["ref"], "change", id=change["id"]),
        lines(long_text(change["summary"]), small(f"{change['kind']}, {_where(change)}")),
        lines(
            badge(change["state_words"], CHANGE_LEVELS.get(change["state"], "unknown")),
            _time_left(change),
        ),
        change["requested_by"],
        long_text(change["reason"]),
        lines(
            _decisions(change),
            small(can_decide(deciders)) if deciders is not None else None,
        ),
        lines(
            change["requested_at"],
            small(f"{format_age(change['requested_at'])} ago"),
        ),
    ]


def part_of(ids: Sequence[int], parameter: str) -> tuple[int, ...]:
    """The page of a long list that this parameter of the address names by its first row; the first page otherwise."""
    start = _start(ids, parameter)
    return tuple(ids[start : start + PAGE])


def say_part(ids: Sequence[int], parameter: str, *, back: str, on: str) -> None:
    """Which rows of how many are shown, with links to the page before (`back`) and the next one (`on`)."""
    if len(ids) <= PAGE:
        return
    start = _start(ids, parameter)
    end = min(start + PAGE, len(ids))
    links = [f"{start + 1:,} to {end:,} of {len(ids):,}"]
    here = {name: value for name, value in st.query_params.to_dict().items() if name != parameter}
    for words, first in ((back, start - PAGE), (on, end)):
        if 0 <= first < len(ids):
            links.append(f"[{words}](/approvals?{urlencode(here | {parameter: first})})")
    st.caption(" · ".join(links))


def _start(ids: Sequence[int], parameter: str) -> int:
    asked_for = st.query_params.get(parameter, "")
    start = int(asked_for) if asked_for.isdecimal() and len(asked_for) < 10 else 0
    return start // PAGE * PAGE if start < len(ids) else 0


def _where(change: Mapping[str, Any]) -> str:
    return "everywhere" if change["environment"] == "*" else str(change["environment"])


def _decisions(change: Mapping[str, Any]) -> Cell:
    """How many have approved; how it went without them, where nobody was asked."""
    if change["break_glass"]:
        return badge("break-glass", "attention")
    if change["way_back_id"]:
        return "agreed in advance"
    return f"{change['approvals']} of {change['approvals_needed']}"


def _time_left(change: Mapping[str, Any]) -> Cell:
    if change["state"] != "waiting":
        return small(change["step"] or told_failure(change["outcome"] or "")[0])
    expires = f"expires in {format_age(change['expires_at'])}"
    if change["reminded_at"] is None:
        return small(expires)
    return badge(f"reminded {format_age(change['reminded_at'])} ago, {expires}", "attention")


def can_decide(names: Sequence[str]) -> str:
    """Whom to ask, in a line."""
    if not names:
        return "nobody can decide any more"
    others = len(names) - NAMED
    more = f" and {count_of(others, 'other')}" if others > 0 else ""
    return f"can decide: {', '.join(names[:NAMED])}{more}"
