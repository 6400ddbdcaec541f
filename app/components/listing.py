"""A long list, a page at a time: which columns, from where, as Markdown, as CSV. Whoever uses it sorts and cuts in the
database, and gives the rows of one page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import streamlit as st
from markupsafe import Markup

from app.components.code_block import copied_text
from app.components.downloads import csv_link
from app.components.tables import Cell, table
from app.formats import UNKNOWN, whole_number
from backend import clock

Row = TypeVar("Row")
PAGE: Final = 50
_SPECIAL: Final = re.compile(r"([\\|<>\[\]*_`])")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """`name` is the one in addresses and views, `title` what people read. `fixed`: cannot be taken away."""

    name: str
    title: str
    draw: Callable[[Row], Cell]
    fixed: bool = False


def first_row(place: str = "from") -> int:
    """The place of the first row that is shown, from the address (`?from=`, or as `place` is called on a page on which
    that is the beginning of a range of time)."""
    return whole_number(st.query_params.get(place)) or 0


def chosen_columns(columns: Sequence[Column[Any]]) -> tuple[str, ...]:
    """The columns that the address names (`?columns=`), in their usual order; all where it names none."""
    named = set(st.query_params.get_all("columns"))
    known = tuple(one.name for one in columns if not one.fixed)
    return tuple(one for one in known if one in named) or known


def choose_columns(columns: Sequence[Column[Any]]) -> tuple[str, ...]:
    """Let people choose columns; those chosen are in the address unless all are."""
    known = {one.name: one.title for one in columns if not one.fixed}
    present = chosen_columns(columns)
    picked = st.multiselect(
        "Columns", list(known), list(present), format_func=known.__getitem__, placeholder="all columns"
    )
    wanted = tuple(one for one in known if one in picked) or tuple(known)
    if wanted != present:
        if wanted == tuple(known):
            st.query_params.pop("columns", None)
        else:
            st.query_params["columns"] = list(wanted)
    return wanted


def listing(
    rows: Sequence[Row], columns: Sequence[Column[Row]], *, caption: str, first: int, total: int | None,
    shown: Sequence[str] | None = None, more: bool | None = None, page: int = PAGE, brief: bool = False,
    row_links: bool = False, csv: tuple[str, str, dict[str, Any]] | None = None, place: str = "from",
) -> None:  # fmt: skip
    """Draw the rows of one page and the way to the others.

    total    how many there are; None: not counted, and `more` says whether any follow
    shown    names of the columns; None: all
    place    what the first row is called in the address
    csv      what the file holds, its name under /export/, and its parameters: all rows, made safe for spreadsheets
    """
    kept = [one for one in columns if one.fixed or shown is None or one.name in shown]
    cells = [[one.draw(row) for one in kept] for row in rows]
    titles = [one.title for one in kept]
    table(titles, cells, caption=caption, brief=brief, row_links=row_links)
    follows = first + len(rows) < total if total is not None else bool(more)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{first + 1:,} to {first + len(rows):,}{'' if total is None else f' of {total:,}'}")
        if first and st.button("Earlier", key="earlier"):
            _go_to(max(0, first - page), place)
        if follows and st.button("More", key="more"):
            _go_to(first + page, place)
    if csv is not None:
        what, name, query = csv
        csv_link(what, name, **query)
    with st.expander("Copy these rows as Markdown"):
        copied_text(markdown(titles, cells))


def markdown(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as Markdown. What a cell says is text there, never a mark, a link or HTML."""
    lines = [titles, ["---"] * len(titles), *([plain_cell(one) for one in row] for row in rows)]
    written = [
        [_SPECIAL.sub(r"\\\1", one) if at != 1 else one for one in line] for at, line in enumerate(lines)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in written)


def plain_cell(cell: Cell) -> str:
    """What a cell says, on one line; times in UTC, as they are cited."""
    if cell is None:
        return UNKNOWN
    if isinstance(cell, datetime):
        return clock.to_words(cell)
    if isinstance(cell, Markup):
        return Markup(re.sub(r"<br\s*/?>", "; ", cell)).striptags()  # noqa: S704 - its marks are taken out
    return " ".join(cell.split())


def _go_to(first: int, place: str) -> None:
    if first:
        st.query_params[place] = str(first)
    else:
        del st.query_params[place]
    st.rerun()
