"""Which windows beyond a limit that pages did page, and which would have: those from before the model was watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components.links import viewer_zone
from app.formats import format_when
from app.plain_text import plain
from app.words import count_of
from backend import clock

PAGED, BEFORE, PASSED = "paged", "before", "passed"
"""What came of a point that pages: an alert; none, as its window ended before the model was watched; or none, as a
newer window spoke when it was judged."""


def with_pages(
    points: pd.DataFrame, windows: pd.DataFrame, alerts: Sequence[Mapping[str, Any]], *, watched_since: Any,
    size: str,
) -> pd.DataFrame:  # fmt: skip
    """The same points with `came`: one of the words above for alarms that page, else None."""
    ends = windows.set_index("start")["end"]
    pages = [one for one in alerts if one["level"] == "page" and one["details"].get("size", size) == size]

    def came(kind: str, start: pd.Timestamp) -> str:
        if any(one["kind"] == kind and _oldest(one) <= start <= _newest(one) for one in pages):
            return PAGED
        end = ends.get(start)
        return BEFORE if end is not None and end <= watched_since else PASSED

    loud = (points["verdict"] == "alarm") & (points["level"] == "page")
    told = [
        came(kind, start) if page else None
        for kind, start, page in zip(points["kind"], points["window_start"], loud, strict=True)
    ]
    return points.assign(came=pd.Series(told, index=points.index, dtype=object))


def say_pages(points: pd.DataFrame, *, watched_since: Any) -> None:
    """In a sentence how many windows would page and how many did; nothing where none is beyond such a limit.

    `points` come from `with_pages`.
    """
    loud = points[points["came"].notna()]
    if loud.empty:
        return
    order = {PAGED: 0, PASSED: 1, BEFORE: 2}
    best = loud.assign(place=loud["came"].map(order)).groupby("window_start")["place"].min()
    paged, passed, before = (int((best == place).sum()) for place in (0, 1, 2))
    parts = [
        f"{count_of(len(best), 'window')} shown {'is' if len(best) == 1 else 'are'} beyond a limit that pages"
    ]
    parts.append(f"{paged or 'none'} of them paged")
    if before:
        parts.append(
            f"{before} ended before the model was watched (since {format_when(watched_since, viewer_zone())}), were "
            f"computed from history and opened no incident: they would have paged"
        )
    if passed:
        parts.append(f"for {passed} no page went out, as a newer window spoke when they were judged")
    st.caption(plain("; ".join(parts) + "."))


def _oldest(alert: Mapping[str, Any]) -> Any:
    """The start of the oldest window that an alert tells of; it may have begun by a shorter one."""
    told = alert["details"].get("window")
    return min(alert["since"], clock.from_iso(told)) if told else alert["since"]


def _newest(alert: Mapping[str, Any]) -> Any:
    """The start of the newest window that an alert tells of."""
    told = alert["details"].get("window")
    return max(alert["since"], clock.from_iso(told)) if told else alert["since"]
