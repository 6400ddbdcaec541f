"""A serious incident: its clocks, what is held and kept, and the draft of its report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Final

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import because, done
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, format_utc
from app.plain_text import plain
from app.words import count_of
from backend import clock
from backend.assurance.serious import mark_serious, meet_clock, set_clock
from backend.identity.roles import Permission

STATES: Final = {"running": "attention", "over": "page", "met": "settled", "met late": "attention"}


def show_serious(found: Mapping[str, Any]) -> None:
    """Clocks with from when and set by whom; what is held; what was kept. Nothing where it is not serious."""
    if not found["serious"]:
        return
    st.header("Serious", anchor=False)
    st.caption(
        f"Marked by {plain(found['marked_by'])}, {format_utc(found['marked_at'])}: {plain(found['why'])}"
    )
    rows: list[list[Cell]] = [
        [
            lines(one["title"], small(one["source"])),
            lines(
                badge(one["state"], STATES[one["state"]]),
                badge("was over", "page") if any(before["was_over"] for before in one["earlier"]) else "",
            ),
            lines(format_utc(one["due_at"]), small(_left(one))),
            lines(format_utc(one["starts_at"]), small(f"set by {one['set_by']}"), *_earlier(one)),
            one["evidence"] or "–",
        ]
        for one in found["clocks"]
    ]
    table(("what is due", "state", "until", "runs from", "evidence"), rows, caption="clocks of the incident")
    held = [one for one in found["holds"] if one["released_at"] is None]
    kept: list[list[Cell]] = [
        [
            format_utc(one["taken_at"]),
            anchor(f"before CHG-{one['change_id']}", "change", id=one["change_id"]) if one["change_id"]
            else "when it was marked",
            link(one["digest"][:26] + "…", f"/api/v1/incidents/{found['incident_id']}/snapshots/{one['id']}"),
        ]
        for one in found["snapshots"]
    ]  # fmt: skip
    named = ", ".join(f"{one['kind']} {one['object_id']}" for one in held)
    st.caption(f"Held against retention and erasure: {plain(named) or 'nothing any more'}.")
    table(("state kept", "why", "digest"), kept, caption="snapshots of the state")
    draft = link(
        "Draft of the report, from the record", f"/api/v1/incidents/{found['incident_id']}/report-draft"
    )
    st.html(f'<div class="w-detail w-take">{draft}</div>')


def _earlier(one: Mapping[str, Any]) -> list[Cell]:
    """What the clock was set to before, newest first, and why it was moved."""
    return [
        small(
            f"until {_moment(before['until'])}: from {_moment(before['starts_at'])}, due {_moment(before['due_at'])}"
            f"{', was over' if before['was_over'] else ''}, set by {before['set_by']}; moved because: {before['why']}"
        )
        for before in reversed(one["earlier"])
    ]


def _moment(text: str) -> str:
    return format_utc(clock.from_iso(text))


def _left(one: Mapping[str, Any]) -> str:
    if one["state"] == "running":
        return f"in {format_age(one['due_at'])}"
    return f"{format_age(one['due_at'])} ago" if one["state"] == "over" else ""


def offer_serious(found: Mapping[str, Any]) -> None:
    """Mark the incident serious, or set and meet its clocks."""
    number = found["incident_id"]
    running = {one["rule"] for one in found["clocks"]}
    rest = [one for one in found["rules"] if one["id"] not in running]
    why_not = because(Permission.MARK_SERIOUS, "mark incidents serious")
    if rest:
        label = "Start another clock…" if found["serious"] else "Mark it serious…"
        with st.popover(plain(label), width="stretch", disabled=why_not is not None):
            st.caption(
                "Clocks start; artefact, windows, predictions and log are held; the state is kept. The clocks are "
                "configuration: whether one applies is for people to judge."
            )
            aware = _pick_moment("The house is aware since (UTC)", f"aware:{number}")
            sent = action_form(
                "serious", label=f"INC-{number} is serious", object_id=str(number), digest=f"{len(running)}",
                fields=[*(Field(one["id"], f"{one['title']} ({count_of(int(one['days']), 'day')})", "checkbox")
                          for one in rest), Field("why", "Why", "area", required=True)],
                disabled_because=why_not,
            )  # fmt: skip
            done(
                sent,
                lambda session, me, form: mark_serious(
                    session, me, int(form.object_id), why=form.values["why"], aware_at=aware,
                    clocks=[one["id"] for one in rest if form.values.get(one["id"])],
                ),
                "Its clocks run.",
            )  # fmt: skip
    for one in found["clocks"]:
        if one["state"] in ("running", "over"):
            _offer_clock(one)


def _offer_clock(one: Mapping[str, Any]) -> None:
    why_not = because(Permission.SET_ASSURANCE_RULES, "set or meet clocks")
    with st.popover(f"Clock: {plain(one['title'])}…", width="stretch", disabled=why_not is not None):
        met = action_form(
            "meet-clock", label="It was done", object_id=str(one["id"]), digest="open",
            fields=[Field("evidence", "Where that can be seen", "area", required=True)], disabled_because=why_not,
        )  # fmt: skip
        done(
            met,
            lambda session, me, form: meet_clock(
                session, me, int(form.object_id), evidence=form.values["evidence"]
            ),
            "Met.",
        )
        start = _pick_moment("It runs from (UTC)", f"clock:{one['id']}")
        moved = action_form(
            "set-clock", label="Set from when it runs", object_id=str(one["id"]), digest=one["starts_at"].isoformat(),
            fields=[Field("why", "Why", required=True)], disabled_because=why_not, danger=True,
        )  # fmt: skip
        done(
            moved,
            lambda session, me, form: set_clock(
                session, me, int(form.object_id), starts_at=start, why=form.values["why"]
            ),
            "Set.",
        )


def _pick_moment(label: str, key: str) -> datetime:
    """A moment that has been, UTC; now where nothing is chosen."""
    now = clock.now()
    left, right = st.columns(2)
    day = left.date_input(label, now.date(), max_value=now.date(), key=f"{key}:day")
    at = right.time_input("at", now.time().replace(second=0, microsecond=0), key=f"{key}:time", step=60)
    chosen = datetime.combine(day or now.date(), at or time(0), UTC)
    return min(chosen, now)
