"""An objective over the range that is shown: its board, with what happened meanwhile."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

import streamlit as st

from app.charts.marks import Happened
from app.charts.slo_board import Fired, Step
from app.components.charts import draw
from app.components.links import viewer_zone
from app.components.range_bar import Shown
from app.components.slo_parts import name_of
from app.data.figures import slo_board
from app.plain_text import plain
from app.words import ALERT_LEVELS, readable
from backend.slo.budget_history import BudgetPoint
from backend.slo.objectives import Objective, alert_rows, row_can_fire
from backend.slo.reading import Detail, budget_of
from backend.slo.sentences import events_words
from backend.slo.wording import span_words


def show_over_time(detail: Detail, shown: Shown, happened: Happened) -> None:
    """SLI, budget, burn and events on one axis. Of the model's marks incidents: the objective has alerts of its own."""
    one = detail.standing
    figure = slo_board(
        [step_of(one.objective, point) for point in detail.history],
        target=float(one.objective.target),
        ends=(shown.span.since, shown.span.until),
        pages_above=pages_above(one.objective),
        exhausted_at=None if shown.is_past else exhausted_at(detail),
        excluded=[(each.starts_at, each.ends_at, each.reason) for each in detail.left_out],
        alerts=[
            Fired(each.fired_at, each.resolved_at, readable(each.title), ALERT_LEVELS[each.level])
            for each in detail.alerts
        ],
        tz=viewer_zone(),
        happened=Happened(happened.deployments, [mark for mark in happened.marks if mark.level == "page"]),
    )
    draw(
        figure,
        f"SLI, error budget left, burn rate and events of {plain(name_of(one.objective))} over {shown.words}, with "
        "deployments, incidents, alerts and what was left out",
        key=f"board:{one.revision.key}",
    )
    st.caption(
        "Dotted blue: another version began to serve. Grey bands: time that does not count. A gap: no event."
    )


def step_of(objective: Objective, point: BudgetPoint) -> Step:
    """One step as it is drawn."""
    counts = point.counts
    if counts.total <= 0:
        return Step(point.since, point.at, None, point.remaining, None)
    bad = max(0.0, counts.total - counts.good)
    burn = bad / counts.total / float(1 - Fraction(objective.target))
    return Step(
        point.since, point.at, counts.good / counts.total, point.remaining, burn, counts.good, bad,
        events_words(objective, counts),
    )  # fmt: skip


def pages_above(objective: Objective) -> list[tuple[float, str]]:
    """(factor, over which windows) of each row that pages and can fire."""
    return [
        (float(row.factor), f"over {span_words(row.long_s)} and {span_words(row.short_s)}")
        for row in alert_rows(objective)
        if row.severity == "page" and row_can_fire(row)
    ]


def exhausted_at(detail: Detail) -> datetime | None:
    """When the budget is gone at the present rate; None where it lasts its period or nothing is known."""
    state = detail.standing.state
    if state is None or state.judged_at is None or state.exhausted_at is None:
        return None
    return None if budget_of(detail.standing.objective, state).outlasts else state.exhausted_at
