"""A card as a document to take away: Markdown, Hugging Face's card, HTML, PDF, or the source for git.

source       the text as it is stored, facts as placeholders: what belongs in git
markdown     facts filled in and marked; importing it again makes no new version
huggingface  facts filled in without our marks and our front matter: a README.md for a model repository
html, pdf    for reading, with document id, digest and as-of time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from backend.cards.document import split_front
from backend.cards.examination import Examined
from backend.cards.filling import fill_card
from backend.documents import (
    Block,
    Bullets,
    Heading,
    Paragraph,
    Sheet,
    Span,
    Table,
    blocks_of,
    plain,
    standalone_html,
)
from backend.errors import BadInput

FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "source": ("text/markdown; charset=utf-8", "source.md"),
    "markdown": ("text/markdown; charset=utf-8", "md"),
    "huggingface": ("text/markdown; charset=utf-8", "README.md"),
    "html": ("text/html; charset=utf-8", "html"),
    "pdf": ("application/pdf", "pdf"),
}
"""Media type and ending of each form."""


@dataclass(frozen=True)
class Exported:
    """A file: its name, media type and bytes."""

    name: str
    media_type: str
    body: bytes


def export_card(found: Examined, form: str) -> Exported:
    """The examined card in one of `FORMS`. Raises `BadInput` for another."""
    if form not in FORMS:
        raise BadInput(f"a card is exported as {', '.join(FORMS)}, not {form!r}", field="form")
    media_type, ending = FORMS[form]
    number = f"-card{found.number}" if found.number is not None else "-file"
    name = f"{found.model}-v{found.version}{number}.{ending}"
    return Exported(name, media_type, _BODIES[form](found))


def sheet_of(found: Examined) -> Sheet:
    """What each page says of the card."""
    which = f"card {found.number}" if found.number is not None else "card file"
    return Sheet(
        f"Model card: {found.model} version {found.version}",
        f"{found.model} v{found.version} {which}, {found.state.replace('_', ' ')}",
        found.document.digest, found.facts.at,
    )  # fmt: skip


def card_blocks(found: Examined) -> tuple[Block, ...]:
    """The card as blocks: what speaks against it first, then its front matter, then its text with the facts."""
    title, rest = _split_title(found)
    head = title or (Heading(1, plain(sheet_of(found).title)),)
    return (*head, *_standing(found), *rest)


def reading_blocks(found: Examined) -> tuple[Block, ...]:
    """The card below a page that says title, state and contradictions itself."""
    return _split_title(found)[1]


def _split_title(found: Examined) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    body = split_front(fill_card(found.document.source, found.facts, marked=False))[1]
    text = blocks_of(body)
    title = text[:1] if text and isinstance(text[0], Heading) and text[0].level == 1 else ()
    return title, (*_front_blocks(found.document.front, found), *text[len(title) :])


def _standing(found: Examined) -> list[Block]:
    state = {
        "approved": "approved by somebody other than its writers", "file": "a file; nobody has approved it",
        "draft": "a draft; nobody has approved it", "in_review": "in review; nobody has approved it yet",
        "superseded": "superseded by a later version",
    }[found.state]  # fmt: skip
    blocks: list[Block] = [
        Paragraph((Span("State: ", bold=True), Span(f"{state}. {found.completeness.percent} % complete."))),
    ]
    against = [one.text for one in found.contradictions] + list(found.problems)
    if against:
        blocks.append(Paragraph(plain("What speaks against it", bold=True)))
        blocks.append(Bullets(tuple((Paragraph(plain(one)),) for one in against)))
    return blocks


def _front_blocks(front: Mapping[str, Any], found: Examined) -> list[Block]:
    ours = front.get("warrant")
    fields = {name: value for name, value in front.items() if name not in ("model-index", "warrant")}
    fields = (dict(ours) if isinstance(ours, Mapping) else {}) | fields
    rows = [
        (plain(str(name).replace("_", " ").capitalize()), plain(_words(value, found)))
        for name, value in fields.items()
        if value not in (None, "", [])
    ]
    return [Table((plain("Field"), plain("Value")), tuple(rows), (1, 3))] if rows else []


def _words(value: Any, found: Examined) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name.replace('_', ' ')}: {_words(one, found)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_words(one, found) for one in value)
    text = str(value)
    for name, known in found.facts.inline.items():
        text = text.replace(f"{{{{ {name} }}}}", known)
    return text


def _markdown(found: Examined) -> bytes:
    return fill_card(found.document.source, found.facts).encode()


def _huggingface(found: Examined) -> bytes:
    """Without `warrant:`, which is ours alone: it names people."""
    filled = fill_card(found.document.source, found.facts, marked=False)
    front, body = split_front(filled)
    fields = yaml.safe_load(front.strip().strip("-")) if front else {}
    kept = (
        {name: value for name, value in fields.items() if name != "warrant"}
        if isinstance(fields, dict)
        else {}
    )
    head = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{head}---\n{body}".encode()


def _html(found: Examined) -> bytes:
    return standalone_html(sheet_of(found), card_blocks(found)).encode()


def _pdf(found: Examined) -> bytes:
    from backend.documents.pdf import pdf_of  # font and image libraries, for this alone

    return pdf_of(sheet_of(found), card_blocks(found))


_BODIES: Final = {
    "source": lambda found: found.document.source.encode(),
    "markdown": _markdown,
    "huggingface": _huggingface,
    "html": _html,
    "pdf": _pdf,
}
