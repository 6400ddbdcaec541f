"""What the monitoring pages begin with: which model, which windows, and the one window that is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import data
from app.components.alert_parts import alert_address, alert_window, firing_about, size_words
from app.components.drift_parts import first_shown, window_words
from app.components.links import href, viewer_zone
from app.components.pickers import pick, pick_model
from app.components.range_bar import Moved, Shown, asked_range, forget_range, pick_range, take_up
from app.components.status import banner, empty_state, headline
from app.formats import format_age, format_when
from app.plain_text import plain
from app.ranges import ABOUT_PERFORMANCE, PRESETS, Range, ending, length_words, widened
from app.words import ALERT_LEVELS, count_of
from backend import clock
from backend.monitoring.columns import MIN_ROWS, ModelSpec, parse_spec
from backend.monitoring.performance import PRIMARY

MOST = 750
"""So many windows are drawn at once: a month of hours."""
USUAL = {"1h": "2d", "1w": "3mo", "1mo": "3y"}
"""What a page shows of windows of a size where nobody chose a range; of all others `ABOUT_PERFORMANCE`."""
OLDEST = 2000
"""So many windows back one may be compared with another."""
NAMED_ALERTS = 3
ONE = timedelta(microseconds=1)
LOUDNESS = ("page", "attention", "unknown", "ok")
"""Levels of a headline, loudest first."""


@dataclass(frozen=True)
class Places:
    """What stands below the row of controls: what is to be known of these data, the headline, the range."""

    notice: DeltaGenerator
    heading: DeltaGenerator
    bar: DeltaGenerator


@dataclass(frozen=True)
class Watched:
    """One model and its windows of one size that begin in the range shown, oldest first.

    since    the start of the first of them, and `until` that of the last; None without any
    shown    the range, and `every` the latest windows whatever it is
    firing   alerts of the page's subject that fire now, in windows of any size, loudest first
    stale    how long ago the newest finished window ended, where that is more than two windows; else None
    """

    scope: data.Scope
    name: str
    model: Mapping[str, Any]
    spec: ModelSpec
    size: str
    windows: pd.DataFrame
    since: datetime | None
    until: datetime | None
    page: str
    places: Places
    shown: Shown
    every: pd.DataFrame
    firing: Sequence[Mapping[str, Any]] = ()
    stale: timedelta | None = None

    @property
    def metric(self) -> str:
        return PRIMARY[self.spec.task]

    @property
    def of(self) -> dict[str, datetime | None]:
        """Which points are read: those of the windows shown."""
        return {"since": self.since, "until": self.until}

    @property
    def of_file(self) -> dict[str, str]:
        """The same in the address of a file."""
        return {name: moment.isoformat() for name, moment in self.of.items() if moment is not None}

    @property
    def ends(self) -> tuple[datetime, datetime]:
        """From when to when figures show."""
        return self.shown.span.since, self.shown.span.until

    @property
    def skips_newest(self) -> bool:
        """Whether newer windows are stored than those shown."""
        return len(self.every) > 0 and bool(self.every["start"].max() >= self.shown.span.until)

    @property
    def min_rows(self) -> int:
        return _min_rows(self.model)


def begin_page() -> tuple[DeltaGenerator, Places]:
    """The row of controls on top, and what is filled below it once they are known."""
    above = st.container(horizontal=True, vertical_alignment="bottom")
    return above, Places(st.container(), st.container(), st.container())


def pick_watched(
    scope: data.Scope, kinds: Sequence[str] = (), *, page: str, places: Places, comparable: bool = False
) -> Watched | None:
    """Model and size of windows, side by side with what the page adds to the row; below the
    headline the range of time. None: there is no model.

    `kinds` are those of the alerts that concern the page.
    """
    name = pick_model(data.models(scope))
    if name is None:
        return None
    model = data.model(scope, name)
    spec = parse_spec(model["spec"])
    size = pick(
        "Windows", spec.sizes, key="size", words=size_words, width=170, label_visibility="collapsed"
    )  # fmt: skip
    size = size or spec.window
    take_up(page)
    every = data.windows(scope, name, size)
    usual = USUAL.get(size, ABOUT_PERFORMANCE)
    with places.bar:
        moved = _lies_elsewhere(scope, name, size, every, usual)
        shown = pick_range(usual, page=page, comparable=comparable, moved=moved)
        windows = _windows(scope, name, size, shown)
    since, until = (
        (windows["start"].iloc[place].to_pydatetime() for place in (0, -1)) if len(windows) else (None, None)
    )
    firing = firing_about(data.firing(scope, name), data.environment(), kinds)
    stale = staleness(every, _min_rows(model), clock.now())
    return Watched(
        scope, name, model, spec, size, windows, since, until, page, places, shown, every, firing, stale
    )


def _min_rows(model: Mapping[str, Any]) -> int:
    return int(model["spec"].get("min_rows") or MIN_ROWS)


def _lies_elsewhere(scope: data.Scope, name: str, size: str, every: pd.DataFrame, usual: str) -> Moved | None:
    """Where the range lies that the page shows of itself, if it does not end now: about the window that the address
    names, if it is in no range chosen, or up to the newest one, if that is older."""
    length, now, chosen = PRESETS[usual], clock.now(), asked_range()
    span = (chosen or Range(preset=usual)).about(now)
    wanted = pd.to_datetime(st.query_params.get("window", ""), utc=True, errors="coerce")
    if not pd.isna(wanted) and not span.holds(wanted) and _is_stored(scope, name, size, wanted):
        forget_range()
        about = Range(preset=usual).about(wanted.to_pydatetime(), up_to=now)
        return Moved(about, "The range is the one about the window that the address names.")
    if len(every) and every["start"].max() < ending(now, length).since:
        newest = ending(every["end"].max().to_pydatetime(), length)
        return Moved(
            newest, "Nothing is stored of the time up to now: the range ends with the newest window."
        )
    return None


def _is_stored(scope: data.Scope, name: str, size: str, start: pd.Timestamp) -> bool:
    moment = start.to_pydatetime()
    return len(data.windows(scope, name, size, limit=1, since=moment, before=moment + ONE)) > 0


def _windows(scope: data.Scope, name: str, size: str, shown: Shown) -> pd.DataFrame:
    """Those that begin in the range: the newest `MOST` of them, which is then said."""
    span = shown.span
    found = data.windows(scope, name, size, limit=MOST + 1, since=span.since, before=span.until)
    if len(found) <= MOST:
        return found
    found = found.tail(MOST)
    begun = format_when(found["start"].iloc[0].to_pydatetime(), viewer_zone())
    st.caption(
        plain(f"The range has more than {MOST} windows. Shown are the newest {MOST}, from {begun} on; choose a "
              "shorter range or longer windows.")
    )  # fmt: skip
    return found


def staleness(windows: pd.DataFrame, min_rows: int, now: datetime) -> timedelta | None:
    """How long ago the newest window that is over and has enough rows ended, where that is more than two windows;
    else None. Windows after it in which no traffic was expected do not make it older."""
    ended = windows[windows["state"] != "open"]
    judged = ended[ended["rows"] >= min_rows]
    if judged.empty:
        return None
    newest = judged.iloc[-1]
    until = newest["end"]
    for row in ended[ended["start"] > newest["start"]].itertuples():
        if row.state != "no_traffic_expected":
            break
        until = row.end
    if now - until <= 2 * (newest["end"] - newest["start"]):
        return None
    age: timedelta = now - newest["end"].to_pydatetime()
    return age


def say_headline(
    watched: Watched,
    sentence: str,
    level: str = "unknown",
    *,
    detail: str | None = None,
    of_now: bool = False,
) -> None:
    """The headline of a window together with what holds now: alerts that fire in windows of any size come first where
    they are louder than the window's own verdict, and an old window is never fine. `of_now`: the sentence itself
    is of now, whatever range is shown."""
    links = [_alert_link(watched, one) for one in watched.firing[:NAMED_ALERTS]]
    if len(watched.firing) > NAMED_ALERTS:
        rest = count_of(len(watched.firing) - NAMED_ALERTS, "more alert")
        links.append(("unknown", f"{rest}: see the model", href("model", model=watched.name)))
    detail = " · ".join(
        part for part in (detail, _range_words(watched, of_now=of_now), _zone_words(watched)) if part
    )
    if watched.skips_newest and not of_now:
        level = "unknown" if level == "ok" else level
    elif watched.stale is not None:
        old = f"The newest finished window is {format_age(watched.stale)} old"
        if level == "ok":
            sentence, level = f"{old}; in it: {sentence[:1].lower()}{sentence[1:]}", "unknown"
        else:
            detail = " · ".join(part for part in (old, detail) if part)
    if watched.firing:
        worst = watched.firing[0]
        loudest = ALERT_LEVELS[worst["level"]]
        if LOUDNESS.index(loudest) < LOUDNESS.index(level if level in LOUDNESS else "unknown"):
            detail = " · ".join(part for part in (f"The window below: {sentence}", detail) if part)
            also = f"; {count_of(len(watched.firing) - 1, 'more alert')}" if len(watched.firing) > 1 else ""
            sentence, level = f"Firing now: {worst['title']}{also}", loudest
            links[0] = _alert_link(watched, worst, named=False)
    with watched.places.heading:
        headline(sentence, level, detail=detail, links=links)


def _range_words(watched: Watched, *, of_now: bool) -> str:
    """Which range the page speaks of; of an earlier one, what does not come from it."""
    told = f"range shown: {watched.shown.words}"
    if not watched.skips_newest:
        return told
    return f"{told}, which ended; {'this sentence and alerts are' if of_now else 'alerts are'} of now"


def _zone_words(watched: Watched) -> str:
    """In which zone windows begin, where the viewer's clock shows another."""
    zone = watched.spec.timezone
    if watched.spec.window_rows is not None or zone == (viewer_zone() or "UTC"):
        return ""
    return f"windows begin by the clock of {zone}"


