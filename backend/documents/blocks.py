"""The neutral form of a document: blocks of spans. Text is text; only the renderers know of markup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from backend.documents.chart import Chart


@dataclass(frozen=True)
class Span:
    """A run of text. link: an address of http, https or mailto, or empty; nothing else ever gets here."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False
    link: str = ""


Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Heading:
    level: int  # 1 to 6
    spans: Spans


@dataclass(frozen=True)
class Paragraph:
    spans: Spans


@dataclass(frozen=True)
class Bullets:
    """A list. start: the first number of an ordered one; None: bullets."""

    items: tuple[tuple[Block, ...], ...]
    start: int | None = None


@dataclass(frozen=True)
class Quote:
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Table:
    """Every row has as many cells as `header`. widths: of the columns, relative; empty: by their text."""

    header: tuple[Spans, ...]
    rows: tuple[tuple[Spans, ...], ...]
    widths: tuple[float, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture of ours as PNG bytes, such as a plot. alt: what it shows, for those who do not see it."""

    png: bytes
    alt: str


@dataclass(frozen=True)
class Rule:
    pass


Block = Heading | Paragraph | Bullets | Quote | Code | Table | Picture | Chart | Rule


@dataclass(frozen=True)
class Sheet:
    """What every page says of its document.

    digest  `sha256:<hex>` of what the document was made from; as_of: the moment it speaks for
    """

    title: str
    document_id: str
    digest: str
    as_of: datetime
    language: str = "en"


def plain(text: str, *, bold: bool = False) -> Spans:
    """A text as one span."""
    return (Span(text, bold=bold),) if text else ()


def text_of(spans: Iterable[Span]) -> str:
    return "".join(span.text for span in spans)
