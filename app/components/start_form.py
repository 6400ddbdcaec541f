"""Bringing in a model, the inputs: the file, which column is what, the reference, what is watched, the tier."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import streamlit as st

from app import data
from app.components.start_parts import ROLE_WORDS
from app.formats import format_count, format_share
from app.plain_text import plain
from app.session import perform
from app.words import count_of, metric_word
from backend.errors import BadInput
from backend.monitoring.spec_fields import SIZES, timezone
from backend.onboarding.choosing import TYPES, Choices
from backend.onboarding.given_files import ENDINGS, LARGEST_BYTES, keep_given

if TYPE_CHECKING:
    from backend.onboarding.previewing import Preview

NONE = "no column"
SOURCE, NAME = "source", "start:name"
SAID, NAMED = "start:types", "start:named"
WINDOW_WORDS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month"}
TIERS = ("low", "medium", "high")


def choose_source(scope: data.Scope) -> None:
    """Take a file of this person's machine, or one that lies where workers read; then its path is in the address."""
    kinds = " or ".join(ending[1:].upper() if ending == ".csv" else "Parquet" for ending in ENDINGS)
    most = LARGEST_BYTES >> 20
    left, right = st.columns(2, gap="large")
    with left:
        given = st.file_uploader(
            f"A file from your machine: {kinds}, up to {most} MB", type=[one[1:] for one in ENDINGS],
            max_upload_size=most,
        )  # fmt: skip
        if given is not None:
            kept = perform(
                lambda session, me: keep_given(session, me, name=given.name, data=given.getvalue()),
                done=f"{given.name} is read. Nothing is recorded before you confirm.",
            )
            if kept is not None:
                _take(kept)
    with right:
        there = data.sources(scope)
        chosen = st.selectbox(
            "A file, a folder of Parquet or a Delta table that workers may read", there, index=None,
            placeholder="choose" if there else "nothing lies there yet",
        )  # fmt: skip
        if st.button("Read it", disabled=chosen is None, key="start:read") and chosen is not None:
            _take(chosen)
        st.caption(
            "These lie in the folders of `WARRANT_SOURCE_FOLDERS` (without it: `sources` in Warrant's home). From SQL "
            "or a warehouse: have it write its rows there as Parquet (`COPY … TO`, `UNLOAD`, `EXPORT DATA`)."
        )


def _take(path: str) -> None:
    for name in [one for one in st.session_state if str(one).startswith("start:")]:
        del st.session_state[name]
    st.query_params[SOURCE] = path
    st.rerun()


def choose_roles(columns: Mapping[str, str], proposed: Mapping[str, str]) -> None:
    """Which column has which role. proposed: what is shown of a role of which the person said nothing."""
    said = roles_said()
    places = st.columns(3)
    for number, (role, words) in enumerate(ROLE_WORDS.items()):
        key = f"start:role:{role}"
        if role not in said:
            st.session_state[key] = proposed.get(role) or NONE
        places[number % 3].selectbox(
            plain(words[:1].upper() + words[1:]),
            [NONE, *columns],
            key=key,
            on_change=_note_role,
            args=(role,),
        )


def _note_role(role: str) -> None:
    chosen = str(st.session_state[f"start:role:{role}"])
    st.session_state[NAMED] = {**roles_said(), role: "" if chosen == NONE else chosen}


def roles_said() -> dict[str, str]:
    """Role to column, as the person said; "" where they said that no column has it."""
    return dict(st.session_state.get(NAMED, {}))


def types_said() -> dict[str, str]:
    """Column to type, as the person said."""
    return dict(st.session_state.get(SAID, {}))


def change_types(features: Mapping[str, str], said: Mapping[str, str]) -> None:
    """Say what a column is, or leave it out."""
    known = {**features, **said}
    with st.expander("Change what a column is, or leave it out"):
        with st.form("start-type", border=False):
            left, right = st.columns(2)
            column = left.selectbox("Column", list(known))
            kind = right.selectbox(
                "Is", TYPES, help="numeric and categorical columns are compared; others are not"
            )
            sent = st.form_submit_button("Set it")
        if sent and column is not None:
            st.session_state[SAID] = {**said, str(column): str(kind)}
            st.rerun()
        if said:
            told = ", ".join(f"{name}: {kind}" for name, kind in said.items())
            st.caption(f"You said: {plain(told)}.")
            if st.button("Take that back", key="start:untype"):
                del st.session_state[SAID]
                st.rerun()


def choose_reference(
    scope: data.Scope, path: str, document: Mapping[str, Any], preview: Preview
) -> tuple[datetime, datetime | None, str]:
    """Its end, its beginning where one is set, and the zone of times that name none."""
    left, middle, right = st.columns(3)
    zone = right.text_input(
        "Clock of times that name no zone", document["history"]["timezone"], key="start:zone", max_chars=100,
        help="such as Europe/Paris",
    )  # fmt: skip
    try:
        place = ZoneInfo(timezone(zone.strip() or "UTC"))
    except BadInput as error:
        st.error(plain(error.message))
        place = ZoneInfo("UTC")
    first, last = preview.first.date(), preview.last.date()
    begin = left.date_input("From", first, min_value=first, max_value=last, key="start:since")
    end = middle.date_input(
        "Until before", _proposed_end(document, first, last), min_value=first, max_value=last + timedelta(days=1),
        key="start:until",
    )  # fmt: skip
    since = None if begin == first or not isinstance(begin, date) else _midnight(begin, place)
    until = _midnight(end if isinstance(end, date) else last, place)
    ts = document["history"]["columns"]["ts"]
    rows = data.reference_rows(scope, path, ts, since, until, place.key)
    st.caption(
        f"{format_count(rows)} of {format_count(preview.rows)} rows ({format_share(rows / preview.rows)}) are the "
        "reference that windows are compared with. Take a time in which the model did well: what is usual then is "
        "what counts as usual."
    )
    return until, since, place.key


