"""What happened meanwhile, on any axis of time: deployments as blue lines, incidents and faults as their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import Ends, Mark, add_marks, add_version_lines, add_version_switches, local_times


@dataclass(frozen=True)
class Happened:
    """What a model's figures are marked with: (when, which version) of each champion, and incidents, alerts, faults."""

    deployments: Sequence[tuple[datetime, str]] = ()
    marks: Sequence[Mark] = ()


NOTHING = Happened()
ROW_PX = 16
"""One row of version names above a plot."""


def mark_time(
    figure: go.Figure, happened: Happened, moments: Any, tz: str | None, *, panels: int = 1,
    ends: Ends | None = None,
) -> None:  # fmt: skip
    """Put what happened within `moments` (UTC-aware, those that are drawn), or `ends`, on a figure whose x axis is
    time.

    `panels`: small multiples above one another or side by side get the lines alone, named in the first of them.
    """
    times = pd.Series(pd.to_datetime(pd.Series(list(ends or moments)), utc=True)).dropna()
    if times.empty:
        return
    local = local_times(times, tz)
    span = (local.min(), local.max())
    if panels > 1:
        add_version_lines(figure, happened.deployments, tz, span, panels=panels)
        return
    rows = add_version_switches(figure, happened.deployments, tz, span)
    figure.update_layout(margin_t=max(figure.layout.margin.t or 0, 12 + ROW_PX * rows))
    first, last = times.min(), times.max()
    add_marks(figure, [mark for mark in happened.marks if first <= pd.Timestamp(mark.at) <= last], tz)
