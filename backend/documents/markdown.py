"""Markdown that people wrote, as blocks. HTML in it is text, pictures are words, links lead to http or mail only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from backend.documents.blocks import (
    Block,
    Bullets,
    Code,
    Heading,
    Paragraph,
    Quote,
    Rule,
    Span,
    Spans,
    Table,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x20]+", re.IGNORECASE)
_COMMENT_BEGINS: Final = "<!--"
DEEPEST: Final = 12
"""Lists and quotations within one another; what lies deeper is drawn at that depth."""


def blocks_of(text: str) -> tuple[Block, ...]:
    """The blocks of CommonMark with tables. Comments are left out; never raises for what is in the text."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 40}).enable(["table", "strikethrough"])
    return tuple(_Reader(parser.parse(_without_comments(text))).read())


def safe_address(address: str) -> str:
    """The address where it leads to http, https or mail; else nothing. Browsers ignore what is stripped here."""
    bare = "".join(char for char in address if ord(char) > 32 and ord(char) != 127)
    return bare if _ADDRESS.fullmatch(bare) else ""


class _Reader:
    """Walks the parser's flat tokens once."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def read(self, until: str = "", depth: int = 0) -> list[Block]:
        blocks: list[Block] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.type == until:
                return blocks
            blocks += self._block(token, depth)
        return blocks

    def _block(self, token: Token, depth: int) -> list[Block]:
        kind = token.type
        if kind == "heading_open":
            return [Heading(int(token.tag[1]), self._spans())]
        if kind == "paragraph_open":
            spans = self._spans()
            return [Paragraph(spans)] if spans else []
        if kind in ("fence", "code_block"):
            return [Code(token.content.rstrip("\n"))]
        if kind == "hr":
            return [Rule()]
        if kind == "blockquote_open":
            inner = tuple(self.read("blockquote_close", depth + 1))
            return [Quote(inner)] if depth < DEEPEST else list(inner)
        if kind in ("bullet_list_open", "ordered_list_open"):
            return self._list(kind, token, depth)
        if kind == "table_open":
            return [self._table()]
        if kind == "inline":
            return [Paragraph(_inline(token.children or []))]
        return []

    def _spans(self) -> Spans:
        """The inline content after an opening token, past its closing one."""
        token = self.tokens[self.at]
        self.at += 2
        return _inline(token.children or [])

    def _list(self, kind: str, token: Token, depth: int) -> list[Block]:
        start = int(token.attrs.get("start") or 1) if kind == "ordered_list_open" else None
        items = []
        while self.at < len(self.tokens):
            inner = self.tokens[self.at]
            self.at += 1
            if inner.type == kind.replace("_open", "_close"):
                break
            if inner.type == "list_item_open":
                items.append(tuple(self.read("list_item_close", depth + 1)))
        if depth >= DEEPEST:
            return [block for item in items for block in item]
        return [Bullets(tuple(items), start)]

    def _table(self) -> Table:
        rows: list[list[Spans]] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline" and rows:
                rows[-1].append(_inline(token.children or []))
        header = tuple(rows[0]) if rows else ()
        body = tuple(tuple((row + [()] * len(header))[: len(header)]) for row in rows[1:])
        return Table(header, body)


def _inline(tokens: Sequence[Token]) -> Spans:
    spans: list[Span] = []
    bold = italic = 0
    links: list[str] = []
    for token in tokens:
        style = Span("", bold > 0, italic > 0, link=next((one for one in reversed(links) if one), ""))
        if token.type in ("strong_open", "strong_close"):
            bold += token.nesting
        elif token.type in ("em_open", "em_close"):
            italic += token.nesting
        elif token.type == "link_open":
            links.append(safe_address(str(token.attrs.get("href") or "")))
        elif token.type == "link_close":
            links.pop()
        elif token.type == "image":
            spans.append(replace(style, text=f"(image: {token.content})", italic=True))
        elif token.type == "code_inline":
            spans.append(replace(style, text=token.content, code=True))
        elif token.type == "softbreak":
            spans.append(replace(style, text=" "))
        elif token.type == "hardbreak":
            spans.append(replace(style, text="\n"))
        elif token.content:
            spans.append(replace(style, text=token.content))
    return tuple(_joined(spans))


def _joined(spans: list[Span]) -> list[Span]:
    """Neighbours of one style as one span."""
    joined: list[Span] = []
    for span in spans:
        if joined and replace(joined[-1], text="") == replace(span, text=""):
            joined[-1] = replace(span, text=joined[-1].text + span.text)
        else:
            joined.append(span)
    return joined


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (begins := text.find(_COMMENT_BEGINS, at)) >= 0:
        end = text.find("-->", begins + 4)
        parts.append(text[at:begins])
        at = len(text) if end < 0 else end + 3
    return "".join(parts) + text[at:]
