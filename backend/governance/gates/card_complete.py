"""The version's model card says what it has to, somebody else approved it, and nothing known contradicts it."""

from __future__ import annotations

from pydantic import Field

from backend.cards.examination import examine_card
from backend.errors import NotFound
from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.identity.actor import system_actor


class Settings(Parameters):
    minimum: float = Field(0.9, ge=0, le=1)  # completeness of the card that holds
    approved: bool = True  # whether somebody other than its writers has to have approved it
    contradictions: bool = False  # whether the card may say what telemetry or record know otherwise


def check(asked: Asked, settings: Settings) -> Finding:
    """The card that holds is looked at: the approved version, else the file that came with the version."""
    try:
        found = examine_card(
            asked.session,
            system_actor("gate"),
            asked.model.name,
            asked.after.version,
            environment=asked.environment,
        )
    except NotFound as error:
        return Finding("inconclusive", error.message)
    percent, lacks = found.completeness.percent, found.completeness.lacks
    details = {
        "lacks": [one.reason for one in lacks[:50]], "card_version": found.number,
        "contradictions": [one.text for one in found.contradictions],
    }  # fmt: skip
    which = f"card version {found.number}" if found.number is not None else "the card's file"
    text = f"{which} of version {asked.after.version} is {percent} % complete"
    if found.document.errors:
        return Finding("fail", f"{which} is no valid card: {found.document.errors[0]}", details=details)
    reasons = []
    if found.completeness.score < settings.minimum:
        reasons.append(f"{settings.minimum:.0%} is asked for, and {lacks[0].reason}{_more(len(lacks) - 1)}")
    if settings.approved and found.state != "approved":
        reasons.append("nobody has approved it")
    worse = [one for one in found.contradictions if one.level == "attention"]
    if worse and not settings.contradictions:
        reasons.append(f"{worse[0].text}{_more(len(worse) - 1)}")
    return Finding(
        "fail" if reasons else "pass", f"{text}: {'; '.join(reasons)}" if reasons else text,
        value=found.completeness.score, limit=settings.minimum, unit="share of what a card should say",
        data_until=found.facts.at, details=details,
    )  # fmt: skip


def _more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


GATE = register(
    Gate(
        "card_complete",
        "Model card complete",
        "The version's model card says what a card should, somebody other than its writers approved it, and neither "
        "telemetry nor the record contradicts it.",
        Settings,
        check,
        condition=True,
    )
)
