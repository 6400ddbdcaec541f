"""What one does about a model of the inventory: validate, find, plan, close, except, answer, write facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.actions import Field, Submission, action_form
from app.plain_text import plain
from app.session import perform, viewer
from backend import clock
from backend.assurance.documents import LARGEST_BYTES, MEDIA_TYPES, add_document
from backend.assurance.exceptions import ask_exception, decide_exception, end_exception
from backend.assurance.facts import keep_facts
from backend.assurance.findings import (
    SEVERITIES,
    answer_finding,
    close_finding,
    open_finding,
    plan_finding,
)
from backend.assurance.inventory import Entry
from backend.assurance.questionnaire import answer_questionnaire
from backend.assurance.validations import OUTCOMES, NewCondition, meet_condition, record_validation
from backend.database.session import WriteSession
from backend.identity.actor import Actor
from backend.identity.roles import Permission


def end_of(chosen: date) -> datetime:
    """The last second of a day, UTC: what "by that day" means on the record."""
    return datetime.combine(chosen, time(23, 59, 59), UTC)


def pick_day(label: str, key: str, *, days: int) -> datetime:
    """A day to come, as a moment."""
    today = clock.now().date()
    chosen = st.date_input(label, today + timedelta(days=days), min_value=today, key=key, width=260)
    return end_of(chosen if isinstance(chosen, date) else today + timedelta(days=days))


def because(permission: Permission, what: str) -> str | None:
    """Why the viewer cannot do it, or None."""
    return None if viewer().may(permission) else f"Your role does not {what}."


def done(sent: Submission | None, act: Callable[[WriteSession, Actor, Submission], Any], said: str) -> None:
    """Carry out what a form sent, and draw the page anew."""
    if (
        sent is not None
        and perform(lambda session, me: act(session, me, sent), done=said, sent=sent) is not None
    ):
        st.rerun()


def offer_validation(entry: Entry, versions: Sequence[int]) -> None:
    """Record what one's own validation found, with its report and one condition a line."""
    why_not = because(Permission.VALIDATE, "record validations")
    with st.popover("Record a validation…", width="stretch", disabled=why_not is not None):
        of = st.selectbox(
            "Of", [0, *versions], format_func=lambda one: f"version {one}" if one else "the model as a whole"
        )
        report = st.file_uploader("The report", type=[ending[1:] for ending in MEDIA_TYPES])
        due = pick_day("Conditions are due", f"validation-due:{entry.model}", days=90)
        review = pick_day("Next review", f"validation-review:{entry.model}", days=365)
        sent = action_form(
            "validate", label=f"Record the validation of {entry.model}", object_id=entry.model, digest="new",
            fields=[Field("outcome", "Outcome", "select", required=True, options=list(OUTCOMES)),
                    Field("scope", "What was looked at, and what was not", "area", required=True),
                    Field("summary", "What was found", "area", required=True),
                    Field("conditions", "Conditions, one a line (only if fit with conditions)", "area")],
            disabled_because=why_not or (None if report is not None else "Choose the file of the report first."),
        )  # fmt: skip
        if sent is None or report is None:
            return
        data = report.getvalue()[: LARGEST_BYTES + 1]
        wanted = [line.strip() for line in (sent.values["conditions"] or "").splitlines() if line.strip()]

        def act(session: WriteSession, me: Actor, form: Submission) -> Any:
            kept = add_document(session, me, name=report.name, data=data)
            return record_validation(
                session, me, model=form.object_id, version=int(of) or None, scope=form.values["scope"],
                outcome=form.values["outcome"], summary=form.values["summary"], report=kept.digest,
                conditions=[NewCondition(text, due) for text in wanted], next_review_at=review,
            )  # fmt: skip

        done(sent, act, "The validation is on the record.")


def offer_conditions(validations: Sequence[Mapping[str, Any]]) -> None:
    """Accept that a condition is met."""
    waiting = [
        one for found in validations for one in found["conditions"] if one["state"] in ("open", "lapsed")
    ]
    for one in waiting:
        with st.popover(f"Accept as met: {plain(one['text'][:40])}", width="stretch"):
            sent = action_form(
                "meet", label="It is met", object_id=str(one["id"]), digest="open",
                fields=[Field("evidence", "Where that can be seen", "area", required=True)],
                disabled_because=because(Permission.VALIDATE, "accept conditions"),
            )  # fmt: skip
            done(
                sent,
                lambda session, me, form: meet_condition(
                    session, me, int(form.object_id), evidence=form.values["evidence"]
                ),
                "The condition is met.",
            )


