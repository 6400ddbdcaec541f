"""Shifts of rotas on the notifications page: who is told by which channel in which hours, set and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from app.components.actions import Field, action_form
from app.components.tables import table
from app.plain_text import plain
from app.session import perform, viewer
from backend.identity.roles import Permission
from backend.notifications.contacts import DAYS
from backend.notifications.shifts import add_shift, remove_shift

ALL: Final = "all incidents"


def show_shifts(shifts: Sequence[Mapping[str, Any]]) -> None:
    """What was set here; rotas of the contacts file are not listed."""
    if not shifts:
        return
    table(
        ("rota", "who", "told by", "hours", "answers"),
        [
            [one["rota"], one["document"]["who"], one["document"]["channel"], hours_words(one["document"]),
             one["route"] or ALL]
            for one in shifts
        ],
        caption="Shifts",
    )  # fmt: skip


def hours_words(shift: Mapping[str, Any]) -> str:
    """`mon, tue 20:00 to 08:00 (Europe/Berlin)`."""
    days = "" if len(shift["days"]) == len(DAYS) else f"{', '.join(shift['days'])} "
    return f"{days}{shift['from']} to {shift['to']} ({shift['zone']})"


def offer_shifts(found: Mapping[str, Any]) -> None:
    """The forms that put somebody on call, and take them off."""
    barred = None if viewer().may(Permission.SET_ROTAS) else "Your role cannot set who is on call."
    channels = [one["name"] for one in found["channels"]]
    routes = [ALL, *(one["name"] for one in found["routes"])]
    with st.expander("Put somebody on call"):
        sent = action_form(
            "add-shift", label="Put on call", object_id="rota", digest="-", disabled_because=barred,
            fields=[
                Field("who", "Who", required=True, max_chars=100),
                Field("channel", "Told by", "select", required=True, options=channels, value=channels[0]),
                Field("rota", "Rota", required=True, value="primary", max_chars=40),
                Field("route", "Answers", "select", required=True, options=routes, value=ALL),
                Field("from", "From", required=True, value="00:00", max_chars=5),
                Field("to", "To (one that is earlier lasts over midnight)", required=True, value="24:00", max_chars=5),
                Field("days", "Days", required=True, value=" ".join(DAYS), help="on which the hours begin"),
                Field("zone", "Time zone", required=True, value="UTC", help="such as Europe/Berlin"),
            ],
        )  # fmt: skip
    if sent is not None:
        values: dict[str, Any] = sent.values
        shift = {name: str(values[name]).strip() for name in ("who", "channel", "from", "to", "zone")}
        days = str(values["days"]).replace(",", " ").lower().split()
        route = None if values["route"] == ALL else str(values["route"])
        if perform(
            lambda session, me: add_shift(
                session, me, rota=str(values["rota"]).strip(), shift={**shift, "days": days}, route=route
            ),
            done=f"{shift['who']} is on call in these hours.",
        ):
            st.rerun()
    if found["shifts"]:
        with st.expander("Take somebody off call"):
            for one in found["shifts"]:
                _offer_removal(one, barred)


def _offer_removal(one: Mapping[str, Any], barred: str | None) -> None:
    document = one["document"]
    sent = action_form(
        "remove-shift", object_id=str(one["id"]), digest="-", danger=True, disabled_because=barred,
        label=plain(f"Remove {document['who']}, {one['rota']}, {hours_words(document)}"),
    )  # fmt: skip

    def remove(session: Any, me: Any) -> bool:
        remove_shift(session, me, int(one["id"]))
        return True

    if sent is not None and perform(remove, done=f"{document['who']} is off call."):
        st.rerun()
