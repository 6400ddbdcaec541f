"""Which inputs and outputs moved: every column at a glance, one column over time, one window in detail."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import data
from app.charts import distribution_figure, drift_heatmap, drift_series
from app.components import empty_state, headline, key_values, viewer_zone
from app.components.charts import draw
from app.components.history import marks_of, switches
from app.components.pickers import pick, pick_model
from app.formats import format_age, format_count, format_share, format_when
from app.session import viewer
from app.words import WINDOW_WORDS, count_of, result_words, statistic_word
from backend.monitoring.reading import COLUMN_KINDS

SHOWN = 60
scope = data.scope_of(viewer())
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = pick_model(data.models(scope))
    if name is None:
        st.stop()
    model = data.model(scope, name)
    sizes = [str(model["spec"][key]) for key in ("window", "live_window") if model["spec"].get(key)]
    size = pick(
        "Windows",
        sizes,
        key="size",
        words=lambda s: f"windows of {s}",
        width=170,
        label_visibility="collapsed",
    )
    windows = data.windows(scope, name, size or "1d").tail(SHOWN)
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    points = data.points(scope, name, size or "1d", COLUMN_KINDS, since)
    known = sorted(points["statistic"].unique(), key=lambda s: (s != "psi", s))
    statistic = pick(
        "Statistic", known, key="statistic", words=statistic_word, width=190, label_visibility="collapsed"
    )

filled = windows[windows["rows"] > 0]
if windows.empty or filled.empty or statistic is None:
    headline("Drift is not known", "unknown", detail=f"{name}, {data.environment()}")
    empty_state(
        "No window has been computed", "Send predictions, then press “Compute metrics now” on the model's page.",
        ("Open the model", f"/model?model={name}"),
    )  # fmt: skip
    st.stop()

starts = [start.isoformat() for start in reversed(windows["start"].tolist())]
by_start = {
    start.isoformat(): row for start, row in zip(windows["start"], windows.to_dict("records"), strict=True)
}
default = starts.index(filled["start"].iloc[-1].isoformat())


def window_words(start: str) -> str:
    row = by_start[start]
    state = WINDOW_WORDS.get(row["state"], row["state"])
    rows = f"{format_count(row['rows'])} rows" if row["rows"] else state
    return f"{format_when(row['start'], viewer_zone())}: {rows}" + (
        ", not over yet" if row["state"] == "open" else ""
    )


def say_headline(window: dict[str, Any]) -> None:
    here = points[points["window_start"] == window["start"]]
    alarms = here[here["verdict"] == "alarm"]
    unclear = int((~here["verdict"].isin(["ok", "alarm"])).sum())
    columns = list(dict.fromkeys(alarms["column"]))
    facts = [
        f"window from {format_when(window['start'], viewer_zone())}, {format_count(window['rows'])} rows",
        f"compared with the reference of v{window['version']}" if window["version"] else "",
        f"computed {format_age(window['computed_at'].to_pydatetime())} ago"
        if pd.notna(window["computed_at"])
        else "",
        f"{unclear} of {len(here)} results inconclusive" if unclear else "",
        "rows of an injected fault: " + format_count(window["injected_rows"])
        if window["injected_rows"]
        else "",
    ]
    detail = " · ".join(fact for fact in facts if fact)
    if here.empty:
        headline("This window has not been computed", "unknown", detail=detail)
    elif columns:
        told = ", ".join(columns[:3]) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")
        headline(f"{count_of(len(columns), 'column')} moved: {told}", "attention", detail=detail)
    elif unclear == len(here):
        headline("Nothing could be judged in this window", "unknown", detail=detail)
    else:
        headline(f"No column moved beyond its limit ({len(here) - unclear} results)", "ok", detail=detail)


place = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    start = (
        pick("Window", starts, key="window", words=window_words, width=380, index=default) or starts[default]
    )
    window = by_start[start]
    ratio = points.assign(over=points["value"] / points["threshold"]).sort_values("over", ascending=False)
    here = ratio[(ratio["window_start"] == window["start"]) & (ratio["statistic"] == statistic)]
    listed = list(dict.fromkeys([*here["column"], *ratio.loc[ratio["statistic"] == statistic, "column"]]))
    column = pick("Column", listed, key="column", width=240)
with place:
    say_headline(window)
    shown = points[points["statistic"] == statistic]
    # A window without results is drawn as such, not left out.
    empty = windows.loc[~windows["start"].isin(shown["window_start"]), ["start", "state"]]
    blanks = pd.DataFrame(
        [{"window_start": s, "column": c, "value": None, "threshold": None, "verdict": state}
         for s, state in empty.itertuples(index=False) for c in listed[:40]],
        columns=["window_start", "column", "value", "threshold", "verdict"],
    ).astype({"value": "float64", "threshold": "float64"})  # fmt: skip
    parts = [part for part in (shown[list(blanks.columns)], blanks) if len(part)]
    draw(
        drift_heatmap(pd.concat(parts, ignore_index=True), statistic=statistic_word(statistic), tz=viewer_zone()),
        f"{statistic_word(statistic)} of each column in each window", key="heat",
    )  # fmt: skip

if column:
    served, happened = switches(model), marks_of(data.marks(scope, name), windows)
    left, right = st.columns(2)
    with left:
        draw(
            drift_series(shown[shown["column"] == column], column=column, statistic=statistic_word(statistic),
                         deployments=served, marks=happened, tz=viewer_zone()),
            f"{statistic_word(statistic)} of {column} over time", key="series",
        )  # fmt: skip
    with right:
        if window["rows"]:
            found = data.distribution(scope, int(window["id"]), column)
            draw(
                distribution_figure(found["shares"], column=column),
                f"distribution of {column}",
                key="distribution",
            )
        else:
            empty_state(
                WINDOW_WORDS.get(window["state"], "no rows").capitalize(), "Choose a window with rows."
            )
    results = points[(points["window_start"] == window["start"]) & (points["column"] == column)]
    key_values(
        {statistic_word(one["statistic"]): result_words(one) for one in results.to_dict("records")}
        | {
            "rows": f"{format_count(window['rows'])} in the window, labels for {format_share(window['completeness'])}"
        }
    )
