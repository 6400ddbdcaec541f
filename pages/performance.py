"""How good the model is: what labels showed, what was estimated without them, and how much stands behind it."""

from __future__ import annotations

import streamlit as st

from app import data
from app.charts import performance_figure, volume_figure
from app.components import banner, empty_state, headline, viewer_zone
from app.components.charts import draw
from app.components.history import marks_of, switches
from app.components.pickers import pick, pick_model
from app.components.window_table import show_windows
from app.formats import format_age, format_change, format_count, format_metric, format_share, format_when
from app.session import viewer
from app.words import metric_word

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
    windows = data.windows(scope, name, size or "1d")
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    kinds = ("realised", "estimated")
    known = sorted(data.statistics(scope, name, size or "1d", kinds), key=lambda s: (s != "roc_auc", s))
    metric = pick("Metric", known, key="metric", words=metric_word, width=190, label_visibility="collapsed")

if model["notice"]:
    banner(model["notice"], "injected", word="about these data")
if windows.empty or metric is None:
    headline("Performance is not known", "unknown", detail=f"{name}, {data.environment()}")
    empty_state(
        "No window has been computed",
        "Send predictions and labels, then press “Compute metrics now” on the model's page.",
        ("Open the model", f"/model?model={name}"),
    )
    st.stop()

chosen = data.points(scope, name, size or "1d", kinds, statistic=metric, since=since)
realised, estimated = chosen[chosen["kind"] == "realised"], chosen[chosen["kind"] == "estimated"]
# Completeness as it is now; the point keeps what it was when computed.
now = windows.set_index("start")["completeness"]
realised = realised.assign(completeness=realised["window_start"].map(now))
serving = next(
    (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
)
version = next((v for v in model["versions"] if serving and v["version"] == serving["version"]), None)
held_out = (version["metrics"].get(metric) or {}) if version else {}
pooled = held_out.get("value") if isinstance(held_out, dict) else held_out
# What the newest figure was held against: the reference's own windows of this size where there are enough of them.
against_which = chosen[chosen["reference_value"].notna()]
reference = float(against_which["reference_value"].iloc[-1]) if len(against_which) else pooled


def say_headline() -> None:
    judged = realised[realised["verdict"].isin(["ok", "alarm"])]
    word = metric_word(metric)
    against = f"against {format_metric(reference)} in the reference" if reference else ""
    if judged.empty:
        guess = estimated[estimated["verdict"].isin(["ok", "alarm"])]
        if guess.empty:
            headline(f"{word} cannot be told yet", "unknown", detail="too few rows or labels in every window")
            return
        last = guess.iloc[-1]
        headline(
            f"{word} {format_metric(last['value'])} by estimate, {against}; no label has come to confirm it",
            "attention" if last["verdict"] == "alarm" else "unknown",
            detail=f"window from {format_when(last['window_start'], viewer_zone())}, {format_count(last['rows'])} rows",
        )
        return
    last = judged.iloc[-1]
    computed = format_age(last["computed_at"].to_pydatetime())
    headline(
        f"{word} {format_metric(last['value'])} {against} ({format_change(reference, last['value'])})",
        "attention" if last["verdict"] == "alarm" else "ok",
        detail=f"latest judged window from {format_when(last['window_start'], viewer_zone())} · "
        f"limit {format_metric(last['threshold'])} · {format_count(last['rows'])} labelled rows, "
        f"{format_share(last['completeness'])} of labels · "
        f"computed {computed} ago",
    )


say_headline()
marks = marks_of(data.marks(scope, name), windows)
served = switches(model)
# A window without a figure is a gap in the line, not left out of it.
every = windows[["start"]].rename(columns={"start": "window_start"})
figure = performance_figure(
    every.merge(realised, how="left"),
    every.merge(estimated, how="left"),
    reference=reference,
    metric=metric_word(metric),
    deployments=served,
    marks=marks,
    tz=viewer_zone(),
)
draw(figure, f"{metric_word(metric)} over time, realised and estimated", key="performance")
states = windows["state"].map({"no_traffic_expected": "expected none", "no_traffic": "missing"})
volume = windows.rename(columns={"start": "window_start"})[["window_start", "rows", "completeness"]].assign(
    state=states
)
draw(volume_figure(volume, tz=viewer_zone()), "rows and labels of each window", key="volume")

with st.expander("The same as a table"):
    show_windows(windows, realised, metric_word(metric))
