"""Filling a card: placeholders become facts, marked as such, with the time they were looked up.

A block is fenced by comments that name it, an inline fact by comments that hold its placeholder, a line of the front
matter by a comment that holds the line as it was. `backend.cards.document.source_of` takes all of them out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from backend import clock
from backend.cards.document import (
    APPENDIX_BEGINS,
    APPENDIX_ENDS,
    BLOCKS,
    placeholders,
    replace_blocks,
    replace_placeholders,
    split_front,
)
from backend.cards.facts import UNKNOWN, Facts

APPENDIX: Final = "Recorded Facts"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def fill_card(source: str, facts: Facts, *, marked: bool = True) -> str:
    """The card with every fact filled in. Blocks that it does not name stand at its end: no card can leave one out.

    marked  keep the comments by which an import finds the facts again; without them the text is for reading alone
    """
    front, body = split_front(source)
    lines = [_front_line(line, facts, marked=marked) for line in front.split("\n")]
    named = {name.partition(" ")[2] for _, name in placeholders(body) if name.startswith("facts ")}
    absent = [name for name in BLOCKS if name not in named]
    if absent:
        added = f"## {APPENDIX}\n" + "".join(f"\n{{{{ facts {name} }}}}\n" for name in absent)
        marks = (f"{APPENDIX_BEGINS}\n", f"{APPENDIX_ENDS}\n") if marked else ("", "")
        body = f"{body.rstrip(chr(10))}\n\n{marks[0]}{added}{marks[1]}"
    body = replace_blocks(body, lambda name: block_markdown(facts, name, marked=marked))
    return "\n".join(lines) + replace_placeholders(body, lambda name: _inline(name, facts, marked=marked))


def block_markdown(facts: Facts, name: str, *, marked: bool = True) -> str:
    """One block as Markdown: a title with its time, and a table of what is known or the reason why nothing is."""
    if name not in BLOCKS:
        return f"unknown facts {name}"
    block, at = facts.block(name), _moment(facts)
    head = f"**{block.title}** (from the system, {facts.at:%-d %b %Y %H:%M:%S} UTC)"
    if block.unknown:
        body = f"Unknown: {_cell(block.unknown)}."
    else:
        timed = any(one.at for one in block.facts)
        rows = [
            f"| {_cell(one.label)} | {_cell(one.text)} |"
            + (f" {f'{one.at:%Y-%m-%d %H:%M:%S} UTC' if one.at else ''} |" if timed else "")
            for one in block.facts
        ]
        heads = ["| Fact | Value | As of |", "|---|---|---|"] if timed else ["| Fact | Value |", "|---|---|"]
        body = "\n".join([*heads, *rows])
    text = f"{head}\n\n{body}"
    if not marked:  # set off from what people wrote, in any reader of Markdown
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))
    return f"<!-- warrant:facts {name}, as of {at} -->\n{text}\n<!-- /warrant:facts {name} -->"


def model_index_value(facts: Facts, name: str) -> float | str:
    """What stands in the front matter for `{{ metric NAME }}`: the figure itself, as Hugging Face's field wants it."""
    figures: Mapping[str, Any] = facts.recorded.get(name, {})
    value = figures.get("value")
    return round(float(value), 6) if isinstance(value, int | float) else UNKNOWN


def _front_line(line: str, facts: Facts, *, marked: bool) -> str:
    if "{{" not in line:
        return line
    filled = re.sub(
        r"([\"']?)\{\{\s?metric ([^{}\n]{1,100}?)\s?\}\}\1",
        lambda found: str(model_index_value(facts, found[2].strip())),
        line,
    )
    filled = replace_placeholders(filled, lambda name: _yaml_text(facts.inline.get(name, UNKNOWN)))
    return f"{filled}  # warrant:source {line.strip()}" if marked else filled


def _yaml_text(text: str) -> str:
    return text.replace("\\", "/").replace('"', "'").replace("\n", " ")


def _inline(name: str, facts: Facts, *, marked: bool) -> str:
    text = _cell(facts.inline.get(name, f"{UNKNOWN} ({name})"))
    return f"<!-- warrant:fact {name} -->{text}<!-- /warrant:fact -->" if marked else text


def _cell(text: str) -> str:
    """Text of the system as Markdown that says exactly that: names and titles come from people and other systems."""
    plain = " ".join(text.split())
    plain = plain.replace("{{", "{ {").replace("-->", "-- >").replace("<!--", "< !--")
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", plain)


def _moment(facts: Facts) -> str:
    return clock.to_iso(facts.at)[:19] + "Z"
