"""A model card as a text: front matter, sections, placeholders and fact blocks, each with its line. Offline and pure.

What is stored is the *source*: judgement in people's words, and for every fact a placeholder. `{{ metric roc_auc }}`
stands within a line; `{{ facts live }}` on a line of its own stands for a block that the system fills. An exported card
carries filled facts; `source_of` takes them out again, so that a figure edited inside one never becomes a card's text.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from backend.cards.front_matter import check_front_matter, read_front_matter
from backend.errors import BadInput

GAP: Final = "[More Information Needed]"
MOST_CHARACTERS: Final = 200_000
MOST_OF_FRONT: Final = 20_000
BLOCKS: Final[Mapping[str, str]] = {
    "metrics": "Held-out metrics",
    "data": "Data",
    "parameters": "Parameters",
    "lineage": "Lineage",
    "live": "Live performance",
    "drift": "Drift",
    "fairness": "Fairness",
    "approvals": "Approvals",
    "incidents": "Incidents",
}
"""Every fact block there is, with its title."""
INLINE: Final = ("metric NAME", "training KEY", "version", "cutoff", "artefact digest", "owner", "tier")
"""Every placeholder that stands within a line."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# Bounded repetitions only: a hostile text must not make these slow.
_PLACEHOLDER = re.compile(r"\{\{([^{}\n]{1,200})\}\}")
_BLOCK = re.compile(r"[ \t]*\{\{[ \t]{0,9}facts[ \t]{1,9}([a-z_]{1,30})[ \t]{0,9}\}\}[ \t]*")
_BLOCK_NAME = re.compile(r"\{\{[ \t]{0,9}facts[ \t]{1,9}([a-z_]{1,30})[ \t]{0,9}\}\}")
_BLOCK_BEGINS = re.compile(r"[ \t]*<!-- warrant:facts ([a-z_]{1,30})(?:, [^<>]{0,80})? -->[ \t]*")
_INLINE_BEGINS = re.compile(r"<!-- warrant:fact ([^<>\n]{1,100}) -->")
_INLINE_ENDS: Final = "<!-- /warrant:fact -->"
_MARK = re.compile(r"<!-- /?warrant:facts?\b")
APPENDIX_BEGINS: Final = "<!-- warrant:appendix -->"
APPENDIX_ENDS: Final = "<!-- /warrant:appendix -->"
_LINE_MARK: Final = "  # warrant:source "
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")

Kind = Literal["error", "missing"]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong (`error`: the text is no card) or not there (`missing`: it is an incomplete one).

    line  counted from 1 in the whole text; 0 where nothing stands that could be pointed at
    """

    line: int
    reason: str
    kind: Kind = "error"

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


@dataclass(frozen=True)
class Section:
    """A heading with the text up to the next heading of any level."""

    title: str
    level: int
    line: int
    text: str


@dataclass(frozen=True)
class CardDocument:
    """A card's source, taken apart. `body` is Markdown without front matter and comments,
    from line `front_lines` + 1 on."""

    source: str
    front: Mapping[str, Any]
    front_lines: int
    body: str
    sections: tuple[Section, ...]
    problems: tuple[Problem, ...] = field(default=())

    @property
    def digest(self) -> str:
        return source_digest(self.source)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.kind == "error")

    @property
    def title(self) -> str:
        return next((one.title for one in self.sections if one.level == 1), "Model card")

    def section(self, title: str) -> Section | None:
        """The section of that heading, whatever its level, case and punctuation."""
        wanted = plain_title(title)
        return next((one for one in self.sections if plain_title(one.title) == wanted), None)


def source_digest(source: str) -> str:
    """`sha256:<hex>` of a card's source in UTF-8."""
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


def source_of(text: str) -> str:
    """The source of a card that may be an exported one: filled facts become their placeholders again.

    Line ends become newlines, and the text ends with one. Two texts that differ in filled facts alone have one source.
    """
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    plain = _unfilled_inline(_unfilled_blocks(_without_appendix(plain)))
    front = _FRONT.match(plain)
    if front is not None:
        plain = "\n".join(map(_unfilled_line, front[0].split("\n"))) + plain[front.end() :]
    return plain.rstrip("\n") + "\n"


