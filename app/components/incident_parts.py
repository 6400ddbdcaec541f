"""What somebody who was woken needs of an incident: what is wrong, for whom, since when, and what they can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import streamlit as st
from markupsafe import Markup

from app import data
from app.charts.changes import LANES
from app.charts.frame import Mark
from app.charts.marks import Happened
from app.components.alert_parts import about_windows, place_of, size_words
from app.components.charts import draw
from app.components.history import switches
from app.components.links import href, viewer_zone, when
from app.components.performance_parts import labels_words
from app.components.range_bar import pick_range
from app.components.status import empty_state
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.components.watching import USUAL
from app.components.what_changed import NOTHING_HAPPENED, show_happened
from app.data.figures import figures_over_time
from app.formats import format_age, format_count, format_utc, format_when
from app.ranges import ABOUT_INCIDENTS, ABOUT_PERFORMANCE, WORDS
from app.words import CHANGE_LEVELS, count_of, metric_change, metric_text, metric_word, readable, target_words
from backend import clock
from backend.alerting.phases import CAUSES
from backend.audit.actions import Action
from backend.audit.reading import EntryView
from backend.monitoring.health import ModelHealth

INPUTS = ("quality", "drift", "volume")
"""Kinds of alerts about what comes in, which every version reads."""
AROUND = timedelta(hours=48)
RECENT_DAYS = 14
"""A version that began to serve so lately is the first suspect."""


def first_place(alerts: Sequence[Mapping[str, Any]], usual_size: str) -> tuple[str, datetime] | None:
    """The window of the loudest alert, of one that fires if any does; None without an alert."""
    if not alerts:
        return None
    order = ("page", "ticket", "info")
    loudest = min(alerts, key=lambda one: (one["state"] != "firing", order.index(one["level"])))
    return place_of(loudest, usual_size)


def _rows_of(details: Mapping[str, Any]) -> int:
    """Those the alert is about: all of its window, which a column's rows with a value need not be, or of a segment."""
    whole = None if details.get("segment") else details.get("window_rows")
    return int(whole or details.get("rows") or 0)


def situation(
    found: Mapping[str, Any], model: Mapping[str, Any], health: ModelHealth, usual_size: str
) -> dict[str, str]:
    """The answers to: for whom, since when, and how the model does."""
    alerts = found["alerts"]
    facts: dict[str, str] = {}
    if alerts:
        segments = sorted({str(one["details"]["segment"]) for one in alerts if one["details"].get("segment")})
        everyone = any(not one["details"].get("segment") for one in alerts)
        size, start = first_place(alerts, usual_size) or (usual_size, found["opened_at"])
        rows = max((_rows_of(one["details"]) for one in alerts), default=0)
        who = "every prediction" if everyone else f"predictions of {' and '.join(segments)}"
        many = (
            f": {format_count(rows)} in the window from {format_when(start, viewer_zone())}" if rows else ""
        )
        noticed = Markup("noticed {}").format(when(found["opened_at"]))
        told = [place_of(one, usual_size)[1] for one in alerts if about_windows(one)]
        facts["for whom"] = f"{who}{many} ({size_words(size)})" if told else who
        facts["since"] = Markup("window from {}; {}").format(when(min(told)), noticed) if told else noticed
    serves = f"v{health.version} for {format_age(health.serving_since)}" if health.version else "nothing"
    facts["serves"] = f"{serves} · tier {model['tier']} · owner {model['owner'] or 'nobody'}"
    if health.value is not None:
        told = "estimated" if health.estimated else "from labels"
        day = format_when(health.window_start, viewer_zone()).split(",")[0]
        change = metric_change(health.metric, health.reference, health.value)
        facts["performance"] = (
            f"{metric_word(health.metric)} {metric_text(health.metric, health.value, health.unit)} "
            f"({change} to the reference), "
            f"{told} of {day}"
        )
    else:
        facts["performance"] = "not known: neither labels nor an estimate for any recent window"
    if said := labels_words(health):
        facts["performance"] += f"; {'; '.join(said)}"
    return facts


def what_changed(
    scope: data.Scope, found: Mapping[str, Any], fallen: tuple[str, datetime] | None, usual_size: str
) -> str:
    """The split of the fall in a sentence, else the latest thing that happened to the model before it."""
    place = fallen or first_place(found["alerts"], usual_size)
    if fallen is not None:
        analysis = data.analysis(scope, found["model"], *fallen, found["environment"])
        if analysis is not None:
            return str(analysis["says"])
    known = data.happened(scope, found["model"], *place, found["environment"]) if place else None
    if known is None:
        return "not known"
    earlier = [one for one in known[1] if one["kind"] != "incident" and one["at"] <= found["opened_at"]]
    if not earlier:
        return NOTHING_HAPPENED
    last = max(earlier, key=lambda one: (one["kind"] in ("deployment", "schema", "fault"), one["at"]))
    return Markup("{}: {}, {}").format(LANES[last["kind"]], last["text"], when(last["at"]))


