"""The parts of the performance page: the sentence on top, the table of metrics, the estimator's record, segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from markupsafe import Markup

from app import data
from app.charts.earlier import Earlier
from app.charts.performance import SILENT
from app.components.charts import draw
from app.components.history import happened_to
from app.components.links import viewer_zone
from app.components.performance_points import NO_LIMIT, beyond_of, held_out, records
from app.components.seen import FIRST_SEEN, SEEN, as_first_seen
from app.components.status import headline
from app.components.tables import Cell, badge, lines, small, table
from app.components.watching import ONE, Watched
from app.data.figures import performance_figure, volume_figure
from app.formats import (
    UNKNOWN,
    format_age,
    format_count,
    format_metric,
    format_share,
    format_when,
)
from app.plain_text import plain
from app.ranges import span_words
from app.theme import STATES
from app.words import level_of, metric_change, metric_text, metric_word
from backend.monitoring.health import ModelHealth
from backend.monitoring.labels_now import Beyond
from backend.monitoring.performance import lies_beyond
from backend.monitoring.tables import JUDGED
from backend.monitoring.track_service import TrackSummary

NAMED = 3
"""So many metrics are named beside the one that is looked at."""
SAME = 0.0005
"""Two values of a metric that differ by less read the same."""
ALL_LABELS = 0.95
"""From this share of labels on no more are awaited."""
TOGETHER = (
    "labels and estimates of these windows came together, so nothing can be checked; the record starts with windows "
    "that are estimated before their labels come"
)


def beyond_words(metrics: Sequence[Beyond]) -> str:
    """`recall 0.018 (limit 0.355), F1 0.034 (limit 0.336) and 1 more beyond their limits`; empty without any."""
    if not metrics:
        return ""
    told = [
        f"{metric_word(one.metric)} {format_metric(one.value)} (limit {format_metric(one.threshold)})"
        for one in metrics
    ]
    rest = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return f"{', '.join(told[:NAMED])}{rest} beyond {'its limit' if len(told) == 1 else 'their limits'}"


def labels_words(health: ModelHealth) -> list[str]:
    """What labels say besides the primary metric's last judged value: its window's other metrics beyond their limits,
    then a newer window that is not judged yet."""
    words = []
    if health.heard.settled:
        words.append(f"also {beyond_words(health.heard.settled)}")
    so_far = health.heard.so_far
    if so_far is not None:
        day = format_when(so_far.window_start, viewer_zone()).split(",")[0]
        came = f"{format_count(so_far.labels)} of {format_count(so_far.rows)} labels"
        rest = tuple(one for one in so_far.beyond if one.metric != health.metric)
        mine = len(rest) < len(so_far.beyond)
        value = (
            f"{metric_word(health.metric)} {format_metric(so_far.value, health.unit)}"
            f"{', beyond its limit' if mine else ''}"
        )
        also = beyond_words(rest)
        words.append(
            f"{day} so far, {came}, not judged yet: {value if so_far.value is not None else 'no value'}"
            f"{f'; {also}' if also else ''}"
        )
    return words


def say_performance(
    realised: pd.DataFrame, estimated: pd.DataFrame, *, metric: str, reference: float | None,
    say: Callable[..., None] = headline, every: pd.DataFrame | None = None,
    unchecked: bool = False,
) -> None:  # fmt: skip
    """The headline: the newest judged realised value, what is estimated since, and what the first labels of the
    windows since say; unknown is said to be unknown.

    Both have the points' columns, and `labels` and `window_rows`: how many labels of how many rows are known. `every`
    are the points of all metrics; those beyond their limits beside `metric` are named, and not passed over as fine.
    `unchecked`: the labels are old and no estimate has been held against any, so that none is good news.
    """
    word = metric_word(metric)
    judged, guess = (
        realised[realised["verdict"].isin(JUDGED)],
        estimated[estimated["verdict"].isin(JUDGED)],
    )
    against = (
        f" against {format_metric(reference, of=metric)} in the reference" if reference is not None else ""
    )
    last = judged.iloc[-1] if len(judged) else None
    fresh = realised[realised["value"].notna() & ~realised["verdict"].isin(JUDGED)]
    if last is not None:
        guess, fresh = (one[one["window_start"] > last["window_start"]] for one in (guess, fresh))
    others = every if every is not None else realised.head(0)
    hint, doubt = _say_preliminary(fresh, estimated, others)
    if last is None and guess.empty:
        why = _why_untold(realised, estimated)
        say(f"{word} cannot be told yet", "unknown", detail=" · ".join(part for part in (hint, why) if part))
        return
    if last is None:
        newest = guess.iloc[-1]
        state = "attention" if newest["verdict"] == "alarm" else "unknown"
        so_far = f"; not known yet: labels so far {doubt}" if doubt else "" if hint else _say_labels(newest)
        of = f"window from {format_when(newest['window_start'], viewer_zone())}, {format_count(newest['rows'])} rows"
        say(
            f"{word} {metric_text(metric, newest['value'])} by estimate{against}{so_far}",
            state,
            detail=" · ".join(part for part in (hint, of) if part),
        )
        return
    change = f" ({metric_change(metric, reference, last['value'])})" if reference is not None else ""
    since, level = "", level_of(last)
    if len(guess):
        newest = guess.iloc[-1]
        fell = newest["verdict"] == "alarm"
        since = f"; {format_metric(newest['value'])} by estimate since, {'beyond' if fell else 'within'} its limit"
        level = "attention" if fell and level == "ok" else level
        if unchecked and not fell and level == "ok":
            since, level = f"{since}, which no label has checked", "unknown"
    also = beyond_of(others[others["window_start"] == last["window_start"]], metric)
    if also:
        since = f"; {beyond_words(also)}{since}"
        level = "attention" if level in ("ok", "unknown") else level
    if doubt and level == "ok":
        since, level = f"; not known since: labels so far {doubt}", "unknown"
    facts = (
        hint,
        f"latest judged window from {format_when(last['window_start'], viewer_zone())}",
        f"limit {format_metric(last['threshold'])}",
        f"{format_count(last['rows'])} labelled rows, {format_share(last['completeness'])} of labels",
        f"computed {format_age(last['computed_at'].to_pydatetime())} ago",
    )
    say(
        f"{word} {metric_text(metric, last['value'])}{against}{change}{since}",
        level,
        detail=" · ".join(fact for fact in facts if fact),
    )


def _say_preliminary(fresh: pd.DataFrame, estimated: pd.DataFrame, others: pd.DataFrame) -> tuple[str, str]:
    """What the labels that have come for windows not yet judged say, and how that speaks against them."""
    if fresh.empty:
        return "", ""
    guesses = {row["window_start"]: row for row in records(estimated)}
    told = []
    for row in records(fresh):
        also = beyond_of(others[others["window_start"] == row["window_start"]], row["statistic"])
        against = (_speaks_against(row, guesses.get(row["window_start"])), beyond_words(also))
        told.append((row, "; ".join(part for part in against if part)))
    point, doubt = next((one for one in reversed(told) if one[1]), told[-1])
    so_far = (
        f"{_count_labels(point)} say {format_metric(point['value'])}{_between(point)}, {_early_word(point)}"
    )
    begun = format_when(point["window_start"], viewer_zone())
    return f"{so_far}{f' and {doubt}: not known yet' if doubt else ''} (window from {begun})", doubt


def _speaks_against(came: Mapping[str, Any], guess: Mapping[str, Any] | None) -> str:
    """How a preliminary realised value lies beyond the limit or outside what was estimated; empty: it does not."""
    if guess is not None and guess["verdict"] == "inconclusive":
        guess = None  # not to be trusted, so nothing contradicts it
    limits = [one["threshold"] for one in (came, guess) if one is not None and pd.notna(one["threshold"])]
    if limits and lies_beyond(came["statistic"], came["value"], limits[0]):
        return f"beyond the limit {format_metric(limits[0])}"
    if guess is None or pd.isna(guess["value"]) or pd.isna(came["low"]):
        return ""
    inside = came["low"] <= guess["value"] <= came["high"]
    return "" if inside else f"contradict the estimate {format_metric(guess['value'])}"


def _say_labels(point: Mapping[str, Any]) -> str:
    if not point["labels"] or pd.isna(point["labels"]):
        return "; no label has come to confirm it"
    return f"; {_count_labels(point)} have come, too few for a figure"


def _count_labels(point: Mapping[str, Any]) -> str:
    return f"{format_count(point['labels'])} of {format_count(point['window_rows'])} labels"


def _early_word(point: Mapping[str, Any]) -> str:
    """What a realised value is called that was not judged."""
    whole = pd.notna(point["completeness"]) and point["completeness"] >= ALL_LABELS
    return "too few to judge" if whole else "preliminary"


def _between(point: Mapping[str, Any]) -> str:
    if pd.isna(point["low"]) or pd.isna(point["high"]):
        return ""
    return f" ({format_metric(point['low'])} to {format_metric(point['high'])})"


def _why_untold(realised: pd.DataFrame, estimated: pd.DataFrame) -> str:
    limits = any((one["reason"] == NO_LIMIT).any() for one in (realised, estimated))
    return f"cannot be judged: {NO_LIMIT}" if limits else "too few rows or labels in every window"


def earlier_of(watched: Watched, kinds: tuple[str, ...], metric: str) -> Earlier | None:
    """The metric in the range that is compared with: from labels, or without any by estimate. None: nothing is
    compared, or nothing was stored then, which is said."""
    span, words = watched.shown.compare, watched.shown.compared
    if span is None:
        return None
    of = {"statistic": metric, "since": span.since, "until": span.until - ONE}
    points = data.points(watched.scope, watched.name, watched.size, kinds, **of)
    for kind in kinds:
        mine = points[(points["kind"] == kind) & points["value"].notna()]
        if len(mine):
            how = "" if kind == "realised" else ", by estimate"
            return Earlier(
                mine[["window_start", "value"]], watched.shown.span.since - span.since, words + how
            )
    st.caption(
        plain(
            f"Nothing to compare with: {metric_word(metric)} is not known of {span_words(span, viewer_zone())}."
        )
    )
    return None


def draw_performance(
    watched: Watched,
    realised: pd.DataFrame,
    estimated: pd.DataFrame,
    *,
    metric: str,
    reference: float | None,
    first_seen: bool,
    earlier: Earlier | None = None,
) -> None:
    """The metric (its word) over the windows shown, and below it how many rows and labels stand behind each."""
    windows, drawn = watched.windows, (realised, estimated)
    # A window without a figure is a gap in the line, not left out of it.
    starts = windows[["start"]].rename(columns={"start": "window_start"})
    happened = happened_to(data.marks(watched.scope, watched.name), watched.model, windows)
    figure = performance_figure(
        *(starts.merge(as_first_seen(one) if first_seen else one, how="left") for one in drawn),
        reference=reference,
        metric=metric,
        deployments=happened.deployments,
        marks=happened.marks,
        tz=viewer_zone(),
        first_seen=first_seen,
        ends=watched.ends,
        earlier=earlier,
    )
    states = windows["state"].map({"no_traffic_expected": "expected none", "no_traffic": "missing"})
    volume = windows.rename(columns={"start": "window_start"})[["window_start", "rows", "completeness"]]
    below = volume_figure(volume.assign(state=states), tz=viewer_zone(), happened=happened, ends=watched.ends)
    with st.container(key="wide-latest"):
        told = SEEN["first" if first_seen else "now"]
        draw(figure, f"{metric} over time, realised and estimated, {told}", key="performance", rows=False)
        draw(below, "rows and labels of each window", key="volume")
    if first_seen:
        st.caption(FIRST_SEEN)


def say_references(
    reference: float | None, model: Mapping[str, Any], windows: pd.DataFrame, metric: str
) -> None:
    """Why the reference of this page is another number than the held-out one on the model's page; nothing where they
    are the same."""
    versions = windows["version"].dropna()
    version = next(
        (v for v in model["versions"] if len(versions) and v["version"] == versions.iloc[-1]), None
    )
    pooled = held_out(version, metric)
    if version is None or reference is None or pooled is None or abs(reference - pooled) < SAME:
        return
    st.caption(
        f"{metric_word(metric)} of the reference of v{version['version']} is {format_metric(reference)} in its own "
        f"windows of this size, which is what windows are held against, and {format_metric(pooled)} over all its rows "
        "at once, as the model's page says; other sizes of windows have other values for the same reason."
    )


def say_record(found: TrackSummary, *, primary: bool, together: bool = False) -> None:
    """How far estimates can be believed: their record, and for the primary metric whether they may page alone.

    together  labels and estimates of the windows shown came at once, which is why there is no record
    """
    word, record = metric_word(found.metric), found.record
    if record is None:
        why = TOGETHER if together else "its record begins when they come"
        st.caption(f"No estimate of {plain(word)} has been checked by labels yet: {plain(why)}.")
        return
    alone = f" It may not page alone: {found.sentence}." if primary and not found.may_page else ""
    st.caption(
        f"Estimates of {plain(word)} were {plain(record.sentence)} ({record.points} windows).{plain(alone)}"
    )


def show_metrics(points: pd.DataFrame) -> None:
    """Every metric of one window: what labels say and what was estimated, each with its interval."""
    rows: list[Sequence[Cell]] = []
    found = {(one["statistic"], one["kind"]): one for one in reversed(records(points))}
    names = [*dict.fromkeys(points["statistic"])]
    for name in sorted(names, key=lambda one: (one != "roc_auc", one)):
        came, guess = (found.get((name, kind)) for kind in ("realised", "estimated"))
        told = came if came is not None and pd.notna(came["value"]) else guess
        told = told if told is not None else came
        rows.append(
            [
                metric_word(name),
                with_interval(came),
                with_interval(guess),
                format_metric(told["reference_value"]) if told is not None else UNKNOWN,
                format_metric(told["threshold"]) if told is not None else UNKNOWN,
                verdict_cell(came, guess),
                format_count(came["rows"] if came is not None and pd.notna(came["value"]) else None),
            ]
        )
    columns = ("metric", "from labels", "by estimate", "reference", "limit", "verdict", "labelled rows")
    table(columns, rows, caption="metrics of this window")


def with_interval(point: Mapping[str, Any] | None, *, why: bool = True) -> Cell:
    """A value above its interval; `why`: where there is none, the reason."""
    if point is None:
        return None
    if pd.isna(point["value"]):
        return small(point["reason"] or "no value") if why else None
    between = f"{format_metric(point['low'])} to {format_metric(point['high'])}" if _between(point) else None
    early = point["kind"] == "realised" and point["verdict"] not in JUDGED
    return lines(
        format_metric(point["value"], of=point["statistic"]),
        small(between) if between else None,
        small(_early_word(point)) if early else None,
    )


def verdict_cell(came: Mapping[str, Any] | None, guess: Mapping[str, Any] | None) -> Cell:
    """What a realised and an estimated figure give together; labels that speak against an estimate leave it open."""
    if came is not None and came["verdict"] in JUDGED:
        return verdict_badge(came)
    if guess is not None and guess["verdict"] == "alarm":
        return verdict_badge(guess, " by estimate")
    if came is not None and pd.notna(came["value"]):
        doubt = _speaks_against(came, guess)
        if doubt:
            return lines(badge("not known yet", "unknown"), small(f"labels so far {doubt}"))
    if guess is not None and guess["verdict"] == "ok":
        return verdict_badge(guess, " by estimate")
    told = next((one for one in (came, guess) if one is not None and one["reason"] == NO_LIMIT), None)
    return badge("not judged", "unknown") if told is None else _cannot(told)


def _cannot(point: Mapping[str, Any]) -> Cell:
    return lines(badge("not judged", "unknown"), small(f"cannot be judged: {point['reason']}"))


def verdict_badge(point: Mapping[str, Any], by: str = "") -> Markup:
    """A verdict as every table of performance shows it; `by` says where it comes from."""
    level = level_of(point)
    words = {"alarm": f"alarm, {STATES[level].word}", "ok": "ok", "no_data": "no data"}
    told = words.get(str(point["verdict"]), "not judged") + by
    return badge(f"{told}, nobody was paged" if point.get("came") in SILENT else told, level)
