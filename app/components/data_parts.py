"""Requests of data subjects: how they stand, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.assurance_parts import day
from app.components.links import href
from app.components.status import headline
from app.components.tables import Cell, badge, lines, link, small, table
from app.formats import format_age, format_utc
from app.words import count_of
from backend import clock
from backend.data_rights.requests import MOST_LISTED
from backend.errors import BadInput
from backend.governance.machine import OPEN

TITLES = {"erase": "erase", "access": "hand out"}
LEVELS = {"executed": "settled", "failed": "page", "void": "attention", "expired": "attention", "rejected": "unknown",
          "cancelled": "unknown"}  # fmt: skip


def say_requests(requests: Sequence[Mapping[str, Any]]) -> None:
    """How many are open, until when the first is to be answered, and how many came to nothing."""
    waiting = [one for one in requests if is_open(one)]
    late = [one for one in waiting if one["due_at"] <= clock.now()]
    failed = [one for one in requests if one["state"] in ("failed", "void", "expired")]
    said = []
    if late:
        said.append(f"{count_of(len(late), 'request')} should have been answered by now")
    elif waiting:
        said.append(f"the first is to be answered by {day(min(one['due_at'] for one in waiting))}")
    if failed:
        said.append(f"{count_of(len(failed), 'request')} ended without being carried out; ask again")
    headline(
        f"{count_of(len(waiting), 'request')} open" if waiting else "No request is open",
        "page" if late else "attention" if waiting or failed else "ok",
        detail=" · ".join(said) or None,
    )


def show_requests(requests: Sequence[Mapping[str, Any]]) -> None:
    """Newest first: what was asked, by whom, how far it is, and what and how many."""
    rows: list[list[Cell]] = [
        [
            lines(f"{TITLES[one['kind']]}: {one['subject']}", small(one["id"])),
            lines(format_utc(one["requested_at"]), small(f"by {one['requested_by']}"), _due(one)),
            lines(
                badge(one["state_words"], LEVELS.get(one["state"], "unknown")),
                link(one["change"], href("change", id=one["change_id"])),
            ),
            _came_of(one),
        ]
        for one in requests
    ]
    table(["What", "Asked", "Change", "What came of it"], rows)
    if len(requests) >= MOST_LISTED:
        st.caption(
            f"the newest {MOST_LISTED} and every open request; `GET /data-requests?limit=500` gives more"
        )


def is_open(one: Mapping[str, Any]) -> bool:
    return one["state"] in OPEN


def _due(one: Mapping[str, Any]) -> Cell:
    """By when an open request is to be answered."""
    if not is_open(one):
        return None
    if one["due_at"] <= clock.now():
        return badge(f"was to be answered by {day(one['due_at'])}", "page")
    return small(f"to be answered by {day(one['due_at'])}, in {format_age(one['due_at'])}")


def _came_of(one: Mapping[str, Any]) -> Cell:
    if one["counts"] is None:
        return small(one["outcome"] or "nothing yet")
    told = ", ".join(f"{number:,} {place}" for place, number in one["counts"].items()) or "nothing was found"
    if one["documents"]:
        files = [
            link(form.upper(), f"/export/data-request/{form}?id={one['id']}") for form in one["documents"]
        ]
        return lines(told, *files)
    if one["about"] in ("person", "entries"):
        return lines("erased, proof intact", small(told))
    return lines(told, small(count_of(sum(one["counts"].values()), "row")))


def numbers_of(text: str) -> list[int]:
    """Numbers of entries as people write them: with commas, spaces or lines between. Raises `BadInput`."""
    words = text.replace(",", " ").split()
    wrong = next((one for one in words if not (one.isascii() and one.isdigit() and len(one) < 19)), None)
    if wrong is not None:
        raise BadInput(f"an entry of the log is a number, not {wrong[:40]!r}", field="entries")
    return [int(one) for one in words]