def advice(found: Mapping[str, Any], health: ModelHealth) -> str:
    """What one can do, in a sentence or two: whether another version can help, and how the incident ends."""
    firing = [one for one in found["alerts"] if one["state"] == "firing"]
    if found["phase"] == "mitigated" and found["reopens_at"] is not None:
        reopens = format_when(found["reopens_at"], viewer_zone())
        return (
            f"CHG-{found['mitigated_by_change']} was executed. It closes by itself once nothing fires; if something "
            f"still fires after {reopens}, it reopens, one level graver."
        )
    if not firing:
        return "Nothing fires any more: close it and say what it was."
    if any(one["details"].get("injected_rows") for one in firing):
        return "The demo's injected fault is in these rows: switch it off; the next window within limits ends this."
    earlier = sorted(
        {int(one["version"]) for one in found["deployments"] if one["version"] != health.version},
        reverse=True,
    )
    back = f"return to v{earlier[0]}" if earlier else ""
    if all(one["kind"] in INPUTS for one in firing):
        columns = sorted({str(name) for one in firing for name in one["details"].get("columns") or ()})
        what = ", ".join(columns[:4]) if columns else "these inputs"
        also = f"; {back} only if v{health.version} depends on it more" if back else ""
        return f"The inputs changed, and every version reads {what}: ask who delivers them{also}."
    lately = health.serving_since is not None and (clock.now() - health.serving_since).days < RECENT_DAYS
    if not back:
        return "No earlier version has served, so there is nothing to return to: look at what changed below."
    if lately:
        return f"v{health.version} has served only {format_age(health.serving_since)}: {back} first, then look why."
    return (
        f"v{health.version} has served {format_age(health.serving_since)}, so look at what changed below before you "
        f"{back}."
    )


def show_around(scope: data.Scope, found: Mapping[str, Any], usual_size: str) -> None:
    """What happened before the window of the loudest alert, on one time axis."""
    place = first_place(found["alerts"], usual_size)
    known = None
    if place is not None:
        size, start = place
        known = data.happened(scope, found["model"], size, start, found["environment"])
    if place is None or known is None:
        empty_state("No window is known", "The alerts of this incident name no window that is stored.")
        return
    end, happened = known
    show_happened(
        scope,
        found["model"],
        found["environment"],
        place[0],
        place[1],
        end,
        happened,
        key=f"around:{found['id']}",
    )


def show_changes(found: Mapping[str, Any], switches: Sequence[EntryView]) -> None:
    """Requests to change the model, its deployments and switched faults within two days, each with its link."""
    start = found["opened_at"]
    rows: list[tuple[datetime, Cell, Cell, Cell]] = [
        (one["requested_at"], anchor(one["ref"], "change", id=one["id"]), target_words(one["kind"], one["to_version"]),
         badge(one["state"], CHANGE_LEVELS.get(one["state"], "unknown")))
        for one in found["changes"] if one["requested_at"] >= start - AROUND
    ]  # fmt: skip
    rows += [
        (one["started_at"], "deployment", f"v{one['version']} as {one['role']}", str(one["state"]))
        for one in found["deployments"] if abs(one["started_at"] - start) <= AROUND
    ]  # fmt: skip
    rows += [
        (one.at, anchor(f"entry {one.seq:,}", "audit_entry", seq=one.seq),
         f"demo fault of {one.object_id} {(one.payload or {}).get('fault', '')!s}".strip(),
         badge("fault injected", "injected") if one.action == Action.FAULT_INJECTED.value else "fault taken away")
        for one in switches if one.at is not None
    ]  # fmt: skip
    if rows:
        listed = [list(row) for row in sorted(rows, key=lambda row: row[0])]
        table(("when", "what", "to", "state"), listed, caption="changes around the incident")
        return
    empty_state("Nobody changed the model within two days", "So look upstream: the inputs on the drift page.")


