"""Versions of a card: reading them, and how two differ."""

from __future__ import annotations

import difflib

from sqlalchemy import select

from backend.cards.errors import NoSuchCard
from backend.cards.tables import CardReview, CardVersion
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.registry.inventory import require_known

STATES = ("draft", "in_review", "approved", "superseded")


def list_card_versions(
    session: ReadSession,
    viewer: Actor,
    model: str,
    version: int,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[CardVersion]:
    """Every version of a card, newest first."""
    require_known(session, viewer, model, version)
    query = select(CardVersion).where(CardVersion.model == model, CardVersion.version == version)
    return list(session.scalars(query.order_by(CardVersion.number.desc()).limit(limit).offset(offset)))


def get_card_version(
    session: ReadSession, viewer: Actor, model: str, version: int, number: int | None = None
) -> CardVersion:
    """One version of a card; without a number the newest. Raises `NoSuchCard`."""
    require_known(session, viewer, model, version)
    found = (
        newest_card(session, model, version) if number is None else numbered(session, model, version, number)
    )
    if found is None:
        which = "no card in the database yet" if number is None else f"no card version {number}"
        raise NoSuchCard(
            f"{model} version {version} has {which}; `warrant card import {model} {version} FILE` makes one"
        )
    return found


def newest_card(session: ReadSession, model: str, version: int) -> CardVersion | None:
    query = select(CardVersion).where(CardVersion.model == model, CardVersion.version == version)
    return session.scalars(query.order_by(CardVersion.number.desc()).limit(1)).one_or_none()


def numbered(session: ReadSession, model: str, version: int, number: int) -> CardVersion | None:
    return session.scalars(
        select(CardVersion).where(
            CardVersion.model == model, CardVersion.version == version, CardVersion.number == number
        )
    ).one_or_none()


def approved_card(session: ReadSession, model: str, version: int) -> CardVersion | None:
    """The version that holds: the approved one."""
    return session.scalars(
        select(CardVersion).where(
            CardVersion.model == model, CardVersion.version == version, CardVersion.state == "approved"
        )
    ).one_or_none()


def reviews_of(session: ReadSession, card: CardVersion) -> list[CardReview]:
    """What was said of a version, oldest first."""
    query = select(CardReview).where(CardReview.card_version_id == card.id).order_by(CardReview.id)
    return list(session.scalars(query))


def card_diff(before: str, after: str, *, names: tuple[str, str] = ("before", "after")) -> list[str]:
    """The unified diff of two texts, a line each; empty when they are the same."""
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="", n=2))
