"""Text in the form in which machines read it: keys, definitions, differences. Plain HTML, so that no page fetches a
highlighter for it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from markupsafe import Markup, escape

_MARKS = {"+": "w-added", "-": "w-removed", "@": "w-detail"}


def code_block(text: str) -> None:
    """Text of several lines, as it is."""
    _draw(escape(text), "w-code")


def copied_text(text: str) -> None:
    """A key, a digest or a command that is taken elsewhere: one click selects all of it."""
    _draw(escape(text), "w-code w-copied", "One click selects all of it")


def difference_block(lines: Sequence[str]) -> None:
    """The lines of a unified difference, each with its sign in front."""
    _draw(Markup("\n").join(_marked(line) for line in lines), "w-code")


def _marked(line: str) -> Markup:
    mark = _MARKS.get(line[:1])
    return Markup('<span class="{}">{}</span>').format(mark, line) if mark else escape(line)


def _draw(inside: Markup, look: str, title: str = "") -> None:
    st.html(Markup('<pre class="{}" tabindex="0" title="{}">{}</pre>').format(look, title, inside))
