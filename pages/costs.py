"""Costs: compute time, GPU time and storage by model and team, with budgets and days that stand out."""

from __future__ import annotations

import streamlit as st

from app import data
from app.charts.costs import cost_figure
from app.components import empty_state, headline
from app.components.charts import draw
from app.components.cost_parts import (
    PERIODS,
    offer_budget,
    period_of,
    say_costs,
    show_budgets,
    show_lines,
    show_sources,
    show_teams,
)
from app.components.downloads import csv_link, json_link
from app.components.pickers import pick
from app.plain_text import plain
from app.session import viewer
from backend import clock
from backend.costs.kinds import GROUPS

scope = data.scope_of(viewer())
head = st.container()
main, side = st.columns([7, 3], gap="large")
with side:
    chosen = pick("Period", list(PERIODS), key="period", words=lambda one: PERIODS[one]) or "30"
    since, until = period_of(chosen, clock.now().date())
    with st.container(border=True, key="act"):
        offer_budget(data.models(scope), data.prices())
found = data.costs(scope, since, until)
with head:
    if found.lines:
        say_costs(found, PERIODS[chosen])
    else:
        headline(f"Nothing was counted in {PERIODS[chosen]}", "unknown")
with main:
    if not found.lines:
        empty_state(
            "Nothing was counted yet",
            "A worker counts job runs as they end, and training, requests and storage every hour. WARRANT_PRICES puts "
            "money beside hours and GB.",
        )
    for one in found.anomalies:
        st.warning(plain(one.text))
    if found.lines:
        show_lines(found)
        group = pick("Day by day", list(GROUPS), key="of", words=lambda one: GROUPS[one][0]) or "compute"
        draw(cost_figure(found.daily, group), f"{GROUPS[group][0]} by day and model", key="costs")
        st.header("By team", anchor=False)
        show_teams(found)
        period = {"since": found.since.isoformat(), "until": found.until.isoformat()}
        csv_link("what was used, by model and day", "costs", **period)
        json_link("the same with budgets", "costs", **period)
    if found.budgets:
        st.header("Budgets", anchor=False)
        show_budgets(found.budgets)
    if found.lines:
        show_sources(found.lines)
