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
from app.plain_text import plain
from app.words import count_of
from backend import clock
from backend.access.movements import Movement, counted
from backend.access.reviews import Progress, Scope, answer_item, start_review
from backend.access.rights import Right
from backend.identity.roles import GIVEN

MOST: Final = 20
MOVEMENTS: Final = 100
ANYBODY: Final = "whoever may review access"


def say_rights(rights: Sequence[Right], reviews: Sequence[Progress]) -> None:
    accounts = len({one.person_id for one in rights})
    headline(
        f"{count_of(len(rights), 'right')} of {count_of(accounts, 'account')}; no review runs", "unknown",
        detail=f"the last one was over {format_utc(reviews[0].review.closed_at)}" if reviews else "there was none yet",
    )  # fmt: skip


def say_review(running: Progress) -> None:
    told = f"{running.items - running.open} of {running.items} answered, {running.revoked + running.lapsed} revoked"
    if running.reviewer:
        told += f" · {running.reviewer} answers"
    if running.review.revokes_unanswered:
        told += " · what nobody answers by the day is revoked"
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
         badge("kept", "settled") if one["answer"] == "keep" else badge("revoked", "attention"),
         one["reason"], lines(one["answered_by"] or "nobody", small(format_utc(one["answered_at"])))]
        for one in items if one["answer"] is not None
    ]  # fmt: skip
    if answered:
        with st.expander(f"{len(answered)} answered"):
            table(("who", "what", "answer", "why", "by"), answered, caption="answers")


def offer_review(people: Mapping[str, str], teams: Mapping[str, str], *, first: bool) -> None:
    with st.expander("Begin a review", expanded=first):
        roles = st.multiselect(
            "Of the roles", [role.value for role in GIVEN], placeholder="every right", format_func=_plainly,
        )  # fmt: skip
        chosen = st.multiselect("In the teams", list(teams), placeholder="the whole house") if teams else []
        due = pick_day("To be answered by", "review-due", days=30)
        begun = action_form(
            "begin-review", label="Begin the review", object_id="new", digest="new",
            fields=[Field("title", "Title, such as “third quarter”", required=True, max_chars=200),
                    Field("reviewer", "Who answers, but for their own", "select", options=(ANYBODY, *people)),
                    Field("revokes", "What nobody answers by the day is revoked", "checkbox")],
        )  # fmt: skip
        done(
            begun,
            lambda session, me, form: start_review(
                session,
                me,
                title=form.values["title"],
                due_at=due,
                reviewer=people.get(form.values["reviewer"]),
                scope=Scope((), tuple(roles), tuple(teams[one] for one in chosen)),
                revokes_unanswered=bool(form.values["revokes"]),
            ),
            "The review has begun.",
        )


def show_rights(rights: Sequence[Right]) -> None:
    listed: list[list[Cell]] = [
        [lines(one.name, small(f"{one.username} · {one.account}")), _what(one.kind, one.subject, one.facts),
         _used(one.last_used_at), _done(one.kind, one.facts)]
        for one in rights
    ]  # fmt: skip
    table(("who", "what", "last here", "last did"), listed, caption="rights of every open account")


def show_earlier(reviews: Sequence[Progress]) -> None:
    past: list[list[Cell]] = [
        [one.review.title, f"{one.kept} kept, {one.revoked} revoked"
         + (f", {one.lapsed} revoked as nobody answered" if one.lapsed else ""), one.started_by,
         format_utc(one.review.started_at), format_utc(one.review.closed_at)]
        for one in reviews if one.review.closed_at is not None
    ]  # fmt: skip
    if past:
        st.subheader("Earlier reviews", anchor=False)
        table(("review", "answers", "begun by", "begun", "over"), past, caption="earlier reviews")


def _offer_answer(one: Mapping[str, Any]) -> None:
    with st.container(border=True, key=f"item-{one['id']}"):
        table(
            ("who", "what", "last here", "last did"),
            [
                [
                    one["person"],
                    _what(one["kind"], one["subject"], one["facts"]),
                    _used(one["last_used_at"]),
                    _done(one["kind"], one["facts"]),
                ]
            ],
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


def show_movements(found: Sequence[Movement]) -> None:
    """Accounts made, roles given and taken, accounts closed."""
    if not found:
        st.caption("Nobody joined, moved or left in this period.")
        return
    st.caption(plain(", ".join(f"{count} {kind}" for kind, count in counted(list(found)))))
    rows: list[list[Cell]] = [
        [lines(one.name, small(one.username)), one.kind,
         lines(one.what + (f", in {one.team}" if one.team else ""),
               small(" ".join([*(f"+{role}" for role in one.gained), *(f"-{role}" for role in one.lost)]))),
         lines(one.by or "by its day", small(format_utc(one.at))), _used(one.last_here_at)]
        for one in found[-MOVEMENTS:]
    ]  # fmt: skip
    table(("who", "", "what", "by", "last here"), rows, caption="who joined, moved and left")
    if len(found) > MOVEMENTS:
        st.caption(f"the newest {MOVEMENTS} of {len(found)}; the file has all of them")


def _plainly(role: str) -> str:
    return role.replace("_", " ")


def _done(kind: str, facts: Mapping[str, Any]) -> Cell:
    """What somebody last did by a role, from the log."""
    last = facts.get("last_done")
    if last is None:
        return badge("nothing that leaves an entry", "unknown") if kind in ("role", "team_role") else "-"
    return lines(last["permission"], small(f"{format_age(clock.from_iso(last['at']))} ago"))


def _used(moment: datetime | None) -> Cell:
    if moment is None:
        return badge("never, as far as is known", "unknown")
    return lines(format_utc(moment), small(f"{format_age(moment)} ago"))


def _asleep(facts: Mapping[str, Any]) -> Cell:
    """Of a role that a rule gave and that does not count now."""
    if not facts.get("asleep"):
        return None
    since = f"since {day(facts['signed_on_at'])}" if facts["signed_on_at"] else "at all"
    return badge(f"does not count: no sign-on {since}", "warning")


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
            small(until) if until else None, _asleep(facts),
        )  # fmt: skip
    if kind == "team_role":
        role, models = subject.rpartition("/")[2].replace("_", " "), facts["models"]
        return lines(f"role {role} in the team {facts['team']}", small(", ".join(models) or "no model"))
    if kind == "token":
        return lines(f"token “{facts['name']}”", small(f"until {day(facts['until'])}"))
    if kind == "trust_rule":
        jobs = ", ".join(f"{name} {' or '.join(values)}" for name, values in facts["claims"].items())
        return lines(
            f"jobs let in by the rule “{facts['name']}”", small(jobs), small(", ".join(facts["permissions"]))
        )
    return lines(f"decides for {facts['from']}", small(f"until {day(facts['until'])}: {facts['reason']}"))
