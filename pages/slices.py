"""On which rows the model is worst: slices of one and two columns, and segments side by side."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline, viewer_zone
from app.components.downloads import csv_link
from app.components.drift_parts import window_words
from app.components.pickers import pick
from app.components.slice_parts import (
    SEARCHES,
    draw_segments,
    say_looked_at,
    say_slices,
    show_segments,
    show_slices,
)
from app.components.watching import begin_page, pick_watched, say_notice, stop_without_windows
from app.components.what_changed import ask_for_analysis, foundation, held_against, say_held_against
from app.formats import format_when
from app.session import page_link, viewer

above, places = begin_page()
with above:
    watched = pick_watched(data.scope_of(viewer()), page="slices", places=places)
    if watched is None:
        st.stop()
    kind = pick("Slices", list(SEARCHES), key="search", words=lambda key: f"where it {SEARCHES[key]}", width=330,
                label_visibility="collapsed")  # fmt: skip
say_notice(watched)
stop_without_windows(watched, "Slices are not known")

analysed = data.analysed(watched.scope, watched.name, watched.size)
windows = [row for row in reversed(watched.windows.to_dict("records")) if row["rows"]]
by_start = {row["start"].isoformat(): row for row in windows}
known = [moment.isoformat() for moment in analysed if moment.isoformat() in by_start]
starts = list(by_start)


def words_of(start: str) -> str:
    return window_words(by_start[start]) + ("" if start in known else ", not analysed")


first = starts.index(known[0]) if known else 0
chosen = pick("Window", starts, key="window", words=words_of, width=460, index=first) or starts[first]
window = by_start[chosen]
start = window["start"].to_pydatetime()
detail = f"{watched.name}, window from {format_when(start, viewer_zone())}"
found = data.analysis(watched.scope, watched.name, watched.size, start)
if found is None:
    with places.heading:
        headline("The worst slices of this window are not known", "unknown", detail=detail)
    labels = "" if window["labels_known"] else " No label has come for it yet, and slices need labels."
    empty_state(
        "This window has not been analysed",
        "Windows whose realised performance fell beyond its limit are analysed by themselves; for any other, ask here."
        + labels,
    )
    ask_for_analysis(watched.name, watched.size, start, label="Analyse this window")
    st.stop()

search = found[str(kind)]
judged = held_against(watched.name, data.environment(), watched.size, start, found["metric"])
address = {"model": watched.name, "size": watched.size, "window": chosen}
with places.heading:
    fell = judged is not None and judged["verdict"] == "alarm"
    sentence, level = say_slices(found, search, fell=fell)
    headline(sentence, level, detail=f"{detail} · {foundation(found)}")
if search["reason"]:
    empty_state(
        "There is nothing to search", "Slices need at least 100 rows with output and label in the window."
    )
show_slices(found, search, address)
say_looked_at(search)
say_held_against(judged, found)
if search["slices"]:
    csv_link("These slices", "slices", model=watched.name, size=watched.size, start=chosen, search=kind)
ask_for_analysis(watched.name, watched.size, start, label="Analyse again")
page_link("performance", "What changed in this window", icon=":material/monitoring:", model=watched.name,
          size=watched.size, window=chosen)  # fmt: skip
if found["segments"]:
    st.header("Segments side by side", anchor=False)
    draw_segments(found)
    column = pick("Column", [one["column"] for one in found["segments"]], key="column", width=240)
    show_segments(found, str(column))
    page_link("drift", f"Distribution of {column}", icon=":material/grid_on:", **address, column=column)
