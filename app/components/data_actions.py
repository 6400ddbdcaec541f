"""Asking on behalf of data subjects: for rows, for an account, for texts of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import because, done
from app.components.data_parts import numbers_of
from backend.data_rights.requests import (
    request_erasure_of_person,
    request_erasure_of_texts,
    request_rows,
)
from backend.identity.roles import Permission

_ASKED: Final = "Asked; an ML lead decides on it."
_NAMELESS: Final = "Why, without naming the person: it stays on the record"


def offer_requests(models: Sequence[str]) -> None:
    """What can be asked for, each behind its button."""
    why_not = because(Permission.REQUEST_DATA, "ask on behalf of data subjects")
    _offer_rows(models, why_not)
    _offer_person(why_not)
    _offer_texts(why_not)


def _offer_rows(models: Sequence[str], why_not: str | None) -> None:
    with st.popover("Erase or hand out rows…", width="stretch", disabled=why_not is not None or not models):
        sent = action_form(
            "rows", label="Ask for it", object_id="rows", digest="new",
            fields=[Field("kind", "What", "select", required=True, options=["erase", "access"]),
                    Field("model", "Model", "select", required=True, options=models),
                    Field("value", "What the subject column holds for the person", max_chars=1024),
                    Field("ids", "Or prediction ids, one a line", "area"),
                    Field("reason", _NAMELESS, "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: request_rows(
                session, me, kind=form.values["kind"], model=form.values["model"], value=form.values["value"] or "",
                prediction_ids=(form.values["ids"] or "").splitlines(), reason=form.values["reason"],
            ),
            _ASKED,
        )  # fmt: skip


def _offer_person(why_not: str | None) -> None:
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
            _ASKED,
        )


def _offer_texts(why_not: str | None) -> None:
    unread = why_not or because(Permission.READ_AUDIT_PAYLOAD, "read the texts of the log")
    with st.popover("Erase texts of the log…", width="stretch", disabled=unread is not None):
        st.caption(
            "For reasons and comments that name somebody. Leaves and proofs stay; so does what the entries are about."
        )
        sent = action_form(
            "entries", label="Ask to erase them", object_id="entries", digest="new", danger=True,
            fields=[Field("entries", "Numbers of the entries, with commas", required=True, max_chars=4000),
                    Field("reason", _NAMELESS, "area", required=True)],
            disabled_because=unread,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: request_erasure_of_texts(
                session, me, entries=numbers_of(form.values["entries"]), reason=form.values["reason"]
            ),
            _ASKED,
        )
