"""`summary.pdf`: what is missing or speaks against it first, then what the pack shows, each with where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.assurance.as_of import HouseThen
from backend.audit.state import LogState
from backend.documents import Block, Bullets, Heading, Paragraph, Span, Table, plain
from backend.packs.draft import LEVELS, Draft
from backend.packs.monitoring_files import Watched
from backend.packs.scope import Subject

MOST_ROWS: Final = 120
LOOKED_FOR: Final = (
    "a card that is approved, complete and contradicted by nothing; a validation, its conditions; open findings "
    "and exceptions; open incidents and the clocks of serious ones; changes without the decisions their rule asks "
    "for; what deciders saw; what serves without a change; windows that were not measured, and what alarmed in the "
    "newest; the log: signed, held by somebody else, recomputed, without findings"
)


@dataclass(frozen=True)
class Facts:
    """What the parts of a pack found, for the summary."""

    pack_id: str
    maker: str
    reason: str
    serving: Sequence[Mapping[str, Any]]
    changes: Sequence[Mapping[str, Any]]
    cards: Sequence[Mapping[str, Any]]
    assurance: Mapping[str, Sequence[Mapping[str, Any]]]
    watched: Sequence[Watched]
    controls: Sequence[Mapping[str, Any]]
    population: Mapping[str, Any] | None
    head: Mapping[str, Any] | None


def summary_blocks(draft: Draft, subject: Subject, facts: Facts) -> list[Block]:
    """Plain words and tables, in the order in which a reviewer asks."""
    return [
        Heading(1, plain(f"Evidence pack: {subject.scope.about}")),
        Table(
            (plain("Fact"), plain("Value")),
            (
                (plain("About"), plain(subject.scope.about)),
                (plain("Environment"), plain(subject.environment)),
                (plain("As of"), plain(moment(subject.as_of))),
                (plain("Made for"), plain(facts.maker)),
                (plain("Because"), plain(facts.reason)),
                (plain("Pack"), plain(facts.pack_id)),
            ),
            (1, 4),
        ),
        *_gaps(draft),
        *_record(draft, facts),
        *_models(draft, facts),
        *_changes(facts),
        *_cards(facts),
        *_vouched(facts),
        *_measured(facts),
        *_controls(facts),
        *_left_out(draft, subject),
        *_contents(draft),
    ]


def _gaps(draft: Draft) -> list[Block]:
    """The gravest first. Nothing found is said with what was looked for."""
    found, counts = draft.ordered_gaps(), draft.counts()
    blocks: list[Block] = [Heading(2, plain("What is missing or speaks against it"))]
    if not found:
        return [*blocks, Paragraph(plain(f"Nothing was found. Looked for: {LOOKED_FOR}."))]
    blocks.append(
        Paragraph(
            plain("; ".join(f"{counts[level]} {word}" for level, word in LEVELS.items()) + ".", bold=True)
        )
    )
    for level, word in LEVELS.items():
        some = [one for one in found if one.level == level]
        if some:
            rows = tuple((plain(one.text), plain(one.where)) for one in some[:MOST_ROWS])
            blocks += [
                Heading(3, plain(f"{word.capitalize()} ({len(some)})")),
                Table((plain("What"), plain("Where in this pack")), rows, (5, 3)),
            ]
            if len(some) > MOST_ROWS:
                blocks.append(Paragraph(plain(f"… and {len(some) - MOST_ROWS} more: gaps.json")))
    return blocks


def _record(draft: Draft, facts: Facts) -> list[Block]:
    state: LogState = draft.facts["log"]
    head, blocks = facts.head, [Heading(2, plain("The record"))]
    if head is None:
        return [
            *blocks,
            Paragraph(plain("No head of the audit log is signed, so nothing here is proved by it.")),
        ]
    kept, checked = state.newest_kept, state.checked
    rows = [
        ("Entries of the log in this pack", f"{draft.facts['entries']:,}, each proved in the signed head"),
        ("Signed head", f"{head['size']:,} entries of {head['origin']}, root {head['root']}"),
        ("Held by somebody else", f"{kept.size:,} entries by {kept.place}, signed {moment(kept.signed_at)}" if kept
         else "by nobody: the head is signed by this house alone"),
        ("Recomputed as a whole", f"{moment(checked.at)}: {'intact' if checked.ok else checked.problem}" if checked
         else "never here"),
    ]  # fmt: skip
    if facts.population is not None:
        told = facts.population
        agree = "and the table of changes agrees" if told["equal"] else "and the table of changes DISAGREES"
        rows.append(
            ("Changes of the period by the log", f"{told['count']}, {agree}; digest {told['digest']}")
        )
    return [*blocks, _pairs(rows)]


def _models(draft: Draft, facts: Facts) -> list[Block]:
    house: HouseThen = draft.facts["house"]
    names = {str(one["model"]) for one in facts.serving} | {one.model for one in facts.watched}
    rows = [
        (one.name, one.tier, one.purpose or "not written down", ", ".join(one.serving) or "nothing",
         f"{one.open_findings}", moment(one.last_validation) if one.last_validation else "never")
        for one in house.models
        if one.name in names
    ]  # fmt: skip
    blocks: list[Block] = [Heading(2, plain("Models as they were"))]
    if not rows:
        return []
    heads = ("Model", "Tier", "Purpose", "Served", "Open findings", "Last validation")
    return [*blocks, _table(heads, rows, (3, 1.3, 4, 3, 1.5, 3)),
            *[Paragraph(plain(note)) for note in house.notes]]  # fmt: skip


def _changes(facts: Facts) -> list[Block]:
    blocks: list[Block] = [Heading(2, plain("Changes and decisions"))]
    if not facts.changes:
        return [*blocks, Paragraph(plain("No change belongs to this pack."))]
    rows = [
        (str(one["change"]), str(one["summary"]), str(one["state"]), str(one["requested_by"]),
         moment(one["requested_at"]), str(one["approvals"]))
        for one in list(facts.changes)[-MOST_ROWS:]
    ]  # fmt: skip
    heads = ("Change", "What", "State", "Asked by", "Asked", "Approvals")
    blocks.append(_table(heads, rows, (1.5, 5, 2, 2, 3, 1.8)))
    if len(facts.changes) > MOST_ROWS:
        blocks.append(
            Paragraph(plain(f"The newest {MOST_ROWS} of {len(facts.changes)}; all: changes/changes.csv"))
        )
    return [*blocks, Paragraph(plain(
        "What each decider saw is in changes/CHG-n/as-seen.html and, as stored, in seen/; receipts of decisions and "
        "executions are in receipts/."
    ))]  # fmt: skip


def _cards(facts: Facts) -> list[Block]:
    if not facts.cards:
        return []
    rows = [
        (f"{one['model']} v{one['version']}", str(one["state"]).replace("_", " "), f"{one['percent']} %",
         str(one["contradictions"]), str(one.get("digest", "")))
        for one in facts.cards
    ]  # fmt: skip
    heads = ("Card of", "State", "Complete", "Contradictions", "Digest")
    return [Heading(2, plain("Model cards")), _table(heads, rows, (3, 2, 1.7, 2.4, 5))]


def _vouched(facts: Facts) -> list[Block]:
    blocks: list[Block] = [Heading(2, plain("What people vouch for"))]
    found = facts.assurance
    if not any(found.values()):
        return [*blocks, Paragraph(plain("No validation, finding, exception or incident is recorded."))]
    validations = [(one["ref"], one["model"], str(one["version"] or "all"), one["outcome_words"], one["validator"],
                    moment(one["recorded_at"])) for one in found["validations"]]  # fmt: skip
    if validations:
        blocks.append(
            _table(
                ("Validation", "Model", "Version", "Outcome", "By", "When"),
                validations,
                (1.8, 2, 1.3, 3, 2, 3),
            )
        )
    findings = [(one["ref"], one["severity"], one["state"], one["title"], one["owner"], moment(one["due_at"]))
                for one in list(found["findings"])[:MOST_ROWS]]  # fmt: skip
    if findings:
        blocks.append(
            _table(
                ("Finding", "Severity", "State", "What", "Owner", "Due"), findings, (1.6, 1.5, 1.3, 5, 2, 3)
            )
        )
    exceptions = [(one["ref"], one["model"], one["gate"], one["state"], moment(one["expires_at"]))
                  for one in found["exceptions"]]  # fmt: skip
    if exceptions:
        blocks.append(
            _table(("Exception", "Model", "From gate", "State", "Until"), exceptions, (1.8, 2, 3, 1.3, 3))
        )
    incidents = [(one["ref"], one["title"], one["state"] + (", serious" if one["serious"] else ""),
                  moment(one["opened_at"]), moment(one["closed_at"]) if one["closed_at"] else "")
                 for one in list(found["incidents"])[-MOST_ROWS:]]  # fmt: skip
    if incidents:
        blocks.append(_table(("Incident", "What", "State", "Opened", "Closed"), incidents, (1.6, 5, 2, 3, 3)))
    return blocks


def _measured(facts: Facts) -> list[Block]:
    blocks: list[Block] = [Heading(2, plain("Monitoring"))]
    if not facts.watched:
        return [*blocks, Paragraph(plain("No model of this pack is measured."))]
    for one in facts.watched:
        blocks.append(Heading(3, plain(one.model)))
        if not one.windows:
            blocks.append(Paragraph(plain("Nothing was measured.")))
            continue
        blocks.append(_pairs([
            ("Windows", f"{one.windows:,}, from {moment(one.start)} to {moment(one.end)}"),
            ("Alarms", f"{one.alarms:,} of whole windows; {one.unclear:,} points could not be judged"),
            ("Newest window", one.newest),
        ]))  # fmt: skip
        blocks += one.charts
    return blocks


def _controls(facts: Facts) -> list[Block]:
    if not facts.controls:
        return []
    rows = [
        (
            str(one["title"]),
            str(one["model"] or "the house"),
            str(one["gaps"]),
            str(one["to_judge"]),
            str(one["where"]),
        )
        for one in facts.controls
    ]
    return [
        Heading(2, plain("Catalogues of controls")),
        Paragraph(plain("What each control asks, what the record shows of it, and what reviewers judged.")),
        _table(("Catalogue", "About", "With gaps", "To be judged", "Where"), rows, (4, 2, 1.5, 2, 3)),
    ]


def _left_out(draft: Draft, subject: Subject) -> list[Block]:
    said = [*subject.left_out, *draft.left_out]
    if not said:
        return []
    return [Heading(2, plain("Left out")), Bullets(tuple((Paragraph(plain(one)),) for one in said))]


def _contents(draft: Draft) -> list[Block]:
    folders: dict[str, list[int]] = {}
    for path, content in draft.files.items():
        folders.setdefault(path.split("/")[0], []).append(len(content))
    rows = [(name, str(len(sizes)), f"{sum(sizes):,}") for name, sizes in sorted(folders.items())]
    return [
        Heading(2, plain("What is in this pack")),
        _table(("File or folder", "Files", "Bytes"), rows, (4, 1, 2)),
        Paragraph((Span("README.txt says how to verify it without Warrant.", italic=True),)),
    ]


def _pairs(rows: Sequence[tuple[str, str]]) -> Table:
    return Table(
        (plain("Fact"), plain("Value")), tuple((plain(name), plain(value)) for name, value in rows), (2, 5)
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], widths: tuple[float, ...]) -> Table:
    return Table(
        tuple(plain(one) for one in heads),
        tuple(tuple(plain(str(one)) for one in row) for row in rows),
        widths,
    )


def moment(at: datetime | None) -> str:
    """UTC with seconds, as records are shown."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "not known"
