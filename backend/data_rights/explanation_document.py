"""The explanation of one prediction as a document, for somebody who has never seen Warrant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend import clock
from backend.data_rights.explanation import NO_CHANGE, NOBODY_BEFORE, Explained
from backend.data_rights.handing_out import FORMS, contributions_table, shown
from backend.documents import Block, Heading, Paragraph, Sheet, Table, plain, standalone_html
from backend.errors import NotFound
from backend.governance.digests import digest_of


def explanation_document(explained: Explained, form: str) -> tuple[bytes, str]:
    """The explanation as HTML, PDF or JSON, and its media type."""
    if form not in FORMS:
        raise NotFound(f"an explanation is handed out as {', '.join(FORMS)}, not as {form}")
    document = json.loads(json.dumps(explained.as_dict(), default=_plain))
    if form == "json":
        return json.dumps(document, indent=1, ensure_ascii=False).encode(), FORMS[form]
    sheet = Sheet(
        f"How a decision of {explained.model} came about",
        explained.prediction_id[:60],
        digest_of(document),
        clock.now(),
    )
    if form == "html":
        return standalone_html(sheet, blocks_of(explained)).encode(), FORMS[form]
    from backend.documents.pdf import pdf_of

    return pdf_of(sheet, blocks_of(explained)), FORMS[form]


def blocks_of(explained: Explained) -> list[Block]:
    """The document, for somebody who has never seen Warrant."""
    facts = explained.facts
    blocks: list[Block] = [
        Heading(1, plain(f"How a decision of {explained.title} came about")),
        Paragraph(plain(explained.decision, bold=True)),
        Paragraph(
            plain(
                f"Prediction {explained.prediction_id} was made on {utc(facts['ts'])} by version {explained.version}, "
                f"in {facts['environment']} as {facts['role']}. {_label_words(facts)}"
            )
        ),
        Heading(2, plain("What went in")),
        _pairs(explained.inputs),
        *_reason_blocks(explained),
        Heading(2, plain("What moved it")),
    ]
    if explained.contributions:
        blocks += [Paragraph(plain(explained.method)), contributions_table(explained.contributions)]
        blocks += _opinion(explained)
    else:
        usual = ", ".join(explained.usual)
        blocks.append(
            Paragraph(
                plain(
                    "What moved this single prediction has not been computed. "
                    + (f"In general this version looks most at: {usual}." if usual else "")
                )
            )
        )
    blocks += [Heading(2, plain("Who let this version decide")), *_who(explained)]
    return blocks


def _opinion(explained: Explained) -> list[Block]:
    found = (explained.explanation or {}).get("second_opinion")
    return [] if found is None else [Paragraph(plain(f"Second opinion (LIME): {found['words']}"))]


def reasons_told(explained: Explained) -> str:
    """What is said above the reasons of a declined case, or in their place; empty for other cases."""
    if not explained.declined:
        return ""
    by_score = " by its score; the answer itself is not recorded" if explained.prediction is None else ""
    declined = f"The case was declined{by_score}."
    if explained.explanation is None:
        return f"{declined} Its reasons have not been computed."
    if explained.reasons is None:
        return f"{declined} No sentences for its inputs were declared when it was explained (reason_codes)."
    if not explained.reasons:
        return f"{declined} No input for which a sentence is declared moved it that way."
    return f"{declined} What counted most against it, the strongest first:"


def _reason_blocks(explained: Explained) -> list[Block]:
    told = reasons_told(explained)
    if not told:
        return []
    reasons = explained.reasons or ()
    said = [Paragraph(plain(f"{place}. {one['sentence']}")) for place, one in enumerate(reasons, start=1)]
    return [Heading(2, plain("Why it was declined")), Paragraph(plain(told)), *said]


def utc(moment: datetime | None) -> str:
    """As records write times."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "no time that is recorded"


def _who(explained: Explained) -> list[Block]:
    change, blocks = explained.change, list[Block]()
    if change is None:
        blocks.append(Paragraph(plain(NO_CHANGE)))
    else:
        blocks.append(
            Paragraph(
                plain(f"{change['ref']} ({change['summary']}) was executed on {utc(change['executed_at'])}.")
            )
        )
        blocks.append(
            Table(
                (plain("who"), plain("in the role"), plain("verdict"), plain("when")),
                tuple(
                    (plain(one["person"]), plain(one["role"]), plain(one["verdict"]), plain(utc(one["at"])))
                    for one in explained.approvals
                ),
            )
            if explained.approvals
            else Paragraph(plain(NOBODY_BEFORE))
        )
    if explained.trained_by:
        blocks.append(Paragraph(plain(f"Trained by {explained.trained_by}.")))
    if explained.card:
        state = explained.card["state"]
        blocks.append(Paragraph(plain(f"Its model card is number {explained.card['number']} ({state}).")))
    return blocks


def _pairs(values: Mapping[str, Any]) -> Table:
    return Table(
        (plain("input"), plain("value")),
        tuple((plain(name), plain(shown(value))) for name, value in values.items()),
    )


def _label_words(facts: Mapping[str, Any]) -> str:
    if facts["label_status"] == "known":
        return f"What came true, known since {utc(facts['label_ts'])}: {facts['label']}."
    if facts["label_status"] == "will_not_come":
        return "What came true will not become known."
    return "What came true is not known yet."


def _plain(value: Any) -> str:
    return clock.to_iso(value) if isinstance(value, datetime) else str(value)
