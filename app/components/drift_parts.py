"""The parts of the drift page: what one window says, and the table its heat map is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app.components.links import viewer_zone
from app.components.status import headline
from app.formats import format_age, format_count, format_share, format_when
from app.words import WINDOW_WORDS, count_of

CELL = ["window_start", "column", "value", "threshold", "verdict"]
DRAWN_COLUMNS = 40


def window_words(window: Mapping[str, Any]) -> str:
    """A window as an option: when it began and how many rows it has, or why it has none."""
    state = WINDOW_WORDS.get(window["state"], window["state"])
    rows = f"{format_count(window['rows'])} rows" if window["rows"] else state
    running = ", not over yet" if window["state"] == "open" and window["rows"] else ""
    return f"{format_when(window['start'], viewer_zone())}: {rows}{running}"


def say_window(window: Mapping[str, Any], points: pd.DataFrame) -> None:
    """The headline: which columns moved, by all results of this window (`points`), against which reference."""
    alarms = points[points["verdict"] == "alarm"]
    unclear = int((~points["verdict"].isin(["ok", "alarm"])).sum())
    facts = [
        f"window from {format_when(window['start'], viewer_zone())}",
        f"{format_count(window['rows'])} rows, labels {format_share(window['completeness'])}",
        f"against the reference of v{window['version']:.0f}" if pd.notna(window["version"]) else "",
        f"computed {format_age(window['computed_at'].to_pydatetime())} ago"
        if pd.notna(window["computed_at"])
        else "",
        f"{unclear} of {len(points)} results inconclusive" if unclear else "",
        f"{format_count(window['injected_rows'])} rows of an injected fault"
        if window["injected_rows"]
        else "",
    ]
    detail = " · ".join(fact for fact in facts if fact)
    columns = list(dict.fromkeys(alarms["column"]))
    if points.empty:
        headline("This window has not been computed", "unknown", detail=detail)
    elif columns and window["state"] == "open":
        verb = "differs" if len(columns) == 1 else "differ"
        differ = f"{count_of(len(columns), 'column')} {verb}"
        headline(f"So far, not over yet: {differ} ({_named(columns)})", "unknown", detail=detail)
    elif window["state"] == "open":
        headline("So far, not over yet: no column is beyond its limit", "unknown", detail=detail)
    elif columns:
        level = "page" if (alarms["level"] == "page").any() else "attention"
        headline(f"{count_of(len(columns), 'column')} moved: {_named(columns)}", level, detail=detail)
    elif unclear == len(points):
        headline("Nothing could be judged in this window", "unknown", detail=detail)
    else:
        headline(f"No column moved beyond its limit ({len(points) - unclear} results)", "ok", detail=detail)


def _named(columns: Sequence[str]) -> str:
    return ", ".join(columns[:3]) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")


def first_shown(windows: pd.DataFrame, enough: int) -> pd.Timestamp:
    """The start of the window a reader wants first: the newest that is over and has `enough` rows to be judged, else
    the newest that is over and has any, else the newest with any. `windows` are in order of time, some with rows."""
    filled = windows[windows["rows"] > 0]
    over = filled[filled["state"] != "open"]
    for found in (over[over["rows"] >= enough], over, filled):
        if len(found):
            return found["start"].iloc[-1]
    raise ValueError("no window has rows")


def worst_first(shown: pd.DataFrame, points: pd.DataFrame, start: Any) -> list[str]:
    """The columns of `shown` (one statistic, every window), worst in the window from `start` first: those with a page
    and then those with an alarm by any statistic of that window (`points`), each by how far over the limit."""
    alarm, judged = points["verdict"] == "alarm", shown["verdict"].isin(["ok", "alarm"])
    rank = (alarm.astype(int) + (alarm & (points["level"] == "page"))).groupby(points["column"]).max()
    placed = shown.assign(
        rank=shown["column"].map(rank).fillna(0),
        here=shown["window_start"] == start,
        over=(shown["value"] / shown["threshold"].where(shown["threshold"] > 0)).where(judged),
    )
    return list(dict.fromkeys(placed.sort_values(["rank", "here", "over"], ascending=False)["column"]))


def heat_cells(points: pd.DataFrame, windows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """`CELL` rows of one statistic. An alarm carries its level as verdict; a window without results is there with
    its state as verdict, so that it is drawn as such and not left out.
    """
    cells = points.assign(verdict=points["level"].where(points["verdict"] == "alarm", points["verdict"]))[
        CELL
    ]
    cells["verdict"] = cells["verdict"].fillna("alarm")
    empty = windows.loc[~windows["start"].isin(points["window_start"]), ["start", "state"]]
    blanks = [
        {"window_start": start, "column": column, "verdict": state}
        for start, state in empty.itertuples(index=False)
        for column in columns[:DRAWN_COLUMNS]
    ]
    if not blanks:
        return cells
    frame = pd.DataFrame(blanks).assign(value=float("nan"), threshold=float("nan"))
    return pd.concat([cells, frame[CELL]], ignore_index=True) if len(cells) else frame[CELL]
