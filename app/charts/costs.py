"""What models used day by day, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import plotly.graph_objects as go

from app.charts.frame import empty_figure, new_figure
from app.formats import HOVER_AMOUNT
from app.theme import MARK, faded
from backend.costs.kinds import GROUPS

MOST: Final = 5  # models that are told apart; the rest are one bar


def cost_figure(daily: Mapping[tuple[str, str], Mapping[datetime, float]], group: str) -> go.Figure:
    """Bars of one group by UTC day: the models that used most, and the others together."""
    title, unit = GROUPS[group]
    of_group = {model: days for (model, one), days in daily.items() if one == group and any(days.values())}
    if not of_group:
        return empty_figure(
            f"No {title.lower()} was counted in this period", "A worker counts what was used every hour."
        )
    ranked = sorted(of_group, key=lambda model: (-sum(of_group[model].values()), model))
    figure = new_figure(280)
    figure.update_layout(
        barmode="stack", xaxis={"title": {"text": "day, UTC"}}, yaxis={"title": {"text": unit}}
    )
    parts = [(model or "Warrant itself", of_group[model]) for model in ranked[:MOST]]
    if ranked[MOST:]:
        rest: dict[datetime, float] = {}
        for model in ranked[MOST:]:
            for day, amount in of_group[model].items():
                rest[day] = rest.get(day, 0.0) + amount
        parts.append((f"{len(ranked) - MOST} others", rest))
    for place, (name, days) in enumerate(parts):
        figure.add_trace(
            go.Bar(
                x=[f"{day:%Y-%m-%d}" for day in sorted(days)], y=[days[day] for day in sorted(days)], name=name,
                marker={"color": faded(MARK["champion"], 1 - 0.15 * place)},
                hovertemplate=f"{name}<br>%{{x}}: %{{y:{HOVER_AMOUNT}}} {unit}<extra></extra>",
            )
        )  # fmt: skip
    return figure
