"""What is shown of each page: to which person of the demo, about which subject, and the sentence beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.nav import PAGES

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
FOLDER: Final = DOCS / "gallery"
DOCUMENT: Final = DOCS / "gallery.md"
LARGEST_BYTES: Final = 120_000
MOST_BYTES: Final = 12_000_000
WIDTHS: Final = {"wide": (1280, 800), "phone": (375, 812)}
SCHEMES: Final = ("light", "dark")
MODEL: Final = "flight-delay"

Subject = Mapping[str, Any]
"""What the demo has to show: model, change, rollback, incident, prediction, entry, run, source; absent: none there."""


@dataclass(frozen=True)
class Shot:
    """query: the address after `?`, from the subjects; None: the demo has no such thing, the page is shown without."""

    who: str
    says: str
    query: Callable[[Subject], dict[str, Any] | None] = lambda _: {}


def of_model(_: Subject) -> dict[str, Any]:
    return {"model": MODEL}


def of(name: str, key: str = "id") -> Callable[[Subject], dict[str, Any] | None]:
    return lambda found: {key: found[name]} if found.get(name) is not None else None


def of_prediction(found: Subject) -> dict[str, Any] | None:
    told = found.get("prediction")
    return {"model": told[0], "prediction": told[1]} if told else None


SHOTS: Final[Mapping[str, Shot]] = {
    "overview": Shot("oncall", "Which models need somebody now, worst first, and what waits for who looks."),
    "models": Shot(
        "lead", "Every model in one list: cut, sorted and searched; acts on several with a preview."
    ),
    "model": Shot(
        "lead", "One model: what fires, what served when, its versions, and where to go on.", of_model
    ),
    "drift": Shot("oncall", "Which columns moved against the reference, and how their values lie.", of_model),
    "performance": Shot(
        "lead", "Realised and estimated performance by window, with limits and what changed.", of_model
    ),
    "quality": Shot(
        "engineer", "What is missing, out of range, never seen, or breaks a declared rule.", of_model
    ),
    "slices": Shot("engineer", "Where the model is worse than elsewhere, found and counted.", of_model),
    "fairness": Shot(
        "compliance",
        "Gaps between groups of people, and which have enough rows for a verdict.",
        lambda _: {"model": "employment-ma"},
    ),
    "explanations": Shot("engineer", "What versions lean on, and how that moved.", of_model),
    "monitors": Shot(
        "engineer", "Rules of one's own, replayed on the past before they are stored.", of_model
    ),
    "slos": Shot("oncall", "What is promised, what is left of it, and how fast it is spent.", of_model),
    "approvals": Shot("lead", "What waits for this person, what is open, and what is owed."),
    "timeline": Shot("compliance", "What served when, and who decided so.", of_model),
    "inventory": Shot("compliance", "Every model with its tier, its owner, and what is due."),
    "registry": Shot("engineer", "A registry that exists already: its moves, and what the rules would say."),
    "card": Shot("lead", "The card of a version: facts filled in, contradictions flagged.", of_model),
    "controls": Shot(
        "compliance", "Catalogues of controls held against the record: state, because, evidence."
    ),
    "policy": Shot("compliance", "Who must agree to what, which gates must hold, and how it is rolled out."),
    "audit": Shot("compliance", "Who did what, when, to what; and whether the log is intact."),
    "packs": Shot("compliance", "Evidence of a period in one file that verifies without Warrant."),
    "data_rights": Shot("compliance", "Erasure, access and retention, with what holds keep."),
    "notifications": Shot("oncall", "Who is told of what, by which channel, and what came of it."),
    "jobs": Shot("engineer", "What runs in the background, how far it is, and what failed."),
    "costs": Shot("lead", "Compute and storage by model and team, held against budgets."),
    "people": Shot("admin", "Who may come in, with which roles."),
    "teams": Shot("admin", "Which models belong to whom, and who sees them."),
    "access": Shot("compliance", "Rights that were given, when they were used, and their review."),
    "start": Shot(
        "engineer",
        "A file of predictions becomes a model: every value proposed with its reason.",
        of("source", "source"),
    ),
    "request_change": Shot(
        "oncall",
        "What would be asked for, with the evidence, before anything is sent.",
        lambda _: {"kind": "rollback", "model": MODEL},
    ),
    "change": Shot(
        "lead",
        "A change with its gates, effects, plan and way back, and the digest that is signed.",
        of("change"),
    ),
    "retraining": Shot(
        "engineer", "What sets a retraining off, within which envelope, and what came of it.", of_model
    ),
    "retraining_run": Shot("engineer", "One retraining, step by step.", of("run")),
    "incidents": Shot("oncall", "What is wrong now and what was, with who has it; one click opens one."),
    "incident": Shot(
        "oncall",
        "What is wrong, since when, how bad, what changed before, and what can be done.",
        of("incident"),
    ),
    "silences": Shot("oncall", "What is muted, by whom, why and until when."),
    "inventory_model": Shot(
        "compliance", "What people vouch for of one model: validations, findings, data.", of_model
    ),
    "prediction": Shot("lead", "One prediction with its reasons.", of_prediction),
    "audit_entry": Shot(
        "compliance", "One entry of the log with what was hashed, and its proof.", of("entry", "seq")
    ),
    "search": Shot(
        "oncall",
        "Everything with a name or a number, by kind, as far as one may see it.",
        lambda _: {"q": MODEL},
    ),
    "account": Shot("lead", "One's own sessions and API tokens."),
}


@dataclass(frozen=True)
class Stop:
    """One picture of the README's tour."""

    name: str
    who: str
    page: str
    says: str
    query: Callable[[Subject], dict[str, Any] | None] = lambda _: {}