def offer_finding(model: str | None, people: Mapping[str, str]) -> None:
    """Open a finding about a model."""
    why_not = because(Permission.HANDLE_FINDINGS, "open findings")
    with st.popover("Open a finding…", width="stretch", disabled=why_not is not None):
        due = pick_day("Due", f"finding-due:{model}", days=30)
        sent = action_form(
            "find", label="Open the finding", object_id=model or "house", digest="new",
            fields=[Field("title", "What is wrong", required=True, max_chars=200),
                    Field("detail", "How it shows, and what it means", "area", required=True),
                    Field("severity", "Severity", "select", required=True, options=SEVERITIES),
                    Field("owner", "Owner", "select", required=True, options=list(people)),
                    Field("plan", "Plan", "area")],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: open_finding(
                session, me, model=model, title=form.values["title"], detail=form.values["detail"],
                severity=form.values["severity"], owner_id=people[form.values["owner"]], due_at=due,
                plan=form.values["plan"] or "",
            ),
            "The finding is open.",
        )  # fmt: skip


def offer_course(finding: Mapping[str, Any]) -> None:
    """Plan, answer or close one finding; services say who may."""
    with st.popover(f"{plain(finding['ref'])}: plan, answer or close…", width="stretch"):
        digest = f"{finding['state']}:{finding['plan'][:20]}"
        plan = action_form(
            "plan", label=f"Keep the plan of {finding['ref']}", object_id=str(finding["id"]), digest=digest,
            fields=[Field("plan", "Plan", "area", required=True, value=finding["plan"]),
                    Field("why", "Why", required=True)],
            disabled_because=because(Permission.HANDLE_FINDINGS, "plan findings"),
        )  # fmt: skip
        done(
            plan,
            lambda session, me, form: plan_finding(
                session, me, int(form.object_id), plan=form.values["plan"], why=form.values["why"]
            ),
            "The plan is kept.",
        )
        answer = action_form(
            "answer", label=f"Answer {finding['ref']}", object_id=str(finding["id"]), digest=digest,
            fields=[Field("answer", "What was done", "area", required=True)],
            disabled_because=None if finding["owner_id"] in viewer().people else "Its owner answers it.",
        )  # fmt: skip
        done(
            answer,
            lambda session, me, form: answer_finding(
                session, me, int(form.object_id), answer=form.values["answer"]
            ),
            "Answered; somebody else closes it.",
        )
        own = "You own it; somebody else closes it." if finding["owner_id"] in viewer().people else None
        close = action_form(
            "close-finding", label=f"Close {finding['ref']}", object_id=str(finding["id"]), digest=digest, danger=True,
            fields=[Field("evidence", "How it shows that it is mended", "area", required=True)],
            disabled_because=because(Permission.HANDLE_FINDINGS, "close findings") or own,
        )  # fmt: skip
        done(
            close,
            lambda session, me, form: close_finding(
                session, me, int(form.object_id), evidence=form.values["evidence"]
            ),
            "The finding is closed.",
        )


