"""The freezes of a draft of the policy as forms: weekly ones and those of dates, by the clock of a zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from app.components.policy_fields import Sheet, button, choice, default_of, edit, environments, many, text
from app.plain_text import plain
from backend.governance import policy_edits
from backend.governance.freezes import DAYS
from backend.governance.policy_edits import Place
from backend.governance.policy_rules import KINDS, Freeze


def freeze_inputs(sheet: Sheet) -> None:
    """Every freeze of the draft, and one more."""
    st.header("Freezes", anchor=False)
    freezes = sheet.document.get("freezes", [])
    for at, freeze in enumerate(freezes):
        with st.container(border=True):
            _freeze(sheet, ("freezes", at), freeze)
            button(f"Remove the freeze {freeze.get('name', '')}", f"{sheet.slot}:thaw:{at}", edit,
                    (sheet.slot, lambda text, at=at: policy_edits.without_freeze(text, at)))  # fmt: skip
    button("Add a freeze", f"{sheet.slot}:freeze", edit, (sheet.slot, policy_edits.with_freeze))
    sheet.tell(("freezes",))


def _freeze(sheet: Sheet, place: Place, freeze: Mapping[str, Any]) -> None:
    with st.container(horizontal=True):
        text(sheet, (*place, "name"), "Name")
        choice(sheet, (*place, "zone"), "Time zone", sorted(available_timezones()), "UTC",
               words={name: name for name in available_timezones()}, width=260)  # fmt: skip
        _once_or_weekly(sheet, place, freeze)
    with st.container(horizontal=True):
        for number_of, word in enumerate(("From", "Until")):
            if "dates" in freeze:
                text(sheet, (*place, "dates", number_of), word, show=_date_words,
                     help="such as 2026-12-20 18:00, by the clock of the zone", width=220)  # fmt: skip
            else:
                _moment(sheet, (*place, "weekly", number_of), word)
    with st.container(horizontal=True):
        many(sheet, (*place, "environments"), "Where", environments(sheet.document),
             placeholder="everywhere; write the name of another", new=True, width=340)  # fmt: skip
        many(sheet, (*place, "except_kinds"), "But for", KINDS, default_of(Freeze, "except_kinds"),
             placeholder="nothing")  # fmt: skip
    sheet.tell(place)


def _date_words(given: Any) -> str:
    """As people write it: `2026-12-20 18:00`, seconds where there are some."""
    return str(given).replace("T", " ").removesuffix(":00") if str(given).count(":") == 2 else str(given)


def _once_or_weekly(sheet: Sheet, place: Place, freeze: Mapping[str, Any]) -> None:
    """A freeze is of every week, or of dates."""

    def take(chosen: str) -> dict[str, Any]:
        kept = {name: one for name, one in freeze.items() if name not in ("weekly", "dates")}
        if chosen == "once":
            return kept | {"dates": ["", ""]}
        return kept | {"weekly": list(policy_edits.NEW_FREEZE["weekly"])}

    with st.container(width=170):
        st.selectbox(
            "When", ["every week", "once"],
            **sheet.bound(place, "once" if "dates" in freeze else "every week", take, "when"),
        )  # fmt: skip


def _moment(sheet: Sheet, place: Place, word: str) -> None:
    """A day of the week and a time, which the draft holds as one text."""
    day, _, clock = str(sheet.at(place, "")).partition(" ")
    with st.container(width=240, gap="xsmall"):
        with st.container(horizontal=True, gap="xsmall"):
            st.selectbox(
                plain(word), [*DAYS, *([day] if day not in DAYS else [])], format_func=str.capitalize, width=110,
                **sheet.bound(place, day, lambda chosen: f"{chosen} {clock}", "day"),
            )  # fmt: skip
            st.text_input(
                "at", max_chars=20, width=110,
                **sheet.bound(place, clock, lambda written: f"{day} {written.strip()}", "time"),
            )  # fmt: skip
        sheet.tell(place)
