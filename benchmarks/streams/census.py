"""Employment in Massachusetts, 2015 to 2018: answers of a survey, labels when the year's data are released."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from backend.errors import Unavailable
from benchmarks.streams.learning import predict
from benchmarks.streams.stream import Stream, StreamMissing, make_spec, split_in_time
from jobs.demo.census import CATEGORICAL, NUMERIC, RELEASED, build_census

SOURCE = "PyPI nannyml 0.13.1 (US Census Bureau ACS, prepared by folktables)"
TRAINED_UNTIL = datetime(2015, 7, 1, tzinfo=UTC)
LIVE_FROM = datetime(2016, 1, 1, tzinfo=UTC)


def _spec(window: str | int) -> dict[str, Any]:
    return make_spec("binary", numeric=NUMERIC, categorical=CATEGORICAL, window=window, label_delay="52w")


def _build(linear: bool = False) -> pd.DataFrame:
    try:
        people = build_census()
    except (Unavailable, OSError) as missing:
        raise StreamMissing(str(missing)) from missing
    people["label"] = people["label"].astype("int64")
    people["label_ts"] = pd.to_datetime(people["ts"].dt.year.map(RELEASED), utc=True)
    for column in CATEGORICAL:
        known = people[column].notna()
        people[column] = people[column].astype(str).where(known, None)
    people["split"] = split_in_time(people, trained_until=TRAINED_UNTIL, live_from=LIVE_FROM)
    return predict(people, _spec(5000), linear=linear)


STREAMS = (
    Stream("census_rows", "real", SOURCE, _spec(5000), _build),
    Stream("census_weekly", "real", SOURCE, _spec("1w"), lambda: _build(linear=True)),
)
