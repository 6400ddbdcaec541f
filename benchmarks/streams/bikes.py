"""Bicycles rented in an hour in Washington, 2011 and 2012: the service grew and its model did not."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.stream import Stream, StreamMissing, make_spec, split_in_time

SOURCE = "UCI Bike Sharing (Fanaee-T and Gama 2013), a file hour.csv in $WARRANT_BIKE_SHARING"
NUMERIC = ("temp", "atemp", "hum", "windspeed", "hr")
LAGS = ("rented_a_day_ago", "rented_a_week_ago", "rented_last_day")
CATEGORICAL = ("season", "holiday", "weekday", "workingday", "weathersit")


def _spec(window: str, *, lags: bool = False) -> dict[str, Any]:
    return make_spec(
        "regression",
        numeric=NUMERIC + LAGS if lags else NUMERIC,
        categorical=CATEGORICAL,
        window=window,
        timezone="America/New_York",
        label_delay="1h",
    )


def hour_file() -> Path:
    """`hour.csv` in the folder that `WARRANT_BIKE_SHARING` names, or in `shared/data` beside the checkout."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "bike_sharing"
    found = Path(os.environ.get("WARRANT_BIKE_SHARING", beside)) / "hour.csv"
    if not found.exists():
        raise StreamMissing(f"there is no {found}: name the folder of hour.csv in WARRANT_BIKE_SHARING")
    return found


def _build(trained_until: datetime, live_from: datetime, *, lags: bool = False) -> pd.DataFrame:
    hours = pd.read_csv(hour_file())
    local = pd.to_datetime(hours["dteday"]) + pd.to_timedelta(hours["hr"], unit="h")
    # The files give clock hours; the hour that the clock repeats or skips is read as standard time.
    hours["ts"] = local.dt.tz_localize("America/New_York", ambiguous=False, nonexistent="shift_forward")
    hours["ts"] = hours["ts"].dt.tz_convert("UTC")
    hours["label"] = hours["cnt"].astype("float64")
    hours["label_ts"] = hours["ts"] + pd.Timedelta(hours=1)
    hours["prediction_id"] = "hour-" + hours["instant"].astype(str)
    hours["hr"] = hours["hr"].astype("float64")
    for column in CATEGORICAL:
        hours[column] = hours[column].astype(str)
    rented = hours.set_index("ts")["label"].groupby(level=0).mean().asfreq("h")
    for name, late in (("rented_a_day_ago", 24), ("rented_a_week_ago", 168)):
        hours[name] = rented.shift(late).reindex(hours["ts"]).to_numpy()
    hours["rented_last_day"] = (
        rented.shift(2).rolling(24, min_periods=12).mean().reindex(hours["ts"]).to_numpy()
    )
    hours["split"] = split_in_time(hours, trained_until=trained_until, live_from=live_from)
    return predict(hours, _spec("1d", lags=lags))


def _months(first: int, second: int) -> tuple[datetime, datetime]:
    """Midnights in Washington at the start of two months, counted from January 2011."""
    zone = "America/New_York"
    at = [
        pd.Timestamp(2011 + month // 12, month % 12 + 1, 1, tz=zone).tz_convert(UTC)
        for month in (first, second)
    ]
    return at[0].to_pydatetime(), at[1].to_pydatetime()


STREAMS = (
    Stream("bikes_daily", "real", SOURCE, _spec("1d"), lambda: _build(*_months(6, 9))),
    Stream(
        "bikes_lags_daily", "real", SOURCE, _spec("1d", lags=True), lambda: _build(*_months(9, 15), lags=True)
    ),
    Stream(
        "bikes_lags_weekly",
        "real",
        SOURCE,
        _spec("1w", lags=True),
        lambda: _build(*_months(6, 12), lags=True),
    ),
    Stream("bikes_weekly", "real", SOURCE, _spec("1w"), lambda: _build(*_months(6, 10))),
)
