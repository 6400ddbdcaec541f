"""How complete a card is, and why not more: a share of what it should say, by weight, with a reason for each lack."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from backend import clock
from backend.cards.document import CardDocument
from backend.cards.fact_blocks import stale_days
from backend.cards.facts import Facts
from backend.cards.sections import ESSENTIAL, USUAL, Answer, answers_of

LONGEST_AGE_DAYS: Final = 45
"""Live performance that ends longer ago, beside how long labels normally take, says nothing of now."""
# Blocks whose being unknown leaves a reader without something that was asked for.
_EXPECTED: Final = {"metrics": ESSENTIAL, "data": ESSENTIAL, "lineage": USUAL, "live": USUAL}


@dataclass(frozen=True)
class Lack:
    """Something a card owes. line: 0 where nothing stands that could be pointed at; points: what it costs, of 100."""

    line: int
    reason: str
    points: float

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "reason": self.reason, "points": round(self.points, 1)}


@dataclass(frozen=True)
class Completeness:
    """score: 0 to 1; lacks: what is missing, the costliest first."""

    score: float
    lacks: tuple[Lack, ...]

    @property
    def percent(self) -> int:
        """Rounded down: 100 is said of nothing that lacks anything."""
        return int(self.score * 100 + 1e-9)

    def as_dict(self) -> dict[str, Any]:
        return {
            "score": round(self.score, 4),
            "percent": self.percent,
            "lacks": [one.as_dict() for one in self.lacks],
        }


def score_card(document: CardDocument, facts: Facts | None) -> Completeness:
    """Σ weight × share answered / Σ weight, over headings, front matter and the facts that were to be expected.

    facts  None: a file that is looked at by itself, of which no facts are known or asked for
    """
    answers = answers_of(document) + (_fact_answers(document, facts) if facts is not None else [])
    total = sum(one.weight for one in answers)
    lacks = [
        Lack(one.line, one.reason, 100 * one.weight * (1 - one.share) / total)
        for one in answers
        if one.share < 1
    ]
    score = sum(one.weight * one.share for one in answers) / total
    return Completeness(score, tuple(sorted(lacks, key=lambda one: -one.points)))


def _fact_answers(document: CardDocument, facts: Facts) -> list[Answer]:
    answers = []
    for name, weight in _EXPECTED.items():
        block = facts.block(name)
        reason = f"facts {block.title.lower()}: unknown, {block.unknown}" if block.unknown else ""
        if name == "live" and not reason:
            days = stale_days(facts.live)
            if days is not None and days > LONGEST_AGE_DAYS + facts.label_delay_days:
                reason = f"facts {block.title.lower()}: stale, the newest labelled window ended {days:.0f} days ago"
        answers.append(Answer(f"facts {name}", weight, 0 if reason else 1, reason))
    owner = "" if facts.owner else "the model has no owner in the registry"
    answers.append(Answer("owner", ESSENTIAL, 0 if owner else 1, owner))
    return [*answers, _review(document)]


def _review(document: CardDocument) -> Answer:
    """Whether the card says by when it is read again, and that day has not passed."""
    governance = document.front.get("warrant")
    found = governance.get("review_by") if isinstance(governance, dict) else None
    try:
        day = found if isinstance(found, date) else date.fromisoformat(str(found))
    except ValueError:
        return Answer(
            "review_by", USUAL, 0, "front matter: warrant.review_by names no day such as 2027-06-30", 1
        )
    if day < clock.now().date():
        return Answer(
            "review_by", USUAL, 0, f"it was to be read again by {day:%-d %b %Y}, and that day has passed", 1
        )
    return Answer("review_by", USUAL, 1)
