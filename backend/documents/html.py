"""Blocks as HTML. Every text is escaped and every element is ours: no markup of a writer gets through."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from backend.documents.blocks import (
    Block,
    Bullets,
    Code,
    Heading,
    Paragraph,
    Picture,
    Quote,
    Rule,
    Sheet,
    Span,
    Table,
)
from backend.documents.chart import Chart, chart_svg

_STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; margin: 1.6em 0 0.4em; }
table { border-collapse: collapse; width: 100%; font-size: 0.92em; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #bbb; padding: 0.25em 0.8em 0.25em 0; }
td, th, p, li { overflow-wrap: anywhere; }
pre { overflow-x: auto; border: 1px solid #bbb; padding: 0.6em; font-size: 0.88em; white-space: pre-wrap; }
blockquote { border-left: 3px solid #777; margin: 1em 0; padding-left: 1em; }
header, footer { font-size: 0.85em; color: #333; border-bottom: 1px solid #111; padding-bottom: 0.5em; }
footer { border: 0; border-top: 1px solid #111; margin-top: 3em; padding-top: 0.5em; }
img, svg { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1em 1em; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; margin: 0; } a { color: inherit; } }
"""


def html_of(blocks: Iterable[Block], *, below: int = 0) -> str:
    """HTML of blocks; headings are moved `below` levels down, to lie under those of a page."""
    return "".join(_block(block, below) for block in blocks)


def standalone_html(sheet: Sheet, blocks: Sequence[Block]) -> str:
    """One file. Its policy lets a browser run nothing and fetch nothing, whatever is in it."""
    facts = (
        ("Document", sheet.document_id),
        ("As of", f"{sheet.as_of:%Y-%m-%d %H:%M:%S} UTC"),
        ("Digest", sheet.digest),
    )
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<!doctype html>\n<html lang="{escape(sheet.language)}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(sheet.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><dl>{listed}</dl></header>\n<main>\n{html_of(blocks)}\n</main>\n"
        f"<footer>{escape(sheet.document_id)} · {escape(sheet.digest)}</footer>\n</body>\n</html>\n"
    )


def _block(block: Block, below: int) -> str:
    match block:
        case Heading(level, spans):
            tag = f"h{min(level + below, 6)}"
            return f"<{tag}>{_spans(spans)}</{tag}>\n"
        case Paragraph(spans):
            return f"<p>{_spans(spans)}</p>\n"
        case Bullets(items, start):
            inner = "".join(f"<li>{_item(item, below)}</li>" for item in items)
            if start is None:
                return f"<ul>{inner}</ul>\n"
            return f'<ol start="{start}">{inner}</ol>\n'
        case Quote(blocks):
            return f"<blockquote>{html_of(blocks, below=below)}</blockquote>\n"
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>\n"
        case Table():
            return _table(block)
        case Picture(png, alt):
            data = base64.b64encode(png).decode()
            return f'<p><img src="data:image/png;base64,{data}" alt="{escape(alt)}"></p>\n'
        case Chart():
            return f"<p>{chart_svg(block)}</p>\n"
        case Rule():
            return "<hr>\n"


def _item(blocks: tuple[Block, ...], below: int) -> str:
    """A list's item; one paragraph alone stands without its own element."""
    if len(blocks) == 1 and isinstance(blocks[0], Paragraph):
        return _spans(blocks[0].spans)
    return html_of(blocks, below=below)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_spans(cell)}</th>' for cell in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{_spans(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n"


def _spans(spans: Iterable[Span]) -> str:
    return "".join(_span(span) for span in spans)


def _span(span: Span) -> str:
    text = escape(span.text).replace("\n", "<br>")
    if span.code:
        text = f"<code>{text}</code>"
    if span.italic:
        text = f"<em>{text}</em>"
    if span.bold:
        text = f"<strong>{text}</strong>"
    if span.link:
        text = f'<a href="{escape(span.link)}" target="_blank" rel="noopener noreferrer nofollow">{text}</a>'
    return text