def _proposed_end(document: Mapping[str, Any], first: date, last: date) -> date:
    until = document["history"]["reference"]["until"]
    moment = until if isinstance(until, datetime) else datetime.fromisoformat(str(until))
    return min(max(moment.astimezone(UTC).date(), first), last + timedelta(days=1))


def _midnight(day: date, place: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), place).astimezone(UTC)


def name_it(scope: data.Scope, document: Mapping[str, Any]) -> dict[str, str]:
    """What it is called and who answers for it."""
    left, right = st.columns(2)
    people = list(data.people_to_choose(scope))
    model = document["model"]
    title = left.text_input("Title", model["title"], key="start:title", max_chars=200)
    owner = right.selectbox(
        "Who answers for it", people, index=None, placeholder="nobody yet", key="start:owner"
    )
    trained_by = right.selectbox(
        "Who trained the version", people, index=None, placeholder="you", key="start:trained",
        help="whoever trained it does not decide on it",
    )  # fmt: skip
    description = left.text_input(
        "What it gives, of what, and when (optional)", "", key="start:description", max_chars=2000
    )
    return {
        "title": title, "owner": owner or "", "trained_by": trained_by or "", "description": description,
    }  # fmt: skip


def choose_watched(document: Mapping[str, Any]) -> dict[str, Any]:
    """The window, and which of the proposed monitors and objectives are kept."""
    window = str(
        st.selectbox(
            "A window is one", SIZES, index=SIZES.index(document["spec"]["window"]), key="start:window",
            format_func=lambda size: WINDOW_WORDS[size], width=240,
        )
    )  # fmt: skip
    st.caption(
        "Drift, quality, volume and performance are watched without any further word. Beside that these are proposed:"
    )
    chosen: dict[str, Any] = {"window": window}
    for part, title, words in (
        ("monitors", "Monitors", _monitor_words), ("objectives", "Objectives", _objective_words),
    ):  # fmt: skip
        proposed = document.get(part) or []
        if not proposed:
            st.caption(
                f"{plain(title)}: none; performance needs labels first."
                if part == "objectives"
                else f"{plain(title)}: none."
            )
            continue
        places = range(len(proposed))
        chosen[part] = tuple(
            st.multiselect(
                plain(title), places, default=list(places), key=f"start:{part}:{len(proposed)}",
                format_func=lambda place, rows=proposed, say=words: say(rows[place]),
            )
        )  # fmt: skip
    return chosen


def _monitor_words(one: Mapping[str, Any]) -> str:
    threshold = one["when"].get("threshold", {})
    limit = f": above {format_share(threshold['value'])}" if "value" in threshold else ""
    return f"{one['name']}{limit}, {one['level']}"


def _objective_words(one: Mapping[str, Any]) -> str:
    spec = one["spec"]
    metric = spec["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]["metric"]
    target = format_share(float(spec["objectives"][0]["target"]))
    of = spec["timeWindow"][0]["duration"]
    return f"{metric_word(metric)} within its limit in {target} of windows of {of}"


def choose_tier(scope: data.Scope) -> tuple[str, dict[str, str | None]]:
    """The risk tier, and the answers from which it follows once all of them are given."""
    asked = data.questions(scope)
    answers: dict[str, str | None] = {}
    with st.expander(f"Answer {count_of(len(asked.questions), 'question')}, and the tier follows"):
        for one in asked.questions:
            texts = {option.id: option.text for option in one.options}
            answers[one.id] = st.selectbox(
                plain(one.text), list(texts), index=None, placeholder="not answered", format_func=texts.__getitem__,
                key=f"start:answer:{one.id}",
            )  # fmt: skip
    given = {name: answer for name, answer in answers.items() if answer is not None}
    if len(given) == len(answers):
        tier, _ = asked.propose(given)
        st.markdown(f"Risk tier **{plain(tier)}** follows from the answers.")
        return tier, answers
    tier = str(
        st.selectbox(
            "Risk tier", TIERS, index=TIERS.index("high"), key="start:tier", width=240,
            help="unanswered counts as high; another tier is asked for later by a change",
        )
    )  # fmt: skip
    return tier, answers


def choices_of(
    said: Mapping[str, str], reference: tuple[datetime, datetime | None, str], named: Mapping[str, str],
    watched: Mapping[str, Any], tier: tuple[str, dict[str, str | None]],
) -> Choices:  # fmt: skip
    """All that was chosen, as one."""
    until, since, zone = reference
    return Choices(
        types=said, until=until, since=since, timezone=zone, tier=tier[0], answers=tier[1], window=watched["window"],
        monitors=watched.get("monitors"), objectives=watched.get("objectives"), **named,
    )  # fmt: skip
