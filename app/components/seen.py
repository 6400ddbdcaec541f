"""What is known now beside what was seen first: late rows and labels change a window after it was judged."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components.pickers import pick

SEEN = {"now": "as known now", "first": "as first seen"}
FIRST_SEEN = (
    "Each point is the value that was computed for its window first, before later rows and labels changed it. The "
    "limit is of now, and so are the verdicts and intervals in the tables below; those of then are not kept, so "
    "neither bands nor alarms are drawn."
)
CELLS_FIRST_SEEN = (
    "Each cell is the value that was computed when its window was over, before late rows changed it. Limits are of "
    "now. Cells marked ↺ have changed since; the verdict of then is not kept. The headline and the tables are of now."
)


def pick_seen() -> bool:
    """Whether the charts show what was seen first (`?seen=first`), not what is known now."""
    chosen = pick(
        "Seen", list(SEEN), key="seen", words=SEEN.__getitem__, width=170, label_visibility="collapsed"
    )
    return chosen == "first"


def pick_seen_if_revised(*points: pd.DataFrame) -> bool:
    """As `pick_seen`, where any of the points was recomputed to another value, or the address asks for it."""
    if st.query_params.get("seen") != "first" and not any(was_revised(one).any() for one in points):
        return False
    return pick_seen()


def was_revised(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points say something else now than they did first."""
    first, now = points["first_value"], points["value"]
    return (first != now) & ~(first.isna() & now.isna())


def as_first_seen(points: pd.DataFrame) -> pd.DataFrame:
    """The same points with what they said when they were first computed; their intervals of then are not kept, and
    `revised` says of which the verdict is not either."""
    nothing = float("nan")
    return points.assign(
        value=points["first_value"], low=nothing, high=nothing, revised=was_revised(points)
    )  # fmt: skip
