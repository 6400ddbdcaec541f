"""The parts of the Timeline page: the moment, what served then and why, the picture, and every stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app.charts import Mark, served_figure
from app.components.charts import draw
from app.components.links import href, viewer_zone, when
from app.components.range_bar import Shown
from app.components.status import headline
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, format_when, zone
from app.plain_text import plain
from app.words import CHANGE_LEVELS, answered_words, readable, told_failure
from backend import clock

USUAL = "1y"
"""What the picture shows where nobody chose a range."""
DONE = ("approved", "executing", "executed", "failed")
_SLOT = "moment"


def pick_moment(now: datetime) -> datetime:
    """The moment the page is about: `?at=` with its zone; without it now, anew at each run."""
    wanted = st.query_params.get("at")
    at: datetime | None = None
    if wanted is not None:
        at = _read(wanted)
        if at is None or at > now:
            said = "lies ahead" if at is not None else "is not a time such as 2026-03-01T09:05:00Z"
            st.warning(
                f"The address asks for the moment `{wanted[:40].replace('`', '')}`, which {plain(said)}. Shown: now."
            )
            at = None
    here = zone(viewer_zone())
    # Written anew at each run: the address says which moment it is, and now moves on.
    st.session_state[_SLOT] = (at or now).astimezone(here).replace(tzinfo=None, second=0, microsecond=0)
    st.datetime_input("Moment", key=_SLOT, step=60, on_change=_go_to, args=(str(here),))
    return at or now


def _go_to(here: str) -> None:
    """Keep a chosen moment in the address; now, where it was taken away or lies ahead."""
    chosen: datetime | None = st.session_state[_SLOT]
    moment = chosen.replace(tzinfo=zone(here)) if chosen is not None else None
    if moment is None or moment > clock.now():
        st.query_params.pop("at", None)
    else:
        st.query_params["at"] = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _read(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def say_moment(moment: Mapping[str, Any], shown: Shown, *, is_now: bool) -> None:
    """One sentence: what answered the requests then, because of which change, approved by whom; and which range the
    picture below it shows."""
    told = f"range shown: {shown.words}{'; this sentence is of now' if is_now and shown.is_past else ''}"
    zone_of_viewer = viewer_zone()
    at = format_when(moment["at"], zone_of_viewer, seconds=True)
    where = f"{moment['model']} in {moment['environment']}"
    if not moment["known"]:
        headline(
            f"Nothing is known of {where} at {at}", "unknown",
            detail=f"it lies before the first deployment on record · {told}",
        )  # fmt: skip
        return
    answered = [one for one in moment["served"] if one["share"] > 0]
    if not answered:
        emptied = [f", because of {one['ref']}, {one['allowed']}" for one in moment["changes"]]
        headline(f"Nothing {'serves' if is_now else 'served'} {where} at {at}{''.join(emptied)}", "unknown",
                 detail=told)  # fmt: skip
        return
    verb = "serves" if is_now else "served"
    shares = ", ".join(f"version {one['version']} {verb} {answered_words(one, answered)}" for one in answered)
    reason = _because(answered, moment["changes"])
    sure = all(one["confirmed"] for one in answered)
    facts = [
        where,
        f"cut-off {answered[0]['cutoff']:g}",
        f"so since {format_when(moment['since'], zone_of_viewer, seconds=True)}",
    ]
    if moment["until"]:
        facts.append(f"until {format_when(moment['until'], zone_of_viewer, seconds=True)}")
    if not sure:
        facts.append("no gateway had reported it yet: until then what served before may have answered")
    facts.append(told)
    level = "attention" if moment["incidents"] else "ok" if sure else "unknown"
    headline(
        f"{shares[0].upper()}{shares[1:]} at {at}, {reason}", level, detail=" · ".join(facts),
        links=[("page", f"INC-{one['id']} was open: {readable(one['title'])}", href("incident", id=one["id"]))
               for one in moment["incidents"]],
    )  # fmt: skip


def _because(answered: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]) -> str:
    """`because of CHG-4, approved by Ada`: the changes of what answered; without any, the reason on record."""
    brought = {row["change_id"] for row in answered}
    named = [f"{one['ref']}, {one['allowed']}" for one in changes if one["id"] in brought]
    if not named:
        return f"without a change on record ({answered[0]['reason'] or 'no reason was written down'})"
    return f"because of {' and '.join(named)}"


def show_served(moment: Mapping[str, Any]) -> None:
    """Everything that was on the record at the moment, with its change."""
    rows: list[list[Cell]] = [
        [
            anchor(f"v{one['version']}", "model", model=moment["model"], version=one["version"]),
            _role(one),
            answered_words(one, moment["served"]),
            f"{one['cutoff']:g}",
            *_why(one, moment["changes"]),
            badge("reported", "ok") if one["confirmed"] else badge("not reported yet", "unknown"),
        ]
        for one in moment["served"] or ()
    ]
    if rows:
        columns = ("version", "role", "of requests", "cut-off", "change", "allowed", "by a gateway")
        table(columns, rows, caption="on the record at this moment")


def _role(row: Mapping[str, Any]) -> str:
    return "kept loaded" if row["role"] == "canary" and row["share"] == 0 else str(row["role"])


def _why(row: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]) -> list[Cell]:
    change = next((one for one in changes if one["id"] == row["change_id"]), None)
    if change is None:
        return [small(row["reason"] or "none on record"), "–"]
    told = lines(anchor(change["ref"], "change", id=change["id"]), small(change["summary"]))
    asked = small(f"asked by {change['requested_by']}: {change['reason']}")
    return [told, lines(change["allowed"], asked)]


def show_picture(view: Mapping[str, Any], at: datetime, span: tuple[datetime, datetime]) -> None:
    """Shares over time, with changes, approvals and incidents as marks."""
    marks = [
        Mark(one["finished_at"], f"{one['ref']} {one['state']}: {one['summary']}")
        for one in view["changes"]
        if one["finished_at"] is not None
    ]
    marks += [
        Mark(approval["at"], f"{_who(approval)} approved {one['ref']}", "settled", word="approval")
        for one in view["changes"]
        for approval in one["approvals"]
    ]
    marks += [
        Mark(one["opened_at"], f"INC-{one['id']}: {readable(one['title'])}", "page")
        for one in view["incidents"]
    ]
    figure = served_figure(
        view["stretches"], start=span[0], end=span[1], at=at, marks=marks, tz=viewer_zone()
    )
    draw(figure, f"what served {view['model']} when, as shares of the requests", key="served")


def _who(approval: Mapping[str, Any]) -> str:
    lender = approval["on_behalf_of"]
    return f"{approval['by']} for {lender}" if lender else str(approval["by"])


def merged(stretches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stretches in which the same served, reported by a gateway or not yet; `reported` says when one had."""
    found: list[dict[str, Any]] = []
    for one in stretches:
        rows = [(row["deployment"], row["share"]) for row in one["served"]]
        sure = all(row["confirmed"] for row in one["served"])
        last = found[-1] if found else None
        if last is not None and last["rows"] == rows and last["end"] == one["start"]:
            last.update(end=one["end"], served=one["served"])
            last["reported"] = last["reported"] or (one["start"] if sure else None)
        else:
            found.append(dict(one) | {"rows": rows, "reported": one["start"] if sure else None})
    return found