def _without_appendix(text: str) -> str:
    """Text without the blocks that an export added because the card named them nowhere."""
    begins = text.find(APPENDIX_BEGINS)
    ends = text.find(APPENDIX_ENDS, begins)
    if begins < 0 or ends < 0:
        return text
    return text[:begins].rstrip("\n") + "\n" + text[ends + len(APPENDIX_ENDS) :]


def _unfilled_blocks(text: str) -> str:
    """Filled blocks as their placeholders. A beginning without its end stays and is found by `parse_card`."""
    lines = text.split("\n")
    ends = {f"<!-- /warrant:facts {name} -->": name for name in BLOCKS}
    closing: dict[str, list[int]] = {name: [] for name in BLOCKS}
    for index, line in enumerate(lines):
        if line.strip() in ends:
            closing[ends[line.strip()]].append(index)
    kept, index = [], 0
    while index < len(lines):
        begins = _BLOCK_BEGINS.fullmatch(lines[index])
        after = closing.get(begins[1], []) if begins else []
        end = bisect_right(after, index)
        if begins and end < len(after):
            kept.append(f"{{{{ facts {begins[1]} }}}}")
            index = after[end] + 1
        else:
            kept.append(lines[index])
            index += 1
    return "\n".join(kept)


def _unfilled_line(line: str) -> str:
    """A line of the front matter that a fact was filled into, as it was; it stands behind the filled one."""
    _, mark, was = line.partition(_LINE_MARK)
    return line[: len(line) - len(line.lstrip())] + was if mark else line


def _unfilled_inline(text: str) -> str:
    parts, at, last = [], 0, text.rfind(_INLINE_ENDS)
    while (begins := _INLINE_BEGINS.search(text, at, max(last, 0))) is not None:
        parts += [text[at : begins.start()], f"{{{{ {begins[1]} }}}}"]
        at = text.find(_INLINE_ENDS, begins.end()) + len(_INLINE_ENDS)
    return "".join(parts) + text[at:]


def without_comments(text: str) -> str:
    """Text without HTML comments, line for line. One that never ends runs to the end, as it does in a browser."""
    parts, at = [], 0
    while (begins := text.find("<!--", at)) >= 0:
        end = text.find("-->", begins + 4)
        end = len(text) if end < 0 else end + 3
        parts += [text[at:begins], "\n" * text.count("\n", begins, end)]
        at = end
    return "".join(parts) + text[at:]


def parse_card(text: str) -> CardDocument:
    """Take a card apart. Never raises for what is in the text: `problems` name line and reason."""
    source = text if len(text) > 2 * MOST_CHARACTERS else source_of(text)
    if len(source) > MOST_CHARACTERS:
        reason = f"a card has at most {MOST_CHARACTERS:,} characters, and this one has {len(source):,}"
        return CardDocument(source, {}, 0, "", (), (Problem(0, reason),))
    problems = [
        Problem(number, "the text holds a character that no text has (a control character)")
        for number, line in enumerate(source.split("\n"), 1)
        if any(ord(one) < 32 and one != "\t" for one in line)
    ]
    match = _FRONT.match(source)
    front: dict[str, Any] = {}
    if match is not None and len(match[1]) > MOST_OF_FRONT:
        problems.append(Problem(1, f"front matter has at most {MOST_OF_FRONT:,} characters"))
    elif match is not None:
        front, found = read_front_matter(match[1])
        found += check_front_matter(match[1], front)
        problems += [Problem(line + 1, reason) for line, reason in found]
    elif re.match(r"---[ \t]*\n", source):
        problems.append(Problem(1, "the front matter begins here and has no closing line `---`"))
    else:
        problems.append(Problem(1, "there is no front matter: begin with `---`, fields, `---`", "missing"))
    start = match.end() if match is not None else 0
    front_lines = source[:start].count("\n")
    body = without_comments(source[start:])
    sections = _sections(body, front_lines)
    problems += _placeholder_problems(source) + _block_problems(source[start:], front_lines)
    return CardDocument(
        source, front, front_lines, body, sections, tuple(sorted(problems, key=lambda one: one.line))
    )


