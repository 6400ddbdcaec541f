"""What a page does not fetch: a font that it does not use, and a highlighter for text that it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from app.components.code_block import code_block, copied_text, difference_block
from app.frame import FONT

ROOT = Path(__file__).resolve().parents[3]


def test_streamlits_page_loses_its_font_and_nothing_else() -> None:
    page = (Path(st.__file__).parent / "static" / "index.html").read_bytes()
    (taken,) = FONT.findall(page)
    assert taken.count(b"<") == 1
    assert b".woff2" in taken
    left = FONT.sub(b"", page)
    assert len(left) == len(page) - len(taken)
    for kept in (b'rel="shortcut icon"', b'type="module"', b'rel="modulepreload"'):
        assert left.count(kept) == page.count(kept) > 0


def test_texts_are_drawn_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(st, "html", lambda body: drawn.append(str(body)))
    code_block("a: <b>\n  c: 1")
    copied_text("sha256:1")
    difference_block(["--- now", "+<i>", " same", ""])
    assert '<pre class="w-code" tabindex="0" title="">a: &lt;b&gt;\n  c: 1</pre>' in drawn
    assert "w-copied" in drawn[1]
    assert drawn[2].count("w-removed") == drawn[2].count("w-added") == 1
    assert '<span class="w-added">+&lt;i&gt;</span>\n same\n</pre>' in drawn[2]


def test_no_page_brings_the_highlighter() -> None:
    files = [one for folder in ("app", "pages") for one in (ROOT / folder).rglob("*.py")]
    assert not [str(one) for one in files if "st.code(" in one.read_text()]
