"""Which inputs and outputs moved: every column at a glance, one column over time, one window in detail."""

from __future__ import annotations

import streamlit as st

from app import data
from app.charts import distribution_figure, drift_heatmap, drift_series
from app.components import banner, empty_state, headline, key_values, viewer_zone
from app.components.charts import draw
from app.components.drift_parts import first_shown, heat_cells, say_window, window_words, worst_first
from app.components.history import marks_of, switches
from app.components.pickers import pick, pick_model
from app.formats import format_count
from app.session import viewer
from app.words import WINDOW_WORDS, result_words, statistic_word
from backend.monitoring.columns import MIN_ROWS
from backend.monitoring.reading import COLUMN_KINDS

SHOWN = 60
scope = data.scope_of(viewer())
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = pick_model(data.models(scope))
    if name is None:
        st.stop()
    model = data.model(scope, name)
    sizes = [str(model["spec"][key]) for key in ("window", "live_window") if model["spec"].get(key)]
    hidden = {"label_visibility": "collapsed"}
    size = pick("Windows", sizes, key="size", words=lambda s: f"windows of {s}", width=170, **hidden) or "1d"
    windows = data.windows(scope, name, size).tail(SHOWN)
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    known = sorted(data.statistics(scope, name, size, COLUMN_KINDS), key=lambda s: (s != "psi", s))
    statistic = pick("Statistic", known, key="statistic", words=statistic_word, width=190, **hidden)

if model["notice"]:
    banner(model["notice"], "injected", word="about these data")
filled = windows[windows["rows"] > 0]
if filled.empty or statistic is None:
    headline("Drift is not known", "unknown", detail=f"{name}, {data.environment()}")
    empty_state(
        "No window has been computed",
        "Send predictions, then press “Compute metrics now” on the model's page.",
        ("Open the model", f"/model?model={name}"),
    )
    st.stop()

by_start = {row["start"].isoformat(): row for row in reversed(windows.to_dict("records"))}
starts = list(by_start)
shown = data.points(scope, name, size, COLUMN_KINDS, statistic=statistic, since=since)
enough = int(model["spec"].get("min_rows") or MIN_ROWS)
latest = starts.index(first_shown(windows, enough).isoformat())
place = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    words = {start: window_words(row) for start, row in by_start.items()}
    start = (
        pick("Window", starts, key="window", words=words.__getitem__, width=400, index=latest)
        or starts[latest]
    )
    window = by_start[start]
    points = data.window_points(scope, name, size, COLUMN_KINDS, int(window["id"]))
    listed = worst_first(shown, points, window["start"])
    column = pick("Column", listed, key="column", width=240)
with place:
    say_window(window, points)
    cells = heat_cells(shown, windows, listed)
    title = statistic_word(statistic)
    figure = drift_heatmap(cells, statistic=title, tz=viewer_zone())
    draw(figure, f"{title} of each column in each window", key="heat")

if column:
    left, right = st.columns(2)
    with left:
        figure = drift_series(
            cells[cells["column"] == column],
            column=column,
            statistic=title,
            deployments=switches(model),
            marks=marks_of(data.marks(scope, name), windows),
            tz=viewer_zone(),
        )
        draw(figure, f"{title} of {column} over time", key="series")
    with right:
        if window["rows"]:
            found = data.distribution(scope, int(window["id"]), column)
            draw(
                distribution_figure(found["shares"], column=column),
                f"distribution of {column}",
                key="distribution",
            )
            st.caption(
                f"{format_count(found['reference']['rows'])} rows of the reference (dashed), "
                f"{format_count(found['current']['rows'])} rows of this window"
            )
        else:
            empty_state(
                WINDOW_WORDS.get(window["state"], "no rows").capitalize(), "Choose a window with rows."
            )
    here = points[points["column"] == column]
    key_values({statistic_word(one["statistic"]): result_words(one) for one in here.to_dict("records")})
