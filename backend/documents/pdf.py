"""Blocks as PDF: A4, black on white, every page with document id, page n of m, digest and as-of time.

Imported where a document is made, not when the console starts: fpdf2 brings font and image libraries along.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fpdf import FPDF, FontFace
from fpdf.enums import MethodReturnValue, TableBordersLayout, WrapMode, XPos, YPos
from fpdf.fonts import TTFFont

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
    text_of,
)
from backend.documents.chart import DASHES, Chart, key_of, lay_out
from backend.errors import Unavailable

_MARGIN: Final = 18.0  # mm
_SIZE: Final = 9.5  # pt
_LINE: Final = 4.9  # mm
_ROW: Final = 4.2  # mm a line of a table
_PADDING: Final = 0.9
_TALLEST: Final = 40  # lines of a row
_TALLEST_HEAD: Final = 10  # which stands on every page
_NARROWEST: Final = 8.0
_SIZES: Final = {1: 17.0, 2: 13.5, 3: 11.5, 4: 10.5, 5: 10.0, 6: 10.0}
_FONTS: Final = (
    ("DejaVu", "", "DejaVuSans.ttf"), ("DejaVu", "B", "DejaVuSans-Bold.ttf"),
    ("DejaVu", "I", "DejaVuSans-Oblique.ttf"), ("DejaVu", "BI", "DejaVuSans-BoldOblique.ttf"),
    ("Mono", "", "DejaVuSansMono.ttf"), ("Mono", "B", "DejaVuSansMono-Bold.ttf"),
    ("Mono", "I", "DejaVuSansMono-Oblique.ttf"), ("Mono", "BI", "DejaVuSansMono-BoldOblique.ttf"),
)  # fmt: skip


def pdf_of(sheet: Sheet, blocks: Sequence[Block]) -> bytes:
    """The document as PDF. The same sheet and blocks give the same bytes.

    A character that the fonts do not have is written as its code, `[U+4E2D]`: nothing is left out silently.
    """
    page = _Pages(sheet, _styles_in(blocks))
    page.add_page()
    for block in blocks:
        _draw(page, block, 0.0)
    return bytes(page.output())


class _Pages(FPDF):
    """A PDF that writes head and foot of every page from its sheet."""

    def __init__(self, sheet: Sheet, styles: frozenset[tuple[str, str]]) -> None:
        super().__init__(format="A4")
        self.sheet = sheet
        self.inks: dict[str, Any] = {}
        for family, style, file in _FONTS:
            if (family, style) in styles:
                self.add_font(family, style, _font_folder() / file)
        self.set_margins(_MARGIN, 22, _MARGIN)
        self.set_auto_page_break(True, margin=22)
        self.set_title(sheet.title)
        self.set_subject(f"{sheet.document_id} {sheet.digest}")
        self.set_creator("Warrant")
        self.set_producer("Warrant")
        self.set_lang(sheet.language)
        self.set_creation_date(sheet.as_of.astimezone(UTC))
        self.set_draw_color(0)
        self.set_text_color(0)
        self.set_font("DejaVu", "", _SIZE)

    def header(self) -> None:
        self.set_line_width(0.15)
        self.set_xy(_MARGIN, 10)
        self.set_font("DejaVu", "", 7.5)
        width = (self.w - 2 * _MARGIN) / 2
        self.cell(width, 4, self.known(_cut(self.sheet.title, 60)), new_x=XPos.RIGHT, new_y=YPos.TOP)
        self.cell(width, 4, f"as of {self.sheet.as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", align="R",
                  new_x=XPos.LMARGIN, new_y=YPos.NEXT)  # fmt: skip
        self.line(_MARGIN, 15, self.w - _MARGIN, 15)
        self.set_y(22)
        self.set_font("DejaVu", "", _SIZE)

    def footer(self) -> None:
        self.set_xy(_MARGIN, self.h - 16)
        self.line(_MARGIN, self.h - 17, self.w - _MARGIN, self.h - 17)
        self.set_font("DejaVu", "", 7.5)
        self.cell(
            self.w - 2 * _MARGIN - 30, 4, self.known(self.sheet.document_id), new_x=XPos.RIGHT, new_y=YPos.TOP
        )
        self.cell(30, 4, f"page {self.page_no()} of {{nb}}", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_font("Mono", "", 6.5)
        self.set_x(_MARGIN)
        self.cell(0, 4, self.sheet.digest, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def known(self, text: str) -> str:
        """Text with each character that the fonts lack written as its code."""
        shown = self.fonts.get("dejavu")
        glyphs = shown.cmap if isinstance(shown, TTFFont) else {}
        return "".join(
            char
            if char in "\n\t" or ord(char) in glyphs
            else ""
            if ord(char) < 32
            else f"[U+{ord(char):04X}]"
            for char in text.replace("\r", "").replace("\t", "    ").replace("{nb}", "{ nb}")
        )


def _styles_in(blocks: Iterable[Block]) -> frozenset[tuple[str, str]]:
    """The fonts that these blocks need: reading one takes a tenth of a second."""
    found = {("DejaVu", ""), ("DejaVu", "B"), ("Mono", "")}
    for block in blocks:
        if isinstance(block, Paragraph):
            found |= {_style_of(span) for span in block.spans}
        elif isinstance(block, Quote):
            found |= _styles_in(block.blocks)
        elif isinstance(block, Bullets):
            found |= _styles_in(one for item in block.items for one in item)
    return frozenset(found)


def _style_of(span: Span) -> tuple[str, str]:
    return "Mono" if span.code else "DejaVu", ("B" if span.bold else "") + ("I" if span.italic else "")


@cache
def _font_folder() -> Path:
    """DejaVu as matplotlib ships it; matplotlib itself is not imported."""
    found = find_spec("matplotlib")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" if found and found.origin else Path()
    if not (folder / _FONTS[0][2]).is_file():
        raise Unavailable(
            "the fonts of documents are missing: they come with matplotlib; `make setup` installs it"
        )
    return folder


def _draw(page: _Pages, block: Block, indent: float) -> None:
    page.set_left_margin(_MARGIN + indent)
    page.set_x(_MARGIN + indent)
    match block:
        case Heading(level, spans):
            _heading(page, level, text_of(spans))
        case Paragraph(spans):
            _write(page, spans)
            page.ln(_LINE * 1.45)
        case Bullets():
            _bullets(page, block, indent)
        case Quote(blocks):
            for one in blocks:
                _draw(page, one, indent + 5)
        case Code(text):
            page.set_font("Mono", "", 8)
            page.multi_cell(page.epw, 4.2, page.known(text) or " ", border=1, align="L", wrapmode=WrapMode.CHAR,
                            padding=1, new_x=XPos.LMARGIN, new_y=YPos.NEXT)  # fmt: skip
            page.ln(2)
        case Table():
            _table(page, block)
        case Picture(png, alt):
            page.image(io.BytesIO(png), w=page.epw, alt_text=alt)
            page.ln(3)
        case Chart():
            _chart(page, block)
        case Rule():
            page.line(_MARGIN, page.get_y(), page.w - _MARGIN, page.get_y())
            page.ln(3)
    page.set_font("DejaVu", "", _SIZE)
    page.set_left_margin(_MARGIN)
    page.set_x(_MARGIN)


def _heading(page: _Pages, level: int, text: str) -> None:
    size = _SIZES[level]
    if page.will_page_break(size * 1.6 + 12):  # a heading does not stand alone at the foot of a page
        page.add_page()
    page.ln(2.5 if level < 4 else 1)
    page.set_font("DejaVu", "B", size)
    page.multi_cell(0, size * 0.5, page.known(text) or " ", align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.ln(1.2)


def _write(page: _Pages, spans: Iterable[Span]) -> None:
    """Runs of text one after another, broken where the line ends. An address is written out: paper has no links."""
    for span in spans:
        page.set_font(*_style_of(span), _SIZE - 1 if span.code else _SIZE)
        page.write(_LINE, page.known(span.text), link=span.link)
        if span.link and span.link not in (span.text, f"mailto:{span.text}"):
            page.write(_LINE, page.known(f" <{span.link}>"))


def _bullets(page: _Pages, block: Bullets, indent: float) -> None:
    for number, item in enumerate(block.items):
        mark = "–" if block.start is None else f"{block.start + number}."
        page.set_x(_MARGIN + indent)
        page.cell(6, _LINE, mark, new_x=XPos.RIGHT, new_y=YPos.TOP)
        for one in item or (Paragraph(()),):
            _draw(page, one, indent + 6)


def _table(page: _Pages, table: Table) -> None:
    """A row that is taller than a page goes on in rows below it; a table that has no room for its columns, or whose
    head takes too much of each page, is written as text."""
    if not table.header:
        return
    page.set_font("DejaVu", "", 8)
    widths = table.widths or _widths(table)
    room = [page.epw * one / sum(widths) for one in widths]
    heads = [page.known(text_of(cell)) for cell in table.header]
    if (
        min(room) < _NARROWEST
        or max(len(_lines(page, head, wide)) for head, wide in zip(heads, room, strict=True)) > _TALLEST_HEAD
    ):
        _table_as_text(page, heads, table)
        return
    with page.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES, col_widths=tuple(widths), line_height=_ROW,
        padding=_PADDING, headings_style=FontFace(emphasis="BOLD"), text_align="LEFT", repeat_headings=1,
    ) as drawn:  # fmt: skip
        drawn.row(heads)
        for row in table.rows:
            for part in _rows_of(page, [page.known(text_of(cell)) for cell in row], room):
                drawn.row(part)
    page.ln(3)


def _rows_of(page: _Pages, texts: list[str], room: Sequence[float]) -> Iterable[list[str]]:
    """The row, or as many as a page can hold each of."""
    # No letter is as wide as this; most rows are not looked at any further.
    if all(
        sum(1 + int(len(line) * 3.0 / wide) for line in text.split("\n")) <= _TALLEST
        for text, wide in zip(texts, room, strict=True)
    ):
        return [texts]
    cells = [_lines(page, text, wide) for text, wide in zip(texts, room, strict=True)]
    most = max(len(lines) for lines in cells)
    return [
        ["\n".join(lines[at : at + _TALLEST]) for lines in cells] for at in range(0, max(most, 1), _TALLEST)
    ]


def _lines(page: _Pages, text: str, wide: float) -> list[str]:
    """How a cell breaks the text."""
    found: Any = page.multi_cell(
        wide, _ROW, text, align="L", padding=_PADDING,  # type: ignore[arg-type]  # it takes millimetres
        dry_run=True, output=MethodReturnValue.LINES,
    )  # fmt: skip
    return list(found)


def _table_as_text(page: _Pages, heads: list[str], table: Table) -> None:
    for row in table.rows:
        for head, cell in zip(heads, row, strict=True):
            said = f"{head}: {page.known(text_of(cell))}"
            page.multi_cell(0, _ROW, said, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        page.ln(2)
    page.ln(1)


def _chart(page: _Pages, chart: Chart) -> None:
    """Lines, not a picture: sharp at any size, and the bytes follow from the values."""
    drawn, tall, side = lay_out(chart), 44.0, 16.0
    if page.will_page_break(tall + 24):
        page.add_page()
    page.set_font("DejaVu", "B", 8.5)
    page.multi_cell(0, 5, page.known(chart.title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.set_font("DejaVu", "", 7)
    if drawn is None:
        page.cell(0, 5, "nothing was measured", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        page.ln(2)
        return
    left, top, wide = page.l_margin + side, page.get_y() + 1, page.epw - side - 2

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * wide, top + (1 - y) * tall

    page.set_line_width(0.08)
    page.set_draw_color(190)
    for y, label in drawn.y_ticks:
        page.line(*at(0, y), *at(1, y))
        page.text(left - 1.5 - page.get_string_width(label), at(0, y)[1] + 0.9, label)
    for x, label in drawn.x_ticks:
        page.text(min(at(x, 0)[0] - 8, left + wide - 16), top + tall + 4, label)
    page.set_line_width(0.35)
    page.set_draw_color(0)
    for _, dash, runs in drawn.paths:
        page.set_dash_pattern(*DASHES[dash])
        for run in runs:
            if len(run) == 1:
                page.circle(*at(*run[0]), 0.5, style="F")
            else:
                page.polyline([at(*one) for one in run])
        page.set_dash_pattern()
    page.set_fill_color(0)
    for x, y in (at(*one) for one in drawn.marks):
        page.rect(x - 0.9, y - 0.9, 1.8, 1.8, style="F")
    page.set_line_width(0.15)
    page.set_y(top + tall + 5.5)
    page.multi_cell(0, 4, page.known(key_of(chart)), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.ln(3)


def _widths(table: Table) -> list[float]:
    """Widths by the longest text of each column, within bounds that leave every column readable."""
    longest = [
        max(len(text_of(row[index])) for row in (table.header, *table.rows))
        for index in range(len(table.header))
    ]
    return [float(min(max(length, 10), 60) + 5) for length in longest]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
