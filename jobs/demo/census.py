"""Employment in Massachusetts, American Community Survey 2015 to 2018, as predictions with labels years late.

Source: the Parquet files that the PyPI package nannyml ships (US Census Bureau, prepared by folktables' task
ACSEmployment). They are read by path: importing the package takes ten seconds. Its own scores are dropped;
the demo trains its own models, so that they can be explained.

The data carry a year and nothing finer. Each year's rows are spread evenly over the year, in an order made
from their ids, so that no order within a year means anything.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from backend.errors import Unavailable
from jobs.demo.flights import ServingPeriod

CATEGORICAL: Final = (
    "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM",
    "SEX", "RAC1P",
)  # fmt: skip
NUMERIC: Final = ("AGEP",)
FEATURES: Final = NUMERIC + CATEGORICAL

# When the Census Bureau released each year's one-year microdata (PUMS): the moment the answers became known.
RELEASED: Final = {
    2015: datetime(2016, 10, 20, tzinfo=UTC),
    2016: datetime(2017, 10, 19, tzinfo=UTC),
    2017: datetime(2018, 10, 18, tzinfo=UTC),
    2018: datetime(2019, 11, 14, tzinfo=UTC),
}
LIVE_START: Final = datetime(2016, 1, 1, tzinfo=UTC)
LIVE_END: Final = datetime(2019, 1, 1, tzinfo=UTC)

# v1 saw the first half of 2015, v2 all of it. v2 starts after 2015's release. v1 starts before it: a version
# that waited for the release would leave 2016 without predictions, so for 2015 alone labels count as known at
# once.
SERVING: Final = (
    ServingPeriod(
        1,
        datetime(2015, 1, 1, tzinfo=UTC),
        datetime(2015, 7, 1, tzinfo=UTC),
        LIVE_START,
        datetime(2017, 1, 1, tzinfo=UTC),
    ),
    ServingPeriod(
        2, datetime(2015, 1, 1, tzinfo=UTC), LIVE_START, datetime(2017, 1, 1, tzinfo=UTC), LIVE_END
    ),
)

_WEEK: Final = timedelta(weeks=1)
_SPREAD: Final = np.uint64(11_400_714_819_323_198_485)  # 2^64 / golden ratio: Fibonacci hashing of the id


def shift_weeks(now: datetime) -> timedelta:
    """The whole number of weeks that moves the end of 2018 into the seven days before `now`."""
    return _WEEK * ((now - LIVE_END) // _WEEK)


def live(frame: pd.DataFrame) -> pd.DataFrame:
    """Answers of 2016 to 2018: scored by the version that served then. 2015 is what the versions learned
    from.
    """
    return frame[frame["data_ts"] >= LIVE_START]


def data_folder() -> Path:
    """Where the installed nannyml keeps its data sets, found without importing it."""
    spec = find_spec("nannyml")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the demo's census data are not installed; run `pip install nannyml==0.13.1`")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def build_census(folder: Path | None = None) -> pd.DataFrame:
    """All answers of 2015 to 2018 in the order of their spread times, in the survey's own years.

    Returns one row a person: `prediction_id` ("acs-ma-<id>"), `ts` and `data_ts` (spread over the year, UTC),
    the columns of `FEATURES`, `label` ("1" employed, "0" not), `status` ("known"), and `label_ts`, the
    release of that year's microdata; for 2015, the training year, `label_ts` is `ts`.
    """
    folder = folder or data_folder()
    later = pd.read_parquet(folder / "employment_MA_analysis.pq").merge(
        pd.read_parquet(folder / "employment_MA_analysis_target.pq"), on="id", validate="one_to_one"
    )
    people = pd.concat([pd.read_parquet(folder / "employment_MA_reference.pq"), later], ignore_index=True)
    for column in CATEGORICAL:
        people[column] = people[column].astype("object")
    people["ts"] = _spread_over_years(people)
    released = pd.to_datetime(people["year"].map(RELEASED), utc=True)
    people["label_ts"] = people["ts"].where(people["year"] == LIVE_START.year - 1, released)
    people["label"] = people["employed"].map({1: "1", 0: "0"})
    people["status"] = "known"
    people["prediction_id"] = "acs-ma-" + people["id"].astype(str)
    people["data_ts"] = people["ts"]
    people = people.sort_values(["ts", "id"], ignore_index=True)
    return people[["prediction_id", "ts", "data_ts", *FEATURES, "label", "status", "label_ts"]]


def _spread_over_years(people: pd.DataFrame) -> pd.Series:
    """Rank each year's ids by their hash and give rank r of n the moment start + (r + 1/2)/n of the year."""
    hashed = pd.Series(people["id"].to_numpy(dtype="uint64") * _SPREAD, index=people.index)
    by_year = hashed.groupby(people["year"])
    share = (by_year.rank(method="first") - 0.5) / by_year.transform("size")
    start = pd.to_datetime(people["year"].astype(str) + "-01-01", utc=True)
    end = pd.to_datetime((people["year"] + 1).astype(str) + "-01-01", utc=True)
    return (start + (end - start) * share).dt.floor("ms")
