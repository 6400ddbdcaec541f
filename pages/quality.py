"""Whether the data that reach the model are whole: what is missing, strange, stuck or against a declared rule."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import data
from app.components.downloads import csv_link
from app.components.drift_parts import WORST, heat_cells, shown_word
from app.components.heat import draw_heat, draw_over_time
from app.components.paged import say_pages, with_pages
from app.components.pickers import pick
from app.components.quality_parts import (
    CHECKS,
    RULE,
    say_quality,
    show_columns,
    show_left_out,
    show_rules,
    show_whole,
    worst_checks,
)
from app.components.seen import as_first_seen, pick_seen_if_revised
from app.components.watching import (
    begin_page,
    pick_watched,
    pick_window,
    say_alerts,
    say_headline,
    say_notice,
    stop_without_windows,
)
from app.session import viewer

above, places = begin_page()
with above:
    watched = pick_watched(data.scope_of(viewer()), ("quality", "volume"), page="quality", places=places)
    if watched is None:
        st.stop()
    scope, name, size, ends = watched.scope, watched.name, watched.size, watched.of
    known = data.statistics(scope, name, size, ("quality",), **ends)
    check = pick(
        "Check", [WORST, *(one for one in CHECKS if one in known)], key="check", width=240,
        words=shown_word, label_visibility="collapsed",
    )  # fmt: skip
say_notice(watched)
stop_without_windows(watched, "Data quality is not known", known=bool(known))

if check == WORST:
    shown = data.worst_points(scope, name, size, ("quality",), **ends)
else:
    shown = data.points(scope, name, size, ("quality",), statistic=check, **ends)
rules = data.points(scope, name, size, ("quality",), statistic=RULE, **ends)
whole = data.points(scope, name, size, ("quality", "drift", "volume"), statistic=None, **ends, column="")
columns = shown[(shown["column"] != "") & (shown["statistic"] != RULE)]
with above:
    first_seen = pick_seen_if_revised(columns)
drawn = as_first_seen(columns) if first_seen else columns
top = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    window = pick_window(watched)
    mine = int(window["id"])
    points = data.window_points(scope, name, size, ("quality", "volume"), mine)
    order = list(dict.fromkeys([*worst_checks(points), *columns["column"]]))
    column = pick("Column", order, key="column", width=240)
title = shown_word(str(check))
say_quality(window, points, shown, say=partial(say_headline, watched))
with top:
    rows = [one for one in order if check == WORST or one in set(drawn["column"])]
    cells = heat_cells(drawn, watched.windows, rows, min_rows=watched.min_rows)
    draw_heat(
        watched, cells, title, rows, column=column, start=window["start"], first_seen=first_seen, share=True
    )
created = watched.model["created_at"]
loud = with_pages(
    shown, watched.windows, data.alerts_about(scope, name), watched_since=created, size=size
)  # fmt: skip
say_pages(loud, watched_since=created)
say_alerts(watched, window)
if column is not None:
    worst = check == WORST
    draw_over_time(watched, drawn, title, column=column, worst=worst, share=not worst)
    of = {"model": name, "size": size, "kind": "quality", "column": column}
    csv_link(f"{column} over time", "points", **of, **watched.of_file)

st.header("All columns of this window")
query = {"model": name, "size": watched.size, "window": window["start"].isoformat()}
show_columns(order, points, columns, data.column_facts(scope, name, mine), **query)
csv_link("Every check of this window", "points", model=name, size=size, kind="quality", window=mine)
st.header("Declared rules")
show_rules(points, rules, watched.spec)
st.header("Rows as a whole")
here = whole[whole["window_id"] == mine]
show_whole(here, whole, window, watched.windows)
if watched.spec.excluded or watched.spec.embeddings:
    st.header("Columns left out")
    show_left_out(watched.spec)
