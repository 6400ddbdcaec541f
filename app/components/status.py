"""What state a thing is in: headline, badge, banner, empty state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape

import streamlit as st
from markupsafe import Markup

from app.theme import STATES, stylesheet


@cache
def _style() -> str:
    return f"<style>{stylesheet('console')}</style>"


def use_style() -> None:
    """Load the console's style sheet; the frame calls it once a run, before anything is drawn."""
    st.html(_style())


def prose(text: str) -> str:
    """A sentence of ours as HTML: what stands between backticks as code, all else escaped. `Markup` stays as it is."""
    if isinstance(text, Markup):
        return str(text)
    return _QUOTED.sub(r"<code>\1</code>", escape(text))


_QUOTED = re.compile(r"`([^`\n]+)`")


def badge_html(word: str | None = None, level: str = "unknown") -> str:
    """A state as HTML: shape, word and tint. A level nobody knows is drawn as unknown, never as ok."""
    state = STATES.get(level, STATES["unknown"])
    hatch = " w-hatch" if state.level == "unknown" and (word is None or "no data" in word) else ""
    return (
        f'<span class="w-badge w-{state.level}{hatch}" title="{escape(state.meaning)}">'
        f'<span aria-hidden="true">{state.shape}</span> {escape(word or state.word)}</span>'
    )


def headline(
    sentence: str,
    level: str = "unknown",
    *,
    detail: str | None = None,
    links: Sequence[tuple[str, str, str]] = (),
) -> None:
    """The one answer on top of a page; `detail` says window, rows, and how old the figure is.

    `links` are (level, label, address from `href`), a line each.
    """
    state = STATES.get(level, STATES["unknown"])
    below = f'<div class="w-detail">{prose(detail)}</div>' if detail else ""
    below += "".join(
        f'<div>{badge_html(None, one)} <a href="{escape(address)}" target="_self">{escape(label)}</a></div>'
        for one, label, address in links
    )
    st.html(
        f'<div class="w-headline w-{state.level}" role="status">'
        f'<span class="w-shape" aria-hidden="true">{state.shape}</span><div><h1>{prose(sentence)}</h1>'
        f'<span class="w-hidden">({escape(state.word)})</span>{below}</div></div>'
    )


def title(text: str, *, detail: str | None = None) -> None:
    """The head of a page that answers no question of state, such as a form."""
    below = f'<div class="w-detail">{prose(detail)}</div>' if detail else ""
    st.html(f'<div class="w-title w-headline"><div><h1>{prose(text)}</h1>{below}</div></div>')


def banner(
    text: str, level: str = "injected", *, word: str | None = None, link: tuple[str, str] | None = None
) -> None:
    """A strip above a page: demo data, an injected fault, a dependency that is away; `link` is (label, address from
    `href`)."""
    anchor = f' <a href="{escape(link[1])}" target="_self">{escape(link[0])}</a>' if link else ""
    st.html(
        f'<div class="w-banner w-{escape(level)}" role="note">{badge_html(word, level)} {prose(text)}{anchor}</div>'
    )


def empty_state(title: str, what_to_do: str, link: tuple[str, str] | None = None) -> None:
    """Nothing to show, why, and what would change that; `link` is (label, address from `href`)."""
    anchor = f' <a href="{escape(link[1])}" target="_self">{escape(link[0])}</a>' if link else ""
    st.html(f'<div class="w-empty"><strong>{prose(title)}</strong><p>{prose(what_to_do)}{anchor}</p></div>')