def show_stretches(view: Mapping[str, Any], most: int, shown: Shown) -> None:
    """Every stretch of the range in which nothing changed, newest first; each leads to its beginning."""
    kept = shown.range.address() if shown.chosen else {}
    changes = {one["id"]: one for one in view["changes"]}
    newest = merged(view["stretches"])[::-1][:most]
    rows: list[list[Cell]] = [
        [
            link(
                when(one["start"], seconds=True),
                href(
                    "timeline",
                    model=view["model"],
                    environment=view["environment"],
                    at=clock.to_iso(one["start"]),
                    **kept,
                ),
            ),
            format_age((one["end"] or clock.now()) - one["start"]) + ("" if one["end"] else ", still"),
            lines(*(_told(row, one["served"]) for row in one["served"]), _late(one))
            or badge("nothing served", "unknown"),
            lines(*_brought(one, changes)) or "–",
        ]
        for one in newest
    ]
    table(("from", "for", "what served", "because of"), rows, caption="stretches of time")


def _late(stretch: Mapping[str, Any]) -> Cell:
    """How long it took until a gateway reported it, where that was not at once."""
    if not stretch["served"] or stretch["reported"] in (None, stretch["start"]):
        return None
    return small(f"reported after {format_age(stretch['reported'] - stretch['start'])}")


def _told(row: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> str:
    share = f" {answered_words(row, beside)}" if row["share"] else ""
    return f"v{row['version']} {_role(row)}{share}" + ("" if row["confirmed"] else " (not reported yet)")


def _brought(stretch: Mapping[str, Any], changes: Mapping[int, Mapping[str, Any]]) -> list[Cell]:
    """The changes of what served, each once; for the rest the reason on record."""
    told: list[Cell] = []
    for number in dict.fromkeys([*(row["change_id"] for row in stretch["served"]), stretch["emptied_by"]]):
        change = changes.get(number)
        if change is not None:
            told.append(lines(anchor(change["ref"], "change", id=number), small(change["allowed"])))
    reasons = dict.fromkeys(row["reason"] for row in stretch["served"] if row["change_id"] is None)
    return told + [small(reason) for reason in reasons if reason]


def show_happened(view: Mapping[str, Any], span: tuple[datetime, datetime]) -> None:
    """Changes and incidents of the time that the picture shows, newest first."""
    found: list[tuple[datetime, list[Cell]]] = []
    for one in view["changes"]:
        state = badge(one["state"], CHANGE_LEVELS.get(one["state"], "unknown"))
        how = (
            "; ".join(
                filter(
                    None,
                    (one["allowed"] if one["state"] in DONE else "", told_failure(one["outcome"] or "")[0]),
                )
            )
            or one["reason"]
        )
        about = lines(one["summary"], small(how))
        when = one["finished_at"] or one["requested_at"]
        found.append((when, [anchor(one["ref"], "change", id=one["id"]), state, about]))
    for one in view["incidents"]:
        lasted = format_age((one["closed_at"] or clock.now()) - one["opened_at"])
        word, level = (
            (f"closed after {lasted}", "unknown") if one["closed_at"] else (f"open for {lasted}", "page")
        )
        name = anchor(f"INC-{one['id']}", "incident", id=one["id"])
        found.append((one["opened_at"], [name, badge(word, level), readable(one["title"])]))
    shown = sorted(
        (one for one in found if span[0] <= one[0] <= span[1]), key=lambda one: one[0], reverse=True
    )
    if not shown:
        return
    st.header("What happened in the time shown", anchor=False)
    table(
        ("what", "when", "state", "about"),
        [[cells[0], when, *cells[1:]] for when, cells in shown],
        caption="changes and incidents",
    )
