"""Text that answers nothing: "TBD", "n/a", lorem ipsum, and the sentences that the template itself brings.

A card whose blanks were replaced by such words says as little as the template. What is looked at is a line, without the
marks of lists and emphasis and without the label that it begins with ("**License:** n/a").
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:/[^\W_]+)?")
_FILLED: Final = re.compile(r"\{\{[^{}\n]{1,200}\}\}")
_LABEL: Final = re.compile(r"^\W{0,8}\*\*[^*\n]{1,60}:\*\*|^\W{0,8}\*\*[^*\n]{1,60}\*\*:")
_CODE: Final = re.compile(r"[`=(){}<>/\\]")

MARKERS: Final = frozenset({"tbd", "tba", "tbc", "todo", "fixme", "xxx", "lorem", "wip", "placeholder"})
"""Words that say that something is still to be written, wherever a line begins with them or consists of them"""
_PHRASES: Final = frozenset({
    "n/a", "na", "n a", "not applicable", "not available", "not specified", "unspecified", "see above", "see below",
    "coming soon", "pending", "text", "some text", "insert text here", "your text here", "fill in", "fill me in",
    "to do", "more information needed", "more info needed", "information needed", "unknown", "not known", "later",
    "work in progress", "under construction", "example", "sample text", "description", "test", "foo", "bar", "foo bar",
    "blah", "blah blah", "asdf", "qwerty", "to follow", "follows", "null", "undefined", "empty", "blank",
})  # fmt: skip
_SHORT: Final = frozenset(
    {"none", "no", "yes", "ok", "nothing", "nobody", "anything", "everything", "good", "fine"}
)
"""What a usual heading may be answered with, and an essential one not"""
_TO_BE: Final = re.compile(
    r"(?:(?:it|this|text|details?) )?(?:is |are |still |yet )*to be (?:written|determined|decided|done|added|"
    r"announced|completed|filled|defined|provided|confirmed|specified|described|supplied|documented)(?: \w+){0,4}"
)
_LOREM: Final = frozenset({
    "lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "adipisicing", "elit", "sed",
    "eiusmod", "tempor", "incididunt", "labore", "dolore", "magna", "aliqua", "enim", "minim", "veniam",
    "quis", "nostrud", "exercitation", "ullamco", "laboris", "nisi", "aliquip", "commodo", "consequat",
    "duis", "aute", "irure", "reprehenderit", "voluptate", "velit", "esse", "cillum", "fugiat", "nulla",
    "pariatur", "excepteur", "sint", "occaecat", "cupidatat", "proident", "sunt", "culpa", "officia",
    "deserunt", "mollit", "anim", "laborum", "vestibulum", "pellentesque", "habitant", "morbi", "tristique",
    "senectus", "netus", "malesuada", "fames", "turpis", "egestas", "vivamus", "praesent", "mauris", "etiam",
})  # fmt: skip
TEMPLATE: Final = frozenset({
    "rows from to digest", "rows held out as", "answers for this model its risk tier is because",
    "developed by", "model type", "license", "version files", "files",
})  # fmt: skip
"""The words of the template's own lines, without its placeholders; a longer one also where more follows it"""


def own_words(text: str, *, essential: bool) -> tuple[str, str]:
    """What is left of a section when what answers nothing is taken out, as plain words, and the first filler found.

    essential  whether a bare "none" is no answer either
    """
    kept: list[str] = []
    filler = ""
    for line in text.split("\n"):
        plain = _plain(line)
        if not plain:
            filler = filler or (line.strip() if set(line.strip()) & set("?….xX") else "")
        elif is_filler(line) or (essential and plain in _SHORT):
            filler = filler or (plain if "{{" in line else line.strip(" \t-*#>"))[:60]
        elif plain not in TEMPLATE:
            kept.append(plain)
    return " ".join(kept), filler


def is_filler(text: str) -> bool:
    """Whether a line, or a value of the front matter, says nothing."""
    plain = _plain(text)
    words = plain.split()
    if not words:
        return False
    if len(plain) == 1 or set(plain) <= {"x", " "} or plain in _PHRASES or words[0] in MARKERS:
        return True
    return bool(_TO_BE.fullmatch(plain)) or _is_lorem(words)


def _is_lorem(words: list[str]) -> bool:
    latin = sum(word in _LOREM for word in words)
    return len(words) >= 2 and latin * 2 > len(words)


def _plain(line: str) -> str:
    """The words of a line in lower case, without label, placeholders and what the template begins it with."""
    bare = _FILLED.sub(" ", line)
    if not _CODE.search(bare.replace("n/a", "").replace("N/A", "")):
        bare = _LABEL.sub(" ", bare)
    plain = " ".join(_WORD.findall(bare.casefold()))
    for own in TEMPLATE:
        if plain.startswith(own + " ") and len(own.split()) > 2:
            return plain.removeprefix(own).strip()
    return plain
