"""What a card has to say: headings of Hugging Face's card, ours for governance, and how much each counts.

Hugging Face's template: huggingface_hub, `modelcard_template.md`. Ours answer what a reviewer asks of a model that
serves: who answers for it, what it must not be used for, who watches it and can stop it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backend.cards.document import GAP, CardDocument, Problem, Section, gaps_of, plain_title
from backend.cards.fillers import MARKERS, is_filler, own_words

ESSENTIAL: Final = 3
USUAL: Final = 1


@dataclass(frozen=True)
class Wanted:
    """A heading a card should have. `others`: titles that answer the same. weight: how much its text counts."""

    title: str
    level: int
    weight: int
    asks: str
    others: tuple[str, ...] = ()


WANTED: Final = (
    Wanted("Model Details", 2, 0, "what it is", ("Model Description",)),
    Wanted("Description", 3, ESSENTIAL, "what it gives, of what, and when", ("Model Description",)),
    Wanted("Uses", 2, 0, "what it is for"),
    Wanted("Direct Use", 3, ESSENTIAL, "what it is meant for", ("Intended Use", "Intended Uses")),
    Wanted("Downstream Use", 3, USUAL, "what may be built on it"),
    Wanted("Out-of-Scope Use", 3, ESSENTIAL, "what it cannot do", ("Out of Scope Use",)),
    Wanted("Bias, Risks, and Limitations", 2, ESSENTIAL, "where it fails, and whom it treats worse", ("Limitations",)),
    Wanted("Recommendations", 3, USUAL, "what follows from that for those who use it"),
    Wanted("How to Get Started with the Model", 2, USUAL, "how it is asked", ("How to Get Started",)),
    Wanted("Training Details", 2, 0, "how it came about"),
    Wanted("Training Data", 3, ESSENTIAL, "what it learned from"),
    Wanted("Training Procedure", 3, USUAL, "how it learned"),
    Wanted("Evaluation", 2, 0, "how good it is"),
    Wanted("Testing Data, Factors & Metrics", 3, USUAL, "on what it was tested, and why these metrics", ("Metrics",)),
    Wanted("Results", 3, ESSENTIAL, "what came out"),
    Wanted("Model Examination", 2, USUAL, "what drives its answers"),
    Wanted("Environmental Impact", 2, USUAL, "what training and serving cost"),
    Wanted("Technical Specifications", 2, USUAL, "files, hardware, interface"),
    Wanted("Citation", 2, USUAL, "what it rests on"),
    Wanted("Glossary", 2, USUAL, "the words it uses"),
    Wanted("More Information", 2, USUAL, "what else a reader must know"),
    Wanted("Model Card Authors", 2, USUAL, "who wrote it", ("Authors",)),
    Wanted("Model Card Contact", 2, USUAL, "whom to ask", ("Contact",)),
    Wanted("Governance", 2, 0, "how it is governed"),
    Wanted("Owner and Risk Tier", 3, ESSENTIAL, "who answers for it, and how much depends on it", ("Owner",)),
    Wanted("Prohibited Use", 3, ESSENTIAL, "what nobody may use it for"),
    Wanted("Human Oversight", 3, ESSENTIAL, "who watches, who can stop it, and how"),
    Wanted("Data Provenance", 3, ESSENTIAL, "where the data come from, and by what right"),
    Wanted("Fairness", 3, ESSENTIAL, "which groups were looked at, and what was found"),
    Wanted("Monitoring Plan", 3, ESSENTIAL, "what is watched, how often, and what happens then"),
)  # fmt: skip

FIELDS: Final[tuple[tuple[str, int], ...]] = (
    ("language", USUAL), ("license", USUAL), ("library_name", USUAL), ("pipeline_tag", USUAL), ("tags", USUAL),
    ("datasets", USUAL), ("metrics", USUAL), ("model-index", ESSENTIAL), ("warrant", ESSENTIAL),
)  # fmt: skip
"""Fields of the front matter that a card should have."""

OF_FACTS: Final = frozenset({
    "Training Data", "Training Procedure", "Testing Data, Factors & Metrics", "Results", "Technical Specifications",
    "Owner and Risk Tier",
})  # fmt: skip
"""Headings that facts alone answer; below the others stands what somebody judges."""
TOO_OFTEN: Final = 3

_FILLED = re.compile(r"\{\{[^{}\n]{1,200}\}\}")
_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True)
class Answer:
    """How one heading or field stands. share: 1 answered, 0.5 answered with a blank left, 0 not answered."""

    name: str
    weight: int
    share: float
    reason: str = ""
    line: int = 0


def answers_of(document: CardDocument) -> list[Answer]:
    """Every heading and field that a card should have, and how this one answers it."""
    often = _said_often(document)
    return [_field(document, name, weight) for name, weight in FIELDS] + [
        _heading(document, one, often) for one in WANTED if one.weight
    ]


def missing_parts(document: CardDocument) -> list[Problem]:
    """Headings that are not there at all, and blanks that were left, as problems with lines."""
    absent = [
        Problem(0, f"the heading {'#' * one.level} {one.title} is not there ({one.asks})", "missing")
        for one in WANTED
        if not _found(document, one)
    ]
    return absent + [Problem(line, f"{GAP} is left", "missing") for line in gaps_of(document)]


def _found(document: CardDocument, wanted: Wanted) -> Section | None:
    for title in (wanted.title, *wanted.others):
        section = document.section(title)
        if section is not None:
            return section
    return None


def _text_below(document: CardDocument, section: Section) -> str:
    """What stands below a heading, with the sub-headings that are not asked for by themselves."""
    titles = {plain_title(title) for one in WANTED for title in (one.title, *one.others)}
    parts = [section.text]
    for below in document.sections[document.sections.index(section) + 1 :]:
        if below.level <= section.level or plain_title(below.title) in titles:
            break
        parts.append(below.text)
    return "\n".join(parts)


def _heading(document: CardDocument, wanted: Wanted, often: Mapping[str, int]) -> Answer:
    section = _found(document, wanted)
    if section is None:
        return Answer(wanted.title, wanted.weight, 0, f"no heading {wanted.title}: {wanted.asks}")
    text = _text_below(document, section)
    own, filler = own_words(text.replace(GAP, " "), essential=wanted.weight == ESSENTIAL)
    filled = _FILLED.search(text) is not None
    lack, share = "", 0.5
    if own in often:
        lack, share = f"the same words stand below {often[own]} headings ({wanted.asks})", 0
        return Answer(wanted.title, wanted.weight, share, f"{wanted.title}: {lack}", section.line)
    if not _WORD.search(own) and not filled:
        lack = (
            f"{GAP} is left"
            if GAP in text
            else f'"{filler}" says nothing'
            if filler
            else "nothing is written there"
        )
        lack, share = f"{lack} ({wanted.asks})", 0
    elif GAP in text:
        lack = f"{GAP} is left in it"
    elif filler and (not own or filler.split()[0].casefold().strip(":.") in MARKERS):
        lack = f'"{filler}" is left in it'
    elif not own and wanted.title not in OF_FACTS:
        lack = f"facts stand there, and nobody's judgement ({wanted.asks})"
    if lack:
        return Answer(wanted.title, wanted.weight, share, f"{wanted.title}: {lack}", section.line)
    return Answer(wanted.title, wanted.weight, 1, line=section.line)


def _said_often(document: CardDocument) -> dict[str, int]:
    """Texts that stand word for word below many headings, with how many: no answer is one to all questions."""
    texts = Counter(
        own_words(_text_below(document, section).replace(GAP, " "), essential=False)[0]
        for one in WANTED
        if one.weight and (section := _found(document, one)) is not None
    )
    return {text: count for text, count in texts.items() if text and count >= TOO_OFTEN}


def _field(document: CardDocument, name: str, weight: int) -> Answer:
    value = document.front.get(name)
    written = str(value) if value is not None else ""
    if value in (None, "", [], {}):
        return Answer(name, weight, 0, f"front matter: {name} is not there", 1)
    if name == "warrant" and isinstance(value, dict):
        absent = [key for key in ("owner", "risk_tier", "purpose") if GAP in str(value.get(key) or GAP)]
        if absent:
            return Answer(name, weight, 0.5 if len(absent) < 3 else 0,
                          f"front matter: warrant says no {', '.join(absent)}", 1)  # fmt: skip
    fillers = [one for one in _texts(value) if is_filler(one) or not re.search(r"\w", one)]
    if fillers and GAP not in written:
        return Answer(name, weight, 0.5 if name in ("model-index", "warrant") else 0,
                      f'front matter: {name}: "{fillers[0][:60]}" says nothing', 1)  # fmt: skip
    if GAP in written:
        return Answer(
            name, weight, 0.5 if name == "model-index" else 0, f"front matter: {name}: {GAP} is left", 1
        )
    return Answer(name, weight, 1)


def _texts(value: object) -> list[str]:
    """Every text in a value of the front matter."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]
