import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.distributions import describe
from backend.monitoring.evaluate import AlarmSummary, Point, evaluate_window, summarise
from backend.monitoring.profiles import Profile, freeze_grids, profile_table, profile_windows
from backend.monitoring.thresholds import noise_limit, rate_limit, reference_noise
from backend.monitoring.windows import windows_between


def traffic(rows: int, seed: int, *, columns: int = 30) -> pa.Table:
    """Half numbers (normal, some with gaps), half categories of 2 to 50 levels."""
    random = np.random.default_rng(seed)
    data: dict[str, Any] = {}
    for i in range(columns // 2):
        x = random.normal(size=rows)
        data[f"n{i}"] = np.where(random.random(rows) < 0.05, np.nan, x) if i % 5 == 0 else x
    for i in range(columns - columns // 2):
        levels = (2, 5, 20, 50)[i % 4]
        p = 1 / np.arange(1, levels + 1)
        data[f"c{i}"] = random.choice(levels, rows, p=p / p.sum()).astype(str)
    return pa.table(data)


class Watched:
    """A frozen reference and what a window of the same columns amounts to against it."""

    def __init__(self, reference: pa.Table, noise: Any = None, min_rows: int = 50) -> None:
        kinds = {name: "numeric" if name[0] == "n" else "categorical" for name in reference.column_names}
        self.spec = ModelSpec(
            "binary", tuple(Column(n, k) for n, k in kinds.items()), "1d", min_rows=min_rows
        )  # type: ignore[arg-type]
        self.grids = freeze_grids(reference, self.spec.features)
        self.reference: dict[str, Profile] = profile_table(reference, self.grids)
        self.noise = noise

    def points(self, current: pa.Table) -> list[Point]:
        found = profile_table(current, self.grids)
        return evaluate_window(self.spec, self.grids, self.reference, found, noise=self.noise)

    def summary(self, current: pa.Table) -> AlarmSummary | None:
        return summarise(self.points(current))


def replaced(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))


def verdicts(points: list[Point], column: str) -> dict[str, str]:
    return {p.statistic: p.verdict for p in points if p.column == column}


def test_windows_of_unchanged_data_seldom_alarm() -> None:
    watched = Watched(traffic(5000, 0))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    windows = windows_between(start, start + timedelta(days=60), "1d")
    times = pa.array([w.start for w in windows for _ in range(200)])
    profiles = profile_windows(traffic(60 * 200, 1).append_column("ts", times), watched.grids, windows)
    fired = 0
    for window in windows:
        current = {name: profiles[window.start, name] for name in watched.grids}
        assert {profile.rows for profile in current.values()} == {200}
        fired += (
            summarise(evaluate_window(watched.spec, watched.grids, watched.reference, current)) is not None
        )
    assert fired <= 6, "5 % of 60 windows is 3; more than 6 has a chance of about 3 %"


def test_a_shift_of_two_sigma_with_one_huge_value_is_a_ticket_and_names_the_column() -> None:
    watched = Watched(traffic(5000, 0, columns=6))
    now = traffic(300, 1, columns=6)
    x = now["n1"].to_numpy() + 2
    x[0] = 1e6
    summary = watched.summary(replaced(now, "n1", x))
    assert summary is not None
    assert summary.level == "ticket"
    assert {p.column for p in summary.points} == {"n1"}
    assert len(summary.lines) == 2, "one line for its drift, one for its values out of range"
    assert "n1" in summary.headline
    assert "300 rows" in summary.headline


def test_a_burst_of_nulls_pages_and_says_from_what_to_what() -> None:
    watched = Watched(traffic(5000, 0, columns=6))
    now = traffic(812, 1, columns=6)
    x = now["n1"].to_numpy().copy()
    x[:170] = np.nan
    summary = watched.summary(replaced(now, "n1", x))
    assert summary is not None
    assert summary.level == "page"
    assert "Missing values of n1 from 0 % to 20.9 % (limit 2.0 %), of 812 rows" in summary.headline


def test_a_rate_is_told_of_rows_with_a_value_the_same_everywhere() -> None:
    watched = Watched(traffic(5000, 0, columns=6))
    now = traffic(987, 1, columns=6)
    x = now["n1"].to_numpy().copy()
    x[:639], x[639:642] = 1e6, np.nan
    changed = replaced(now, "n1", x)
    (point,) = [p for p in watched.points(changed) if (p.column, p.statistic) == ("n1", "out_of_range_rate")]
    assert point.text.endswith("to 64.9 % (limit 2.0 %), of 984 rows with a value")
    side = describe(profile_table(changed, watched.grids)["n1"])
    assert (side.rows, side.valued, side.outside) == (987, 984, point.value)


def test_a_small_rise_of_nulls_is_a_ticket_and_a_tiny_one_nothing() -> None:
    watched = Watched(traffic(5000, 0, columns=6))
    now = traffic(2000, 1, columns=6)
    for share, level in ((0.05, "ticket"), (0.015, None)):
        x = now["n1"].to_numpy().copy()
        x[: int(2000 * share)] = np.nan
        summary = watched.summary(replaced(now, "n1", x))
        assert (summary.level if summary else None) == level


def test_a_column_that_vanishes_pages_and_its_drift_stays_inconclusive() -> None:
    watched = Watched(traffic(2000, 0, columns=4))
    points = watched.points(traffic(300, 1, columns=4).drop_columns(["c0"]))
    found = verdicts(points, "c0")
    assert found.pop("missing_rate") == "alarm"
    assert set(found.values()) == {"inconclusive"}
    assert all(p.value is None and p.reason for p in points if p.verdict == "inconclusive")


def test_new_categories_alarm_but_not_where_new_ones_are_usual() -> None:
    random = np.random.default_rng(0)
    ids = [f"id{random.integers(1, 20_000)}" for _ in range(3000)]
    reference = pa.table({"c0": random.choice(["a", "b"], 3000), "c1": ids})
    now = pa.table(
        {"c0": ["a", "b", "z"] * 100, "c1": [f"id{random.integers(1, 20_000)}" for _ in range(300)]}
    )
    points = Watched(reference).points(now)
    assert verdicts(points, "c0")["unseen_rate"] == "alarm"
    ids = verdicts(points, "c1")
    assert ids["unseen_rate"] == ids["missing_rate"] == "ok"
    assert ids["psi"] == ids["chi_squared"] == "inconclusive"


def test_too_few_rows_are_inconclusive_and_none_are_no_data() -> None:
    watched = Watched(traffic(2000, 0, columns=4))
    few, none = (watched.points(traffic(rows, 1, columns=4)) for rows in (20, 0))
    assert {p.verdict for p in few} == {"inconclusive"}
    assert "20 usable rows and 50 are needed" in " ".join(str(p.reason) for p in few)
    assert {p.verdict for p in none} == {"no_data"}
    assert summarise(few) is None


def test_a_stuck_column_alarms_unless_whole_windows_of_the_reference_were_constant() -> None:
    random = np.random.default_rng(0)
    months = [
        pa.table({"n0": random.normal(size=400), "n1": np.full(400, float(month))}) for month in range(6)
    ]
    reference = pa.concat_tables(months)
    noise = reference_noise([profile_table(month, Watched(reference).grids) for month in months])
    watched = Watched(reference, noise)
    points = watched.points(pa.table({"n0": np.full(400, 0.5), "n1": np.full(400, 3.0)}))
    stuck = {p.column: p for p in points if p.statistic == "constant_value"}
    assert (stuck["n0"].verdict, stuck["n0"].level) == ("alarm", "page")
    assert stuck["n1"].verdict == "inconclusive"
    assert "whole windows of the reference show the same" in str(stuck["n1"].reason)


def test_noise_of_the_reference_keeps_its_usual_swings_quiet() -> None:
    random = np.random.default_rng(0)
    days = [pa.table({"n0": random.normal(random.normal(0, 0.7), 1, 400)}) for _ in range(20)]
    reference = pa.concat_tables(days)
    bare = Watched(reference)
    noise = reference_noise([profile_table(day, bare.grids) for day in days])
    assert len(noise["n0", "psi"]) == 20
    usual = pa.table({"n0": random.normal(0.8, 1, 400)})
    assert bare.summary(usual) is not None
    assert Watched(reference, noise).summary(usual) is None
    assert Watched(reference, noise).summary(pa.table({"n0": random.normal(5, 1, 400)})) is not None


def test_the_limit_falls_as_rows_grow_and_never_below_the_floor() -> None:
    watched = Watched(traffic(5000, 0, columns=4))
    limits = []
    for rows in (60, 200, 1000, 20_000):
        points = watched.points(traffic(rows, 1, columns=4))
        limits.append(next(p.threshold for p in points if (p.column, p.statistic) == ("c1", "psi")))
    assert limits == sorted(limits, key=lambda x: -float(x or 0))
    assert limits[-1] == 0.1


def test_the_same_window_gets_the_same_limit_twice() -> None:
    reference, now = traffic(1000, 0, columns=4), traffic(100, 1, columns=4)
    first, again = Watched(reference).points(now), Watched(reference).points(now)
    said = [[(point.column, point.statistic, point.verdict) for point in points] for points in (first, again)]
    assert said[0] == said[1]
    # A database adds up in whatever order its threads finish: the last digits of a sum are not its own.
    numbers = [[(point.value, point.threshold) for point in points] for points in (first, again)]
    for one, other in zip(*numbers, strict=True):
        assert one == pytest.approx(other, rel=1e-9, nan_ok=True)


def test_a_rate_limit_knows_how_sure_the_reference_is() -> None:
    sure = rate_limit(100, 10_000, 500, alpha=0.001)
    unsure = rate_limit(1, 100, 500, alpha=0.001)
    assert 0.01 < sure < unsure
    simulated = np.quantile(np.random.default_rng(0).binomial(500, 0.01, 200_000) / 500, 0.999)
    assert simulated <= sure <= 1.25 * simulated


def test_without_quiet_windows_there_is_no_noise_limit() -> None:
    assert noise_limit(()) is None
    assert noise_limit((0.1, 0.4)) == 0.4


def test_quiet_windows_stay_below_the_noise_limit_as_often_as_it_says() -> None:
    draw = np.random.default_rng(4)
    beyond = []
    for _ in range(400):
        seen, later = draw.lognormal(0, 0.5, 50), draw.lognormal(0, 0.5, 100)
        limit = noise_limit(tuple(seen), 0.01)
        assert limit is not None
        beyond.append((later > limit).mean())
    assert 0.002 < np.mean(beyond) < 0.02


def test_changes_without_their_sign_are_bounded_by_the_larger_ones_alone() -> None:
    draw = np.random.default_rng(8)
    limits, beyond = [], []
    for _ in range(300):
        seen, later = np.abs(draw.normal(size=20)), np.abs(draw.normal(size=100))
        plain, limit = (noise_limit(tuple(seen), 0.01, folded=folded) or 0.0 for folded in (False, True))
        assert limit <= plain
        limits.append((plain, limit))
        beyond.append((later > limit).mean())
    plain, limit = np.median(limits, axis=0)
    assert limit < 5 < plain, "2.6 is true"
    assert np.mean(beyond) < 0.01


@pytest.mark.parametrize("heavy", [False, True])
def test_the_bound_of_folded_changes_holds_where_days_differ(heavy: bool) -> None:
    draw = np.random.default_rng(9)
    beyond = []
    for _ in range(300):
        days = np.abs(
            draw.standard_t(4, 120) if heavy else draw.normal(size=120) * draw.lognormal(0, 0.5, 120)
        )
        beyond.append((days[20:] > float(noise_limit(tuple(days[:20]), 0.01, folded=True) or 0)).mean())
    assert np.mean(beyond) < 0.012


def test_a_shift_of_a_quarter_of_a_sigma_is_told_where_days_are_alike() -> None:
    random = np.random.default_rng(10)
    days = [pa.table({"n0": random.normal(size=500)}) for _ in range(20)]
    grids = Watched(pa.concat_tables(days)).grids
    watched = Watched(pa.concat_tables(days), reference_noise([profile_table(day, grids) for day in days]))
    fired = 0
    for _ in range(20):
        now = pa.table({"n0": random.normal(0.25, 1, 500)})
        fired += verdicts(watched.points(now), "n0")["mean_shift"] == "alarm"
    assert fired >= 12


def test_windows_that_resemble_their_neighbours_tell_less() -> None:
    draw = np.random.default_rng(5)
    alone = np.exp(draw.normal(0, 0.5, 60))
    alike = np.exp(np.sort(np.log(alone)))
    assert float(noise_limit(tuple(alike), 0.001) or 0) > float(noise_limit(tuple(alone), 0.001) or 0)


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e-13, 1e140, 1e149])
def test_the_noise_of_tiny_and_huge_numbers_is_a_number_or_none(size: float) -> None:
    random = np.random.default_rng(6)
    x = size * random.normal(size=2000)
    x[:3] = math.nan, math.inf, -math.inf
    tables = [pa.table({"x": part, "k": np.full(part.size, 7.5)}) for part in np.array_split(x, 8)]
    grids = freeze_grids(pa.concat_tables(tables), [Column("x", "numeric"), Column("k", "numeric")])
    noise = reference_noise([profile_table(table, grids) for table in tables])
    assert {column for column, _ in noise} == {"x", "k"}
    for values in noise.values():
        assert all(math.isfinite(value) for value in values)
        limit = noise_limit(values)
        assert limit is None or math.isfinite(limit)
