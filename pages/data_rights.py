"""Rights of the people behind the data: requests and what came of them, purposes and retention of each model."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline, key_values
from app.components.assurance_actions import because, done
from app.components.assurance_parts import day
from app.components.data_parts import is_open, numbers_of, show_requests
from app.components.hold_parts import offer_hold, offer_release, show_holds
from app.plain_text import plain
from app.session import page_link, viewer
from app.words import count_of
from backend import clock
from backend.data_rights.requests import (
    request_erasure_of_person,
    request_erasure_of_texts,
    request_rows,
)
from backend.data_rights.rules import PURPOSES, opt_in, opt_out, set_rule
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
requests, models = data.data_requests(scope), data.models_with_data(scope)
waiting = [one for one in requests if is_open(one)]
late = [one for one in waiting if one["due_at"] <= clock.now()]
failed = [one for one in requests if one["state"] in ("failed", "void", "expired")]
said = []
if late:
    said.append(f"{count_of(len(late), 'request')} should have been answered by now")
elif waiting:
    said.append(f"the first is to be answered by {day(min(one['due_at'] for one in waiting))}")
if failed:
    said.append(f"{count_of(len(failed), 'request')} ended without being carried out; ask again")
headline(
    f"{count_of(len(waiting), 'request')} open" if waiting else "No request is open",
    "page" if late else "attention" if waiting or failed else "ok",
    detail=" · ".join(said) or None,
)
main, side = st.columns([7, 3], gap="large")
with main:
    if requests:
        show_requests(requests)
    else:
        empty_state(
            "Nobody has asked yet",
            "When somebody asks to be erased, or what is held of them, ask for it here.",
        )
with side, st.container(border=True, key="act"):
    why_not = because(Permission.REQUEST_DATA, "ask on behalf of data subjects")
    with st.popover("Erase or hand out rows…", width="stretch", disabled=why_not is not None or not models):
        sent = action_form(
            "rows", label="Ask for it", object_id="rows", digest="new",
            fields=[Field("kind", "What", "select", required=True, options=["erase", "access"]),
                    Field("model", "Model", "select", required=True, options=models),
                    Field("value", "What the subject column holds for the person", max_chars=1024),
                    Field("ids", "Or prediction ids, one a line", "area"),
                    Field("reason", "Why, without naming the person: it stays on the record", "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: request_rows(
                session, me, kind=form.values["kind"], model=form.values["model"], value=form.values["value"] or "",
                prediction_ids=(form.values["ids"] or "").splitlines(), reason=form.values["reason"],
            ),
            "Asked; an ML lead decides on it.",
        )  # fmt: skip
    with st.popover("Erase somebody who used Warrant…", width="stretch", disabled=why_not is not None):
        st.caption(
            "Their name, sign-in and addresses go; what they did stays under their id, and the log verifies."
        )
        sent = action_form(
            "person", label="Ask for it", object_id="person", digest="new", danger=True,
            fields=[Field("person", "Id of the person (per_…), as entries of the log show it", required=True),
                    Field("reason", "Why", "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: request_erasure_of_person(
                session, me, person_id=form.values["person"].strip(), reason=form.values["reason"]
            ),
            "Asked; an ML lead decides on it.",
        )  # fmt: skip
    unread = why_not or because(Permission.READ_AUDIT_PAYLOAD, "read the texts of the log")
    with st.popover("Erase texts of the log…", width="stretch", disabled=unread is not None):
        st.caption(
            "For reasons and comments that name somebody. Leaves and proofs stay; so does what the entries are about."
        )
        sent = action_form(
            "entries", label="Ask to erase them", object_id="entries", digest="new", danger=True,
            fields=[Field("entries", "Numbers of the entries, with commas", required=True, max_chars=4000),
                    Field("reason", "Why, without naming the person: it stays on the record", "area", required=True)],
            disabled_because=unread,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: request_erasure_of_texts(
                session, me, entries=numbers_of(form.values["entries"]), reason=form.values["reason"]
            ),
            "Asked; an ML lead decides on it.",
        )  # fmt: skip
    if actor.may(Permission.EXPLAIN_PREDICTION):
        page_link("prediction", "Explain one prediction", icon=":material/quiz:")

holds = data.open_holds(scope)
st.subheader("What is on hold", anchor=False)
main, side = st.columns([7, 3], gap="large")
with main:
    if holds:
        show_holds(holds)
    else:
        empty_state("Nothing is on hold", "What a court or an inquiry needs is held here against deletion.")
with side, st.container(border=True, key="act-holds"):
    offer_hold(models)
    if holds:
        offer_release(holds)

st.subheader("What data may be used for, and how long they are kept", anchor=False)
if not models:
    empty_state("No model is described yet", "Register a model; its data have a rule here then.")
    st.stop()
name = st.selectbox("Model", models, width=320)
rule = data.data_rule(scope, name)


def kept(days: int | None) -> str:
    return f"{days:,} days" if days else "no end is set"


key_values(
    {
        "purposes": ", ".join(rule["purposes"]) or "none is recorded: no training data can be extracted",
        "ground": rule["basis"] or "not written down",
        "predictions and labels": kept(rule["predictions_days"]),
        "explanations": kept(rule["explanations_days"]),
        "payloads of the log about it": kept(rule["payloads_days"])
        + (f"; the house keeps all payloads for {kept(rule['house_days'])}" if rule["house_days"] else ""),
        "whom a row is about": rule["subject"] or "the spec names no subject column",
        "stored as pseudonyms": ", ".join(rule["pseudonymise"]) or "nothing",
        "opted out of training": count_of(rule["opt_outs"], "person", "people"),
    }
)
with st.expander("Change this"):
    purposes = st.multiselect(
        "Purposes", list(PURPOSES), rule["purposes"], format_func=lambda one: f"{one}: {PURPOSES[one]}"
    )
    days = {key: st.number_input(f"Days {plain(key.split('_')[0])} are kept (0: no end)", 0, 36_600, rule[key] or 0)
            for key in ("predictions_days", "explanations_days", "payloads_days")}  # fmt: skip
    sent = action_form(
        "rule", label=f"Keep this for {name}", object_id=name, digest=str(rule["updated_at"]),
        fields=[Field("basis", "Ground: consent, contract, duty", "area", value=rule["basis"]),
                Field("why", "Why", required=True)],
        disabled_because=because(Permission.SET_DATA_RULES, "set rules of data"),
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: set_rule(
            session, me, model=form.object_id, purposes=purposes, basis=form.values["basis"] or "",
            why=form.values["why"], **{key: int(value) or None for key, value in days.items()},
        ),
        "The rule is kept.",
    )  # fmt: skip
    sent = action_form(
        "opt", label="Keep the wish", object_id=name, digest="opt",
        fields=[Field("wish", "Somebody", "select", required=True, options=["opts out", "opts in again"]),
                Field("value", "What the subject column holds for the person", required=True, max_chars=1024)],
        disabled_because=why_not or (None if rule["subject"] else "The spec names no subject column."),
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: (opt_out if form.values["wish"] == "opts out" else opt_in)(
            session, me, model=form.object_id, value=form.values["value"]
        ),
        "The wish is kept; only a keyed digest of the value is stored.",
    )
