"""Documents that people take away: one neutral form, drawn as safe HTML or as PDF.

    blocks_of(text)                   Markdown that people wrote, as blocks; nothing in it is ever run or fetched
    html_of(blocks)                   safe HTML below a heading of a page
    standalone_html(sheet, blocks)    one file that asks nobody for anything
    pdf_of(sheet, blocks)             pages with document id, page n of m, digest and as-of time, in black and white

A document made from data builds the blocks itself: `Heading`, `Paragraph`, `Table`, `Chart` and the others.
"""

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
    plain,
    text_of,
)
from backend.documents.chart import Chart, Line, chart_svg
from backend.documents.html import html_of, standalone_html
from backend.documents.markdown import blocks_of

__all__ = [
    "Block",
    "Bullets",
    "Chart",
    "Code",
    "Heading",
    "Line",
    "Paragraph",
    "Picture",
    "Quote",
    "Rule",
    "Sheet",
    "Span",
    "Table",
    "blocks_of",
    "chart_svg",
    "html_of",
    "plain",
    "standalone_html",
    "text_of",
]
