"""Figures of the monitoring pages: labels take over from estimates, unknown is never fine, gaps stay gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from app import charts
from app.charts.performance import take_over
from app.components.drift_parts import as_ratio, by_effect, heat_cells
from app.components.paged import with_pages
from app.components.performance_parts import verdict_cell
from app.components.performance_points import come_together, judgeable, worst_segments
from app.components.quality_parts import worst_checks
from app.components.seen import as_first_seen
from app.words import effect_words, is_beyond_chance, statistic_word

START = datetime(2026, 2, 2, tzinfo=UTC)
DAYS = [START + timedelta(days=i) for i in range(10)]
NAN = float("nan")


def line(values: list[float], **more: Any) -> pd.DataFrame:
    value = np.array(values, dtype=float)
    frame = {"window_start": DAYS[: len(value)], "value": value, "low": value - 0.02, "high": value + 0.02}
    return pd.DataFrame({**frame, "completeness": 1.0, "rows": 900, **more})


def points(rows: list[dict[str, Any]]) -> pd.DataFrame:
    plain = {
        "window_start": DAYS[0], "statistic": "psi", "value": 0.05, "threshold": 0.1, "verdict": "ok", "level": None,
        "effect": NAN, "effect_se": NAN, "importance": NAN, "segment": "", "reference_value": NAN,
        "first_value": 0.05, "first_computed_at": DAYS[0],
    }  # fmt: skip
    return pd.DataFrame([plain | row for row in rows])


def traces(figure: go.Figure, name: str) -> list[Any]:
    return [one for one in figure.data if name in (one.name or "")]


def test_labels_take_over_from_the_estimate_on_the_same_line() -> None:
    realised = line([0.7, 0.68, NAN, NAN], verdict=["ok", "alarm", "no_data", "no_data"])
    estimated = line([0.71, 0.7, 0.66, 0.65])
    ahead, past = take_over(realised, estimated)
    assert ahead["value"].tolist()[1:] == [0.68, 0.66, 0.65], "joined to the last realised value"
    assert np.isnan(ahead["value"].iloc[0])
    assert past["value"].tolist()[:2] == [0.71, 0.7]
    assert past["value"].isna().tolist() == [False, False, True, True]
    assert (ahead["low"].iloc[1], ahead["high"].iloc[1]) == (0.68, 0.68)


def test_a_realised_value_that_was_not_judged_leaves_the_estimate_in_force() -> None:
    realised = line([0.7, 0.5], verdict=["ok", "inconclusive"])
    ahead, past = take_over(realised, line([0.71, 0.7]))
    assert ahead["value"].iloc[1] == 0.7
    assert np.isnan(past["value"].iloc[1])


def test_the_limit_is_drawn_window_by_window() -> None:
    realised = line([0.7, 0.7, NAN], verdict=["ok", "ok", "no_data"], threshold=[0.66, 0.67, NAN])
    estimated = line([0.7, 0.7, 0.7], threshold=[0.6, 0.6, 0.65])
    figure = charts.performance_figure(realised, estimated, reference=0.7)
    (limit,) = traces(figure, "limit")
    assert list(limit.y)[1::3] == [0.66, 0.67, 0.65]


def test_the_limit_does_not_run_over_windows_without_one() -> None:
    realised = line([0.7, 0.7, 0.7, 0.7], threshold=[0.66, NAN, NAN, 0.67])
    (limit,) = traces(charts.performance_figure(realised, line([]), reference=None), "limit")
    assert list(limit.y) == [0.66] * 3 + [None] + [0.67] * 3
    assert limit.x[2] < pd.Timestamp("2026-02-03")
    assert limit.x[4] > pd.Timestamp("2026-02-04")


def test_windows_that_alarmed_carry_the_shape_and_colour_of_their_level() -> None:
    verdicts, levels = ["ok", "alarm", "alarm", "no_data"], [None, "page", "ticket", None]
    realised = line([0.7, 0.6, 0.61, NAN], verdict=verdicts, level=levels)
    estimated = line(
        [0.7, 0.7, 0.7, 0.5], verdict=["ok", "ok", "ok", "alarm"], level=[None, None, None, "page"]
    )
    figure = charts.performance_figure(realised, estimated, reference=None)
    pages = traces(figure, "alarm (page)")
    assert [list(one.y) for one in pages] == [[0.5], [0.6]]
    assert [one.showlegend for one in pages] == [True, False]
    (ticket,) = traces(figure, "alarm (ticket)")
    assert (list(ticket.y), ticket.marker.symbol) == ([0.61], "triangle-up")
    assert not traces(
        charts.performance_figure(realised, estimated, reference=None, first_seen=True), "alarm"
    )


def test_an_estimate_without_neighbours_is_seen() -> None:
    realised = line([NAN, NAN, 0.7])
    estimated = line([NAN, 0.66, NAN])
    (shown,) = traces(charts.performance_figure(realised, estimated, reference=None), "estimated")
    assert "markers" in shown.mode
    assert shown.marker.size[1] > 0
    assert shown.error_y.array[1] == pytest.approx(0.02)


def test_an_estimate_that_came_with_its_labels_is_not_said_to_be_before_them() -> None:
    early, late = (pd.Timestamp(DAYS[day]) for day in (1, 5))
    for first, name in ((early, "estimate before the labels"), (late, "estimate")):
        realised = line([0.7, 0.7], first_computed_at=late, first_value=0.7)
        estimated = line([0.71, 0.71], first_computed_at=first, first_value=0.71)
        figure = charts.performance_figure(realised, estimated, reference=None)
        assert [one.name for one in traces(figure, "estimate")] == [name]
        assert come_together(realised, estimated) == (first == late)


def test_what_was_seen_first_has_no_band() -> None:
    estimated = line([0.7, 0.7])
    figure = charts.performance_figure(line([NAN, NAN]), estimated, reference=None, first_seen=True)
    assert not [one for one in figure.data if one.fill]
    assert not traces(figure, "band")


def test_a_limit_that_nothing_can_lie_beyond_judges_nothing() -> None:
    found = judgeable(
        points(
            [
                {"statistic": name, "threshold": limit, "reason": ""}
                for name, limit in (("precision", -0.177), ("ece", 1.2), ("precision", 0.4), ("r2", -0.3))
            ]
        )
    )
    assert found["verdict"].tolist() == ["inconclusive", "inconclusive", "ok", "ok"]
    assert found["reason"].tolist() == ["too few rows for a limit"] * 2 + ["", ""]
    assert found["threshold"].isna().tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("value", "guess", "words"),
    [
        (0.601, 0.65, "not known yet"),  # beyond the limit
        (0.75, 0.65, "not known yet"),  # its interval leaves the estimate out
        (0.66, 0.65, "ok by estimate"),
    ],
)
def test_early_labels_that_speak_against_the_estimate_are_never_green(
    value: float, guess: float, words: str
) -> None:
    plain = {"statistic": "roc_auc", "level": None, "threshold": 0.63, "reason": ""}
    came = {**plain, "value": value, "low": value - 0.06, "high": value + 0.06, "verdict": "inconclusive"}
    shown = str(verdict_cell(came, {**plain, "value": guess, "verdict": "ok"}))
    assert words in shown
    assert ("w-ok" in shown) == (words == "ok by estimate")


def test_a_hover_says_what_was_seen_first_where_that_was_something_else() -> None:
    then = [pd.Timestamp(DAYS[1]), pd.Timestamp(DAYS[2])]
    realised = line([0.7, 0.68], first_value=[0.7, 0.75], first_computed_at=then)
    figure = charts.performance_figure(realised, line([]), reference=None)
    shown = next(one for one in traces(figure, "realised") if one.customdata is not None)
    assert shown.customdata[0][-1] == ""
    assert shown.customdata[1][-1] == "<br>first seen as 0.750 on Wed 4 Feb 2026, 00:00 UTC"


def test_what_was_seen_first_has_no_interval_of_today() -> None:
    first = as_first_seen(line([0.7], first_value=[0.75]))
    assert first["value"].tolist() == [0.75]
    assert first[["low", "high"]].isna().all(axis=None)


def test_figures_of_the_same_windows_have_the_same_span() -> None:
    frame = line([0.7] * 5)
    above = charts.performance_figure(frame, line([]), reference=None)
    below = charts.volume_figure(frame)
    assert above.layout.xaxis.range == below.layout.xaxis.range
    assert (above.layout.margin.l, above.layout.margin.r) == (below.layout.margin.l, below.layout.margin.r)


def test_a_window_that_is_not_over_is_drawn_as_unknown_even_when_it_alarms() -> None:
    windows = pd.DataFrame(
        {"start": DAYS[:2], "state": ["complete", "open"], "computed_at": DAYS[1], "rows": [900, 5]}
    )
    cells = heat_cells(
        points(
            [
                {"column": "a", "verdict": "ok"},
                {"column": "a", "window_start": DAYS[1], "value": 0.9, "verdict": "alarm", "level": "ticket"},
            ]
        ),
        windows,
        ["a"],
        min_rows=200,
    )
    figure = charts.drift_heatmap(cells, columns=["a"])
    heat = next(one for one in figure.data if one.type == "heatmap")
    assert np.isnan(np.array(heat.z, dtype=float)[0, 1])
    assert list(traces(figure, "no data")[0].y) == ["a"]
    (under,) = [text for text, start in traces(figure, "cells")[0].customdata if start == DAYS[1].isoformat()]
    assert "not over yet" in under
    assert not traces(figure, "ticket")


def test_a_gap_in_time_is_not_filled_by_the_cells_beside_it() -> None:
    rows = [{"column": "a", "window_start": day} for day in (*DAYS[:3], DAYS[9])]
    heat = next(one for one in charts.drift_heatmap(points(rows)).data if one.type == "heatmap")
    known = ~np.isnan(np.array(heat.z, dtype=float)[0])
    assert known.tolist() == [True, True, True, False, False, True]
    assert pd.Timestamp(heat.x[3]) == pd.Timestamp("2026-02-05")


def test_columns_stand_in_the_order_that_is_asked_for() -> None:
    rows = [{"column": "loud", "value": 0.9}, {"column": "calm"}]
    heat = next(one for one in charts.drift_heatmap(points(rows), columns=["calm", "loud"]).data)
    assert list(heat.y) == ["calm", "loud"]


def test_columns_are_ranked_by_effect_and_else_by_how_far_they_went() -> None:
    found = points(
        [
            {"column": "calm", "effect": 0.5, "effect_se": 0.1},
            {"column": "far", "value": 0.9, "verdict": "alarm"},
            {"column": "chance", "value": 0.2, "verdict": "alarm", "effect": 0.01, "effect_se": 0.02},
            {"column": "harmful", "value": 0.12, "verdict": "alarm", "effect": 0.02, "effect_se": 0.004},
            {"column": "better", "value": 0.3, "verdict": "alarm", "effect": -0.05, "effect_se": 0.004},
            {"column": "", "statistic": "domain_classifier", "value": 9.0, "verdict": "alarm"},
        ]
    )
    assert by_effect(found) == ["harmful", "far", "better", "chance", "calm"]


@pytest.mark.parametrize(
    ("effect", "error", "metric", "words"),
    [
        (0.021, 0.004, "roc_auc", "2.1 ± 0.8 points of AUC worse"),
        (-0.021, 0.004, "roc_auc", "2.1 ± 0.8 points of AUC better"),
        (0.0002, 0.001, "roc_auc", "0.0 ± 0.2 points of AUC"),
        (1.25, 0.5, "mae", "1.25 ± 0.980 MAE worse"),
        (None, None, "roc_auc", "not known"),
        (0.01, None, "accuracy", "1.0 points of accuracy worse"),
    ],
)
def test_a_positive_effect_is_worse_for_every_metric(
    effect: float | None, error: float | None, metric: str, words: str
) -> None:
    assert effect_words(effect, error, metric) == words


def test_an_effect_without_its_error_is_not_beyond_chance() -> None:
    assert is_beyond_chance(0.02, 0.004)
    assert not is_beyond_chance(0.002, 0.004)
    assert not is_beyond_chance(0.02, None)
    assert not is_beyond_chance(NAN, NAN)


def test_statistics_without_a_word_of_ours_have_their_title() -> None:
    assert statistic_word("quantile_shift") == "shift of percentiles"
    assert statistic_word("freshness") == "age of the newest row"
    assert statistic_word("something_new") == "something new"


def test_several_statistics_share_one_scale() -> None:
    found = as_ratio(
        points([{"column": "a", "value": 0.3, "threshold": 0.1}, {"column": "a", "threshold": 0.0}])
    )
    assert found["value"].tolist()[0] == pytest.approx(3)
    assert found["value"].isna().tolist() == [False, True]


def test_segments_stand_worst_first_and_one_without_values_is_last() -> None:
    rows = [
        {"segment": name, "window_start": day, "value": value, "reference_value": 0.7}
        for name, values in {"a=1": [0.7, 0.69], "a=2": [0.7, 0.5], "a=3": [NAN, NAN]}.items()
        for day, value in zip(DAYS, values, strict=False)
    ]
    placed = worst_segments(points(rows), "roc_auc")
    assert list(dict.fromkeys(placed["segment"])) == ["a=2", "a=1", "a=3"]
    assert list(dict.fromkeys(worst_segments(points(rows), "log_loss")["segment"])) == ["a=1", "a=2", "a=3"]
    figure = charts.segments_figure(placed.assign(rows=10))
    titles = [one.text for one in figure.layout.annotations]
    assert titles == ["a=2: 0.500", "a=1: 0.690", "a=3: not known"]


def test_a_segment_that_alarms_carries_its_shape() -> None:
    rows = [{"segment": "a=1", "value": 0.5, "reference_value": 0.7, "verdict": "alarm", "rows": 9}]
    figure = charts.segments_figure(points(rows))
    assert [one.marker.symbol for one in figure.data if one.mode == "markers"] == [("triangle-up",)]


def test_no_segment_says_what_to_do() -> None:
    empty = charts.segments_figure(points([{"segment": "a=1"}]).iloc[:0])
    assert "No segment" in empty.layout.annotations[0].text
    assert "spec" in charts.segment_distributions({}).layout.annotations[0].text


def test_segments_of_numbers_share_their_scale_and_of_categories_their_order() -> None:
    numbers = {
        "kind": "numeric",
        "edges": [0, 1, 2, 3],
        "reference": [0.2, 0.6, 0.2],
        "current": [0.1, 0.3, 0.6],
    }
    figure = charts.segment_distributions({"a=1": numbers, "a=2": numbers})
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    labels = {"kind": "categorical", "labels": ["x", "y"], "reference": [0.9, 0.1], "current": [0.2, 0.8]}
    other = {"kind": "categorical", "labels": ["y"], "reference": [1.0], "current": [1.0]}
    figure = charts.segment_distributions({"a=1": labels, "a=2": other})
    assert {tuple(one.x) for one in figure.data} == {("y", "x")}


def test_own_figures_keep_gaps_and_show_segments_thinner() -> None:
    rows = [
        {
            "window_start": day,
            "segment": segment,
            "rows": 5,
            "total": value,
            "mean": value,
            "low": value,
            "high": value,
        }
        for segment in ("", "shop=b")
        for day, value in zip(DAYS, [1.0, NAN, 3.0], strict=False)
    ]
    figure = charts.kpi_figure(pd.DataFrame(rows), name="revenue")
    whole, part = traces(figure, "all rows")[0], traces(figure, "shop=b")[0]
    assert np.isnan(whole.y[1])
    assert not whole.connectgaps
    assert whole.line.width > part.line.width
    assert (
        "No row of revenue"
        in charts.kpi_figure(pd.DataFrame(rows).iloc[:0], name="revenue").layout.annotations[0].text
    )


def test_a_comparison_names_its_two_sides() -> None:
    shares = {"kind": "categorical", "labels": ["x"], "reference": [1.0], "current": [1.0]}
    figure = charts.distribution_figure(shares, column="a", names=("the window before", "this window"))
    assert [one.name for one in figure.data] == ["the window before", "this window"]


def test_broken_columns_stand_first() -> None:
    found = points(
        [
            {"column": "near", "statistic": "missing_rate", "value": 0.09},
            {
                "column": "far below",
                "statistic": "missing_rate",
                "value": 0.95,
                "threshold": 0.4,
                "kind": "quality",
            },
            {
                "column": "broken",
                "statistic": "missing_rate",
                "value": 0.5,
                "verdict": "alarm",
                "level": "page",
            },
            {
                "column": "odd",
                "statistic": "unseen_rate",
                "value": 0.9,
                "verdict": "alarm",
                "level": "ticket",
            },
            {"column": "a > 0", "statistic": "rule_violations", "value": 0.9, "verdict": "alarm"},
        ]
    )
    assert worst_checks(found) == ["broken", "odd", "near", "far below"], (
        "0.4 is a lower limit: 0.95 is far from it"
    )


def test_an_alarm_in_a_window_that_fills_is_as_loud_as_the_page_that_fires_by_it() -> None:
    windows = pd.DataFrame(
        {"start": DAYS[:2], "state": ["complete", "open"], "computed_at": DAYS[1], "rows": [900, 800]}
    )
    found = [
        {"column": "a", "verdict": "ok"},
        {"column": "a", "window_start": DAYS[1], "value": 3.0, "verdict": "alarm", "level": "page"},
        {"column": "b", "verdict": "ok"},
        {"column": "b", "window_start": DAYS[1], "verdict": "ok"},
    ]
    cells = heat_cells(points(found), windows, ["a", "b"], min_rows=200)
    figure = charts.drift_heatmap(cells, columns=["a", "b"])
    heat = next(one for one in figure.data if one.type == "heatmap")
    z = np.array(heat.z, dtype=float)
    assert z[0, 1] == 2.0 or z[0, 1] > 1
    assert np.isnan(z[1, 1]), "what is fine so far is not known to be"
    assert list(traces(figure, "page")[0].y) == ["a"]
    (under,) = [
        text
        for text, start in traces(figure, "cells")[0].customdata
        if start == DAYS[1].isoformat() and text.startswith("<b>a<")
    ]
    assert "not over yet" in under
    series = charts.drift_series(cells[cells["column"] == "a"], column="a")
    assert [one.y[0] for one in traces(series, "page")] == [3.0]


def test_the_legend_tells_the_reasons_apart_and_names_only_those_that_are_there() -> None:
    windows = pd.DataFrame(
        {
            "start": DAYS[:3], "state": ["complete", "complete", "no_traffic"], "computed_at": DAYS[1],
            "rows": [900, 90, 0],
        }
    )  # fmt: skip
    found = [
        {"column": "a"},
        {"column": "a", "window_start": DAYS[1], "value": NAN, "verdict": "inconclusive"},
    ]
    figure = charts.drift_heatmap(heat_cells(points(found), windows, ["a"]), columns=["a"])
    said = " ".join(str(one.text) for one in figure.layout.annotations)
    assert "△\u00a0inconclusive" in said
    assert "╱\u00a0no rows came" in said
    assert "not over" not in said


def test_a_page_that_nobody_got_is_drawn_open_and_said_so() -> None:
    realised = line([0.6, 0.61], verdict=["alarm"] * 2, level=["page"] * 2, came=["before", "paged"])
    figure = charts.performance_figure(realised, line([]), reference=None)
    (quiet,) = traces(figure, "nobody was paged")
    (paged,) = traces(figure, "alarm (page)")
    assert (list(quiet.y), quiet.marker.symbol) == ([0.6], "square-open")
    assert (list(paged.y), paged.marker.symbol) == ([0.61], "square")


def test_windows_from_before_the_model_was_watched_are_told_from_those_that_paged() -> None:
    windows = pd.DataFrame({"start": DAYS[:4], "end": DAYS[1:5]})
    alert = {
        "kind": "realised", "level": "page", "since": DAYS[2],
        "details": {"size": "1d", "window": DAYS[2].isoformat()},
    }  # fmt: skip
    found = points(
        [
            {"window_start": DAYS[0], "verdict": "alarm", "level": "page", "kind": "realised"},
            {"window_start": DAYS[1], "verdict": "alarm", "level": "ticket", "kind": "realised"},
            {"window_start": DAYS[2], "verdict": "alarm", "level": "page", "kind": "realised"},
            {"window_start": DAYS[3], "verdict": "alarm", "level": "page", "kind": "realised"},
        ]
    )
    came = with_pages(found, windows, [alert], watched_since=DAYS[2], size="1d")["came"]
    assert came.tolist() == ["before", None, "paged", "passed"]
    begun_later = alert | {"since": DAYS[2] + timedelta(hours=13)}
    came = with_pages(found, windows, [begun_later], watched_since=DAYS[2], size="1d")["came"]
    assert came.tolist() == ["before", None, "paged", "passed"], "since is the start of a shorter window"
    hourly = with_pages(found, windows, [alert], watched_since=DAYS[2], size="1h")["came"]
    assert hourly.tolist() == ["before", None, "passed", "passed"]


def test_a_ticket_and_a_page_are_told_apart_by_word() -> None:
    plain = {"verdict": "alarm", "statistic": "roc_auc", "kind": "realised", "value": 0.5, "reason": ""}
    assert "alarm, page" in str(verdict_cell({**plain, "level": "page"}, None))
    assert "alarm, ticket" in str(verdict_cell({**plain, "level": "ticket"}, None))
    assert "nobody was paged" in str(verdict_cell({**plain, "level": "page", "came": "before"}, None))
