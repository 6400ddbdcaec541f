"""Monitors that people write: what a definition may say, and when it would have fired."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from backend.errors import BadInput
from backend.monitoring.monitor_replay import History, Replay, Series, replay
from backend.monitoring.monitors import THRESHOLDS, Figure, Monitor, parse_monitor
from backend.monitoring.windows import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
PSI = Figure("drift", "distance", "psi")
AUC = Figure("realised", "", "roc_auc")
SIZES = ("1d", "1h")


def condition(figure: Figure = PSI, **threshold: Any) -> dict[str, Any]:
    return {
        **{k: v for k, v in figure._asdict().items() if v},
        "threshold": threshold or {"kind": "constant", "value": 0.2},
    }


def monitor(when: Any = None, **more: Any) -> Monitor:
    return parse_monitor(
        {"name": "watch it", "level": "ticket", "when": when or condition(), **more}, sizes=SIZES
    )


def series(values: Any, **more: Any) -> Series:
    value = np.asarray(values, dtype=np.float64)
    count = len(value)
    whole: dict[str, Any] = {
        "limit": np.full(count, 0.3), "reference": np.full(count, np.nan), "rows": np.full(count, 500.0),
        "completeness": np.full(count, 1.0), "alarm": value > 0.3, "judged": np.isfinite(value), **more,
    }  # fmt: skip
    return Series(value, **{k: np.broadcast_to(np.asarray(v), (count,)) for k, v in whole.items()})


def history(figures: dict[Figure, Series], *, hours: float = 24, versions: Any = 1) -> History:
    count = len(next(iter(figures.values())).value)
    step = timedelta(hours=hours)
    windows = [Window(START + i * step, START + (i + 1) * step) for i in range(count)]
    return History(windows, np.broadcast_to(np.asarray(versions, dtype=np.int64), (count,)), figures)


def fired(found: Replay) -> list[tuple[int, int | None]]:
    """(first day, day that ended it) of each firing."""
    return [
        ((one.start.start - START).days, None if one.end is None else (one.end.start - START).days)
        for one in found.firings
    ]


def days(values: Any, when: Any = None, figure: Figure = PSI, **more: Any) -> list[tuple[int, int | None]]:
    return fired(replay(monitor(when, **more), history({figure: series(values)})))


def test_a_constant_threshold_fires_where_it_is_exceeded_and_ends_where_it_is_not() -> None:
    assert days([0.1, 0.2, 0.21, 0.5, 0.1, 0.3]) == [(2, 4), (5, None)]
    below = condition(AUC, kind="constant", side="below", value=0.7)
    assert days([0.71, 0.7, 0.69], below, AUC) == [(2, None)]


def test_a_missing_value_is_inconclusive_and_neither_fires_nor_ends() -> None:
    found = replay(monitor(), history({PSI: series([0.5, np.nan, np.nan, 0.1, np.nan])}))
    assert fired(found) == [(0, 3)]
    assert (len(found.windows), found.looked_at, found.inconclusive, found.cleared) == (5, 2, 3, 1)
    assert found.why_not == {"psi of distance has no value": 3}


def test_a_figure_nobody_stores_is_inconclusive_everywhere() -> None:
    found = replay(
        monitor(condition(Figure("drift", "fare", "psi"), kind="calibrated")),
        history({PSI: series([0.5, 0.5])}),
    )
    assert (found.firings, found.inconclusive) == ((), 2)
    assert found.why_not == {"no psi of fare is stored": 2}


def test_m_of_n_needs_so_many_of_the_last_windows_and_the_newest() -> None:
    twice = {"fire": 2, "of": 3}
    assert days([0.5, 0.1, 0.1, 0.5, 0.1, 0.5, 0.1], windows=twice) == [(5, 6)]
    assert days([0.5, np.nan, 0.5], windows=twice) == [(2, None)]
    assert days([0.5, np.nan, np.nan, 0.5], windows=twice) == []


def test_m_of_n_starts_again_after_it_has_cleared() -> None:
    assert days([0.5, 0.5, 0.1, 0.5, 0.5], windows={"fire": 2, "of": 3}) == [(1, 2), (4, None)]


def test_hysteresis_keeps_it_until_the_clearing_threshold_or_enough_clean_windows() -> None:
    values = [0.5, 0.18, 0.16, 0.14, 0.18, 0.5]
    assert days(values) == [(0, 1), (5, None)]
    assert days(values, condition(kind="constant", value=0.2, clear=0.15)) == [(0, 3), (5, None)]
    assert days(values, clear_after=3) == [(0, 3), (5, None)]
    assert days([0.5, 0.1, 0.5, 0.1, np.nan, 0.1], clear_after=2) == [(0, 5)]


def test_sigma_is_of_the_values_before_and_not_of_the_one_that_is_judged() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.1, 0.01, 30), [0.2], rng.normal(0.1, 0.01, 5), [0.0]])
    above = condition(kind="sigma", value=5, points=20, side="above")
    assert days(values, above) == [(30, 31)]
    assert days(values, condition(kind="sigma", value=3, points=20, side="either"))[-1][0] in (30, 36)
    found = replay(monitor(above), history({PSI: series(values)}))
    assert found.why_not == {"fewer than 20 earlier values": 20}
    trace = found.traces[0]
    assert trace.upper[30] == pytest.approx(values[10:30].mean() + 5 * values[10:30].std(ddof=1))
    assert np.isnan(trace.upper[19])
    assert np.isneginf(trace.lower[30])


def test_quantile_looks_at_the_last_values_that_could_be_judged() -> None:
    values = np.array([0.1, np.nan, 0.2, 0.3, 0.4, 0.5, 0.45, 0.6])
    found = replay(monitor(condition(kind="quantile", value=1.0, points=5)), history({PSI: series(values)}))
    assert fired(found) == [(7, None)]
    assert found.traces[0].upper[6] == 0.5
    low = condition(AUC, kind="quantile", value=1.0, points=5, side="below")
    assert days([0.9, 0.8, 0.7, 0.85, 0.8, 0.75, 0.69], low, AUC) == [(6, None)]


def test_a_p_value_fires_at_its_rate_on_a_figure_that_goes_on_as_before() -> None:
    values = np.random.default_rng(2).standard_normal(20_000)
    for side in ("above", "below", "either"):
        rule = condition(kind="p_value", value=0.05, points=119, side=side)
        found = replay(monitor(rule), history({PSI: series(values)}, hours=1))
        assert np.nanmean(found.held) == pytest.approx(0.05, abs=0.006)


def test_a_limit_times_a_factor_and_the_calibrated_verdict() -> None:
    values = [0.29, 0.31, 0.44, 0.46]
    assert days(values, condition(kind="calibrated")) == [(1, None)]
    assert days(values, condition(kind="limit", value=1.5)) == [(3, None)]
    auc = {AUC: series([0.76, 0.74, 0.71, 0.69], limit=0.75, reference=0.8)}
    rule = condition(AUC, kind="limit", value=2, clear=1)
    assert fired(replay(monitor(rule), history(auc))) == [(3, None)]
    assert fired(replay(monitor(condition(AUC, kind="limit", value=1)), history(auc))) == [(1, None)]


def test_a_limit_times_a_factor_of_a_rate_that_fell_leaves_more_room_below_it() -> None:
    missing = Figure("quality", "distance", "missing_rate")
    values, alarm = [0.9, 0.75, 0.65, 0.85], [False, True, True, False]
    fell = {missing: series(values, limit=0.8, alarm=alarm)}

    assert fired(replay(monitor(condition(missing, kind="calibrated")), history(fell))) == [(1, 3)]
    assert fired(replay(monitor(condition(missing, kind="limit", value=1)), history(fell))) == [(1, 3)]
    assert fired(replay(monitor(condition(missing, kind="limit", value=1.5)), history(fell))) == [(2, 3)]


def test_and_or_know_what_they_do_not_know() -> None:
    fell = condition(AUC, kind="constant", side="below", value=0.7)
    figures = {
        PSI: series([0.5, 0.5, 0.5, 0.1, np.nan, np.nan]),
        AUC: series([0.6, 0.9, np.nan, np.nan, 0.6, 0.9]),
    }
    both = replay(monitor({"all": [condition(), fell]}), history(figures))
    np.testing.assert_array_equal(both.held, [1, 0, np.nan, 0, np.nan, 0])
    either = replay(monitor({"any": [condition(), fell]}), history(figures))
    np.testing.assert_array_equal(either.held, [1, 1, 1, 0, 1, 0])
    assert (both.looked_at, either.looked_at) == (2, 6), "all needs every part, any needs one"


def test_an_alarm_ends_by_the_conditions_that_have_a_value() -> None:
    fell = condition(AUC, kind="constant", side="below", value=0.7)
    figures = {AUC: series([0.6, *[0.8] * 9]), PSI: series([0.5, *[np.nan] * 9])}
    assert fired(replay(monitor({"any": [fell, condition()]}), history(figures))) == [(0, 1)]


def test_an_alarm_does_not_outlast_a_week_of_windows_that_nobody_can_judge() -> None:
    found = replay(monitor(), history({PSI: series([0.5, *[np.nan] * 30, 0.5])}))
    assert fired(found) == [(0, 7), (31, None)]
    assert found.firings[0].ended == "not judged for 7 windows"
    assert found.firing_share == pytest.approx(8 / 32)
    assert not found.mostly_tested
    assert days([0.5, *[np.nan] * 30], windows={"fire": 1, "of": 20}) == [(0, 20)]
    assert days([0.5, *[np.nan] * 6, 0.1]) == [(0, 7)]


def test_windows_whose_labels_may_still_come_end_nothing() -> None:
    fell = monitor(condition(AUC, kind="constant", side="below", value=0.7))
    late = history({AUC: series([0.6, *[np.nan] * 14])})
    assert fired(replay(fell, replace(late, wait=timedelta(days=14)))) == [(0, None)]
    assert fired(replay(fell, replace(late, wait=timedelta(days=5)))) == [(0, 7)]


@pytest.mark.parametrize("kind", ["drift", "quality", "prediction"])
def test_a_column_that_the_model_does_not_have_is_refused_with_the_nearest_name(kind: str) -> None:
    strange = {**condition(), "kind": kind, "column": "distanse"}
    body = {"name": "x", "level": "ticket", "when": {"any": [condition(), strange]}}
    with pytest.raises(BadInput, match=r"^when.any\[1\].column: .*'distanse'; the nearest is 'distance'$"):
        parse_monitor(body, sizes=SIZES, columns=["carrier", "distance"])
    kpi = {**body, "when": {**condition(), "kind": "kpi", "column": "revenue"}}
    assert parse_monitor(kpi, sizes=SIZES, columns=["distance"]).figures


def test_few_rows_and_few_labels_are_not_judged() -> None:
    small = {PSI: series([0.5, 0.5], rows=[20, 500])}
    assert fired(replay(monitor(min_rows=50), history(small))) == [(1, None)]
    late = {AUC: series([0.5, 0.5], completeness=[0.5, 0.9])}
    fell = condition(AUC, kind="constant", side="below", value=0.7)
    found = replay(monitor(fell, min_completeness=0.8), history(late))
    assert fired(found) == [(1, None)]
    assert found.why_not == {"fewer than 80% of labels": 1}


def test_another_version_ends_it_and_counting_begins_again() -> None:
    values = {PSI: series([0.5, 0.5, 0.5, 0.5])}
    found = replay(monitor(windows={"fire": 2, "of": 2}), history(values, versions=[1, 1, 2, 2]))
    assert fired(found) == [(1, 2), (3, None)]
    assert [(one.version, one.ended) for one in found.firings] == [(1, "version 2 serves"), (2, "")]
    gap = replay(monitor(windows={"fire": 2, "of": 3}), history(values, versions=[1, -1, 1, 1]))
    assert fired(gap) == [(1, None)]


def test_how_often_is_told_by_the_month_and_unknown_without_history() -> None:
    values = np.tile([0.5, 0.1], 100)
    found = replay(monitor(), history({PSI: series(values)}))
    assert found.per_month == pytest.approx(100 / (200 / 30.4375))
    assert "psi of distance 0.5 (limit 0.2)" in found.firings[0].text
    assert replay(monitor(), history({PSI: series([])})).per_month is None
    assert found.to_json()["fired"] == 100


def test_a_year_of_hours_with_every_threshold_is_replayed_and_agrees_with_doing_it_window_by_window() -> None:
    rng = np.random.default_rng(3)
    values = np.abs(rng.normal(0.1, 0.05, 8760))
    values[rng.random(8760) < 0.05] = np.nan
    rule = {
        "any": [
            condition(kind="sigma", value=4, points=168, side="above"),
            condition(kind="quantile", value=0.999, points=500),
            condition(kind="p_value", value=0.01, points=336, side="either"),
        ]
    }
    watch = monitor(rule, size="1h", windows={"fire": 2, "of": 6}, clear_after=3)
    whole = history({PSI: series(values)}, hours=1)
    found = replay(watch, whole)
    # Nothing that comes later may change what was said.
    for end in (700, 2000, 5000):
        part = History(whole.windows[:end], whole.versions[:end], {PSI: series(values[:end])})
        np.testing.assert_array_equal(replay(watch, part).firing, found.firing[:end])


def test_a_definition_reads_back_as_itself_and_says_what_it_watches() -> None:
    rule = {"all": [condition(kind="sigma", value=3, points=28, side="above", clear=2),
                    {"any": [condition(AUC, kind="limit", value=1.5), condition(kind="calibrated")]}]}  # fmt: skip
    watch = monitor(rule, windows={"fire": 2, "of": 3}, clear_after=2, min_rows=10)
    assert parse_monitor(watch.to_json(), sizes=SIZES) == watch
    assert watch.words().startswith(
        "ticket when psi of distance is more than 3 standard deviations above the mean"
    )
    assert "in 2 of the last 3 windows" in watch.words()


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({}, "when.kind: missing"),
        ({"kind": "drift", "statistic": "psi"}, "when.threshold: missing"),
        (condition(kind="constant"), "when.threshold.value: missing"),
        (condition(kind="often", value=1), "when.threshold.kind: 'often'; write one of constant"),
        (condition(kind="constant", value="high"), "'high'; write a number"),
        (condition(kind="constant", value=0.2, clear=0.3), "stricter than 0.2"),
        (condition(AUC, kind="constant", side="below", value=0.7, clear=0.6), "stricter than 0.7"),
        (condition(kind="constant", value=0.2, points=9), "looks at no earlier values"),
        (condition(kind="constant", value=0.2, side="either"), "either goes with sigma and p_value"),
        (condition(kind="sigma", value=3, points=2), "not a whole number from 5 to 500"),
        (condition(kind="p_value", value=0.001, points=99), "take at least 999 points"),
        (condition(kind="p_value", value=0.01, points=99, side="either"), "take at least 199 points"),
        (condition(AUC, kind="limit", value=1, side="above"), "the calibrated limit of realised roc_auc lies below"),
        (condition(kind="calibrated", value=2), "has no value of yours"),
        ({"all": []}, "when.all: write a list"),
        ({"all": [condition()], "any": [condition()]}, "all or any, and nothing else"),
        ({"any": [condition(), {"kind": "drift"}]}, "when.any[1].statistic: missing"),
        ({"all": [condition()] * 21}, "at most 20 conditions"),
        ({**condition(), "colour": "red"}, "'colour' is not known here"),
    ],
)  # fmt: skip
def test_a_wrong_condition_is_named(when: Any, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_monitor({"name": "x", "level": "ticket", "when": when}, sizes=SIZES)
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": " "}, "name: write"),
        ({"level": "siren"}, "level: 'siren'; write one of page, ticket, info"),
        ({"size": "1w"}, "size: '1w'; write one of 1d, 1h"),
        ({"windows": {"fire": 4, "of": 3}}, "windows.fire: 4 is not a whole number from 1 to 3"),
        ({"clear_after": 0}, "clear_after: 0"),
        ({"min_completeness": 2}, "min_completeness: 2 is not from 0 to 1"),
        ({"min_rows": True}, "min_rows: True"),
        ({"colour": "red"}, "the monitor: 'colour' is not known here"),
    ],
)
def test_a_wrong_definition_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_monitor({"name": "x", "level": "ticket", "when": condition(), **change}, sizes=SIZES)
    assert says in refused.value.message


def test_the_example_of_the_documentation_is_accepted() -> None:
    text = (Path(__file__).parents[3] / "docs" / "monitors.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    watch = parse_monitor(yaml.safe_load(example), sizes=SIZES)
    assert (watch.level, watch.fire, watch.of, len(watch.conditions)) == ("page", 2, 3, 3)
    assert all(f"| `{kind}` |" in text for kind in THRESHOLDS)


def test_drift_alone_never_pages_and_an_estimator_that_was_wrong_does_not_either() -> None:
    moved, fell = condition(), condition(AUC, kind="calibrated")
    guessed = condition(Figure("estimated", "", "roc_auc"), kind="calibrated")
    for alone in (moved, {"any": [moved, fell]}, {"all": [moved, {"any": [moved, guessed]}]}):
        with pytest.raises(BadInput, match="alone never pages"):
            monitor(alone, level="page")
    for together in (fell, {"all": [moved, fell]}, {"any": [fell, {"all": [moved, guessed]}]}):
        assert monitor(together, level="page").level == "page"
    watch = monitor({"all": [moved, guessed]}, level="page")
    assert watch.may_page(trusted=frozenset({"roc_auc"}))
    assert not watch.may_page(trusted=frozenset())
