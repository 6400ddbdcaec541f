"""Census answers are spread over their year without inventing an order, and labelled at the real release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from backend.monitoring.columns import ModelSpec
from jobs.demo import census
from jobs.demo.census import FEATURES, LIVE_END, RELEASED, SERVING


def test_all_answers_are_there_once(people: pd.DataFrame) -> None:
    assert len(people) == 68_785 + 208_892
    assert people["prediction_id"].is_unique
    assert people["ts"].is_monotonic_increasing
    assert not people[[*FEATURES, "label", "label_ts"]].isna().any(axis=None)


def test_each_year_is_filled_evenly_to_its_ends(people: pd.DataFrame) -> None:
    for year, rows in people.groupby(people["ts"].dt.year):
        gaps = rows["ts"].diff().dropna()
        assert gaps.max() < timedelta(minutes=8)
        assert rows["ts"].iloc[0] - pd.Timestamp(year, 1, 1, tz="UTC") < timedelta(minutes=8)
        assert pd.Timestamp(year + 1, 1, 1, tz="UTC") - rows["ts"].iloc[-1] < timedelta(minutes=8)


def test_order_within_a_year_follows_no_attribute(people: pd.DataFrame) -> None:
    year = people[people["ts"].dt.year == 2017]
    employed = (year["label"] == "1").groupby(year["ts"].dt.month).mean()
    women = (year["SEX"] == "2").groupby(year["ts"].dt.month).mean()
    three_standard_errors = 3.5 * (0.25 / 5_300) ** 0.5
    assert (employed - employed.mean()).abs().max() < three_standard_errors
    assert (women - women.mean()).abs().max() < three_standard_errors


def test_building_twice_gives_the_same_times(people: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(people, census.build_census())


def test_live_labels_become_known_when_the_year_was_released(people: pd.DataFrame) -> None:
    live = census.live(people)
    for year, rows in live.groupby(live["ts"].dt.year):
        assert set(rows["label_ts"]) == {pd.Timestamp(RELEASED[year])}
        assert RELEASED[year].year == year + 1


def test_the_last_year_has_no_label_yet_when_it_is_loaded(people: pd.DataFrame) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    by = census.shift_weeks(now)
    assert timedelta(0) <= now - (LIVE_END + by) < timedelta(days=7)
    live = census.live(people)
    unlabelled = live[live["label_ts"] + by > now]
    assert set(unlabelled["ts"].dt.year) == {2018}
    assert len(unlabelled) == (live["ts"].dt.year == 2018).sum()


def test_each_version_learned_only_from_before_it_served() -> None:
    assert all(period.trained_to <= period.start for period in SERVING)
    assert SERVING[1].start > RELEASED[2015]
    assert SERVING[0].end == SERVING[1].start


def test_the_spec_names_exactly_the_features_and_what_is_protected(census_spec: ModelSpec) -> None:
    assert tuple(column.name for column in census_spec.features) == FEATURES
    assert census_spec.protected == ("SEX", "RAC1P")
