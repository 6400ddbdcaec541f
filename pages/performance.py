"""How good the model is: what labels showed, what was estimated without them, and how much stands behind it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import data
from app.components import viewer_zone
from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.history import happened_to
from app.components.kpi_parts import show_kpis
from app.components.paged import say_pages, with_pages
from app.components.performance_parts import (
    draw_performance,
    earlier_of,
    say_performance,
    say_record,
    say_references,
    show_metrics,
)
from app.components.performance_points import (
    come_together,
    has_old_labels,
    judgeable,
    reference_of,
    with_labels,
    worst_segments,
)
from app.components.pickers import pick
from app.components.report_parts import offer_report
from app.components.seen import pick_seen
from app.components.watching import (
    begin_page,
    pick_watched,
    pick_window,
    say_alerts,
    say_headline,
    say_notice,
    stop_without_windows,
)
from app.components.what_changed import draw_what_changed
from app.components.window_table import show_windows
from app.data.figures import segments_figure
from app.session import viewer
from app.words import metric_word
from backend.monitoring.tables import JUDGED

KINDS = ("realised", "estimated")
above, places = begin_page()
with above:
    watched = pick_watched(data.scope_of(viewer()), KINDS, page="performance", places=places, comparable=True)
    if watched is None:
        st.stop()
    scope, name, size, ends = watched.scope, watched.name, watched.size, watched.of
    known = data.statistics(scope, name, size, KINDS, **ends)
    known = sorted(known, key=lambda s: (s != watched.metric, s))
    hidden = {"label_visibility": "collapsed"}
    metric = pick("Metric", known, key="metric", words=metric_word, width=190, **hidden)
    first_seen = pick_seen()
say_notice(watched)
stop_without_windows(watched, "Performance is not known", known=metric is not None)
metric = str(metric)

windows, created, alerts = watched.windows, watched.model["created_at"], data.alerts_about(scope, name)
every = with_pages(
    data.points(scope, name, size, KINDS, statistic=metric, **ends, segment=None),
    windows, alerts, watched_since=created, size=size,
)  # fmt: skip
chosen = with_labels(judgeable(every[every["segment"] == ""]), windows)
realised, estimated = (chosen[chosen["kind"] == kind] for kind in KINDS)
reference = reference_of(chosen, watched.model, metric)
versions = windows["version"].dropna()
record = data.track(scope, name, int(versions.iloc[-1]), size, metric) if len(versions) else None
spoken = realised.loc[realised["value"].notna() & realised["verdict"].isin(JUDGED), "window_start"]
latest = spoken.max().to_pydatetime() if len(spoken) else watched.since
others = data.points(
    scope, name, size, ("realised",), statistic=None, since=latest, until=watched.until, segment=""
)
say_performance(
    realised,
    estimated,
    metric=metric,
    reference=reference,
    every=others,
    unchecked=has_old_labels(realised, windows) and (record is None or record.record is None),
    say=partial(say_headline, watched),
)

word = metric_word(metric)
draw_performance(
    watched, realised, estimated, metric=word, reference=reference, first_seen=first_seen,
    earlier=earlier_of(watched, KINDS, metric),
)  # fmt: skip
say_references(reference, watched.model, windows, metric)
if record is not None:
    say_record(record, primary=metric == watched.metric, together=come_together(realised, estimated))
say_pages(every[every["segment"] == ""], watched_since=created)
query = {"model": name, "size": size}
csv_link(
    f"{word} over time", "points", **query, kind=KINDS, statistic=metric, **watched.of_file
)  # fmt: skip

happened = happened_to(data.marks(scope, name), watched.model, windows)
parts = worst_segments(every[every["kind"] == "realised"], metric)
if len(parts):
    st.header("By segment, from labels")
    with st.container(key="wide"):
        draw(
            segments_figure(parts, metric=word, tz=viewer_zone(), happened=happened, ends=watched.ends),
            f"{word} of each segment",
            key="segments",
        )
show_kpis(watched, happened)

st.header("One window")
window = pick_window(watched)
say_alerts(watched, window)
here = data.window_points(scope, name, size, KINDS, int(window["id"]))
show_metrics(judgeable(with_pages(here, windows, alerts, watched_since=created, size=size)))
csv_link("Every metric of this window", "points", **query, kind=KINDS, window=int(window["id"]))
offer_report(name, size, window)
st.header("What changed in this window")
draw_what_changed(name, data.environment(), size, window["start"])
with st.expander("Every window as a table"):
    show_windows(windows, realised, estimated, word)
    csv_link(f"Every window with its {word}", "windows", **query, statistic=metric)
