"""A card as a whole: its text, what the system fills in, how complete it is, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.cards.completeness import Completeness, score_card
from backend.cards.contradictions import Contradiction, find_contradictions
from backend.cards.document import CardDocument, parse_card, source_digest
from backend.cards.errors import NoSuchCard
from backend.cards.facts import Facts, collect_facts
from backend.cards.tables import CardVersion
from backend.cards.versions import approved_card, get_card_version, newest_card
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.registry.artefacts import file_digest
from backend.registry.tables import Version


@dataclass(frozen=True)
class Examined:
    """card: the version in the database, None where only the file that came with the model's version is there.

    state     draft, in_review, approved, superseded, or `file`
    problems  what is not as it was recorded: a text or a file that somebody altered
    """

    model: str
    version: int
    document: CardDocument
    facts: Facts
    completeness: Completeness
    contradictions: tuple[Contradiction, ...]
    card: CardVersion | None
    state: str
    problems: tuple[str, ...]

    @property
    def number(self) -> int | None:
        return self.card.number if self.card is not None else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the text."""
        return {
            "model": self.model, "version": self.version, "number": self.number, "state": self.state,
            "digest": self.document.digest, "completeness": self.completeness.as_dict(),
            "contradictions": [one.as_dict() for one in self.contradictions], "problems": list(self.problems),
            "errors": [{"line": one.line, "reason": one.reason} for one in self.document.errors],
            "front_matter": _plain(self.document.front), "facts": self.facts.as_dict(),
        }  # fmt: skip


def examine_card(
    session: ReadSession, viewer: Actor, model: str, version: int, number: int | None = None, *,
    environment: str | None = None, newest: bool = False, of_file: bool = False,
) -> Examined:  # fmt: skip
    """The card of a version: that `number`, else the approved one, else the file it came with.

    of_file  the file it came with, whatever holds now: for a moment at which nothing was approved yet
    newest   of the versions in the database the newest one, whatever its state, rather than the one that holds
    Raises `NoSuchCard` where there is neither.
    """
    facts = collect_facts(session, viewer, model, version, environment=environment)
    registered = session.get(Version, (model, version))
    if number is not None:
        card: CardVersion | None = get_card_version(session, viewer, model, version, number)
    elif of_file:
        card = None
    else:
        card = newest_card(session, model, version) if newest else approved_card(session, model, version)
    text, problems = (card.text, _altered(card)) if card is not None else _of_file(registered, model, version)
    problems += _file_moved(registered) if registered is not None else ()
    document = parse_card(text)
    return Examined(
        model, version, document, facts, score_card(document, facts), tuple(find_contradictions(document, facts)),
        card, card.state if card is not None else "file", problems,
    )  # fmt: skip


def examine_text(session: ReadSession, viewer: Actor, model: str, version: int, text: str) -> Examined:
    """A text that nobody has saved yet, as it would be examined: for a preview."""
    facts = collect_facts(session, viewer, model, version)
    document = parse_card(text)
    return Examined(
        model, version, document, facts, score_card(document, facts), tuple(find_contradictions(document, facts)),
        None, "draft", (),
    )  # fmt: skip


def _altered(card: CardVersion) -> tuple[str, ...]:
    if source_digest(card.text) == card.digest:
        return ()
    return (f"the text of card version {card.number} is not the one that was recorded: somebody altered it",)


def _of_file(registered: Version | None, model: str, version: int) -> tuple[str, tuple[str, ...]]:
    path = Path(registered.card_path) if registered is not None and registered.card_path else None
    if path is None or not path.is_file():
        raise NoSuchCard(
            f"{model} version {version} has no model card; `warrant card import {model} {version} FILE` makes one"
        )
    try:
        return path.read_text(encoding="utf-8"), ()
    except (OSError, ValueError) as error:
        raise NoSuchCard(f"the card at {path.name} cannot be read: {type(error).__name__}") from error


def _file_moved(registered: Version) -> tuple[str, ...]:
    path = Path(registered.card_path)
    if not registered.card_path or not path.is_file():
        return ("the file that came with the version is gone; no change to it can be approved",)
    if file_digest(path) != registered.card_digest:
        return (
            "the file that came with the version was edited since; approvals bound to the earlier one are void. "
            "Import it to make it the next version",
        )
    return ()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
