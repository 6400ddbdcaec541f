"""What the data of a model may be used for, and how long they are kept: the rule, and the forms that change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import because, done
from app.components.facts import key_values
from app.plain_text import plain
from app.words import count_of
from backend.data_rights.rules import PURPOSES, opt_in, opt_out, set_rule
from backend.identity.roles import Permission


def show_rule(rule: Mapping[str, Any]) -> None:
    house = f"; the house keeps all payloads for {_kept(rule['house_days'])}" if rule["house_days"] else ""
    key_values(
        {
            "purposes": ", ".join(rule["purposes"]) or "none is recorded: no training data can be extracted",
            "ground": rule["basis"] or "not written down",
            "predictions and labels": _kept(rule["predictions_days"]),
            "explanations": _kept(rule["explanations_days"]),
            "payloads of the log about it": _kept(rule["payloads_days"]) + house,
            "whom a row is about": rule["subject"] or "the spec names no subject column",
            "stored as pseudonyms": ", ".join(rule["pseudonymise"]) or "nothing",
            "opted out of training": count_of(rule["opt_outs"], "person", "people"),
        }
    )


def offer_rule(name: str, rule: Mapping[str, Any]) -> None:
    """Change the rule of a model, or note that somebody opts out of training."""
    with st.expander("Change this"):
        _offer_days(name, rule)
        _offer_wish(name, rule)


def _kept(days: int | None) -> str:
    return f"{days:,} days" if days else "no end is set"


def _offer_days(name: str, rule: Mapping[str, Any]) -> None:
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


def _offer_wish(name: str, rule: Mapping[str, Any]) -> None:
    why_not = because(Permission.REQUEST_DATA, "ask on behalf of data subjects")
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
