"""Lending the right to decide to somebody for a time, and taking it back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.facts import key_values
from app.session import perform, viewer
from backend import clock
from backend.governance.delegations import delegate, end_delegation
from backend.identity.people import person_named
from backend.identity.roles import Permission

LONGEST_DAYS = 90


def show_lending() -> None:
    """What this person lends and has been lent; nothing for those who neither can lend nor have been lent anything."""
    actor = viewer()
    lent = data.lent(data.scope_of(actor))
    if not lent and not actor.may(Permission.DECIDE_CHANGE):
        return
    st.header("The right to decide", anchor=False)
    if not lent:
        st.caption(
            "You lend it to nobody. Who has it decides for you on changes, and both of you count as one person."
        )
    for one in lent:
        with st.container(horizontal=True, vertical_alignment="center", key=f"lent-{one['id']}"):
            key_values(
                {
                    f"{one['from']} lends it to {one['to']}": one["reason"],
                    "from": one["starts_at"],
                    "until": one["ends_at"],
                }
            )
            if st.button("End", key=f"end-lent:{one['id']}"):
                ended = perform(
                    lambda session, me, row=one["id"]: end_delegation(session, me, row),
                    done="The right is no longer lent.",
                )
                if ended is not None:
                    st.rerun()
    if actor.may(Permission.DECIDE_CHANGE) and actor.kind == "person":
        _offer(actor.person_id)


def _offer(person_id: str) -> None:
    with st.expander("Lend it to somebody"):
        sent = action_form(
            "lend", label="Lend the right to decide", object_id=person_id, digest="new",
            fields=[Field("to", "User name of who decides instead", required=True, max_chars=64),
                    Field("days", f"For how many days, at most {LONGEST_DAYS}", "number", value=7),
                    Field("reason", "Why", required=True, max_chars=500)],
        )  # fmt: skip
    if sent is None:
        return
    days = float(sent.values["days"] or 0)

    def act(session: Any, me: Any) -> Any:
        start = clock.now()
        return delegate(
            session, me, to_person=person_named(session, sent.values["to"]).id, starts_at=start,
            ends_at=start + timedelta(days=days), reason=sent.values["reason"],
        )  # fmt: skip

    if perform(act, done="The right to decide is lent.", sent=sent) is not None:
        st.rerun()
