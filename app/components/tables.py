"""Dense tables of facts with links, as HTML: real headers, no grid widget, nothing selected by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st
from markupsafe import Markup, escape

from app.components.links import href
from app.components.status import badge_html
from app.formats import UNKNOWN

Cell = str | Markup | None


def badge(word: str | None, level: str) -> Markup:
    """A state as a cell."""
    return Markup(badge_html(word, level))  # noqa: S704 - badge_html escapes its word


def anchor(label: str, page: str, **query: object) -> Markup:
    """A link to one of our pages as a cell."""
    return link(label, href(page, **query))


def link(label: str, address: str) -> Markup:
    """A link to an address from `href` as a cell."""
    return Markup('<a href="{}" target="_self">{}</a>').format(address, label)


def image(uri: str, alt: str) -> Markup:
    """A small picture (a data: URI of ours) as a cell."""
    return Markup('<img src="{}" alt="{}" class="w-spark">').format(uri, alt)


def small(text: str) -> Markup:
    return Markup('<span class="w-detail">{}</span>').format(text)


def open_point(text: str) -> None:
    """One thing that is not settled, on a line of its own."""
    st.html(f'<div class="w-point">{badge("unresolved", "attention")} <span>{escape(text)}</span></div>')


def lines(*parts: Cell) -> Markup:
    """Parts below one another in one cell; empty ones are left out."""
    return Markup("<br>").join(part for part in parts if part)


def table_html(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", cards: bool = True
) -> Markup:
    """The first cell of a row is its header. A cell that is plain text is escaped; None is unknown."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in columns)
    body = []
    for row in rows:
        first, *rest = [UNKNOWN if cell is None else cell for cell in row]
        cells = Markup("").join(
            Markup('<td data-label="{}"><div>{}</div></td>').format(name, cell)
            for name, cell in zip(columns[1:], rest, strict=True)
        )
        body.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(first, cells))
    told = Markup('<caption class="w-hidden">{}</caption>').format(caption) if caption else Markup("")
    return Markup(
        '<div class="w-scroll" tabindex="0"><table class="w-table{}">{}<thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(" w-cards" if cards else "", told, head, Markup("").join(body))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", cards: bool = True
) -> None:
    """Draw `table_html`. On a phone each row becomes a card with its labels, unless the table is narrow anyway."""
    st.html(str(escape(table_html(columns, rows, caption=caption, cards=cards))))
