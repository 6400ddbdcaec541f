"""The parts of the drift page: what one window says, the order of its columns, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components.links import viewer_zone
from app.components.status import empty_state, headline
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import UNKNOWN, format_age, format_count, format_metric, format_share, format_when
from app.plain_text import plain
from app.words import (
    WINDOW_WORDS,
    count_of,
    effect_words,
    is_beyond_chance,
    level_of,
    metric_word,
    result_words,
    statistic_word,
    verdict_words,
)
from backend.monitoring.distributions import Compared, Side
from backend.monitoring.excess import measure_excess
from backend.monitoring.limit_grounds import LimitGrounds
from backend.monitoring.statistics import VALUED

CELL = ["window_start", "column", "value", "threshold", "verdict", "first_value", "first_computed_at"]
DRAWN_COLUMNS = 40
WORST = "worst"
"""In the place of a statistic: of each column the one that went furthest over its limit."""
NEVER_PAGES = "Drift alone never pages: it says that rows look different, not that predictions are worse."


def shown_word(statistic: str) -> str:
    """What the cells show."""
    return "furthest over its limit" if statistic == WORST else statistic_word(statistic)


def window_words(window: Mapping[str, Any]) -> str:
    """A window as an option: when it began and how many rows it has, or why it has none."""
    state = WINDOW_WORDS.get(window["state"], window["state"])
    rows = f"{format_count(window['rows'])} rows" if window["rows"] else state
    running = ", not over yet" if window["state"] == "open" and window["rows"] else ""
    if window["state"] == "complete" and pd.isna(window["computed_at"]):
        running = ", not computed yet"
    return f"{format_when(window['start'], viewer_zone())}: {rows}{running}"


def against_words(pair: Compared) -> str:
    """What the window stands beside; another window by when it began, in the viewer's zone."""
    return pair.against if pair.than is None else f"window from {format_when(pair.than, viewer_zone())}"


def not_computed(window: Mapping[str, Any]) -> str:
    """The headline of a window that has no result."""
    words = {
        "open": "This window is still filling",
        "no_traffic": "No rows came in this window",
        "no_traffic_expected": "No traffic was expected in this window",
    }
    return words.get(window["state"], "This window is not computed yet")


