"""Controls of a catalogue: what the record shows of each, what was judged, and the form that signs a judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st
from markupsafe import Markup

from app.components.actions import Field, action_form
from app.components.assurance_actions import pick_day
from app.components.assurance_parts import day, paper
from app.components.links import href
from app.components.tables import Cell, badge, lines, link, small, table
from app.formats import format_utc
from app.plain_text import plain
from app.session import perform, show_error, viewer
from app.theme import STATES as LEVELS
from backend.assurance.documents import LARGEST_BYTES, MEDIA_TYPES, add_document
from backend.controls.assessment import Assessed, Assessment
from backend.controls.evidence import STATES, Answer, Link, State
from backend.controls.judgements import OUTCOMES, sign_judgement
from backend.controls.standing import Judged
from backend.controls.tables import ControlJudgement
from backend.database.session import WriteSession
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.identity.confirmation import confirm_account

LEVEL: Final[dict[State, str]] = {
    "contradicted": "page", "missing": "attention", "stale": "attention", "not_shown": "unknown", "present": "ok",
}  # fmt: skip
MOST: Final = 10
OUTCOME_LEVELS: Final = {"met": "ok", "not_met": "page", "not_applicable": "unknown"}


def address_of(one: Link, model: str | None) -> str | None:
    """Where the console shows an object that evidence rests on; None where no page does."""
    name, _, rest = one.id.partition("/")
    version, _, number = rest.partition("/")
    pages: dict[str, str] = {
        "model": href("model", model=one.id), "card": href("card", model=name, version=version, number=number or None),
        "version": href("registry", about=name), "change": href("change", id=one.id),
        "inventory": href("inventory_model", model=one.id), "data_rule": href("data_rights"),
        "incident": href("incident", id=one.id), "policy": href("policy", revision=one.id),
        "access_review": href("access"), "data_request": href("data_rights"),
        "audit_finding": href("audit", view="findings"), "checkpoint": href("audit"), "log": href("audit"),
        "monitor": href("monitors", model=model), "window": href("quality", model=name, window=rest or None),
        "deployment": href("timeline", model=model),
        **{kind: href("inventory_model", model=model) for kind in ("validation", "finding", "exception")},
    }  # fmt: skip
    return pages.get(one.kind)


def summary_of(found: Assessment) -> tuple[str, str, str]:
    """The answer to what is missing: sentence, level, and the numbers behind it."""
    gaps, whose = len(found.gaps), found.model or "the house"
    waiting = sum(one.needs_judgement for one in found.controls)
    many = len(found.controls)
    parts = [f"{number} {STATES[state]}" for state, number in found.counts.items() if number]
    detail = ", ".join(parts) + (f"; {waiting} wait for a person's judgement" if waiting else "")
    if gaps:
        worst = any(one.state == "contradicted" or _says_no(one) for one in found.gaps)
        said = f"{gaps} of {many} controls have a gap for {whose}"
        return said, "page" if worst else "attention", detail
    if waiting:
        said = f"No gap in evidence for {whose}, and {waiting} of {many} controls wait for a judgement"
        return said, "unknown", detail
    return f"Nothing is missing for {whose} of what is asked here", "ok", detail


def _says_no(one: Assessed) -> bool:
    return one.judged is not None and one.judged.outcome == "not_met"


def format_label(one: Assessed) -> str:
    """The line of a control that is folded: state by shape and word, where it is asked, and what."""
    shape = LEVELS[LEVEL[one.state]].shape
    looked = [each for each in one.answers if each.query]
    there = sum(each.evidence.state == "present" for each in looked)
    parts = f" · {there} of {len(looked)} present" if looked else ""
    judged = ""
    if one.judged is not None:
        words = OUTCOMES[one.judged.outcome]
        over = "" if one.judged.standing or _says_no(one) else ", no longer stands"
        judged = f" · judged: {words}{over}"
    return f"{shape} **{STATES[one.state]}** · {plain(one.citation)} · {plain(one.title)}{parts}{judged}"


def show_lacking(found: Assessment) -> None:
    """What is missing, each thing once, with the controls that ask for it."""
    rows: list[list[Cell]] = [
        [one.title, badge("judged: not met", "page"), one.judged.text, one.citation]
        for one in found.gaps
        if one.judged is not None and _says_no(one)
    ]
    rows += [
        [
            one.answer.title,
            badge(STATES[one.answer.evidence.state], LEVEL[one.answer.evidence.state]),
            lines(one.answer.evidence.reason, _links(one.answer, found.model)),
            lines(
                *one.controls[:3],
                small(f"and {len(one.controls) - 3} more") if len(one.controls) > 3 else None,
            ),
        ]
        for one in found.lacking
    ]
    heads = ("evidence", "state", "why", "asked by")
    table(heads, rows[:MOST], caption="what is missing")
    if len(rows) > MOST:
        with st.expander(f"{len(rows) - MOST} more"):
            table(heads, rows[MOST:], caption="what else is missing")


def show_control(one: Assessed, model: str | None) -> None:
    """What is asked, each look at the record with its reason, and the judgement that counts."""
    st.html(str(Markup('<p class="w-lead">{}</p>').format(one.asks)))
    rows: list[list[Cell]] = [
        [
            answer.title,
            badge(STATES[answer.evidence.state], LEVEL[answer.evidence.state]),
            lines(answer.evidence.reason, _links(answer, model)),
            format_utc(answer.evidence.at) if answer.evidence.at is not None else "–",
        ]
        for answer in one.answers
    ]
    table(("evidence", "state", "why", "from"), rows, caption=f"evidence of {one.control}")
    if one.judged is not None:
        _show_judged(one.judged)


def _links(answer: Answer, model: str | None) -> Cell:
    parts = [
        link(each.label, address) if (address := address_of(each, model)) else small(each.label)
        for each in answer.evidence.links[:6]
    ]
    return Markup(" · ").join(parts) if parts else None


def _show_judged(judged: Judged) -> None:
    told: list[Cell] = [
        badge(OUTCOMES[judged.outcome], OUTCOME_LEVELS[judged.outcome]),
        judged.text,
        paper(judged.attachment, judged.attachment_name or "attachment"),
    ]
    if judged.note:
        word = "no longer stands" if not judged.standing and judged.outcome != "not_met" else "note"
        told.append(
            lines(badge(word, "attention" if judged.changed or judged.expired else "unknown"), judged.note)
        )
    proof: Cell = small(f"{judged.digest[:19]}…")
    if judged.entry is not None:
        proof = lines(proof, link(f"entry {judged.entry}", href("audit_entry", seq=judged.entry)))
    rows: list[list[Cell]] = [
        [
            f"judgement {judged.number}", lines(*told),
            lines(judged.by, small(f"{judged.signed_at:%-d %b %Y %H:%M:%S} UTC")), day(judged.valid_until), proof,
        ]
    ]  # fmt: skip
    table(
        ("", "judgement", "signed by", "valid until", "digest and entry"),
        rows,
        caption="the judgement that counts",
    )


def show_earlier(found: Sequence[Mapping[str, Any]]) -> None:
    """Judgements before the one that counts."""
    if len(found) < 2:
        return
    rows: list[list[Cell]] = [
        [
            f"judgement {one['number']}", badge(one["outcome_words"], OUTCOME_LEVELS[one["outcome"]]),
            lines(one["text"], paper(one["attachment"], one["attachment_name"] or "attachment")),
            lines(one["by"], small(f"{one['signed_at']:%-d %b %Y %H:%M:%S} UTC")),
        ]
        for one in found[1:]
    ]  # fmt: skip
    table(("", "outcome", "judgement", "signed by"), rows, caption="earlier judgements")


def offer_judgement(found: Assessment, one: Assessed, why_not: str) -> None:
    """The form that signs a judgement on what is shown, with a file if there is one."""
    model = found.model if one.scope == "model" else None
    report = st.file_uploader(
        "A paper that shows it (optional)", type=[ending[1:] for ending in MEDIA_TYPES],
        key=f"judge-paper:{found.catalogue}:{one.control}:{model}", max_upload_size=LARGEST_BYTES // 2**20,
    )  # fmt: skip
    until = pick_day("Valid until", f"judge-until:{found.catalogue}:{one.control}:{model}", days=365)
    words = {text: name for name, text in OUTCOMES.items()}
    sent = action_form(
        "judge", label=f"Sign the judgement on {one.citation}",
        object_id=f"{found.catalogue}/{one.control}/{model or ''}", digest=one.digest,
        fields=[Field("outcome", "It is", "select", required=True, options=list(words)),
                Field("text", "Why: what you looked at, and what it shows", "area", required=True, max_chars=4000),
                Field("username", "Your user name, to sign", required=True, max_chars=64),
                Field("password", "Your password, if you have one here", "password", max_chars=1024)],
        disabled_because=why_not or (None if found.is_now else "Judgements are signed on the present."),
    )  # fmt: skip
    if sent is None:
        return
    try:
        confirmed = confirm_account(
            viewer(), username=sent.values["username"] or "", password=sent.values["password"] or ""
        )
    except WarrantError as error:
        show_error(error)
        return

    def act(session: WriteSession, me: Actor) -> ControlJudgement:
        kept = None
        if report is not None:
            data = report.getvalue()[: LARGEST_BYTES + 1]
            kept = add_document(session, me, name=report.name, data=data).digest
        return sign_judgement(
            session, me, catalogue=found.catalogue, control=one.control, model=model,
            outcome=words[sent.values["outcome"]], text=sent.values["text"], valid_until=until,
            seen_digest=sent.digest, attachment=kept, confirmed=confirmed,
        )  # fmt: skip

    if perform(act, done="The judgement is signed and on the record.") is not None:
        st.query_params.pop("control", None)
        st.rerun()


def take_to(label: str, address: str) -> None:
    """A quiet link below what it is about."""
    st.html(str(Markup('<div class="w-detail w-take">{}</div>').format(link(label, address))))
