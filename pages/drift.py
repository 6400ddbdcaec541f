"""Which inputs and outputs drifted, and whether it matters: every column at a glance, one column in any window."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import data
from app.components import empty_state, viewer_zone
from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.drift_parts import (
    NEVER_PAGES,
    as_ratio,
    by_effect,
    heat_cells,
    say_joint,
    say_window,
    show_drifted,
    show_results,
    show_sides,
)
from app.components.history import marks_of, switches
from app.components.pickers import pick
from app.components.watching import (
    pick_watched,
    pick_window,
    say_alerts,
    say_headline,
    say_notice,
    stop_without_windows,
)
from app.data.figures import distribution_figure, drift_heatmap, drift_series, segment_distributions
from app.session import viewer
from app.words import WINDOW_WORDS, statistic_word
from backend.monitoring.distributions import AGAINST

KINDS = ("drift", "prediction")
WORST = "worst"
with st.container(horizontal=True, vertical_alignment="bottom"):
    watched = pick_watched(data.scope_of(viewer()), KINDS)
    if watched is None:
        st.stop()
    scope, name, size, since = watched.scope, watched.name, watched.size, watched.since
    known = data.statistics(scope, name, size, KINDS, of_columns=True)
    statistic = pick(
        "Statistic", [WORST, *known], key="statistic", width=240, label_visibility="collapsed",
        words=lambda s: "furthest over its limit" if s == WORST else statistic_word(s),
    )  # fmt: skip
    among = ["", *data.segments(scope, name, size, KINDS)]
    segment = pick(
        "Segment", among, key="segment", width=200, words=lambda s: s or "all rows", label_visibility="collapsed",
    ) if len(among) > 1 else ""  # fmt: skip
    segment = segment or ""
say_notice(watched)
stop_without_windows(watched, "Drift is not known", known=bool(known))

if statistic == WORST:
    shown = data.worst_points(scope, name, size, KINDS, since=since, segment=segment)
else:
    shown = data.points(scope, name, size, KINDS, statistic=statistic, since=since, segment=segment)
top = st.container()
window = pick_window(watched)
found = data.window_points(scope, name, size, KINDS, int(window["id"]), segment)
points = found[found["column"] != ""]
order = list(dict.fromkeys([*by_effect(points), *(one for one in shown["column"] if one)]))
with top:
    say_window(window, points, metric=watched.metric, segment=segment, say=partial(say_headline, watched))
    st.caption(NEVER_PAGES)
    title = "Furthest over its limit" if statistic == WORST else statistic_word(str(statistic))
    cells = heat_cells(shown[shown["column"] != ""], watched.windows, order, min_rows=watched.min_rows)
    figure = drift_heatmap(cells, statistic=title, columns=order, tz=viewer_zone())
    draw(figure, f"{title}: each column in each window", key="heat")
say_alerts(watched, window)
say_joint(found)
start = window["start"].isoformat()
show_drifted(points, model=name, window=start, size=watched.address, metric=watched.metric)
query = {"model": name, "size": size, "kind": "drift", "segment": segment}
csv_link("Every result of this window", "points", **query, window=int(window["id"]))

st.subheader("One column")
with st.container(horizontal=True, vertical_alignment="bottom"):
    column = pick("Column", order, key="column", width=240)
    options = [one for one in AGAINST if one != "rule" or watched.spec.reference.kind != "fixed"]
    against = pick("Against", options, key="against", words=AGAINST.__getitem__, width=280)
if column is None or against is None:
    st.stop()
if not window["rows"]:
    empty_state(WINDOW_WORDS.get(window["state"], "no rows").capitalize(), "Choose a window with rows.")
    st.stop()
pair = data.comparison(scope, name, int(window["id"]), column, against, segment)
left, right = st.columns([3, 2])
with left:
    if pair is None:
        empty_state(
            "The counts of this column are not stored", "The window may wait to be computed; see its model."
        )
    elif pair.shares is None:
        empty_state("Nothing to compare with", f"Here {pair.reason}. Choose another reference.")
    else:
        figure = distribution_figure(pair.shares, column=column, names=(pair.against, "this window"))
        draw(figure, f"distribution of {column}", key="distribution")
        of = {"window": int(window["id"]), "column": column, "against": against, "segment": segment}
        csv_link("These shares", "distribution", **of)
with right:
    if pair is not None:
        show_sides(pair)
over_time = shown[shown["column"] == column]
if statistic == WORST:
    title, over_time = "value / limit", as_ratio(over_time)
figure = drift_series(
    heat_cells(over_time, watched.windows, [column], min_rows=watched.min_rows),
    column=column,
    statistic=title,
    deployments=switches(watched.model),
    marks=marks_of(data.marks(scope, name), watched.windows),
    tz=viewer_zone(),
)
draw(figure, f"{title} of {column} over time", key="series")
csv_link(f"{column} over time", "points", **query, column=column, since=since and since.isoformat())
parts = {} if segment else data.segment_comparisons(scope, name, int(window["id"]), column)
drawn = {segment: one.shares for segment, one in parts.items() if one.shares is not None}
if drawn:
    st.subheader("By segment")
    with st.container(key="wide"):
        draw(segment_distributions(drawn), f"distribution of {column} by segment", key="segments")
with st.expander(f"Every result of {column} in this window"):
    show_results(points[points["column"] == column])
