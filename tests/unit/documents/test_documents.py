"""Documents people take away: nothing that a writer put in is run or fetched, and a PDF says of what it is."""

from __future__ import annotations

import io
import re
import struct
import zlib
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from backend.documents import (
    Block,
    Bullets,
    Code,
    Heading,
    Paragraph,
    Picture,
    Sheet,
    Span,
    Table,
    blocks_of,
    html_of,
    plain,
    standalone_html,
)
from backend.documents.markdown import safe_address
from backend.documents.pdf import pdf_of

SHEET = Sheet(
    "Model card: toy", "card/toy/2/1", "sha256:" + "ab" * 32, datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)
)
HOSTILE = """
<script>alert(1)</script>
<img src=x onerror=alert(1)>
<iframe src="https://evil.example"></iframe>
<style>body{display:none}</style>
<a href="javascript:alert(1)" onclick="alert(1)">x</a>

[go](javascript:alert(1)) [go](JaVaScRiPt:alert(1)) [go](data:text/html,<script>alert(1)</script>)
[go](vbscript:x) [go](//evil.example) [go](file:///etc/passwd) [go](&#106;avascript:alert(1))
[go](java\tscript:alert(1)) [fine](https://example.com/a?b=1&c="2") [mail](mailto:a@example.com)
![spy](https://evil.example/pixel.png) ![x](x "onerror=alert(1)") [![in](https://evil.example/a.png)](javascript:x)

<https://example.com/auto> <javascript:alert(1)>

| a | b |
|---|---|
| <b onmouseover=alert(1)>x</b> | [x](javascript:y) |

[ref]: javascript:alert(1)
[ref]

`<script>` **bold <script>**
"""
ALLOWED = {"p", "br", "a", "em", "strong", "code", "pre", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td",
           "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr"}  # fmt: skip
ATTRIBUTES = {"a": {"href", "target", "rel"}, "th": {"scope"}, "ol": {"start"}}


