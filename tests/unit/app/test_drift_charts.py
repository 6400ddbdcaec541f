"""Heat maps and series: colours follow verdicts, what is not known has no place on an axis of values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pytest

from app import charts
from app.components.alert_parts import alert_address, firing_about
from app.components.drift_parts import as_ratio, heat_cells, quantile_words
from app.components.watching import staleness
from backend.monitoring.columns import parse_spec
from backend.monitoring.distributions import describe
from backend.monitoring.profiles import freeze_grids, profile_table
from tests.worlds import SPEC

START = datetime(2026, 2, 2, tzinfo=UTC)
DAYS = [START + timedelta(days=i) for i in range(6)]
NAN = float("nan")


def cells(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "window_start": day,
                "column": "a",
                "value": value,
                "threshold": limit,
                "verdict": verdict,
                "first_value": value,
                "first_computed_at": day,
            }
            for day, (value, limit, verdict) in zip(DAYS, rows, strict=False)
        ]
    )


def heat(figure: go.Figure) -> list[float]:
    drawn = next(one for one in figure.data if one.type == "heatmap")
    return np.array(drawn.z, dtype=float)[0].tolist()


def windows(**columns: Any) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    plain = {"start": DAYS[:count], "end": DAYS[1 : count + 1], "computed_at": DAYS[1], "rows": 900}
    return pd.DataFrame(plain | columns)


def test_the_colour_of_alarm_begins_at_the_verdict_and_not_at_the_limit() -> None:
    drawn = heat(
        charts.drift_heatmap(
            cells((0.3, 0.1, "ok"), (0.09, 0.1, "ticket"), (0.5, 0.1, "page"), (NAN, NAN, "ticket"))
        )
    )
    assert drawn[0] < 1
    assert drawn[1:] == [1.0, 5.0, 1.0]


def test_an_alarm_that_calls_nobody_is_drawn_as_beyond_its_limit_and_not_as_unknown() -> None:
    found = cells((0.3, 0.1, "info"), (0.05, 0.1, "ok"))
    figure = charts.drift_heatmap(found)
    assert heat(figure)[0] > 1
    (hover, _), _ = next(one for one in figure.data if one.name == "cells").customdata
    assert "▲ beyond its limit; calls nobody" in hover
    assert "no data" not in [one.name for one in charts.drift_series(found, column="a").data]


def test_the_chosen_cell_is_framed() -> None:
    found = cells((0.3, 0.1, "ok"), (0.05, 0.1, "ok"))
    (frame,) = charts.drift_heatmap(found, chosen=("a", DAYS[1])).layout.shapes
    middle = pd.Timestamp(frame.x0) + (pd.Timestamp(frame.x1) - pd.Timestamp(frame.x0)) / 2
    assert middle == pd.Timestamp(DAYS[1]).tz_localize(None)
    assert (frame.y0, frame.y1) == (-0.5, 0.5)
    assert not charts.drift_heatmap(found, chosen=("b", DAYS[1])).layout.shapes


def test_a_cell_that_was_changed_shows_its_first_value_without_a_verdict() -> None:
    found = cells((0.3, 0.1, "revised"), (0.05, 0.1, "ok"))
    figure = charts.drift_heatmap(found)
    assert 0 < heat(figure)[0] < 1
    assert "↺" in " ".join(str(one.text) for one in figure.layout.annotations)


def test_a_window_without_a_value_is_hatched_and_not_a_point_at_zero() -> None:
    figure = charts.drift_series(
        cells((0.05, 0.1, "ok"), (NAN, NAN, "no_data"), (0.07, 0.1, "inconclusive")), column="a"
    )
    hatched = next(one for one in figure.data if one.type == "bar")
    assert (hatched.yaxis, len(hatched.x), hatched.marker.pattern.shape) == ("y2", 1, "/")
    for one in figure.data:
        if one.type == "scatter":
            assert not [value for value in one.y if value == 0]
    assert hatched.name != next(one for one in figure.data if one.name == "not judged").name


def test_windows_that_wait_have_words_of_their_own() -> None:
    state = windows(state=["complete", "complete", "open"], computed_at=[DAYS[1], pd.NaT, pd.NaT])
    found = heat_cells(
        cells((0.05, 0.1, "ok")).assign(statistic="psi", level=None), state, ["a"], min_rows=200
    )
    assert found["verdict"].tolist() == ["ok", "not_computed", "filling"]
    figure = charts.drift_heatmap(found, columns=["a"])
    said = " ".join(str(one.text) for one in figure.layout.annotations)
    assert "not computed yet" in said
    assert "still filling" in said


@pytest.mark.parametrize(("strange", "said"), [(500.0, "above 100"), (-500.0, "below 0")])
def test_a_quantile_outside_the_grid_is_said_to_be_outside(strange: float, said: str) -> None:
    reference = pa.table({"a": np.linspace(0, 100, 2001)})
    spec = parse_spec(SPEC | {"features": {"a": "numeric"}})
    grids = freeze_grids(reference, [one for one in spec.columns if one.name == "a"])
    rows = pa.table({"a": [*np.linspace(0, 100, 50), *([strange] * 40)]})
    side = describe(profile_table(rows, grids)["a"])
    level = 0.95 if strange > 0 else 0.05
    assert quantile_words(side, level) == said
    assert "above" not in quantile_words(side, 0.5)
    assert not describe(profile_table(reference, grids)["a"]).beyond


def test_an_age_counts_from_the_newest_window_that_could_be_judged() -> None:
    now = DAYS[3] + timedelta(hours=1)
    assert staleness(windows(state=["complete"] * 3), 200, now) is None
    assert staleness(windows(state=["complete"] * 3), 200, now + timedelta(days=2)) == timedelta(
        days=2, hours=1
    )
    small = windows(state=["complete"] * 3, rows=[900, 10, 10])
    assert staleness(small, 200, now) == timedelta(days=2, hours=1)
    weekend = windows(state=["complete", "no_traffic_expected", "no_traffic_expected"], rows=[900, 0, 0])
    assert staleness(weekend, 200, now) is None
    assert staleness(windows(state=["open"]), 200, now) is None


def test_a_monitor_concerns_the_page_of_what_it_looks_at() -> None:
    def alert(kind: str, level: str, **details: str) -> dict[str, Any]:
        return {
            "model": "m",
            "environment": "e",
            "kind": kind,
            "level": level,
            "since": START,
            "details": details,
        }

    drift, monitor = alert("drift", "ticket", column="a"), alert("monitor", "page")
    monitor["details"]["kind"] = "prediction"
    other = alert("quality", "page") | {"environment": "f"}
    assert firing_about([drift, monitor, other], "e", ("drift", "prediction")) == [monitor, drift]
    assert firing_about([other], "e", ("quality",)) == []
    assert alert_address(monitor, "1d").startswith("/drift?model=m&size=1d&window=2026-02-02")
    assert alert_address(alert("registry", "page"), "1d") == "/model?model=m"


def test_a_rate_that_fell_is_drawn_by_how_far_it_is_below_its_lower_limit() -> None:
    points = cells((0.2, 0.6, "ticket"), (0.7, 0.6, "ok"), (0.59, 0.6, "ticket")).assign(kind="quality")

    assert heat(charts.drift_heatmap(points)) == pytest.approx([2.0, 0.75, 1.025])
    assert as_ratio(points)["value"].tolist() == pytest.approx([2.0, 0.75, 1.025])
    figure = charts.drift_series(points, column="a", statistic="missing", share=True)
    assert "lower limit" in [trace.name for trace in figure.data]
    assert [detail[2] for detail in figure.data[1].customdata] == ["lower limit 60.0\u202f%"] * 3


def test_one_value_far_above_all_others_does_not_press_these_flat() -> None:
    frame = cells((0.01, 0.02, "ok"), (0.012, 0.02, "ok"), (0.65, 0.02, "page"), (0.011, 0.02, "ok"))
    figure = charts.drift_series(frame, column="a", share=True)
    line = next(one for one in figure.data if one.mode == "lines+markers")
    top = figure.layout.yaxis.range[1]
    assert max(line.y) < top < 0.1
    assert 0.02 / top > 0.2, "the limit can be told from nothing"
    assert any("65.0" in str(one.text) for one in figure.layout.annotations)
    assert "65.0" in line.customdata[2][1]
    calm = charts.drift_series(cells((0.01, 0.02, "ok"), (0.03, 0.02, "ticket")), column="a")
    assert calm.layout.yaxis.range is None
