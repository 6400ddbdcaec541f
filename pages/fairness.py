"""Are groups of people treated alike? Rates of each group, gaps between groups and their verdicts, over windows."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, viewer_zone
from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.fairness_parts import (
    DRAWN,
    INTERVALS,
    fairness_sentence,
    first_attribute,
    headline_detail,
    say_not_known,
    show_gaps,
    show_groups,
    show_ways_on,
    stop_where_nothing_is_compared,
    titled,
)
from app.components.history import switches
from app.components.links import href
from app.components.pickers import pick
from app.components.seen import FIRST_SEEN, as_first_seen, pick_seen
from app.components.watching import (
    begin_page,
    pick_watched,
    pick_window,
    say_alerts,
    say_headline,
    say_notice,
    stop_without_windows,
)
from app.data.figures import fairness_gaps_figure, fairness_groups_figure
from app.plain_text import plain
from app.session import viewer
from backend.monitoring.fairness import KIND
from backend.monitoring.fairness.measures import GAPS, attribute_name

above, places = begin_page()
with above:
    watched = pick_watched(data.scope_of(viewer()), (KIND,), page="fairness", places=places)
    if watched is None:
        st.stop()
    scope, name, size, ends, spec = watched.scope, watched.name, watched.size, watched.of, watched.spec
    attributes = [attribute_name(columns) for columns in spec.fairness.attributes(spec.protected)]
    hidden = {"label_visibility": "collapsed"}
    found = data.fairness(scope, name)
    first = first_attribute(found, attributes)
    attribute = pick("Groups by", attributes, key="attribute", width=210, index=first, **hidden)
    first_seen = pick_seen()
say_notice(watched)
stop_where_nothing_is_compared(watched)
if size != spec.window:
    say_headline(watched, "Groups are not compared in windows this short", detail=name)
    where = ("Show those", href("fairness", model=name, size=spec.window))
    empty_state(
        "Fairness is counted in the trend's windows", "An hour has too few people of each group.", where
    )
    st.stop()
points = data.points(scope, name, size, (KIND,), statistic=None, **ends, column=attribute, segment=None)
stop_without_windows(watched, "Fairness is not known", known=len(points) > 0)

sentence, level = fairness_sentence(found, spec)
say_headline(watched, sentence, level, detail=headline_detail(found, watched), of_now=True)
say_not_known(found)

drawn = as_first_seen(points) if first_seen else points
marks = switches(watched.model)
groups, gaps = drawn[drawn["segment"] != ""], drawn[drawn["segment"] == ""]
st.header(f"Groups by {plain(attribute)}", anchor=False)
with st.container(key="wide-groups"):
    titles = {one: titled(one) for one in DRAWN}
    figure = fairness_groups_figure(
        groups,
        titles,
        least=spec.fairness.min_group,
        tz=viewer_zone(),
        switches=marks,
        ends=watched.ends,
    )
    draw(figure, f"fairness figures of each group by {attribute}", key="groups")
st.header("Gaps between these groups", anchor=False)
with st.container(key="wide-gaps"):
    figure = fairness_gaps_figure(
        gaps, {one: titled(one) for one in GAPS}, tz=viewer_zone(), switches=marks, ends=watched.ends
    )
    draw(figure, f"gaps between groups by {attribute}, with their bounds", key="gaps")
st.caption(FIRST_SEEN if first_seen else INTERVALS)
csv_link("Every figure drawn", "points", model=name, size=size, kind=KIND, column=attribute,
         **watched.of_file)  # fmt: skip

st.header("One window", anchor=False)
window = pick_window(watched)
say_alerts(watched, window)
here = points[points["window_start"] == window["start"]]
if here.empty:
    empty_state("This window has not been counted by group", "It may have no rows, or not be computed yet.")
else:
    show_groups(here, spec)
    show_gaps(here)
show_ways_on(watched, window)