def around(found: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """From two days before the incident to its end, or two days after its begin while it is open."""
    return found["opened_at"] - AROUND, found["closed_at"] or found["opened_at"] + AROUND


def standing(found: Mapping[str, Any]) -> str:
    """Whether it is open and for how long, what fires, and who is on it."""
    is_open = found["state"] == "open"
    on_it = f"{found['on_it']} is on it" if found["acknowledged_at"] else "nobody is on it"
    if found["asks_again"]:
        on_it += f": {found['asks_again']}"
    for_long = f"open for {format_age(found['opened_at'])}"
    if found["phase"] == "mitigated":
        for_long = f"mitigated, {for_long}"
    facts = [found["environment"], for_long if is_open else found["state"], firing_words(found["firing"])]
    return " · ".join([*facts, on_it] if is_open or found["acknowledged_at"] else facts)


def firing_words(firing: Mapping[str, int]) -> str:
    """`2 alerts firing: 1 page, 1 ticket`, from how many fire by level."""
    if not firing:
        return "nothing fires"
    parts = [count_of(firing[level], level) for level in ("page", "ticket") if level in firing]
    count = sum(firing.values())
    return f"{count_of(count, 'alert')} firing: {', '.join(parts)}" if parts else count_of(count, "notice")


VERDICT_LEVELS = {"likely": "page", "possible": "attention", "unknown": "unknown", "ruled_out": "settled"}


def show_suspects(found: Mapping[str, Any]) -> None:
    """Causes, the likeliest first, each with its evidence and the way to it; also those that were ruled out."""
    rows: list[list[Cell]] = [
        [
            badge(one["verdict"].replace("_", " "), VERDICT_LEVELS[one["verdict"]]),
            one["name"],
            lines(
                one["evidence"],
                *(
                    _step(anchor(text, page, **query), found["steps_done"].get(text))
                    for text, page, query in one["steps"]
                    if one["verdict"] != "ruled_out"
                ),
            ),
        ]
        for one in found["suspects"]
    ]
    table(("says", "cause", "evidence"), rows, caption="suspected causes")


def _step(way: Cell, done: Mapping[str, Any] | None) -> Cell:
    """A step with the way to it, and who has done it."""
    if done is None:
        return way
    return lines(way, small(f"done by {done['by']}, {format_utc(done['at'])}"))


def show_story(found: Mapping[str, Any]) -> None:
    """One timeline of alerts, deployments, changes, edits and notes, the latest first."""
    rows: list[list[Cell]] = [
        [
            when(one["at"], seconds=True),
            one["kind"].replace("_", " "),
            anchor(one["text"], one["page"], **one["query"]) if one["page"] else one["text"],
            one["by"] or "–",
        ]
        for one in reversed(found["timeline"])
    ]
    if not rows:
        empty_state("Nothing is on record yet", "Notes, acts, alerts and changes appear here as they come.")
        return
    table(("when", "what", "told", "by"), rows, caption="timeline of the incident")


def usual_range(found: Mapping[str, Any], size: str) -> str:
    """Four hours about it where gateways were heard then; otherwise what pages show of windows of its size."""
    return ABOUT_INCIDENTS if found["answers"] else USUAL.get(size, ABOUT_PERFORMANCE)


def show_figures(scope: data.Scope, found: Mapping[str, Any], model: Mapping[str, Any], usual: str) -> None:
    """Requests, errors, latency, performance, predicted rate and nulls of a range about it, on one time axis, with what
    happened in it."""
    sizes = [one["details"]["size"] for one in found["alerts"] if one["details"].get("size")]
    size = str(sizes[0]) if sizes else usual
    shown = pick_range(usual_range(found, size), page="incident", about=found["opened_at"])
    ends = (shown.span.since, shown.span.until)
    read = data.incident_figures(scope, found["id"], *ends)
    faults = data.fault_switches(scope, found["model"], *ends)
    figure = figures_over_time(
        read["series"], opened_at=found["opened_at"], ends=ends, tz=viewer_zone(), opened=f"INC-{found['id']} opened",
        happened=Happened(switches(model), [*_executed(read["changes"], ends), *_switched(faults)]),
    )  # fmt: skip
    told = "figures of the model about the incident, with versions, changes and faults"
    draw(figure, f"{told}, over {shown.words}", key=f"figures:{found['id']}")
    if read["series"]:
        st.caption("Red: the incident was opened; blue: another version, or a change was executed; purple: a fault. "
                   "Latency is an edge of the histogram.")  # fmt: skip
    wider = USUAL.get(size, ABOUT_PERFORMANCE)
    if (
        not any(one.name == "requests of each window" for one in read["series"])
        and shown.range.preset != wider
    ):
        told = link(f"Show {WORDS[wider]} about it", href("incident", id=found["id"], range=wider))
        st.html(f'<div class="w-take">None of the {size_words(size)} begins in this range. {told}</div>')


def _executed(changes: Sequence[Mapping[str, Any]], ends: tuple[datetime, datetime]) -> list[Mark]:
    return [
        Mark(one["at"], f"{one['ref']}: {one['text']}", "change", one["ref"])
        for one in changes
        if ends[0] <= one["at"] <= ends[1]
    ]


def _switched(faults: Sequence[EntryView]) -> list[Mark]:
    marks = []
    for one in faults:
        name = str((one.payload or {}).get("fault", "fault"))
        word = name if one.action == Action.FAULT_INJECTED.value else f"{name} over"
        if one.at is not None:
            marks.append(Mark(one.at, f"demo fault {word}", "injected", word))
    return marks


def show_similar(found: Mapping[str, Any]) -> None:
    """Incidents of the same model and kind that are over, and how each ended."""
    if not found["similar"]:
        empty_state("None before it", "No incident of this model and kind is on record.")
        return
    rows: list[list[Cell]] = [
        [
            anchor(f"INC-{one['id']}", "incident", id=one["id"]), readable(one["title"]), when(one["opened_at"]),
            format_age(one["lasted"]), CAUSES.get(one["cause"], "not known"), readable(one["closed_because"] or "–"),
        ]
        for one in found["similar"]
    ]  # fmt: skip
    table(
        ("incident", "what", "opened", "lasted", "cause", "ended by"),
        rows,
        caption="similar incidents before",
    )
