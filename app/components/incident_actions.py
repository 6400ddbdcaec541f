"""What somebody does with an incident: silence, assign, write, mitigate, resolve, merge, call it false."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import streamlit as st

from app import data
from app.components.actions import Field, Submission, action_form
from app.components.facts import key_values
from app.session import perform
from app.words import count_of
from backend import clock
from backend.alerting import handling
from backend.alerting.phases import CAUSES, WORDS
from backend.alerting.runbook import mark_step
from backend.alerting.service import acknowledge, close_by_hand
from backend.database.session import WriteSession
from backend.identity.actor import Actor
from backend.identity.roles import Permission

UNTIL: Final = {"it gets worse (8 h at most)": None, "1 hour": 1, "8 hours": 8, "1 day": 24, "7 days": 168}
_CAUSE_OF: Final = {word: key for key, word in CAUSES.items()}
Do = Callable[[WriteSession, Actor, Submission], object]


def show_handling(me: Actor, found: Mapping[str, Any]) -> None:
    """Who is on it and how far, and every act that its phase allows; each says why it is not open to this person."""
    is_open = found["state"] == "open"
    key_values({
        "state": WORDS[found["phase"]], "severity": f"SEV-{found['severity']}",
        "on it": found["on_it"] or "nobody", "assigned to": found["assigned_to_name"] or "nobody",
    })  # fmt: skip
    refused = None if me.may(Permission.ACKNOWLEDGE) else "Your role cannot handle incidents."
    firing = [one for one in found["alerts"] if one["state"] == "firing"]
    if is_open and not found["acknowledged_at"]:
        _act(found, "acknowledge", f"Acknowledge INC-{found['id']}", (),
             lambda session, me, sent: acknowledge(session, me, int(sent.object_id)), "You are on it.", refused,
             danger=False)  # fmt: skip
    if is_open and any(not one["muted"] for one in firing):
        with st.popover("Silence…", use_container_width=True):
            _offer_silence(found, refused)
    if is_open and found["steps"]:
        with st.popover("Mark a step…", use_container_width=True):
            _offer_steps(found, refused)
    with st.popover("Write, assign, set severity…", use_container_width=True):
        _offer_writing(found, is_open, refused)
    if is_open:
        with st.popover("Mitigate or resolve…", use_container_width=True):
            _offer_ends(found, refused)
        with st.popover("False alarm, or merge…", use_container_width=True):
            _offer_false(data.scope_of(me), found, refused)


def _offer_silence(found: Mapping[str, Any], refused: str | None) -> None:
    def mute(session: WriteSession, me: Actor, sent: Submission) -> object:
        hours = UNTIL[sent.values["until"]]
        until = None if hours is None else clock.now() + timedelta(hours=hours)
        return handling.silence_incident(
            session,
            me,
            int(sent.object_id),
            comment=sent.values["why"],
            until=until,
            until_worse=hours is None,
        )

    st.caption("What fires goes on firing, is shown as muted, and tells nobody until then.")
    fields = (Field("until", "Until", "select", required=True, options=list(UNTIL), value=next(iter(UNTIL))),
              Field("why", "Why", "area", required=True))  # fmt: skip
    _act(found, "silence", "Silence what fires", fields, mute, "Silenced; it ends by itself.", refused)


def _offer_steps(found: Mapping[str, Any], refused: str | None) -> None:
    """What the causes say to do: to be marked once it is done, or marked back."""
    left = [one for one in found["steps"] if one not in found["steps_done"]]
    for key, label, options, done, said in (
        ("step", "Mark it done", left, True, "The step is marked as done."),
        ("step_back", "Mark it not done", list(found["steps_done"]), False, "The step is open again."),
    ):
        if options:
            fields = (Field("step", "Step", "select", required=True, options=options),)
            _act(found, key, label, fields,
                 lambda session, me, sent, done=done: mark_step(  # type: ignore[misc]
                     session, me, int(sent.object_id), step=sent.values["step"], done=done
                 ), said, refused)  # fmt: skip


def _offer_writing(found: Mapping[str, Any], is_open: bool, refused: str | None) -> None:
    _act(found, "note", "Write the note", (Field("text", "Note", "area", required=True, max_chars=4000),),
         lambda session, me, sent: handling.add_note(session, me, int(sent.object_id), text=sent.values["text"]),
         "The note is kept.", refused)  # fmt: skip
    _act(found, "link", "Add the link",
         (Field("address", "Address of a ticket, call or dashboard", required=True),
          Field("text", "What it is", required=True, max_chars=300)),
         lambda session, me, sent: handling.add_link(
             session, me, int(sent.object_id), address=sent.values["address"], text=sent.values["text"]
         ), "The link is kept.", refused)  # fmt: skip
    if not is_open:
        return
    _act(found, "assign", "Assign", (Field("username", "User name of who takes it; empty: nobody"),),
         lambda session, me, sent: handling.assign(
             session, me, int(sent.object_id), username=sent.values["username"] or ""
         ), "It is assigned.", refused)  # fmt: skip
    levels = [f"SEV-{one}" for one in handling.SEVERITIES]
    _act(found, "severity", "Set the severity",
         (Field("severity", "Severity", "select", required=True, options=levels, value=f"SEV-{found['severity']}"),
          Field("why", "Why", required=True)),
         lambda session, me, sent: handling.set_severity(
             session, me, int(sent.object_id), severity=int(sent.values["severity"].removeprefix("SEV-")),
             why=sent.values["why"],
         ), "The severity is set; the rule leaves it alone from now on.", refused)  # fmt: skip


def _offer_ends(found: Mapping[str, Any], refused: str | None) -> None:
    if found["phase"] != "mitigated":
        _act(found, "mitigate", "Mark mitigated", (Field("how", "How the harm was stopped", "area", required=True),),
             lambda session, me, sent: handling.mitigate(session, me, int(sent.object_id), how=sent.values["how"]),
             "Marked mitigated.", refused)  # fmt: skip
    still = f"{count_of(sum(found['firing'].values()), 'alert')} still firing" if found["firing"] else None
    fields = (Field("cause", "Cause", "select", required=True, options=list(CAUSES.values())),
              Field("why", "What it was, and what mended it", "area", required=True))  # fmt: skip
    _act(found, "close", f"Resolve INC-{found['id']}", fields,
         lambda session, me, sent: close_by_hand(
             session, me, int(sent.object_id), why=sent.values["why"], cause=_CAUSE_OF[sent.values["cause"]]
         ), "The incident is resolved.", still or refused)  # fmt: skip


def _offer_false(scope: data.Scope, found: Mapping[str, Any], refused: str | None) -> None:
    st.caption(
        "A false alarm counts against the monitors that fired; what still fires is silenced until worse."
    )
    _act(found, "false_alarm", "Mark a false alarm", (Field("why", "Why nothing was wrong", "area", required=True),),
         lambda session, me, sent: handling.mark_false_alarm(
             session, me, int(sent.object_id), why=sent.values["why"]
         ), "Marked a false alarm.", refused)  # fmt: skip
    others = [one for one in data.open_incidents(scope)[0] if one["id"] != found["id"]]
    if not others:
        st.caption("No other incident is open to merge it into.")
        return
    names = {f"INC-{one['id']} {one['model']}: {one['title']}"[:120]: int(one["id"]) for one in others}
    _act(found, "merge", "Merge into it", (Field("into", "The incident that stays", "select", required=True,
                                                 options=list(names)),),
         lambda session, me, sent: handling.merge(
             session, me, int(sent.object_id), into=names[sent.values["into"]]
         ), "Merged; its alerts are there.", refused)  # fmt: skip


def _act(
    found: Mapping[str, Any], key: str, label: str, fields: Sequence[Field], do: Do, done: str, refused: str | None,
    *, danger: bool = True,
) -> None:  # fmt: skip
    sent = action_form(
        key, label=label, object_id=str(found["id"]), digest=found["phase"], fields=fields, danger=danger,
        disabled_because=refused,
    )  # fmt: skip
    if sent is not None and perform(lambda session, me: do(session, me, sent), done=done) is not None:
        st.rerun()
