"""What the model card says, who approved it, and what speaks against it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from backend.cards.document import CardDocument, parse_card
from backend.cards.errors import NoSuchCard
from backend.cards.examination import Examined, examine_card
from backend.cards.sections import answers_of
from backend.cards.tables import CardVersion
from backend.cards.versions import newest_card
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import aged, missing, no_version, not_shown, utc
from backend.controls.queries.registry import query
from backend.registry.artefacts import file_digest
from backend.registry.tables import Version


def _link(asked: Question, number: int | None = None) -> Link:
    which = f"{asked.name}/{asked.version}" + (f"/{number}" if number is not None else "")
    return Link(
        "card",
        which,
        f"card version {number} of version {asked.version}" if number else f"card of version {asked.version}",
    )


def _approved(asked: Question) -> CardVersion | None:
    """The card that was approved last by the moment asked about."""
    return asked.session.scalars(
        select(CardVersion)
        .where(
            CardVersion.model == asked.name, CardVersion.version == asked.version,
            CardVersion.approved_at.is_not(None), CardVersion.approved_at <= asked.at,
        )
        .order_by(CardVersion.number.desc())
        .limit(1)
    ).first()  # fmt: skip


@query("card_approved", "Model card approved by somebody else")
def card_approved(asked: Question, *, max_age_days: float = 730) -> Evidence:
    """A card of the version that somebody other than its writers approved, with the text that was recorded."""
    if asked.version is None:
        return no_version(asked)
    card = _approved(asked)
    if card is None:
        draft = newest_card(asked.session, asked.name, asked.version) if asked.is_now else None
        told = (
            f"; card version {draft.number} is {draft.state.replace('_', ' ')}" if draft is not None else ""
        )
        return missing(f"nobody has approved a card of version {asked.version}{told}", _link(asked))
    approved = card.approved_at or asked.at
    links = (_link(asked, card.number),)
    if asked.is_now:
        found = _examined(asked)
        if isinstance(found, Examined) and found.problems:
            return Evidence("contradicted", found.problems[0], approved, links, card.digest)
    told = f"card version {card.number} was approved on {utc(approved)}"
    return aged(asked, approved, max_age_days, told, links=links, mark=card.digest)


@query("card_section", "Model card: {section}")
def card_section(asked: Question, *, section: str) -> Evidence:
    """What the card that holds says under one heading. That something is written there, not that it is right."""
    if asked.version is None:
        return no_version(asked)
    found = _text(asked)
    if isinstance(found, Evidence):
        return found
    document, at, digest, number = found
    answer = next((one for one in answers_of(document) if one.name == section), None)
    if answer is None:
        return not_shown(f"a card has no heading {section}")
    link = _link(asked, number)
    if answer.share < 1:
        return missing(answer.reason, link)
    whose = f"card version {number}" if number is not None else "the card's file, which nobody approved here,"
    return Evidence("present", f"{whose} says it in line {answer.line}", at, (link,), digest)


@query("card_completeness", "Model card complete to {minimum_percent} %", moment="now")
def card_completeness(asked: Question, *, minimum_percent: int = 90) -> Evidence:
    """How much of what a card should say the card that holds says, facts included."""
    if asked.version is None:
        return no_version(asked)
    found = _examined(asked)
    if isinstance(found, Evidence):
        return found
    score, link = found.completeness, _link(asked, found.number)
    if score.percent < minimum_percent:
        more = f" and {len(score.lacks) - 1} more" if len(score.lacks) > 1 else ""
        return missing(f"it is {score.percent} % complete: {score.lacks[0].reason}{more}", link)
    return Evidence(
        "present", f"it is {score.percent} % complete", found.facts.at, (link,), found.document.digest
    )


@query("card_figures", "Figures of the card against what was measured", moment="now")
def card_figures(asked: Question) -> Evidence:
    """Every figure, owner and tier that the card states against the record and the last 30 days of labelled windows."""
    if asked.version is None:
        return no_version(asked)
    found = _examined(asked)
    if isinstance(found, Evidence):
        return found
    link, mark = _link(asked, found.number), found.document.digest
    against = [one.text for one in found.contradictions if one.level == "attention"]
    if against:
        return Evidence("contradicted", "; ".join(against[:3]), found.facts.at, (link,), mark)
    if not found.facts.recorded:
        return missing("no held-out figure was recorded that a card could state", link)
    if not found.facts.live:
        return missing(
            "no labelled window of the version has been measured to hold its figures against", link
        )
    newest = max(one.end for one in found.facts.live.values())
    return aged(
        asked, newest, 45 + found.facts.label_delay_days, f"nothing measured up to {utc(newest)} contradicts it",
        links=(link,), mark=mark,
    )  # fmt: skip


def _examined(asked: Question) -> Examined | Evidence:
    """The card that holds now, looked at once for all queries."""
    key = f"card {asked.name}/{asked.version}"
    if key not in asked.known:
        try:
            asked.known[key] = examine_card(
                asked.session, asked.viewer, asked.name, asked.version or 0, environment=asked.environment
            )
        except NoSuchCard:
            asked.known[key] = missing(f"version {asked.version} has no model card", _link(asked))
    found: Examined | Evidence = asked.known[key]
    return found


def _text(asked: Question) -> tuple[CardDocument, datetime, str, int | None] | Evidence:
    """The text that held: the card approved by then, else the file that came with the version, unaltered since."""
    key = f"card text {asked.name}/{asked.version}"
    if key not in asked.known:
        asked.known[key] = _read(asked)
    found: tuple[CardDocument, datetime, str, int | None] | Evidence = asked.known[key]
    return found


def _read(asked: Question) -> tuple[CardDocument, datetime, str, int | None] | Evidence:
    card = _approved(asked)
    if card is not None:
        document = parse_card(card.text)
        if document.digest != card.digest:
            told = f"the text of card version {card.number} is not the one that was recorded"
            return Evidence("contradicted", told, card.made_at, (_link(asked, card.number),))
        return document, card.approved_at or card.made_at, card.digest, card.number
    registered = asked.session.get(Version, (asked.name, asked.version))
    path = Path(registered.card_path) if registered is not None and registered.card_path else None
    if registered is None or path is None or not path.is_file():
        return missing(f"version {asked.version} has no card that holds", _link(asked))
    if file_digest(path) != registered.card_digest:
        told = "the card's file is not the one the version was registered with, and nobody approved another"
        return Evidence("contradicted", told, registered.trained_at, (_link(asked),))
    return parse_card(path.read_text("utf-8")), registered.trained_at, registered.card_digest, None