def _alert_link(
    watched: Watched, alert: Mapping[str, Any], *, named: bool = True
) -> tuple[str, str, str]:  # fmt: skip
    """A firing alert as a link to its window; without its title where the headline has it."""
    usual = watched.spec.window
    said = f"noticed {format_when(alert['fired_at'], viewer_zone())}"
    said = f"{alert['title']} · {alert['level']}, {said}" if named else f"Open it: {said}"
    return (
        ALERT_LEVELS[alert["level"]],
        f"{said} · {alert_window(alert, usual)}",
        alert_address(alert, usual),
    )


def say_notice(watched: Watched) -> None:
    if not watched.model["notice"]:
        return
    with watched.places.notice:
        banner(watched.model["notice"], "injected", word="about these data")


def stop_without_windows(watched: Watched, sentence: str, *, known: bool = True) -> None:
    """End the run where no window has rows, or nothing is `known` of them, and say what to do next."""
    if known and (watched.windows["rows"] > 0).any():
        return
    say_headline(watched, sentence, "unknown", detail=f"{watched.name}, {data.environment()}")
    newest = watched.every.loc[watched.every["rows"] > 0, "start"].max()
    if not (watched.windows["rows"] > 0).any() and not pd.isna(newest):
        _say_empty_range(watched, newest)
        st.stop()
    if not watched.model["versions"]:
        empty_state(
            "No version is registered",
            "Register one with its reference data: `warrant model register-version`.",
        )
    elif (watched.windows["rows"] > 0).any():
        empty_state(
            "No figure is stored for these windows",
            "Their version may have no reference data. Press “Compute metrics now” on the model's page, or look at the "
            "last run on the Jobs page.",
            ("Open the model", href("model", model=watched.name)),
        )
    else:
        empty_state(
            "No window has been computed",
            "Send predictions, then press “Compute metrics now” on the model's page.",
            ("Open the model", href("model", model=watched.name)),
        )
    st.stop()


