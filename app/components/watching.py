"""What the monitoring pages begin with: which model, which windows, and the one window that is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from app import data
from app.components.drift_parts import first_shown, window_words
from app.components.links import href
from app.components.pickers import pick, pick_model
from app.components.status import banner, empty_state, headline
from backend.monitoring.columns import MIN_ROWS, ModelSpec, parse_spec
from backend.monitoring.performance import PRIMARY

SHOWN = 60


@dataclass(frozen=True)
class Watched:
    """One model and its latest windows of one size, oldest first.

    since    the start of the first of them; None without any
    address  the size for links; None where it is the model's usual one
    """

    scope: data.Scope
    name: str
    model: Mapping[str, Any]
    spec: ModelSpec
    size: str
    windows: pd.DataFrame
    since: datetime | None

    @property
    def metric(self) -> str:
        return PRIMARY[self.spec.task]

    @property
    def address(self) -> str | None:
        return None if self.size == self.spec.window else self.size

    @property
    def min_rows(self) -> int:
        return int(self.model["spec"].get("min_rows") or MIN_ROWS)


def pick_watched(scope: data.Scope) -> Watched | None:
    """Model and size of windows, side by side with what the page adds to the row. None: there is no model."""
    name = pick_model(data.models(scope))
    if name is None:
        return None
    model = data.model(scope, name)
    spec = parse_spec(model["spec"])
    size = pick(
        "Windows", spec.sizes, key="size", words=_size_words, width=170, label_visibility="collapsed"
    )  # fmt: skip
    size = size or spec.window
    windows = data.windows(scope, name, size).tail(SHOWN)
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    return Watched(scope, name, model, spec, size, windows, since)


def _size_words(size: str) -> str:
    return f"windows of {int(size):,} rows" if size.isdigit() else f"windows of {size}"


def say_notice(watched: Watched) -> None:
    if watched.model["notice"]:
        banner(watched.model["notice"], "injected", word="about these data")


def stop_without_windows(watched: Watched, sentence: str, *, known: bool = True) -> None:
    """End the run where no window has rows, or nothing is `known` of them, and say what to do next."""
    if known and (watched.windows["rows"] > 0).any():
        return
    headline(sentence, "unknown", detail=f"{watched.name}, {data.environment()}")
    if not watched.model["versions"]:
        empty_state(
            "No version is registered", "Register one with its reference data: `warrant version register`."
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
        st.caption(f"{one['level'].capitalize()}, {state}: {_plain(one['title'])}{link}")
    if len(held) > 3:
        st.caption(f"{len(held) - 3} more alerts hold in this window; see the model's page.")


def _plain(text: str) -> str:
    """Text that markdown leaves as it is."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>$:~#|" else one for one in text)
