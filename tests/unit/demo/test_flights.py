"""The flights are all there, at the right instants, and know nothing of their future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend.monitoring.columns import ModelSpec
from jobs.demo import flights
from jobs.demo.flights import FEATURES, LATE_AFTER_MIN, NUMERIC, SERVING


def _flight(frame: pd.DataFrame, prediction_id: str) -> pd.Series:
    return frame.set_index("prediction_id").loc[prediction_id]


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return pd.read_csv(flights.data_folder() / "flights.csv.zip")


def test_every_flight_of_2013_has_one_id(all_flights: pd.DataFrame) -> None:
    assert len(all_flights) == 336_776
    assert all_flights["prediction_id"].is_unique
    assert all_flights["ts"].is_monotonic_increasing


def test_a_known_flight_departs_and_arrives_at_the_right_instants(all_flights: pd.DataFrame) -> None:
    # 05:15 in Newark to 08:30 in Houston, one zone west; 11 minutes late.
    flight = _flight(all_flights, "2013-01-01-UA-1545-EWR-0515")
    assert flight["ts"] == pd.Timestamp("2013-01-01T10:15Z")
    assert flight["sched_block_min"] == 4 * 60 + 4
    assert flight["label_ts"] == pd.Timestamp("2013-01-01T14:30Z")
    assert flight["label"] == "0"


def test_a_flight_over_the_night_of_the_clock_change_keeps_its_block_time(all_flights: pd.DataFrame) -> None:
    assert _flight(all_flights, "2013-11-03-UA-371-EWR-2058")["sched_block_min"] == 3 * 60 + 4


def test_no_flight_arrives_before_it_could_have_flown(all_flights: pd.DataFrame, raw: pd.DataFrame) -> None:
    local = all_flights["ts"].dt.tz_convert("America/New_York")
    key = local.dt.strftime("%Y-%m-%d ") + all_flights["prediction_id"].str[11:]
    block = pd.Series(
        (all_flights["label_ts"] - all_flights["ts"]).dt.total_seconds().to_numpy() / 60, index=key
    )
    raw_key = (
        pd.to_datetime(raw[["year", "month", "day"]]).dt.strftime("%Y-%m-%d ")
        + raw["carrier"] + "-" + raw["flight"].astype(str) + "-" + raw["origin"] + "-"
        + raw["sched_dep_time"].astype(str).str.zfill(4)
    )  # fmt: skip
    flown = raw["arr_delay"].notna()
    elapsed = block.loc[raw_key[flown]].to_numpy() - raw.loc[flown, "dep_delay"].to_numpy()
    assert (elapsed > raw.loc[flown, "air_time"].to_numpy()).all()


def test_labels_arrive_with_the_delay_of_the_flight(all_flights: pd.DataFrame) -> None:
    known = all_flights[all_flights["status"] == "known"]
    delay_min = (known["label_ts"] - known["ts"]).dt.total_seconds() / 60
    assert np.percentile(delay_min, [5, 50, 95]).tolist() == [64, 170, 385]


def test_a_cancelled_or_diverted_flight_has_no_label_and_says_so(
    all_flights: pd.DataFrame, raw: pd.DataFrame
) -> None:
    without = all_flights["label"].isna()
    assert without.sum() == raw["arr_delay"].isna().sum() == 9_430
    assert (all_flights.loc[without, "status"] == "will_not_come").all()
    assert (all_flights.loc[~without, "status"] == "known").all()
    assert (all_flights["label_ts"] >= all_flights["ts"]).all()


def test_the_late_rate_is_the_raw_files(all_flights: pd.DataFrame, raw: pd.DataFrame) -> None:
    assert (all_flights["label"] == "1").sum() == (raw["arr_delay"] > LATE_AFTER_MIN).sum()


def test_recent_delay_equals_a_count_by_hand(all_flights: pd.DataFrame, raw: pd.DataFrame) -> None:
    raw = raw[raw["month"].isin([2, 3])].copy()
    raw["ts"] = pd.to_datetime(raw["time_hour"], utc=True) + pd.to_timedelta(raw["minute"], unit="min")
    raw["left"] = raw["ts"] + flights.minutes(raw["dep_delay"])
    chosen = raw[raw["month"] == 3].sample(120, random_state=3)
    assert (chosen["dep_delay"] < 0).sum() > 20  # a flight that left early would count itself
    built = all_flights.set_index("prediction_id")
    for row in chosen.itertuples():
        others = raw[(raw["origin"] == row.origin) & (raw.index != row.Index)]
        recent = others[(others["left"] < row.ts) & (others["left"] >= row.ts - timedelta(hours=2))]
        found = built.loc[
            f"2013-{row.month:02}-{row.day:02}-{row.carrier}-{row.flight}-{row.origin}-{row.sched_dep_time:04}"
        ]
        assert found["recent_departures"] == len(recent)
        if len(recent):
            assert found["recent_delay_min"] == pytest.approx(recent["dep_delay"].mean(), abs=0.006)
        else:
            assert np.isnan(found["recent_delay_min"])


def test_features_do_not_change_when_the_future_does(raw: pd.DataFrame, tmp_path: Path) -> None:
    """Outcomes and weather after an instant are replaced; nothing predicted up to then may move."""
    first = raw[(raw["month"] == 1) & (raw["day"] <= 3)].copy()
    weather = pd.read_csv(flights.data_folder() / "weather.csv").head(26_115)
    cut = pd.Timestamp("2013-01-02T18:30Z")
    departs = pd.to_datetime(first["time_hour"], utc=True) + pd.to_timedelta(first["minute"], unit="min")
    later = ~(departs + flights.minutes(first["dep_delay"]) < cut)
    changed = first.copy()
    rng = np.random.default_rng(5)
    for column in ("arr_delay", "air_time", "arr_time", "dep_time"):  # of every flight, also of earlier ones
        changed[column] = rng.integers(1, 500, len(changed))
    until_cut_min = ((cut - departs[later]).dt.total_seconds() / 60).clip(lower=0)
    changed.loc[later, "dep_delay"] = until_cut_min + rng.integers(0, 900, later.sum())
    changed_weather = weather.copy()
    unseen = pd.to_datetime(weather["time_hour"], utc=True) >= cut.floor("h")
    changed_weather.loc[unseen, ["temp", "humid", "wind_speed", "precip", "visib"]] = -99.0

    def built(name: str, flown: pd.DataFrame, observed: pd.DataFrame) -> pd.DataFrame:
        folder = tmp_path / name
        folder.mkdir()
        flown.to_csv(folder / "flights.csv.zip", index=False)
        observed.to_csv(folder / "weather.csv", index=False)
        (folder / "airports.csv").write_bytes((flights.data_folder() / "airports.csv").read_bytes())
        frame = flights.build_flights(folder)
        return frame[frame["ts"] <= cut].set_index("prediction_id")[list(FEATURES)]

    before, after = built("before", first, weather), built("after", changed, changed_weather)
    assert len(before) > 1_000
    pd.testing.assert_frame_equal(before, after)


def test_the_spec_names_exactly_the_features(flight_spec: ModelSpec) -> None:
    assert tuple(column.name for column in flight_spec.features) == FEATURES
    assert {column.name for column in flight_spec.features if column.kind == "numeric"} == set(NUMERIC)


def test_the_cut_off_is_the_best_for_what_the_spec_says_outcomes_are_worth(flight_spec: ModelSpec) -> None:
    worth = {(predicted, true): amount for predicted, true, amount in flight_spec.costs}
    silence = worth["0", "0"] - worth["1", "0"]  # won on a punctual flight by not announcing it
    word = worth["1", "1"] - worth["0", "1"]  # won on a late one by announcing it
    assert silence / (silence + word) == pytest.approx(flight_spec.cutoff)
    assert flight_spec.costs_unit == "USD"


def test_no_flight_is_scheduled_in_the_quiet_hours(all_flights: pd.DataFrame, flight_spec: ModelSpec) -> None:
    first, last = (int(part[:2]) for part in str(flight_spec.quiet).split("-"))
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    ran = all_flights[all_flights["status"] == "known"]
    shifted = flights.shift_times(ran, flights.shift_weeks(now))["ts"].dt.tz_convert(flight_spec.timezone)
    assert not ((shifted.dt.hour >= first) & (shifted.dt.hour < last)).any()


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 11, 21, 12, tzinfo=UTC),
        datetime(2027, 3, 1, tzinfo=UTC),
        datetime(2030, 1, 6, 5, tzinfo=UTC),
    ],
)
def test_the_backfill_ends_in_the_last_seven_days_on_the_same_weekday(now: datetime) -> None:
    by = flights.shift_weeks(now)
    assert by % timedelta(weeks=1) == timedelta(0)
    end = flights.BACKFILL_END + by
    assert timedelta(0) <= now - end < timedelta(days=7)
    assert end.weekday() == flights.BACKFILL_END.weekday()


def test_shifting_keeps_the_label_delay_and_the_moment_in_2013(all_flights: pd.DataFrame) -> None:
    some = all_flights.tail(1_000)
    shifted = flights.shift_times(some, timedelta(weeks=100))
    assert (shifted["label_ts"] - shifted["ts"] == some["label_ts"] - some["ts"]).all()
    assert (shifted["data_ts"] == some["ts"]).all()


def test_each_version_learned_only_from_before_it_served() -> None:
    assert [period.version for period in SERVING] == [1, 2, 3]
    assert all(period.trained_to <= period.start for period in SERVING)
    edges = [(period.start, period.end) for period in SERVING]
    assert edges[0][0] == flights.BACKFILL_START
    assert edges[-1][1] == flights.BACKFILL_END
    assert all(left[1] == right[0] for left, right in pairwise(edges))


def test_backfill_and_replay_share_no_flight(all_flights: pd.DataFrame) -> None:
    history, december = flights.backfilled(all_flights), flights.replayed(all_flights)
    assert history["ts"].max() < flights.BACKFILL_END <= december["ts"].min()
    assert len(december) == 28_135
    served = sum(len(flights.between(all_flights, period.start, period.end)) for period in SERVING)
    assert served == len(history)
