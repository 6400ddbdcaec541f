"""Model cards of a pack: the card that holds as Markdown and PDF, its source, and every version with its reviews."""

from __future__ import annotations

from typing import Any

from backend.cards.errors import NoSuchCard
from backend.cards.examination import Examined, examine_card
from backend.cards.export import export_card
from backend.cards.tables import CardVersion
from backend.cards.versions import list_card_versions
from backend.cards.views import version_views
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.packs.container import safe_name
from backend.packs.draft import Draft
from backend.packs.scope import Subject


def add_cards(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[dict[str, Any]]:
    """Add `card/`. Gives what the summary says of each card."""
    return [_add_card(draft, session, maker, subject, model, version) for model, version in subject.cards]


def _add_card(
    draft: Draft, session: ReadSession, maker: Actor, subject: Subject, model: str, version: int
) -> dict[str, Any]:
    folder = f"card/{safe_name(model)}-v{version}"
    written = [
        one for one in list_card_versions(session, maker, model, version) if one.made_at < subject.as_of
    ]
    number = _that_held(written, subject)
    name = f"{model} version {version}"
    try:
        found = examine_card(
            session, maker, model, version, number, environment=subject.environment,
            of_file=number is None and not subject.is_now,
        )  # fmt: skip
    except NoSuchCard:
        draft.gap("high", f"There is no card of {name}" if not written else f"No card of {name} held: it had drafts",
                  folder)  # fmt: skip
        return {"model": model, "version": version, "state": "missing", "percent": 0, "contradictions": 0}
    draft.add(f"{folder}/card.md", export_card(found, "markdown").body)
    draft.add(f"{folder}/card.pdf", export_card(found, "pdf").body)
    draft.add(f"{folder}/card-source.md", export_card(found, "source").body)
    draft.add_json(f"{folder}/examination.json", found.as_dict())
    for one in written:
        draft.add(f"{folder}/versions/{one.number}-{safe_name(one.state)}.md", one.text)
        draft.name(one.author_id)
    if written:
        known = {one.number for one in written}
        views = [one for one in version_views(session, maker, model, version) if one["number"] in known]
        draft.add_json(f"{folder}/versions/versions.json", views)
    _judge(draft, found, name, f"{folder}/card.pdf")
    return {
        "model": model, "version": version, "state": found.state, "number": found.number,
        "percent": found.completeness.percent, "contradictions": len(found.contradictions),
        "digest": found.document.digest, "folder": folder,
    }  # fmt: skip


def _that_held(written: list[CardVersion], subject: Subject) -> int | None:
    """The version that was approved last by then. None: none was, and the file is all there is."""
    approved = [one for one in written if one.approved_at is not None and one.approved_at < subject.as_of]
    return max(approved, key=lambda one: one.number).number if approved else None


def _judge(draft: Draft, found: Examined, name: str, where: str) -> None:
    if found.state not in ("approved", "superseded"):
        state = {"file": "a file", "draft": "a draft", "in_review": "in review"}.get(found.state, found.state)
        draft.gap("medium", f"The card of {name} is approved by nobody: it is {state}", where)
    for one in found.contradictions:
        if one.level == "attention":
            draft.gap("high", f"The card of {name} is contradicted: {one.text}", where)
    for problem in found.problems:
        draft.gap("high", f"The card of {name}: {problem}", where)
    if found.completeness.percent < 90:
        lacks = "; ".join(one.reason for one in found.completeness.lacks[:3])
        draft.gap("medium", f"The card of {name} is {found.completeness.percent} % complete: {lacks}", where)