def offer_exception(model: str, gates: Sequence[str]) -> None:
    """Ask that a gate does not stand in the model's way for a time."""
    why_not = because(Permission.REQUEST_CHANGE, "ask for exceptions")
    with st.popover("Ask for an exception…", width="stretch", disabled=why_not is not None):
        until = pick_day("Until", f"exception-until:{model}", days=30)
        sent = action_form(
            "except", label="Ask for the exception", object_id=model, digest="new",
            fields=[Field("gate", "From the gate", "select", required=True, options=list(gates)),
                    Field("reason", "Why", "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: ask_exception(
                session, me, model=form.object_id, gate=form.values["gate"], reason=form.values["reason"],
                expires_at=until,
            ),
            "Asked; somebody else decides on it.",
        )  # fmt: skip


def offer_decisions(exceptions: Sequence[Mapping[str, Any]]) -> None:
    """Decide on exceptions that wait, and end those that count."""
    for one in exceptions:
        if one["state"] == "asked":
            with st.popover(f"Decide on {plain(one['ref'])}…", width="stretch"):
                sent = action_form(
                    "decide-exception", label=f"Decide on {one['ref']}", object_id=str(one["id"]), digest="asked",
                    fields=[Field("verdict", "Verdict", "select", required=True, options=("grant", "refuse")),
                            Field("comment", "Why", "area", required=True)],
                    disabled_because=because(Permission.DECIDE_CHANGE, "decide on exceptions"),
                )  # fmt: skip
                done(
                    sent,
                    lambda session, me, form: decide_exception(
                        session, me, int(form.object_id), verdict=form.values["verdict"],
                        comment=form.values["comment"],
                    ),
                    "Decided.",
                )  # fmt: skip
        elif one["state"] == "granted":
            with st.popover(f"End {plain(one['ref'])}…", width="stretch"):
                sent = action_form(
                    "end-exception", label=f"End {one['ref']} now", object_id=str(one["id"]), digest="granted",
                    danger=True, fields=[Field("why", "Why", required=True)],
                )  # fmt: skip
                done(
                    sent,
                    lambda session, me, form: end_exception(
                        session, me, int(form.object_id), why=form.values["why"]
                    ),
                    "It counts no more.",
                )


def offer_facts(entry: Entry, people: Mapping[str, str]) -> None:
    """Write purpose, data, owner and next review."""
    why_not = because(Permission.KEEP_INVENTORY, "keep the inventory")
    with st.popover("Write what is known of it…", width="stretch", disabled=why_not is not None):
        review = pick_day("Next review", f"facts-review:{entry.model}", days=365)
        sent = action_form(
            "facts", label=f"Keep this of {entry.model}", object_id=entry.model, digest="facts",
            fields=[Field("purpose", "Purpose", "area", value=entry.purpose),
                    Field("data", "Data: what it learnt from and reads, and whose it is", "area", value=entry.data),
                    Field("contact", "Contact", value=entry.contact, max_chars=400),
                    Field("owner", "Another owner", "select", options=list(people)),
                    Field("why", "Why", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: keep_facts(
                session, me, model=form.object_id, why=form.values["why"], purpose=form.values["purpose"],
                data=form.values["data"], contact=form.values["contact"], next_review_at=review,
                owner_id=people.get(form.values["owner"] or ""),
            ),
            "Kept.",
        )  # fmt: skip


def offer_questionnaire(entry: Entry, asked: Mapping[str, Any]) -> None:
    """Answer the questions about exposure and purpose; the tier that follows is proposed."""
    why_not = because(Permission.KEEP_INVENTORY, "answer it")
    with st.popover("Answer the questionnaire…", width="stretch", disabled=why_not is not None):
        given = asked["answers"][0]["answers"] if asked["answers"] else {}
        chosen: dict[str, str] = {}
        for axis in asked["document"]["axes"].values():
            st.html(
                Markup('<p class="w-lead"><strong>{}</strong>: {}</p>').format(
                    axis["title"], axis["explanation"]
                )
            )
            for question in axis["questions"]:
                texts = {option["id"]: option["text"] for option in question["options"]}
                known = given.get(question["id"])
                picked = st.radio(
                    plain(question["text"]), list(texts), format_func=texts.__getitem__,
                    index=list(texts).index(known) if known in texts else None,
                    key=f"tier:{entry.model}:{question['id']}",
                )  # fmt: skip
                if picked is not None:
                    chosen[question["id"]] = picked
        count = sum(len(axis["questions"]) for axis in asked["document"]["axes"].values())
        open_ones = f"{count - len(chosen)} questions are not answered yet." if len(chosen) < count else None
        sent = action_form(
            "answer-tier", label=f"Keep these answers about {entry.model}", object_id=entry.model,
            digest=asked["digest"], fields=[Field("note", "Note", "area")], disabled_because=why_not or open_ones,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: answer_questionnaire(
                session, me, model=form.object_id, answers=chosen, seen_digest=form.digest,
                note=form.values["note"] or "",
            ),
            "Kept. The tier itself moves by a change that others decide on.",
        )  # fmt: skip