TOUR: Final = (
    Stop(
        "1-degradation",
        "oncall",
        "overview",
        "A model gets worse: the overview says which, since when, and how bad.",
    ),
    Stop(
        "2-incident",
        "oncall",
        "incident",
        "The incident: impact, ranked causes, what changed before it, and what can be done.",
        of("incident"),
    ),
    Stop(
        "3-change",
        "oncall",
        "request_change",
        "On-call asks for the way back, and sees what that would do first.",
        lambda _: {"kind": "rollback", "model": MODEL},
    ),
    Stop(
        "4-approval", "lead", "change", "Somebody else decides, on exactly the evidence shown.", of("change")
    ),
    Stop(
        "5-record",
        "compliance",
        "audit_entry",
        "The decision is an entry of a log that nobody can quietly change.",
        of("entry", "seq"),
    ),
)


def picture(page: str, scheme: str, width: str) -> Path:
    return FOLDER / f"{page}-{scheme}-{width}.webp"


def tour_picture(stop: Stop) -> Path:
    return DOCS / "images" / f"tour-{stop.name}.webp"


def shown_pages() -> list[str]:
    """Pages of which pictures were taken, in the order of the navigation."""
    return [
        row.path
        for row in PAGES
        if any(picture(row.path, scheme, width).exists() for scheme in SCHEMES for width in WIDTHS)
    ]


def document() -> str:
    """docs/gallery.md, of the pages that have pictures."""
    parts = [
        "# Gallery\n\nPages of the console, from the running demo, in both schemes and on a phone. "
        "`make gallery` takes the pictures anew.\n"
    ]
    for row in PAGES:
        if row.path not in shown_pages():
            continue
        shot = SHOTS[row.path]
        parts.append(f"\n## {row.title}\n\n{shot.says} Shown to `{shot.who}`.\n")
        for width in WIDTHS:
            size = ' width="49%"' if width == "wide" else ' width="24%"'
            shown = " ".join(
                f'<img src="gallery/{picture(row.path, scheme, width).name}"{size} '
                f'alt="{row.title}, {scheme}, {width}">'
                for scheme in SCHEMES
            )
            parts.append(f"\n{shown}\n")
    return "".join(parts)
