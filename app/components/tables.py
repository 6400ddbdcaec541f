"""Dense tables of facts with links, as HTML: real headers, no grid widget, nothing selected by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import streamlit as st
from markupsafe import Markup, escape

from app.components.links import href, when
from app.components.status import badge_html, prose
from app.formats import UNKNOWN

Cell = str | Markup | datetime | None
LONG = 240  # characters of one cell that are read without opening it


def badge(word: str | None, level: str) -> Markup:
    """A state as a cell."""
    return Markup(badge_html(word, level))  # noqa: S704 - badge_html escapes its word


def anchor(label: str, page: str, **query: object) -> Markup:
    """A link to one of our pages as a cell."""
    return link(label, href(page, **query))


def name_link(label: str, page: str, **query: object) -> Markup:
    """A link whose label is a name: it stays in one piece where there is room for it."""
    address = href(page, **query)
    return Markup('<a class="w-name" href="{}" target="_self">{}</a>').format(address, label)


def link(label: str, address: str) -> Markup:
    """A link to an address from `href` as a cell."""
    return Markup(f'<a href="{escape(address)}" target="_self">{escape(label)}</a>')  # noqa: S704 - escaped


def image(uri: str, alt: str) -> Markup:
    """A small picture (a data: URI of ours) as a cell."""
    return Markup('<img src="{}" alt="{}" class="w-spark">').format(uri, alt)


def small(text: str) -> Markup:
    return Markup(f'<span class="w-detail">{prose(text)}</span>')  # noqa: S704 - prose escapes


def long_text(text: str, *, most: int = LONG) -> Markup:
    """A text of any length as a cell: it wraps anywhere, and what is beyond `most` characters is read by opening it."""
    if len(text) <= most:
        return Markup('<span class="w-long">{}</span>').format(text)
    head = text[:most].rsplit(maxsplit=1)[0] if " " in text[most // 2 : most] else text[:most]
    return Markup('<details class="w-long"><summary>{}… <u>all of it</u></summary>{}</details>').format(
        head, text
    )


def folded(title: str, *parts: str) -> Markup:
    """Lines that are read by opening their title."""
    inner = Markup("<br>").join(Markup(prose(part)) for part in parts)  # noqa: S704 - prose escapes
    return Markup('<details class="w-long w-detail"><summary><u>{}</u></summary>{}</details>').format(
        title, inner
    )


def open_point(text: str, *, word: str = "unresolved") -> None:
    """One thing that is not settled, on a line of its own; or that `word` says otherwise."""
    st.html(f'<div class="w-point">{badge(word, "attention")} <span>{prose(text)}</span></div>')


def lines(*parts: Cell) -> Markup:
    """Parts below one another in one cell; empty ones are left out."""
    return Markup("<br>").join(_cell(part) for part in parts if part)


def _cell(cell: Cell) -> str | Markup:
    """Plain text as it is, a time in the viewer's zone with UTC and seconds on hovering, nothing as unknown."""
    if cell is None:
        return UNKNOWN
    return when(cell) if isinstance(cell, datetime) else cell


def table_html(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", cards: bool = True,
    brief: bool = False, row_links: bool = False,
) -> Markup:  # fmt: skip
    """The first cell of a row is its header. A cell that is plain text is escaped, a time is drawn by `when`, None
    is unknown.

    brief  of many rows that read as sentences: on a phone a row is a line with its header and its first cell, what the
           following cells say in a row, and the last cell below, without labels
    row_links  a click anywhere in a row follows the link of its header
    """
    looks = [name for name, is_so in (("cards", cards), ("brief", brief), ("row-links", row_links)) if is_so]
    head = Markup("").join(
        Markup('<th scope="col">{}</th>').format(name) if name else Markup("<td></td>") for name in columns
    )
    labels, body = [escape(name) for name in columns[1:]], []
    for row in rows:
        first, *rest = [_cell(cell) for cell in row]
        cells = "".join(
            f'<td data-label="{label}"><div>{escape(cell)}</div></td>'
            for label, cell in zip(labels, rest, strict=True)
        )
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    told = Markup('<caption class="w-hidden">{}</caption>').format(caption) if caption else Markup("")
    return Markup(
        '<div class="w-scroll" tabindex="0" role="group" aria-label="{}"><table class="w-table{}">{}'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(caption or "table", "".join(f" w-{look}" for look in looks), told, head, Markup("".join(body)))  # noqa: S704 - each cell is escaped


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", cards: bool = True,
    brief: bool = False, row_links: bool = False,
) -> None:  # fmt: skip
    """Draw `table_html`. On a phone each row becomes a card with its labels, unless the table is narrow anyway."""
    drawn = table_html(columns, rows, caption=caption, cards=cards, brief=brief, row_links=row_links)
    st.html(str(escape(drawn)))