def window_facts(window: Mapping[str, Any], points: pd.DataFrame) -> str:
    """The small print under a headline: rows, labels, reference, age, and what could not be judged."""
    unclear = int((~points["verdict"].isin(["ok", "alarm"])).sum())
    facts = [
        f"window from {format_when(window['start'], viewer_zone())}",
        f"{format_count(window['rows'])} rows, labels {format_share(window['completeness'])}",
        f"against the reference of v{int(window['version'])}" if pd.notna(window["version"]) else "",
        f"computed {format_age(window['computed_at'].to_pydatetime())} ago"
        if pd.notna(window["computed_at"])
        else "",
        f"{unclear} of {len(points)} results inconclusive" if unclear else "",
        f"{format_count(window['injected_rows'])} rows of an injected fault"
        if window["injected_rows"]
        else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def say_window(
    window: Mapping[str, Any], points: pd.DataFrame, *, metric: str, segment: str = "",
    say: Callable[..., None] = headline,
) -> None:  # fmt: skip
    """The headline: which columns drifted in this window (`points`), and what the worst is estimated to do."""
    alarms, detail = points[points["verdict"] == "alarm"], window_facts(window, points)
    if segment:
        detail = f"segment {segment}, {format_count(points['rows'].max())} rows · {detail}"
    columns = [one for one in by_effect(points) if one in set(alarms["column"])]
    judged = int(points["verdict"].isin(["ok", "alarm"]).sum())
    watched = points["column"].nunique()
    known = set(points.loc[points["verdict"].isin(["ok", "alarm"]), "column"])
    blind = [one for one in points["column"].unique() if one not in known]
    cannot = f"; {_named(blind)} cannot be judged" if blind else ""
    if points.empty:
        of = f"No drift of {segment} is stored for this window" if segment else not_computed(window)
        say(of, "unknown", detail=detail)
    elif window["state"] == "open" and columns:
        verb = "differs" if len(columns) == 1 else "differ"
        differ = f"{count_of(len(columns), 'column')} {verb}"
        say(f"So far, not over yet: {differ} ({_named(columns)})", "unknown", detail=detail)
    elif window["state"] == "open":
        say("So far, not over yet: no column is beyond its limit", "unknown", detail=detail)
    elif columns:
        say(
            f"{len(columns)} of {count_of(watched, 'column')} drifted: {_named(columns)}"
            f"{_worst_effect(alarms, metric)}{cannot}",
            "attention",
            detail=detail,
        )
    elif not judged:
        say("Drift could not be judged in this window", "unknown", detail=detail)
    elif 2 * judged < len(points):
        told = f"Only {judged} of {len(points)} results could be judged; they are within their limits"
        say(told, "unknown", detail=detail)
    elif blind:
        of = f"None of the {watched - len(blind)} columns that can be judged drifted beyond its limit"
        say(f"{of}{cannot}", "ok" if 2 * len(blind) < watched else "unknown", detail=detail)
    else:
        say(f"No column drifted beyond its limit ({judged} results)", "ok", detail=detail)


def _worst_effect(alarms: pd.DataFrame, metric: str) -> str:
    known = alarms[alarms["effect"].notna()]
    if known.empty:
        return "; what that does to performance is not known"
    worst = known.loc[known["effect"].idxmax()]
    if worst["effect"] <= 0 or not is_beyond_chance(worst["effect"], worst["effect_se"]):
        return f"; none is estimated to make {metric_word(metric)} worse by more than chance"
    words = effect_words(worst["effect"], worst["effect_se"], metric)
    return f"; {worst['column']} matters most, an estimated {words}"


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


def by_effect(points: pd.DataFrame) -> list[str]:
    """The columns of one window's points: first those whose drift is estimated to make the model worse by more than
    chance, worst first; then pages, alarms, and how far over the limit. Where no effect is known that order is all."""
    mine = points[points["column"] != ""]
    if mine.empty:
        return []
    alarm = mine["verdict"] == "alarm"
    beyond = [
        is_beyond_chance(effect, error)
        for effect, error in zip(mine["effect"], mine["effect_se"], strict=True)
    ]
    judged = mine["verdict"].isin(["ok", "alarm"])
    placed = mine.assign(
        harm=mine["effect"].where(pd.Series(beyond, index=mine.index) & alarm, 0.0).clip(lower=0.0),
        rank=alarm.astype(int) + (alarm & (mine["level"] == "page")),
        over=measure_excess(mine).where(judged),
    )
    worst = placed.groupby("column")[["harm", "rank", "over"]].max()
    return [str(one) for one in worst.sort_values(["harm", "rank", "over"], ascending=False).index]


def heat_cells(
    points: pd.DataFrame, windows: pd.DataFrame, columns: Sequence[str], *, min_rows: int = 0
) -> pd.DataFrame:  # fmt: skip
    """`CELL` rows, the word of each cell's statistic, and the `kind` of points that say it. An alarm carries its level
    as verdict, also so far in a window that fills and has enough rows to alert by; anything else in a window that is
    not over carries why it is not known (`still` where a window is not over), and so does a window without results.
    """
    windows = windows.assign(state=why_unknown(windows, min_rows))
    still = windows.loc[windows["state"].isin(["open", "filling"])].set_index("start")["state"]
    kept = [*CELL, "statistic", *(name for name in ("kind", "reason") if name in points)]
    cells = points.assign(
        verdict=points["level"].where(points["verdict"] == "alarm", points["verdict"]).fillna("alarm"),
        statistic=points["statistic"].map(statistic_word),
    )[kept]
    if "revised" in points:
        cells["verdict"] = cells["verdict"].mask(points["revised"], "revised")
    why = cells["window_start"].map(still)
    alarms = (points["verdict"] == "alarm") & (why == "filling") & (cells["verdict"] != "revised")
    cells["verdict"] = why.mask(alarms).fillna(cells["verdict"])
    cells["still"] = why.notna()
    empty = windows.loc[~windows["start"].isin(points["window_start"]), ["start", "state"]]
    blanks = [
        {"window_start": start, "column": column, "verdict": state}
        for start, state in empty.itertuples(index=False)
        for column in columns[:DRAWN_COLUMNS]
    ]
    if not blanks:
        return cells
    nothing = dict.fromkeys(("value", "threshold", "first_value"), float("nan"))
    frame = pd.DataFrame(blanks).assign(
        **nothing, first_computed_at=pd.NaT, statistic=None, kind=None, reason=None, still=False
    )
    return pd.concat([cells, frame[[*kept, "still"]]], ignore_index=True) if len(cells) else frame


def why_unknown(windows: pd.DataFrame, min_rows: int) -> pd.Series[str]:
    """The state of each window as the reason why it has no verdict: one that is not over is `filling` once it has
    enough rows, one that is over and waits for the job is `not_computed`."""
    waits = (windows["state"] == "complete") & windows["computed_at"].isna()
    fills = (windows["state"] == "open") & (windows["rows"] >= min_rows)
    return windows["state"].mask(waits, "not_computed").mask(fills, "filling")


def as_ratio(points: pd.DataFrame) -> pd.DataFrame:
    """Points of several statistics on one scale: how many times their limit they reach."""
    limit = points["threshold"].where(points["threshold"] > 0)
    first = measure_excess(points, "first_value")
    return points.assign(value=measure_excess(points), first_value=first, threshold=limit / limit)


def show_drifted(points: pd.DataFrame, *, model: str, window: str, size: str | None, metric: str) -> None:
    """The columns beyond a limit, worst effect first: what they weigh, do and show, and where to look next."""
    alarms = points[(points["verdict"] == "alarm") & (points["column"] != "")]
    rows: list[Sequence[Cell]] = []
    for column in [one for one in by_effect(points) if one in set(alarms["column"])]:
        mine = alarms[alarms["column"] == column]
        worst = mine.loc[measure_excess(mine).fillna(0).idxmax()]
        rest = len(mine) - 1
        query = {"model": model, "size": size, "window": window, "column": column}
        effect = effect_words(worst["effect"], worst["effect_se"], metric)
        beyond = is_beyond_chance(worst["effect"], worst["effect_se"])
        rows.append(
            [
                anchor(column, "drift", **query),
                lines(effect, None if beyond or effect == "not known" else small("within chance")),
                format_share(worst["importance"]),
                lines(statistic_word(worst["statistic"]), small(f"and {rest} more") if rest else None),
                format_metric(worst["value"], of=worst["statistic"]),
                format_metric(worst["threshold"], of=worst["statistic"]),
                format_count(worst["rows"]),
                lines(
                    anchor("quality", "quality", **query),
                    anchor("performance", "performance", model=model, size=size, window=window),
                ),
            ]
        )
    if not rows:
        empty_state(
            "No column is beyond its limit in this window", "Nothing to do; any cell above opens its column."
        )
        return
    columns = ("column", "estimated effect", "importance", "statistic", "value", "limit", "rows", "see also")
    table(columns, rows, caption="columns that drifted")


UNITS = {
    "mean_shift": "in standard deviations of the reference; in both, values beyond its range are pulled in to its ends",
    "wasserstein": "in standard deviations of the reference",
}
"""What the values of statistics are measured in, where that does not follow from the figures beside them."""


def show_results(points: pd.DataFrame, grounds: LimitGrounds) -> None:
    """Every result of a column in one window, and what its limit rests on."""
    rows = [
        [
            lines(statistic_word(one["statistic"]), small(UNITS.get(one["statistic"], "")) or None),
            format_metric(one["value"], of=one["statistic"]),
            format_metric(one["threshold"], of=one["statistic"]),
            badge(verdict_words(one), level_of(one)),
            format_count(one["rows"]),
            format_count(one["rows_reference"]),
            one["reason"] or _limit_from(one, grounds),
        ]
        for one in points.to_dict("records")
    ]
    columns = ("statistic", "value", "limit", "verdict", "rows", "reference rows", "because")
    table(columns, rows, caption="results of this column")
    st.caption(
        f"A limit is as certain as the budget of {grounds.pages_per_quarter:g} false pages a quarter asks, by what "
        "chance gives for these numbers of rows; what quiet windows of the reference show is usual, and so is what "
        "would not matter in practice."
    )


def _limit_from(point: Mapping[str, Any], grounds: LimitGrounds) -> str:
    """`limit from 62 quiet windows of the reference`, which is what says why one is higher than another."""
    known = grounds.quiet.get((str(point["column"]), str(point["statistic"])))
    if pd.isna(point["threshold"]):
        return ""
    if not known:
        return "limit from chance alone: the reference has no windows of its own"
    return f"limit from chance and {count_of(known, 'quiet window')} of the reference"


def say_joint(points: pd.DataFrame) -> None:
    """What looking at all columns together gave in one window; nothing where it was not computed."""
    joint = points[points["column"] == ""].to_dict("records")
    if not joint:
        return
    beyond = sum(one["verdict"] == "alarm" for one in joint)
    told = (
        f"{beyond} of {count_of(len(joint), 'result')} beyond the limit"
        if beyond
        else "nothing beyond a limit"
    )
    with st.expander(f"All columns taken together: {plain(told)}"):
        for one in joint:
            st.caption(
                f"All columns together, {statistic_word(one['statistic'])}: {plain(result_words(one))}."
            )


def show_sides(found: Compared) -> None:
    """Both sides in figures, then what the drift statistics give for this very pair."""
    rows = [
        [name, _told(found.reference, pick), _told(found.current, pick)]
        for name, pick in _FACTS.items()
        if _told(found.current, pick) != UNKNOWN or _told(found.reference, pick) != UNKNOWN
    ]
    table(("", against_words(found), "this window"), rows, caption="both sides in figures", cards=False)
    values = ", ".join(
        f"{statistic_word(name)} {format_metric(value, of=name)}{f' ({UNITS[name]})' if name in UNITS else ''}"
        for name, value in found.statistics.items()
    )
    if values:
        st.caption(
            f"This pair gives {plain(values)}. Limits belong to the reference that the model is judged against."
        )


def _told(side: Side | None, pick: Any) -> str:
    return UNKNOWN if side is None else str(pick(side))


def _of_valued(share: float | None, side: Side) -> str:
    """`64.9 % of 984 rows with a value`."""
    return f"{format_share(share)} of {format_count(side.valued)} {VALUED}" if share else format_share(share)


def _extreme(value: float | str | None) -> str:
    return UNKNOWN if isinstance(value, str) else format_metric(value)


def quantile_words(side: Side, level: float) -> str:
    """A quantile; where it lies outside the grid all that is known is on which side: `above 272`."""
    value, beyond = format_metric(side.quantiles.get(level)), side.beyond.get(level)
    return f"{beyond} {value}" if beyond else value


_FACTS: Mapping[str, Any] = {
    "rows": lambda one: format_count(one.rows),
    "missing": lambda one: format_share(one.missing),
    "unseen": lambda one: _of_valued(one.unseen, one),
    "out of range": lambda one: _of_valued(one.outside, one),
    "mean": lambda one: format_metric(one.mean),
    "standard deviation": lambda one: format_metric(one.std),
    "5th percentile": lambda one: quantile_words(one, 0.05),
    "25th": lambda one: quantile_words(one, 0.25),
    "median": lambda one: quantile_words(one, 0.5),
    "75th": lambda one: quantile_words(one, 0.75),
    "95th": lambda one: quantile_words(one, 0.95),
    "smallest": lambda one: _extreme(one.low),
    "largest": lambda one: _extreme(one.high),
}
