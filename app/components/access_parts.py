"""Rights of accounts in words, and the review in which somebody else keeps or revokes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import done, pick_day
from app.components.assurance_parts import day
from app.components.status import headline
from app.components.tables import Cell, badge, lines, small, table
from app.formats import format_age, format_utc
from app.words import count_of
from backend.access.reviews import Progress, answer_item, start_review
from backend.access.rights import Right

MOST: Final = 20


def say_rights(rights: Sequence[Right], reviews: Sequence[Progress]) -> None:
    accounts = len({one.person_id for one in rights})
    headline(
        f"{count_of(len(rights), 'right')} of {count_of(accounts, 'account')}; no review runs", "unknown",
        detail=f"the last one was over {format_utc(reviews[0].review.closed_at)}" if reviews else "there was none yet",
    )  # fmt: skip


def say_review(running: Progress) -> None:
    told = f"{running.items - running.open} of {running.items} answered, {running.revoked} revoked"
    headline(
        f"{running.review.title}: {count_of(running.open, 'right')} left to answer",
        "page" if running.overdue else "attention",
        detail=f"{told} · begun by {running.started_by} · "
        f"{'was due' if running.overdue else 'due'} {day(running.review.due_at)}",
    )  # fmt: skip
    st.progress((running.items - running.open) / max(1, running.items), text=told)


def show_items(items: Sequence[Mapping[str, Any]]) -> None:
    """What is left to answer, each with its form, and what was answered."""
    waiting = [one for one in items if one["answer"] is None]
    for one in waiting[:MOST]:
        _offer_answer(one)
    if len(waiting) > MOST:
        st.caption(f"{len(waiting) - MOST} more follow when these are answered")
    answered: list[list[Cell]] = [
        [one["person"], _what(one["kind"], one["subject"], one["facts"]),
         badge("kept", "ok") if one["answer"] == "keep" else badge("revoked", "attention"),
         one["reason"], lines(one["answered_by"], small(format_utc(one["answered_at"])))]
        for one in items if one["answer"] is not None
    ]  # fmt: skip
    if answered:
        with st.expander(f"{len(answered)} answered"):
            table(("who", "what", "answer", "why", "by"), answered, caption="answers")


def offer_review(*, first: bool) -> None:
    with st.expander("Begin a review", expanded=first):
        due = pick_day("To be answered by", "review-due", days=30)
        begun = action_form(
            "begin-review", label="Begin the review", object_id="new", digest="new",
            fields=[Field("title", "Title, such as “third quarter”", required=True, max_chars=200)],
        )  # fmt: skip
        done(
            begun,
            lambda session, me, form: start_review(session, me, title=form.values["title"], due_at=due),
            "The review has begun.",
        )


def show_rights(rights: Sequence[Right]) -> None:
    listed: list[list[Cell]] = [
        [lines(one.name, small(f"{one.username} · {one.account}")), _what(one.kind, one.subject, one.facts),
         _used(one.last_used_at)]
        for one in rights
    ]  # fmt: skip
    table(("who", "what", "last used"), listed, caption="rights of every open account")


def show_earlier(reviews: Sequence[Progress]) -> None:
    past: list[list[Cell]] = [
        [one.review.title, f"{one.kept} kept, {one.revoked} revoked", one.started_by,
         format_utc(one.review.started_at), format_utc(one.review.closed_at)]
        for one in reviews if one.review.closed_at is not None
    ]  # fmt: skip
    if past:
        st.subheader("Earlier reviews", anchor=False)
        table(("review", "answers", "begun by", "begun", "over"), past, caption="earlier reviews")


def _offer_answer(one: Mapping[str, Any]) -> None:
    with st.container(border=True, key=f"item-{one['id']}"):
        table(
            ("who", "what", "last used"),
            [[one["person"], _what(one["kind"], one["subject"], one["facts"]), _used(one["last_used_at"])]],
            caption="a right to answer for",
        )
        sent = action_form(
            "answer-access", label="Answer", object_id=str(one["id"]), digest="open",
            fields=[Field("answer", "Keep or revoke", "select", required=True, options=("keep", "revoke")),
                    Field("reason", "Why", required=True)],
            disabled_because="This is your own; somebody else answers for it." if one["own"] else None,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: answer_item(
                session, me, int(form.object_id), answer=form.values["answer"], reason=form.values["reason"]
            ),
            "Answered.",
        )


def _used(moment: datetime | None) -> Cell:
    if moment is None:
        return badge("never, as far as is known", "unknown")
    return lines(format_utc(moment), small(f"{format_age(moment)} ago"))


def _what(kind: str, subject: str, facts: Mapping[str, Any]) -> Cell:
    """A right in words."""
    if kind == "role":
        until = (
            f"until {day(facts['until'])}, of {', '.join(facts['models'] or ())}"
            if facts.get("until")
            else None
        )
        return lines(
            f"role {subject.replace('_', ' ')}", small(count_of(len(facts["permissions"]), "permission")),
            small(until) if until else None,
        )  # fmt: skip
    if kind == "token":
        return lines(f"token “{facts['name']}”", small(f"until {day(facts['until'])}"))
    return lines(f"decides for {facts['from']}", small(f"until {day(facts['until'])}: {facts['reason']}"))
