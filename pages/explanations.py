"""What a version leans on: importance with intervals, single rows, windows over time, versions and cohorts compared."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import headline
from app.components.attribution_parts import (
    VIEWS,
    say_leaning,
    show_cohorts,
    show_importance,
    show_single_values,
    show_versions_apart,
    show_windows,
)
from app.components.history import deployments_of
from app.components.job_parts import offer_job
from app.components.pickers import pick, pick_model
from app.components.prediction_parts import BECAUSE, pick_picture
from app.components.range_bar import Moved, pick_range
from app.data import explanations
from app.formats import format_count
from app.ranges import ABOUT_PERFORMANCE, PRESETS, ending
from app.session import page_link, viewer
from backend import clock
from backend.explain.service import request_explanation
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
top = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = pick_model(data.models(scope))
    if name is None:
        with top:
            headline("No model is registered, so nothing is explained", "unknown")
        st.stop()
    model = data.model(scope, name)
    serving = next(
        (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
    )
    versions = [str(one["version"]) for one in model["versions"]]
    now = versions.index(str(serving["version"])) if serving and str(serving["version"]) in versions else 0
    chosen = pick("Version", versions, key="version", words=lambda one: f"version {one}", index=now, width=150,
                  label_visibility="collapsed")  # fmt: skip
    view = pick(
        "Show", list(VIEWS), key="show", words=VIEWS.__getitem__, width=320, label_visibility="collapsed"
    )
if chosen is None:
    with top:
        headline("No version is registered, so nothing is explained", "unknown", detail=name)
    st.stop()

version = int(chosen)
counts = explanations.explained_counts(scope, name, version)
windows = explanations.leanings(scope, name, version)
summary = data.explanation(scope, name, version)
sampled = explanations.sampled_importance(scope, name, version)
with top:
    sentence, level = say_leaning(version, sampled, summary, windows)
    told = ", ".join(
        f"{format_count(counts[one])} {words}" for one, words in BECAUSE.items() if counts.get(one)
    )
    headline(sentence, level, detail=f"{name} · single predictions explained: {told or 'none'}")


def ends_with_newest() -> Moved | None:
    """Where the range lies if nothing of the time up to now is explained."""
    if not windows:
        return None
    newest, length = clock.from_iso(windows[-1]["end"]), PRESETS[ABOUT_PERFORMANCE]
    if clock.from_iso(windows[-1]["start"]) >= ending(clock.now(), length).since:
        return None
    return Moved(ending(newest, length), "The range ends with the newest window that was explained.")


main, side = st.columns([8, 2], gap="large")
with side, st.container(border=True, key="act"):
    picture = pick_picture()
    offer_job(f"Explain v{version}", f"explain:{name}/{version}", Permission.COMPUTE_METRICS,
              lambda session, me: request_explanation(session, me, model=str(name), version=version))  # fmt: skip
    if actor.may(Permission.EXPLAIN_PREDICTION):
        page_link("prediction", "One prediction", icon=":material/search:", model=name)
    page_link("model", "The model", icon=":material/monitoring:", model=name)
with main:
    if view == "importance":
        show_importance(name, version, sampled, summary, picture=picture)
    elif view == "rows":
        show_single_values(scope, name, version, picture=picture)
    elif view == "windows":
        shown = pick_range(ABOUT_PERFORMANCE, page="explanations", moved=ends_with_newest())
        span = shown.span
        mine = explanations.leanings(scope, name, version, span.since, span.until)
        show_windows(
            name, mine, picture=picture, happened=deployments_of(scope, name), ends=(span.since, span.until),
            none_in=shown.words if windows else "",
        )  # fmt: skip
    elif view == "versions":
        others = [one for one in versions if one != chosen]
        show_versions_apart(scope, name, version, others, picture=picture)
    else:
        show_cohorts(scope, name, version, sampled, picture=picture)