def read_card_source(text: str) -> CardDocument:
    """The card of a text. Raises `BadInput` that names line and reason of the first errors."""
    document = parse_card(text)
    if document.errors:
        first = "; ".join(str(one) for one in document.errors[:3])
        more = f" (and {len(document.errors) - 3} more)" if len(document.errors) > 3 else ""
        raise BadInput(
            f"this is no valid model card: {first}{more}", field="text",
            problems=[{"line": one.line, "reason": one.reason} for one in document.errors],
        )  # fmt: skip
    return document


def placeholders(text: str) -> list[tuple[int, str]]:
    """Every placeholder with its line, in the order of the text."""
    return [
        (text.count("\n", 0, found.start()) + 1, " ".join(found[1].split()))
        for found in _PLACEHOLDER.finditer(text)
    ]


def replace_placeholders(text: str, fill: Callable[[str], str]) -> str:
    """Text with each placeholder replaced by `fill(name)`."""
    return _PLACEHOLDER.sub(lambda found: fill(" ".join(found[1].split())), text)


def replace_blocks(text: str, fill: Callable[[str], str]) -> str:
    """Text with each line that is a fact block replaced by `fill(name)`."""
    return "\n".join(
        fill(found[1]) if (found := _BLOCK.fullmatch(line)) else line for line in text.split("\n")
    )


def split_front(source: str) -> tuple[str, str]:
    """The front matter with its fences and the rest; ("", source) without one."""
    match = _FRONT.match(source)
    return (match[0], source[match.end() :]) if match else ("", source)


def gaps_of(document: CardDocument) -> list[int]:
    """The lines on which a blank is left."""
    text = without_comments(document.source)
    return [number for number, line in enumerate(text.split("\n"), 1) for _ in range(line.count(GAP))]


def plain_title(title: str) -> str:
    """A heading as it is compared: `Bias, Risks, and Limitations` is `bias risks and limitations`."""
    bare = title.casefold().removesuffix("[optional]").replace("&", " and ")
    words = re.sub(r"[^\w\s]", " ", bare)
    return " ".join(words.split())


def _sections(body: str, above: int) -> tuple[Section, ...]:
    heads: list[tuple[int, int, str]] = []  # index of the line, level, title
    lines = body.split("\n")
    fence = ""
    for index, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
            continue
        heading = None if fence else _HEADING.match(line)
        if heading:
            heads.append((index, len(heading[1]), line[heading.end() :].strip().rstrip("#").rstrip()))
    ends = [*(index for index, _, _ in heads[1:]), len(lines)] if heads else []
    return tuple(
        Section(title, level, above + index + 1, "\n".join(lines[index + 1 : end]).strip())
        for (index, level, title), end in zip(heads, ends, strict=True)
    )


def _placeholder_problems(source: str) -> list[Problem]:
    problems = []
    text = without_comments(source)
    for line, name in placeholders(text):
        kind, _, key = name.partition(" ")
        if kind == "facts":
            if key not in BLOCKS:
                problems.append(Problem(line, f"there are no facts {key!r}; there are {', '.join(BLOCKS)}"))
        elif name not in INLINE and not (kind in ("metric", "training") and key):
            known = ", ".join(INLINE)
            problems.append(
                Problem(line, f"{{{{ {name} }}}} stands for nothing; known are {known} and facts BLOCK")
            )
    return problems


def _block_problems(body: str, above: int) -> list[Problem]:
    """Blocks that stand twice or within a line, and marks of a filled block that lost its other half."""
    problems, seen = [], set()
    for number, line in enumerate(body.split("\n"), above + 1):
        for name in _BLOCK_NAME.findall(line):
            if not _BLOCK.fullmatch(line):
                problems.append(Problem(number, f"the facts {name!r} stand on a line of their own"))
            if name in seen:
                problems.append(Problem(number, f"the facts {name!r} stand here a second time"))
            seen.add(name)
        if _MARK.search(line):
            problems.append(
                Problem(number, "a mark of filled facts has lost its other half; write the placeholder")
            )
    return problems
