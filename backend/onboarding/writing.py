"""A document as text for people: each proposed value with its confidence and reason beside it, as a comment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from textwrap import indent
from typing import Any, Final

import yaml

from backend import clock
from backend.governance.yaml_places import place_in
from backend.governance.yaml_text import write_yaml

DEEPEST_BLOCK: Final = 2
WIDTH: Final = 110
LONGEST_BESIDE: Final = 60  # a longer line gets its comment above, where it cannot cut a text that goes on


@dataclass(frozen=True)
class Proposed:
    """One value of a document that nobody has confirmed yet. path: where it stands; confidence: 0 to 1."""

    path: tuple[str | int, ...]
    value: Any
    confidence: float
    reason: str

    def as_dict(self) -> dict[str, Any]:
        part = ".".join(str(one) for one in self.path)
        return {"part": part, "value": self.value, "confidence": self.confidence, "reason": self.reason}


def write_document(document: Mapping[str, Any], proposals: Iterable[Proposed] = ()) -> str:
    """The document as YAML, the card as a text of its own lines."""
    card = document.get("card")
    text = _block({key: one for key, one in document.items() if key != "card"}, 0)
    text += f"card: {_literal(card)}" if card else ""
    return _annotated(text, proposals)


def _block(mapping: Mapping[str, Any], depth: int) -> str:
    """A mapping with each key on a line of its own, for comments and for differences in git."""
    parts = []
    for key, value in mapping.items():
        name = _plain({key: None}).removesuffix(": null\n")
        if not isinstance(value, Mapping | list | tuple) or not value:
            parts.append(_plain({key: clock.to_iso(value) if isinstance(value, datetime) else value}))
        elif isinstance(value, Mapping) and depth < DEEPEST_BLOCK:
            parts.append(f"{name}:\n{indent(_block(value, depth + 1), '  ')}")
        else:
            text = write_yaml(dict(value) if isinstance(value, Mapping) else list(value))
            parts.append(f"{name}: {text}" if text[0] in "[{" else f"{name}:\n{indent(text, '  ')}")
    return "".join(parts)


def _plain(mapping: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(mapping, allow_unicode=True, width=WIDTH, default_flow_style=False)
    return text


def _literal(text: str) -> str:
    mark = "|" if text.endswith("\n") and not text.endswith("\n\n") else "|+" if text.endswith("\n") else "|-"
    lines = text.removesuffix("\n").split("\n")
    return f"{mark}\n" + "".join(f"  {line}\n" if line else "\n" for line in lines)


def _annotated(text: str, proposals: Iterable[Proposed]) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    told: dict[int, list[Proposed]] = defaultdict(list)
    for one in proposals:
        told[place_in(node, one.path)[0]].append(one)
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        here = told.get(number, [])
        if len(here) == 1 and len(line) <= LONGEST_BESIDE and not line.endswith(("|", "|-", "|+")):
            lines.append(f"{line}  # {_words(here[0])}")
            continue
        margin = line[: len(line) - len(line.lstrip(" -"))].replace("-", " ")
        lines += [f"{margin}# {one.path[-1]}: {_words(one)}" for one in here]
        lines.append(line)
    return "\n".join(lines)


def _words(one: Proposed) -> str:
    reason = "".join(char if char.isprintable() else " " for char in one.reason)
    return f"{one.confidence:.2f}, {reason}"
