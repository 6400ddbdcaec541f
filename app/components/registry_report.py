"""What the rules would have said of the moves that others made in a registry, in a period that one chooses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.downloads import csv_link
from app.components.links import viewer_zone
from app.components.pickers import pick
from app.components.registry_parts import show_moves
from app.components.status import empty_state
from app.data import Scope
from app.formats import zone
from app.words import count_of
from backend import clock

PAGE = 50
PERIODS = {"30d": "the last 30 days", "7d": "the last 7 days", "90d": "the last 90 days", "all": "all that is known",
           "days": "from one day to another…"}  # fmt: skip
EVERY = "*"


def show_report(scope: Scope, names: Sequence[str]) -> None:
    """What the rules would have said of the moves of a period, of one model or all."""
    left, right = st.columns(2)
    with left:
        since, until = _chosen_period()
    with right:
        options = [EVERY, *names]
        of = pick("Of", options, key="of", words=lambda one: "all models" if one == EVERY else one, width=260)
    model = None if of in (None, EVERY) else of
    report = data.moves(scope, since, until, model, (), PAGE)
    if not report["total"]:
        empty_state(
            "No move was found",
            "A worker compares the aliases of the registry that MLFLOW_TRACKING_URI names every minute; the first look "
            "only writes down what is there.",
        )
        return
    said = f"{report['summary'][0].upper()}{report['summary'][1:]}."
    st.html(Markup('<p class="w-lead"><strong>{}</strong></p>').format(said))
    show_moves(report["moves"])
    if report["truncated"]:
        st.caption(f"the newest {PAGE} of {count_of(report['total'], 'move')}; the file holds all of them")
    csv_link("these moves, with every reason", "registry-moves", since=since and since.isoformat(),
             until=until and until.isoformat(), model=model)  # fmt: skip


def _chosen_period() -> tuple[datetime | None, datetime | None]:
    """From when (included) to when (excluded) moves are reported."""
    period = pick("Moves found in", list(PERIODS), key="period", words=PERIODS.__getitem__, width=260)
    now = clock.now().replace(second=0, microsecond=0)
    if period == "all":
        return None, None
    if period != "days":
        return now - timedelta(days=int(str(period).removesuffix("d"))), None
    here = zone(viewer_zone())
    today = now.astimezone(here).date()
    days = st.date_input("First and last day", (today - timedelta(days=6), today), max_value=today, width=260)
    first, last = days if isinstance(days, tuple) and len(days) == 2 else (today, today)
    midnight = datetime.min.time()
    until = datetime.combine(last + timedelta(days=1), midnight, here)
    return datetime.combine(first, midnight, here), until
