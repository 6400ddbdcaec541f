"""A version's model card as a viewer reads it: facts of its front matter, its text, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.registry.artefacts import file_digest
from backend.registry.service import get_version

GAP = "[More Information Needed]"
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Card:
    """facts: the front matter's plain members; body: Markdown without images (they would be fetched) and comments;
    gaps: how many blanks are left; problem: why there is no card, or that it changed since it was registered.
    """

    facts: Mapping[str, str]
    body: str
    gaps: int
    problem: str = ""


def read_card(session: ReadSession, viewer: Actor, model: str, version: int) -> Card:
    """Never raises for what is in the file: a card that cannot be read is shown as that."""
    found = get_version(session, viewer, model, version)
    path = Path(found.card_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        return Card({}, "", 0, f"the card at {path.name} cannot be read: {type(error).__name__}")
    problem = ""
    if file_digest(path) != found.card_digest:
        problem = "this card was edited after the version was registered; approvals bound to the earlier one are void"
    facts, body = _split(text)
    filled = _IMAGE.sub(r"(image: \1)", _COMMENT.sub("", body))
    return Card(facts, filled.strip(), filled.count(GAP), problem)


def _split(text: str) -> tuple[dict[str, str], str]:
    match = _FRONT.match(text)
    if match is None:
        return {}, text
    try:
        front = yaml.safe_load(match.group(1))
    except yaml.YAMLError:
        return {"front matter": "not valid YAML"}, text[match.end() :]
    facts = (
        {str(k): _words(v) for k, v in front.items() if k != "model-index"} if isinstance(front, dict) else {}
    )
    return facts, text[match.end() :]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
