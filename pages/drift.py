"""Which inputs and outputs drifted, and whether it matters: every column at a glance, one column in any window."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from app import data
from app.components.charts import draw
from app.components.comparison import show_comparison
from app.components.downloads import csv_link
from app.components.drift_parts import (
    NEVER_PAGES,
    WORST,
    by_effect,
    heat_cells,
    say_joint,
    say_window,
    show_drifted,
    show_results,
    shown_word,
)
from app.components.heat import draw_heat, draw_over_time
from app.components.pickers import pick
from app.components.seen import as_first_seen, pick_seen_if_revised
from app.components.watching import (
    begin_page,
    pick_other,
    pick_watched,
    pick_window,
    say_alerts,
    say_headline,
    say_notice,
    stop_without_windows,
)
from app.data.figures import segment_distributions
from app.plain_text import plain
from app.session import viewer
from backend.monitoring.distributions import AGAINST

KINDS = ("drift", "prediction")
ALERTS = (*KINDS, "quality")
"""Kinds of alerts about the columns that are shown: one whose values broke is never calm here."""
above, places = begin_page()
with above:
    watched = pick_watched(data.scope_of(viewer()), ALERTS, page="drift", places=places)
    if watched is None:
        st.stop()
    scope, name, size, ends = watched.scope, watched.name, watched.size, watched.of
    known = data.statistics(scope, name, size, KINDS, **ends, of_columns=True)
    hidden = {"label_visibility": "collapsed"}
    statistic = str(
        pick("Statistic", [WORST, *known], key="statistic", words=shown_word, width=240, **hidden)
    )
    among = ["", *data.segments(scope, name, size, KINDS, **ends)]
    segment = ""
    if len(among) > 1:
        segment = (
            pick("Segment", among, key="segment", words=lambda s: s or "all rows", width=200, **hidden) or ""
        )
say_notice(watched)
stop_without_windows(watched, "Drift is not known", known=bool(known))

if statistic == WORST:
    shown = data.worst_points(scope, name, size, KINDS, **ends, segment=segment)
else:
    shown = data.points(scope, name, size, KINDS, statistic=statistic, **ends, segment=segment)
shown = shown[shown["column"] != ""]
with above:
    first_seen = pick_seen_if_revised(shown)
shown = as_first_seen(shown) if first_seen else shown
top = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    window = pick_window(watched)
    start, window_id = window["start"], int(window["id"])
    found = data.window_points(scope, name, size, KINDS, window_id, segment)
    points = found[found["column"] != ""]
    order = list(dict.fromkeys([*by_effect(points), *shown["column"]]))
    column = pick("Column", order, key="column", width=240)
    options = [one for one in AGAINST if one != "rule" or watched.spec.reference.kind != "fixed"]
    against = pick("Against", options, key="against", words=AGAINST.__getitem__, width=280)
    other = pick_other(watched, window) if against == "window" else None
title = shown_word(statistic)
say_window(window, points, metric=watched.metric, segment=segment, say=partial(say_headline, watched))
with top:
    st.caption(NEVER_PAGES)
    drawn = [one for one in order if statistic == WORST or one in set(shown["column"])]
    cells = heat_cells(shown, watched.windows, drawn, min_rows=watched.min_rows)
    draw_heat(watched, cells, title, drawn, column=column, start=start, first_seen=first_seen)
say_alerts(watched, window)
if column is None or against is None:
    st.stop()
pair = data.comparison(scope, name, window_id, column, against, segment, other) if window["rows"] else None
show_comparison(pair, window, column=column, against=against, segment=segment, other=other)
draw_over_time(watched, shown, title, column=column, worst=statistic == WORST)
query = {"model": name, "size": size, "kind": "drift", "segment": segment}
csv_link(f"{column} over time", "points", **query, column=column, **watched.of_file)
with st.expander(f"Every result of {plain(column)} in this window"):
    version = None if pd.isna(window["version"]) else int(window["version"])
    show_results(points[points["column"] == column], data.grounds(scope, name, version, size))
parts = {} if segment else data.segment_comparisons(scope, name, window_id, column)
if drawn := {part: one.shares for part, one in parts.items() if one.shares is not None}:
    st.header(f"{plain(column)} by segment")
    with st.container(key="wide"):
        draw(segment_distributions(drawn), f"distribution of {column} by segment", key="segments")
st.header("All columns of this window")
show_drifted(points, model=name, window=start.isoformat(), size=watched.size, metric=watched.metric)
say_joint(found)
csv_link("Every result of this window", "points", **query, window=window_id)