class Elements(HTMLParser):
    """Every element and attribute, as a browser reads the text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Elements()
    reader.feed(html)
    return reader.found


def assert_harmless(html: str) -> None:
    for tag, attributes in elements(html):
        assert tag in ALLOWED, tag
        assert set(attributes) <= ATTRIBUTES.get(tag, set()), (tag, attributes)
        assert re.match(r"https?://|mailto:", attributes.get("href") or "https://"), attributes


def test_hostile_markdown_is_text() -> None:
    html = html_of(blocks_of(HOSTILE))
    assert_harmless(html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "(image: spy)" in html
    assert {one["href"] for tag, one in elements(html) if tag == "a"} == {
        "https://example.com/a?b=1&c=%222%22", "mailto:a@example.com", "https://example.com/auto"
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>[]()!`*_#|-\n\t \"'&;:/\\abjsx0", max_size=200))
def test_no_text_gets_an_element_of_its_own_through(text: str) -> None:
    assert_harmless(html_of(blocks_of(text)))


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", " javascript:x", "java\nscript:x", "data:text/html,x", "//evil.example", "/audit", "x", "",
     "\x01javascript:x", "file:///x", "ftp://x", "https:evil", "blob:https://x"],
)  # fmt: skip
def test_only_addresses_of_the_web_and_of_mail_are_links(address: str) -> None:
    assert safe_address(address) == ""


def test_headings_lists_tables_and_code_keep_their_shape() -> None:
    text = "# A *b*\n\n1. one\n2. two\n   - in\n\n> said\n\n```\nx < y\n```\n\n|h|i|\n|-|-|\n|1|\n\n---\n"
    text += "\na  \nb <!-- no -->"
    html = html_of(blocks_of(text), below=2)
    assert "<h3>A <em>b</em></h3>" in html
    assert '<ol start="1"><li>one</li><li><p>two</p>\n<ul><li>in</li></ul>\n</li></ol>' in html
    assert "<blockquote><p>said</p>" in html
    assert "<pre><code>x &lt; y</code></pre>" in html
    assert '<th scope="col">h</th>' in html
    assert "<tr><td>1</td><td></td></tr>" in html
    assert "a<br>b" in html
    assert "no" not in html.split("<hr>")[1]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["> " * 20_000, "- " * 20_000, "[" * 50_000, "*a " * 50_000, "|a" * 20_000 + "\n|-", "`" * 99_999]
)
def test_deeply_nested_text_is_read_in_a_moment(text: str) -> None:
    assert_harmless(html_of(blocks_of(text)))


def test_a_standalone_file_lets_a_browser_run_and_fetch_nothing() -> None:
    html = standalone_html(SHEET, blocks_of(HOSTILE))
    assert "default-src 'none'" in html
    assert "script-src" not in html
    fetched = [(tag, a) for tag, a in elements(html) if {"src", "srcset", "data", "poster", "action"} & set(a) or tag in
               ("script", "link", "iframe", "object", "embed", "form", "base")]  # fmt: skip
    assert fetched == []
    assert "card/toy/2/1" in html
    assert "2026-03-01 09:05:07 UTC" in html


def pages(data: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]


def document() -> list[Block]:
    rows = tuple((plain(f"fact {n}"), plain("sha256:" + "0" * 64), plain("2026-03-01")) for n in range(60))
    return [
        Heading(1, plain("Model card: toy")),
        *blocks_of(
            "Some *words*, `code`, [a link](https://example.com) and 中.\n\n- one\n- two\n  1. deep\n\n> quoted"
        ),
        Code("x = 1\ny = 2"),
        Table((plain("Fact"), plain("Value"), plain("As of")), rows),
        Picture(png(), "a dark square"),
    ]


def png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = zlib.compress(b"\0\0\0" * 2)
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_every_page_of_a_pdf_names_document_digest_time_and_its_number() -> None:
    found = pages(pdf_of(SHEET, document()))
    assert len(found) > 2
    for number, text in enumerate(found, 1):
        assert f"page {number} of {len(found)}" in text
        assert SHEET.document_id in text
        assert SHEET.digest in text
        assert "as of 2026-03-01 09:05:07 UTC" in text


def test_the_text_of_a_pdf_can_be_read_back_and_unknown_letters_are_named() -> None:
    text = " ".join(" ".join(pages(pdf_of(SHEET, document()))).split())
    assert "Some words, code, a link <https://example.com> and [U+4E2D]." in text
    assert "– one" in text
    assert "1. deep" in text
    assert all(f"fact {number} " in text for number in range(60))


def test_a_pdf_reads_in_black_and_white_and_carries_no_action() -> None:
    reader = PdfReader(
        io.BytesIO(pdf_of(SHEET, blocks_of(HOSTILE) + blocks_of("# H\n\n[x](https://example.com)")))
    )
    for page in reader.pages:
        content = page.get_contents()
        assert content is not None
        colours = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) (?:rg|RG)\b", content.get_data())
        assert all(len(set(one)) == 1 for one in colours), colours
        for note in page.get("/Annots") or []:
            action = note.get_object()["/A"]
            assert (action["/S"], action["/URI"][:4]) in (("/URI", "http"), ("/URI", "mail"))
    assert reader.metadata is not None
    assert reader.metadata.title == SHEET.title
    assert "/OpenAction" not in reader.trailer["/Root"] or "/JS" not in str(reader.trailer["/Root"])


def test_the_same_document_is_the_same_bytes() -> None:
    assert pdf_of(SHEET, document()) == pdf_of(SHEET, document())


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=300))
def test_any_text_becomes_a_pdf(text: str) -> None:
    made = pdf_of(
        SHEET, [Heading(2, plain(text)), Paragraph((Span(text, bold=True),)), Code(text), *blocks_of(text),
                Bullets(((Paragraph(plain(text)),), ())), Table((plain(text),), ((plain(text),),))],
    )  # fmt: skip
    assert made.startswith(b"%PDF")


@pytest.mark.parametrize(
    "text",
    [
        "| a | b | c |\n|---|---|---|\n| x | " + "wort " * 2000 + "| y |\n| p | q | END |\n",
        "| a | b |\n|---|---|\n| x | " + "wort" * 2000 + "END |\n",
        "| a | b |\n|---|---|\n| " + "wort " * 2000 + "| END |\n",
        "|" + "a|" * 90 + "\n|" + "-|" * 90 + "\n|" + "wort|" * 89 + "END|\n",
        "| " + "wort " * 2000 + " | b |\n|---|---|\n| x | END |\n",
        "> > > | a | b | c |\n> > > |-|-|-|\n> > > | x | " + "wort " * 2000 + "| END |\n",
        "```\n" + "wort\n" * 2000 + "END\n```\n",
    ],
)
def test_no_row_is_too_tall_and_no_table_too_wide_for_a_pdf(text: str) -> None:
    """One long cell would take away the PDF of a card, and every evidence pack that has to hold it."""
    pages = PdfReader(io.BytesIO(pdf_of(SHEET, blocks_of(text)))).pages
    told = "".join("".join(page.extract_text().split()) for page in pages)
    assert told.count("wort") >= min(text.count("wort"), 2000) - len(
        pages
    )  # one may be broken at the end of a line
    assert "END" in told
