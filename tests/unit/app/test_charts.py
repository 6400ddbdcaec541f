"""Figures say what the data say: gaps stay gaps, unknown is never fine, times are in the viewer's zone."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from app import charts
from app.charts import Mark, Period
from app.charts.distributions import coarsen
from app.charts.volume import volume_figure

START = datetime(2026, 2, 2, tzinfo=UTC)
DAYS = [START + timedelta(days=i) for i in range(10)]


def realised(values: list[float], completeness: list[float]) -> pd.DataFrame:
    value = np.array(values, dtype=float)
    return pd.DataFrame(
        {
            "window_start": DAYS[: len(value)],
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "completeness": completeness,
            "rows": 900,
        }
    )


def estimated(values: list[float]) -> pd.DataFrame:
    return realised(values, [1.0] * len(values))[["window_start", "value", "low", "high"]]


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if name in (t.name or ""))


def words(figure: go.Figure) -> str:
    return " ".join(a.text for a in figure.layout.annotations)


def drift(values: dict[str, list[float]], verdicts: dict[str, list[str]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"window_start": DAYS[i], "column": c, "value": v, "threshold": 0.1, "verdict": verdicts[c][i]}
            for c, row in values.items()
            for i, v in enumerate(row)
        ]
    )


def test_incomplete_points_are_hollow_and_complete_ones_full() -> None:
    figure = charts.performance_figure(
        realised([0.64, 0.63, 0.62], [0.97, 0.7, 0.2]), estimated([]), reference=0.64
    )
    full, part, hollow = trace(figure, "realised").marker.color
    assert full.startswith("#")
    assert 0 < float(part.split(",")[-1].rstrip(")")) < 1
    assert hollow == "rgba(0,0,0,0)"


def test_a_window_without_a_value_leaves_a_gap_in_line_and_band() -> None:
    nan = float("nan")
    figure = charts.performance_figure(
        realised([nan, nan, nan], [0, 0, 0]), estimated([0.6, 0.6, nan, 0.6, 0.6]), reference=None
    )
    bands = [t for t in figure.data if t.fill == "toself"]
    assert [len(band.x) for band in bands] == [4, 4]
    assert all(not t.connectgaps for t in figure.data if t.mode == "lines" and t.fill is None)


def test_hover_gives_value_interval_completeness_rows_and_zone() -> None:
    figure = charts.performance_figure(
        realised([0.6431], [0.93]), estimated([]), reference=0.6, tz="Europe/Berlin"
    )
    when, value, between, share, rows, _ = trace(figure, "realised").customdata[0]
    assert (when, value) == ("Mon 2 Feb 2026, 01:00 CET", "0.643")
    assert between == "<br>95 % interval 0.633 to 0.653"
    assert (share.replace("\u202f", " "), rows) == ("93.0 %", "900")


def test_time_axis_is_in_the_viewers_zone_and_says_so() -> None:
    figure = charts.performance_figure(
        realised([0.6], [1]), estimated([]), reference=None, tz="America/New_York"
    )
    assert pd.Timestamp(trace(figure, "realised").x[0]) == pd.Timestamp("2026-02-01 19:00")
    assert figure.layout.xaxis.title.text == "time, EST"


def test_version_switches_are_marked_and_the_serving_version_is_named_at_the_edge() -> None:
    switches = [
        (START - timedelta(days=30), "v2"),
        (START - timedelta(days=3), "v3"),
        (DAYS[4], "v4"),
        (DAYS[4] + timedelta(hours=1), "v5"),
    ]
    figure = charts.performance_figure(
        realised([0.6] * 10, [1] * 10), estimated([]), reference=None, deployments=switches
    )
    labels = {a.text: a for a in figure.layout.annotations}
    assert set(labels) == {"v3", "v4", "v5"}
    assert len([s for s in figure.layout.shapes if s.type == "line"]) == 2
    assert labels["v4"].yshift != labels["v5"].yshift, "labels of neighbours must not overlap"


def test_marks_carry_shape_and_text() -> None:
    figure = charts.performance_figure(
        realised([0.6] * 3, [1] * 3),
        estimated([]),
        reference=None,
        marks=[Mark(DAYS[1], "null-burst on dep_delay", "injected"), Mark(DAYS[2], "INC-42", "page")],
    )
    fault, incident = trace(figure, "injected fault"), trace(figure, "incident")
    assert fault.marker.symbol != incident.marker.symbol
    assert fault.customdata[0][0] == "null-burst on dep_delay"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        charts.performance_figure(
            realised([0.6], [1]),
            estimated([]),
            reference=None,
            marks=[Mark(datetime(2026, 2, 2), "x")],  # noqa: DTZ001
        )


def test_heatmap_sorts_by_need_and_never_draws_an_unknown_cell_as_fine() -> None:
    nan = float("nan")
    figure = charts.drift_heatmap(
        drift(
            {"calm": [0.01, 0.02, 0.01], "loud": [0.05, 0.3, 0.4], "silent": [nan, 0.02, 0.03]},
            {
                "calm": ["ok"] * 3,
                "loud": ["ok", "ticket", "page"],
                "silent": ["no data", "inconclusive", "a new word"],
            },
        )
    )
    heat = next(t for t in figure.data if t.type == "heatmap")
    assert list(heat.y) == ["loud", "silent", "calm"]
    assert np.isnan(np.array(heat.z[1], dtype=float)).all(), (
        "even a small value is not drawn without a verdict"
    )
    assert len(trace(figure, "no data").x) == 3
    assert trace(figure, "page").text[0] == "■"
    assert "no data" in words(figure)


def test_heatmap_marks_windows_that_a_column_lacks() -> None:
    points = drift({"a": [0.01, 0.01], "b": [0.01, 0.01]}, {"a": ["ok", "ok"], "b": ["ok", "ok"]}).iloc[:-1]
    assert list(trace(charts.drift_heatmap(points), "no data").y) == ["b"]


def test_heatmap_says_how_many_columns_it_left_out() -> None:
    names = [f"c{i}" for i in range(6)]
    points = drift({name: [0.01] for name in names}, {name: ["ok"] for name in names})
    figure = charts.drift_heatmap(points, limit=4)
    assert len(next(t for t in figure.data if t.type == "heatmap").y) == 4
    assert figure.layout.yaxis.title.text.startswith("2 ")


def test_series_marks_alarms_and_keeps_windows_without_a_value_off_the_value_axis() -> None:
    points = drift({"a": [0.05, 0.4, float("nan")]}, {"a": ["ok", "page", "no data"]})
    figure = charts.drift_series(points, column="a")
    assert list(trace(figure, "page").y) == [0.4]
    assert trace(figure, "no data").yaxis == "y2"


def test_coarsening_keeps_the_shares_and_a_spike_its_own_bin() -> None:
    edges = np.linspace(0, 100, 257)
    share = np.full(256, 0.5 / 255)
    share[100] = 0.5
    merged, (kept,) = coarsen(edges, share)
    assert kept.sum() == pytest.approx(1.0)
    assert len(merged) == len(kept) + 1 < 60
    spike = int(np.argmax(kept))
    assert merged[spike] == edges[100]
    assert kept[spike] < 0.55


@pytest.mark.parametrize("shares", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
def test_coarsening_survives_empty_and_lopsided_bins(shares: list[float]) -> None:
    edges, (kept,) = coarsen([0, 1, 2, 3], shares)
    assert (edges[0], edges[-1]) == (0, 3)
    assert kept.sum() == sum(shares)


def test_numeric_distribution_shows_missing_and_outside_rows_beside_the_density() -> None:
    figure = charts.distribution_figure(
        {
            "kind": "numeric",
            "edges": [0, 1, 2],
            "reference": [0.5, 0.5],
            "current": [0.4, 0.35],
            "overflow": (0.0, 0.04),
            "null": (0.0, 0.21),
        },
        column="dep_delay",
        unit="min",
    )
    current = next(t for t in figure.data if t.type == "bar" and t.name == "this window")
    assert dict(zip(current.y, current.x, strict=True)) == {"below": 0.0, "above": 0.04, "missing": 0.21}
    assert "min" in figure.layout.xaxis.title.text


def test_categorical_distribution_names_unseen_labels() -> None:
    figure = charts.distribution_figure(
        {
            "kind": "categorical",
            "labels": ["UA", "XX"],
            "reference": [1.0, 0.0],
            "current": [0.9, 0.08],
            "unseen": ["XX"],
            "null": (0.0, 0.02),
        },
        column="carrier",
    )
    assert list(figure.data[0].y) == ["UA", "XX ◇ unseen", "missing"]


def test_distribution_refuses_shares_that_do_not_fit_the_bins() -> None:
    with pytest.raises(ValueError, match="2 reference shares for 1 bins"):
        charts.distribution_figure(
            {"kind": "numeric", "edges": [0, 1], "reference": [0.5, 0.5], "current": [1.0]}, column="x"
        )


def test_shap_is_ranked_and_tells_its_direction_in_words() -> None:
    figure = charts.shap_summary(["a", "b"], [0.1, 0.8], direction=["-", "+"], rows=2000)
    bar = figure.data[0]
    assert list(bar.y) == ["b", "a"]
    assert "higher raises it" in bar.text[0]
    assert "2,000 rows" in figure.layout.xaxis.title.text


def test_timeline_has_a_lane_a_version_and_draws_roles_differently() -> None:
    figure = charts.deployments_timeline(
        [
            Period("v1", "champion", DAYS[0], DAYS[5]),
            Period("v2", "canary", DAYS[3], DAYS[5], 0.2),
            Period("v2", "champion", DAYS[5]),
        ],
        now=DAYS[9],
        marks=[Mark(DAYS[6], "INC-1", "page")],
    )
    champion, canary = trace(figure, "champion"), trace(figure, "canary")
    assert list(champion.x) == [5 * 86_400_000, 4 * 86_400_000]
    assert canary.marker.pattern.shape
    assert not champion.marker.pattern.shape
    assert "still serving" in champion.customdata[1]
    assert "20.0\u202f% of traffic" in canary.customdata[0]
    assert figure.layout.yaxis2.range == (0, 1), "marks keep their own axis"


def test_volume_tells_expected_silence_from_missing_data() -> None:
    frame = pd.DataFrame(
        {
            "window_start": DAYS[:3],
            "rows": [100, 0, 0],
            "completeness": [0.8, np.nan, np.nan],
            "state": [None, "expected none", "missing"],
        }
    )
    figure = volume_figure(frame)
    assert trace(figure, "label known").y[0] == pytest.approx(80)
    assert trace(figure, "no label yet").y[0] == pytest.approx(20)
    assert len(trace(figure, "no traffic expected").x) == len(trace(figure, "no data").x) == 1


def test_sparkline_marks_every_alarm_by_its_level() -> None:
    figure = charts.sparkline(
        [1, 2, None, 3, 4, 5, 6], ["ok", "ok", "no data", "page", "page", "alarm", "ok"]
    )
    marks = {t.marker.symbol: list(t.x) for t in figure.data if t.mode == "markers"}
    assert marks == {"square": [3, 4], "triangle-up": [5], "circle": [6]}
    assert charts.sparkline_uri([1, None, 3], ["ok", "ok", "page"]).startswith("data:image/svg+xml;base64,")
    assert charts.sparkline_uri([]) and charts.sparkline_uri([None, 2.0])


def test_every_chart_without_data_says_what_to_do() -> None:
    points = pd.DataFrame(columns=["window_start", "column", "value", "threshold", "verdict"])
    figures = [
        charts.performance_figure(realised([], []), estimated([]), reference=0.6),
        charts.drift_heatmap(points),
        charts.drift_series(points, column="a"),
        charts.distribution_figure(
            {"kind": "categorical", "labels": [], "reference": [], "current": []}, column="a"
        ),
        charts.shap_summary([], []),
        charts.deployments_timeline([], now=START),
        volume_figure(pd.DataFrame(columns=["window_start", "rows", "completeness"])),
    ]
    for figure in figures:
        assert len(figure.layout.annotations) == 1
        assert len(figure.layout.annotations[0].text) > 30
        assert not figure.data


def test_figures_leave_ground_and_text_to_the_theme() -> None:
    figure = charts.performance_figure(
        realised([0.6], [1]), estimated([0.6]), reference=0.6, deployments=[(START, "v1")]
    )
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.font.color is None
    assert all(a.font.color is None for a in figure.layout.annotations)


def test_charts_import_neither_streamlit_nor_plotly_express() -> None:
    code = "import sys, app.charts; print(sorted({'streamlit', 'plotly.express'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