def _say_empty_range(watched: Watched, newest: pd.Timestamp) -> None:
    """That the range has no rows, and the way to one that has."""
    wider = widened(newest.to_pydatetime(), watched.shown.now, USUAL.get(watched.size, ABOUT_PERFORMANCE))
    begun = format_when(newest.to_pydatetime(), viewer_zone())
    told = f"the last {length_words(wider)}" if wider.preset else "the range that ends with it"
    empty_state(
        f"No {size_words(watched.size).replace('windows', 'window', 1)} that begins in {watched.shown.words} has rows",
        f"The newest one with rows begins {begun}. A window belongs to the range in which it begins, so that a range "
        "shorter than its windows may have none.",
        (f"Show {told}", href(watched.page, model=watched.name, size=watched.size, **wider.address())),
    )


def pick_other(watched: Watched, window: Mapping[str, Any]) -> int | None:
    """The number of any other stored window with rows (`?other=`), first the one before; None where there is none."""
    every = data.windows(watched.scope, watched.name, watched.size, limit=OLDEST)
    rows = every[(every["rows"] > 0) & (every["id"] != window["id"])]
    if rows.empty:
        return None
    by_start = {row["start"].isoformat(): row for row in reversed(rows.to_dict("records"))}
    first = next((place for place, row in enumerate(by_start.values()) if row["start"] < window["start"]), 0)
    words = {start: window_words(row) for start, row in by_start.items()}
    chosen = pick(
        "Compare with", list(by_start), key="other", words=words.__getitem__, width=340, index=first
    )
    return int(by_start[str(chosen)]["id"])


def pick_window(watched: Watched) -> dict[str, Any]:
    """One of the windows (`?window=`), first the newest that can be judged."""
    by_start = {row["start"].isoformat(): row for row in reversed(watched.windows.to_dict("records"))}
    starts = list(by_start)
    latest = starts.index(first_shown(watched.windows, watched.min_rows).isoformat())
    words = {start: window_words(row) for start, row in by_start.items()}
    chosen = pick("Window", starts, key="window", words=words.__getitem__, width=400, index=latest)
    return {str(key): value for key, value in by_start[chosen or starts[latest]].items()}


def say_alerts(watched: Watched, window: Mapping[str, Any]) -> None:
    """The alerts that hold in a window, with the incident each belongs to."""
    start, end = window["start"], window["end"]
    held = [
        one
        for one in data.alerts_about(watched.scope, watched.name)
        if one["since"] < end and (one["resolved_at"] is None or one["resolved_at"] > start)
    ]
    for one in held[:3]:
        link = f" [INC-{one['incident_id']}](/incident?id={one['incident_id']})" if one["incident_id"] else ""
        state = "firing" if one["state"] == "firing" else "resolved since"
        st.caption(f"{one['level'].capitalize()}, {state}: {plain(one['title'])}{link}")
    if len(held) > 3:
        st.caption(f"{len(held) - 3} more alerts hold in this window; see the model's page.")
