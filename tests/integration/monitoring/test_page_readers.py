"""What the monitoring pages read, on both databases: the worst of a column, any window against any reference."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import clock
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.monitoring.distributions import compare_column, compare_segments
from backend.monitoring.reading import (
    known_segments,
    known_statistics,
    list_points,
    list_windows,
    worst_points,
)
from backend.monitoring.tables import MetricPoint, WindowProfile
from tests.monitored import monitor
from tests.worlds import World, make_world

DAYS = 16
KINDS = ("drift", "prediction")
OF = ("toy", "production")


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    monitor(days=DAYS)
    return made


def window_ids(world: World) -> list[int]:
    with reading() as session:
        found = list_windows(session, world.viewer, *OF, size="1d", limit=DAYS + 1)
    return [int(one) for one in found["id"]]


def test_the_worst_point_of_a_column_is_an_alarm_before_anything_else(world: World) -> None:
    with reading() as session:
        every = list_points(session, world.viewer, *OF, size="1d", kinds=KINDS)
        worst = worst_points(session, world.viewer, *OF, size="1d", kinds=KINDS)
    every = every[every["column"] != ""]
    assert not worst.duplicated(["window_id", "column"]).any()
    assert len(worst) == len(every.drop_duplicates(["window_id", "column"]))
    assert "" not in set(worst["column"])
    alarmed = set(every.loc[every["verdict"] == "alarm", ["window_id", "column"]].itertuples(index=False))
    told = set(worst.loc[worst["verdict"] == "alarm", ["window_id", "column"]].itertuples(index=False))
    assert alarmed == told
    assert alarmed
    one = worst[worst["verdict"] == "alarm"].iloc[-1]
    mine = every[(every["window_id"] == one["window_id"]) & (every["column"] == one["column"])]
    over = (mine["value"] / mine["threshold"])[mine["verdict"] == "alarm"].max()
    assert one["value"] / one["threshold"] == pytest.approx(over)


def test_a_point_without_a_value_is_the_worst_only_where_there_is_no_other(world: World) -> None:
    last = window_ids(world)[-2]
    with writing() as session:
        mine = session.query(MetricPoint).filter_by(window_id=last, column="seats", segment="", kind="drift")
        first, *_ = mine.all()
        first.value, first.threshold, first.verdict = None, None, "inconclusive"
    with reading() as session:
        worst = worst_points(session, world.viewer, *OF, size="1d", kinds=KINDS)
    found = worst[(worst["window_id"] == last) & (worst["column"] == "seats")].iloc[0]
    assert found["verdict"] != "inconclusive"


def test_points_of_segments_are_read_only_when_asked_for(world: World) -> None:
    with reading() as session:
        assert known_segments(session, world.viewer, *OF, size="1d", kinds=("realised",), since=None) == [
            "carrier=AA", "carrier=B6", "carrier=UA",
        ]  # fmt: skip
        later = known_segments(session, world.viewer, *OF, size="1d", kinds=("realised",), since=clock.now())
        assert later == []
        plain = list_points(session, world.viewer, *OF, size="1d", kinds=("realised",))
        both = list_points(session, world.viewer, *OF, size="1d", kinds=("realised",), segment=None)
    assert set(plain["segment"]) == {""}
    assert set(both["segment"]) == {"", "carrier=AA", "carrier=B6", "carrier=UA"}


def test_points_and_windows_are_cut_by_the_database(world: World) -> None:
    with reading() as session:
        starts = list(list_windows(session, world.viewer, *OF, size="1d")["start"])
        since, until = (one.to_pydatetime() for one in (starts[3], starts[8]))
        windows = list_windows(
            session, world.viewer, *OF, size="1d", since=since, before=until + timedelta(seconds=1)
        )
        newest = list_windows(session, world.viewer, *OF, size="1d", since=since, before=until, limit=2)
        of: dict[str, Any] = {"size": "1d", "kinds": KINDS, "since": since, "until": until}
        points = list_points(session, world.viewer, *OF, **of)
        worst = worst_points(session, world.viewer, *OF, **of)
        empty = of | {"since": until + timedelta(days=900), "until": None}
        early = of | {"since": None, "until": since - timedelta(days=900)}
        for nothing in (empty, early):
            assert list_points(session, world.viewer, *OF, **nothing).empty
            assert worst_points(session, world.viewer, *OF, **nothing).empty
            assert known_statistics(session, world.viewer, *OF, **nothing) == []
            assert known_segments(session, world.viewer, *OF, **nothing) == []
        assert known_statistics(session, world.viewer, *OF, **of)
    assert list(windows["start"]) == starts[3:9]
    assert list(newest["start"]) == starts[6:8]
    for one in (points, worst):
        assert set(one["window_start"]) <= set(starts[3:9])
        assert (one["window_start"].min(), one["window_start"].max()) == (starts[3], starts[8])


def test_any_window_is_compared_with_any_reference(world: World) -> None:
    ids = window_ids(world)
    with reading() as session:
        against = {
            rule: compare_column(session, world.viewer, ids[-2], "dep_delay", against=rule)
            for rule in ("fixed", "previous", "weekday", "last_7", "last_28")
        }
    rows = {rule: one.reference.rows for rule, one in against.items() if one.reference}
    assert rows == {"fixed": 2400, "previous": 400, "weekday": 800, "last_7": 2800, "last_28": 13 * 400}
    assert [against[rule].windows for rule in ("previous", "weekday", "last_7")] == [1, 2, 7]
    for one in against.values():
        assert one.shares is not None
        assert one.reference is not None
        assert sum(one.shares["current"]) == pytest.approx(1, abs=0.05)
        assert one.current.quantiles[0.05] < one.current.quantiles[0.5] < one.current.quantiles[0.95]
    assert against["fixed"].statistics["psi"] > against["previous"].statistics["psi"]


def test_windows_with_too_few_rows_are_no_reference(world: World) -> None:
    ids = window_ids(world)
    small = DAYS // 3 + 1
    with reading() as session:
        after = compare_column(session, world.viewer, ids[small + 1], "distance", against="previous")
    assert after.windows == 1
    assert after.reference is not None
    assert after.reference.rows == 400


def test_a_reference_that_is_not_there_is_said(world: World) -> None:
    first = window_ids(world)[0]
    with reading() as session:
        found = compare_column(session, world.viewer, first, "distance", against="previous")
    assert found.shares is None
    assert found.reference is None
    assert "windows before this one" in str(found.reason)
    assert found.current.rows == 400


def test_missing_values_are_a_share_of_all_rows_and_unseen_ones_of_rows_with_a_value(world: World) -> None:
    broken = window_ids(world)[-3]
    with reading() as session:
        found = compare_column(session, world.viewer, broken, "origin", against="fixed")
    assert found.current.missing == pytest.approx(0.5, abs=0.1)
    assert found.current.unseen == pytest.approx(12 / (400 * (1 - found.current.missing)))
    assert found.reference is not None
    assert (found.reference.missing, found.reference.unseen) == (0, 0)


def test_segments_stand_beside_their_own_reference(world: World) -> None:
    last = window_ids(world)[-2]
    with reading() as session:
        found = compare_segments(session, world.viewer, last, "dep_delay")
        with pytest.raises(NotFound, match="of the segment carrier=ZZ"):
            compare_column(session, world.viewer, last, "dep_delay", segment="carrier=ZZ")
    assert next(iter(found)) == "carrier=AA"
    assert sum(one.current.rows for one in found.values()) == 400
    for one in found.values():
        assert one.reference is not None
        assert one.reference.rows < 2400
    with writing() as session:
        session.query(WindowProfile).filter(WindowProfile.segment != "").delete()
    with reading() as session:
        assert compare_segments(session, world.viewer, last, "dep_delay") == {}
