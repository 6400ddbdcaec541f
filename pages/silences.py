"""Silences and maintenance: what is muted, by whom, why and until when; setting and ending one."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline
from app.components.alert_parts import muted_words
from app.components.tables import badge, lines, small, table
from app.formats import format_age
from app.plain_text import plain
from app.session import perform, viewer
from app.words import count_of
from backend import clock
from backend.alerting.silences import Matchers, end_silence, silence
from backend.identity.roles import Permission

LASTS = {"1 hour": 1, "8 hours": 8, "1 day": 24, "7 days": 168, "30 days": 720}
WORSE = "it gets worse (8 hours at most)"

actor = viewer()
scope = data.scope_of(actor)
rows, firing = data.silences(scope), data.firing(scope)
muted = [one for one in firing if one["muted"]]
more = f" of the {data.MOST} worst" if len(firing) == data.MOST else ""
refused = None if actor.may(Permission.ACKNOWLEDGE) else "Your role cannot silence alerts."
headline(
    f"{count_of(len(rows), 'silence')} in force or planned; {count_of(len(muted), 'alert')}{more} muted now",
    "unknown" if muted else "ok", detail="what is muted goes on firing, and is shown as muted on every page",
)  # fmt: skip


def what_is(row: dict[str, object]) -> object:
    now = clock.now()
    if row["ended_at"] is not None:
        return lines(badge("ended", "unknown"), small(str(row["ended_because"])))
    if row["starts_at"] > now:  # type: ignore[operator]
        return badge("planned", "unknown")
    return badge("over", "unknown") if row["ends_at"] <= now else badge(str(row["purpose"]), "attention")  # type: ignore[operator]


def draw(listed: list[dict[str, object]], caption: str) -> None:
    table(
        ("about", "state", "why", "by", "until"),
        [
            [one["about"], what_is(one), one["comment"], one["author_name"],
             lines(one["ended_at"] or one["ends_at"],
                   small("or until it gets worse") if one["until_worse"] else None)]
            for one in listed
        ],
        caption=caption,
    )  # fmt: skip


if not rows:
    empty_state(
        "Nothing is silenced", "An incident's page silences what fires under it; below, by what it is about."
    )
else:
    draw(rows, "silences in force or planned")
    for row in rows if refused is None else []:
        with st.expander(
            plain(f"End {row['purpose']} {row['id']}, {format_age(row['ends_at'])} before its time")
        ):
            sent = action_form(
                "end_silence", label=f"End {row['purpose']} {row['id']}", object_id=str(row["id"]), digest="held",
                fields=[Field("why", "Why it ends now")], danger=True,
            )  # fmt: skip
        if sent is not None and perform(
            lambda session, me, given=sent: end_silence(
                session, me, int(given.object_id), why=given.values["why"] or ""
            ),
            done="It is over.",
        ):
            st.rerun()
if muted:
    st.header("Muted now", anchor=False)
    table(("alert", "model", "by"), [[one["title"], one["model"] or "installation", muted_words(one)] for one in muted],
          caption="alerts that fire and are muted")  # fmt: skip
st.header("Set one", anchor=False)
sent = action_form(
    "silence", label="Set it", object_id="new", digest="new", disabled_because=refused,
    fields=[
        Field("model", "Model", value=st.query_params.get("model", "")),
        Field("kind", "Kind: quality, drift, realised, estimated, volume, slo, monitor …"),
        Field("column", "Column"),
        Field("purpose", "What it is", "select", required=True, options=["silence", "maintenance"], value="silence"),
        Field("until", "Until", "select", required=True, options=[WORSE, *LASTS], value="8 hours"),
        Field("why", "Why", "area", required=True),
    ],
)  # fmt: skip
st.caption(
    "Maintenance of a whole model (no kind, no column) is also left out of its objectives from now on, unless an "
    "objective says that planned work counts."
)
if sent is not None:
    told, hours = sent.values, LASTS.get(sent.values["until"])
    given = Matchers(model=told["model"] or None, environment=data.environment(), kind=told["kind"] or None,
                     column=told["column"] or None)  # fmt: skip
    until = None if hours is None else clock.now() + timedelta(hours=hours)
    if perform(
        lambda session, me: silence(session, me, matchers=given, comment=told["why"], until=until,
                                    until_worse=hours is None, purpose=told["purpose"]),
        done="It is set, and ends by itself.",
    ):  # fmt: skip
        st.rerun()
with st.expander("Past ones"):
    past = [one for one in data.silences(scope, over=True) if one["id"] not in {row["id"] for row in rows}]
    if past:
        draw(past, "past silences")
    else:
        st.caption("None yet.")
