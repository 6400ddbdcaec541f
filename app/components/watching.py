"""What the monitoring pages begin with: which model, which windows, and the one window that is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from app import data
from app.components.alert_parts import alert_address, alert_window, firing_about, size_words
from app.components.drift_parts import first_shown, window_words
from app.components.links import href, viewer_zone
from app.components.pickers import pick, pick_model
from app.components.status import banner, empty_state, headline
from app.formats import format_age, format_when
from app.plain_text import plain
from app.words import ALERT_LEVELS, count_of
from backend import clock
from backend.monitoring.columns import MIN_ROWS, ModelSpec, parse_spec
from backend.monitoring.performance import PRIMARY

SHOWN = 60
LATEST = "latest"
OLDEST = 2000
"""So many windows back an address may lead."""
NAMED_ALERTS = 3
LOUDNESS = ("page", "attention", "unknown", "ok")
"""Levels of a headline, loudest first."""


@dataclass(frozen=True)
class Watched:
    """One model and its latest windows of one size, oldest first.

    since    the start of the first of them; None without any
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
    firing: Sequence[Mapping[str, Any]] = ()
    stale: timedelta | None = None

    @property
    def metric(self) -> str:
        return PRIMARY[self.spec.task]

    def within(self, points: pd.DataFrame) -> pd.DataFrame:
        """Those of points from `since` on that lie in the windows shown."""
        return points[points["window_start"] <= self.windows["start"].max()]

    @property
    def min_rows(self) -> int:
        return _min_rows(self.model)


def pick_watched(scope: data.Scope, kinds: Sequence[str] = ()) -> Watched | None:
    """Model and size of windows, side by side with what the page adds to the row. None: there is no model.

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
    windows = _windows(scope, name, size, _pick_until(scope, name, size))
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    firing = firing_about(data.firing(scope, name), data.environment(), kinds)
    stale = staleness(data.windows(scope, name, size), _min_rows(model), clock.now())
    return Watched(scope, name, model, spec, size, windows, since, firing, stale)


def _min_rows(model: Mapping[str, Any]) -> int:
    return int(model["spec"].get("min_rows") or MIN_ROWS)


def _pick_until(scope: data.Scope, name: str, size: str) -> pd.Timestamp | None:
    """The newest window to be shown (`?until=`), in steps of `SHOWN` back from the latest; None: the latest."""
    if len(data.windows(scope, name, size)) <= SHOWN and "until" not in st.query_params:
        return None
    starts = list(data.windows(scope, name, size, limit=OLDEST)["start"])
    steps = [starts[place].isoformat() for place in range(len(starts) - 1 - SHOWN, -1, -SHOWN)]
    wanted = pd.to_datetime(st.query_params.get("until", ""), utc=True, errors="coerce")
    if wanted in starts and wanted.isoformat() not in steps:
        steps.append(wanted.isoformat())

    def words(until: str) -> str:
        if until == LATEST:
            return f"the latest {SHOWN}"
        return f"{SHOWN} to {format_when(clock.from_iso(until), viewer_zone()).split(',')[0]}"

    chosen = pick(
        "Shown", [LATEST, *steps], key="until", words=words, width=210, label_visibility="collapsed"
    )  # fmt: skip
    before = st.session_state.get("until:before", chosen)
    st.session_state["until:before"] = chosen
    if before != chosen:  # the window looked at is not among those shown now
        st.session_state.pop("pick:window", None)
        st.query_params.pop("window", None)
    return None if chosen in (None, LATEST) else pd.Timestamp(chosen)


def _windows(scope: data.Scope, name: str, size: str, until: pd.Timestamp | None) -> pd.DataFrame:
    """The latest windows, or those up to `until`; from the one that the address names on, where it is an older one."""
    every = (
        data.windows(scope, name, size) if until is None else data.windows(scope, name, size, limit=OLDEST)
    )
    windows = (every if until is None else every[every["start"] <= until]).tail(SHOWN)
    wanted = pd.to_datetime(st.query_params.get("window", ""), utc=True, errors="coerce")
    if pd.isna(wanted) or not len(windows) or wanted >= windows["start"].min():
        return windows
    every = data.windows(scope, name, size, limit=OLDEST)
    if not (every["start"] == wanted).any():
        return windows
    return every[(every["start"] >= wanted) & (every["start"] <= windows["start"].max())]


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
    watched: Watched, sentence: str, level: str = "unknown", *, detail: str | None = None
) -> None:
    """The headline of a window together with what holds now: alerts that fire in windows of any size come first where
    they are louder than the window's own verdict, and an old window is never fine."""
    links = [_alert_link(watched, one) for one in watched.firing[:NAMED_ALERTS]]
    if len(watched.firing) > NAMED_ALERTS:
        rest = count_of(len(watched.firing) - NAMED_ALERTS, "more alert")
        links.append(("unknown", f"{rest}: see the model", href("model", model=watched.name)))
    if zone_words := _zone_words(watched):
        detail = " · ".join(part for part in (detail, zone_words) if part)
    if watched.stale is not None:
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
    headline(sentence, level, detail=detail, links=links)


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
    if watched.model["notice"]:
        banner(watched.model["notice"], "injected", word="about these data")


def stop_without_windows(watched: Watched, sentence: str, *, known: bool = True) -> None:
    """End the run where no window has rows, or nothing is `known` of them, and say what to do next."""
    if known and (watched.windows["rows"] > 0).any():
        return
    say_headline(watched, sentence, "unknown", detail=f"{watched.name}, {data.environment()}")
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
