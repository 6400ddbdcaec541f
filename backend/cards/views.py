"""A card and its versions as plain data, for API and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.cards.examination import Examined
from backend.cards.service import why_not_approve
from backend.cards.tables import CardReview, CardVersion
from backend.cards.versions import list_card_versions, reviews_of
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.people import names_of


def version_views(
    session: ReadSession,
    viewer: Actor,
    model: str,
    version: int,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Every version of a card without its text, newest first, each with what reviewers said."""
    cards = list_card_versions(session, viewer, model, version, limit=limit, offset=offset)
    reviews = {card.id: reviews_of(session, card) for card in cards}
    names = _names(session, cards, [one for found in reviews.values() for one in found])
    return [_version(card, reviews[card.id], names) for card in cards]


def card_view(session: ReadSession, viewer: Actor, found: Examined) -> dict[str, Any]:
    """An examined card with its source, and what the viewer may do with it."""
    card = found.card
    told: dict[str, Any] = {
        "text": found.document.source,
        "version_of_card": None,
        "why_not_approve": "it is a file",
    }
    if card is not None:
        reviews = reviews_of(session, card)
        told["version_of_card"] = _version(card, reviews, _names(session, [card], reviews))
        told["why_not_approve"] = why_not_approve(session, viewer, card)
    return {**found.as_dict(), **told}


def change_view(card: CardVersion) -> dict[str, Any]:
    """What a request that wrote or reviewed a card is answered."""
    return {"model": card.model, "version": card.version, "number": card.number, "state": card.state,
            "digest": card.digest}  # fmt: skip


def _names(
    session: ReadSession, cards: Sequence[CardVersion], reviews: Sequence[CardReview]
) -> dict[str, str]:
    return names_of(session, {card.author_id for card in cards} | {one.reviewer_id for one in reviews})


def _version(card: CardVersion, reviews: Sequence[CardReview], names: dict[str, str]) -> dict[str, Any]:
    return {
        "number": card.number, "state": card.state, "digest": card.digest, "based_on": card.based_on,
        "source": card.source, "source_name": card.source_name, "why": card.why, "made_at": card.made_at,
        "author": names.get(card.author_id or "", "Warrant"), "submitted_at": card.submitted_at,
        "approved_at": card.approved_at, "facts_at": card.facts_at,
        "reviews": [
            {"verdict": one.verdict, "comment": one.comment, "at": one.reviewed_at,
             "reviewer": names.get(one.reviewer_id or "", "Warrant")}
            for one in reviews
        ],
    }  # fmt: skip
