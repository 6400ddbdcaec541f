"""What happened stands on every axis of time, and the numbers behind a figure can be taken away."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pandas as pd
import plotly.graph_objects as go
import pytest

from app.charts.answers import figures_over_time
from app.charts.attributions import attribution_drift
from app.charts.frame import Mark
from app.charts.kpis import kpi_figure
from app.charts.marks import Happened
from app.charts.rows import COLUMNS, figure_csv
from app.charts.segments import segments_figure
from app.charts.slo_board import Step, slo_board
from app.charts.volume import volume_figure
from app.theme import MARK
from backend.monitoring.page_points import Series

DAYS = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day) for day in range(6)]
HAPPENED = Happened(
    [(DAYS[0], "v6"), (DAYS[3], "v7")],
    [Mark(DAYS[4], "INC-42", "page"), Mark(DAYS[0] - timedelta(days=9), "old")],
)
VOLUME = pd.DataFrame({"window_start": DAYS, "rows": [100] * 6, "completeness": [0.9] * 6})
KPI = pd.DataFrame(
    {"window_start": DAYS, "segment": "", "rows": 9, "total": 4.0, "mean": 2.0, "low": 1.0, "high": 3.0}
)
PARTS = pd.DataFrame(
    {
        "window_start": DAYS * 2,
        "segment": ["a"] * 6 + ["b"] * 6,
        "value": 0.7,
        "reference_value": 0.7,
        "verdict": "ok",
        "rows": 50,
    }
)
FIGURES = {
    "volume": volume_figure(VOLUME, happened=HAPPENED),
    "own figures": kpi_figure(KPI, name="revenue", happened=HAPPENED),
    "objective": slo_board(
        [
            Step(day - timedelta(days=1), day, 0.99, 0.8, 1.0, 99, 1, "1 of 100 requests failed")
            for day in DAYS
        ],
        target=0.9,
        ends=(DAYS[0], DAYS[5]),
        happened=HAPPENED,
    ),
    "attributions": attribution_drift(
        [{"start": day, "ndcg": 0.99, "rows": 10, "version": 6} for day in DAYS],
        tz=None,
        limit=0.9,
        happened=HAPPENED,
    ),
    "segments": segments_figure(PARTS, happened=HAPPENED),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_deployment_is_a_blue_line_with_its_name(name: str) -> None:
    figure = FIGURES[name]
    lines = [one for one in figure.layout.shapes if one.line.color == MARK["change"]]
    assert {one.x0 for one in lines} == {DAYS[3].replace(tzinfo=None)}
    assert len(lines) == (2 if name == "segments" else 1), "one in each panel"
    assert "v7" in [one.text for one in figure.layout.annotations]


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "segments"])
def test_an_incident_has_its_shape_and_only_within_the_time_drawn(name: str) -> None:
    place = "y5" if name == "objective" else "y2"
    marks = [one for one in FIGURES[name].data if one.yaxis == place and one.mode == "markers"]
    assert [one.marker.symbol for one in marks] == ["square"]
    told = [said if isinstance(said, str) else said[0] for one in marks for said in one.customdata]
    assert [one.split("<br>")[0] for one in told] == ["INC-42"]


def test_rows_of_an_incident_share_one_cursor() -> None:
    points = [(day, 1.0, None, None, None) for day in DAYS]
    figure = figures_over_time(
        [Series(name=name, points=points) for name in ("requests", "p95 ms")],
        opened_at=DAYS[2],
        opened="INC-42 opened",
        happened=Happened([(DAYS[1], "v7")], [Mark(DAYS[3], "CHG-9: cut-off 0.4", "change", "CHG-9")]),
    )
    assert figure.layout.hoversubplots == "axis" and figure.layout.hovermode == "x"
    assert list(map(list, figure.layout.grid.subplots)) == [["xy"], ["xy2"], ["xy3"]]
    assert {one.xaxis for one in figure.data} <= {None, "x"}
    assert [one.line.color for one in figure.layout.shapes] == [MARK["change"], MARK["page"], MARK["change"]]
    named = {name for one in figure.data if one.yaxis == "y3" for name in one.text}
    assert named == {"INC-42 opened", "CHG-9"}
    assert "v7" in [one.text for one in figure.layout.annotations]
    assert list(figure.layout.yaxis3.ticktext) == ["changes", "incident"]


def test_figures_of_a_range_show_what_happened_in_it_and_from_when_to_when_a_point_is() -> None:
    points = tuple((day, 1.0, None, None, "") for day in DAYS)
    figure = figures_over_time(
        [Series("requests", points, timedelta(days=1))],
        opened_at=DAYS[0] - timedelta(days=3),
        ends=(DAYS[0], DAYS[5]),
        happened=Happened((), [Mark(DAYS[2], "demo fault unit-change", "injected", "unit-change")]),
    )
    assert list(figure.layout.xaxis.range) == [DAYS[0].replace(tzinfo=None), DAYS[5].replace(tzinfo=None)]
    assert [one.line.color for one in figure.layout.shapes] == [MARK["injected"]], "opened before it"
    assert list(figure.layout.yaxis2.ticktext) == ["faults"]
    assert figure.data[0].customdata[0] == "Sun 1 Mar 2026, 00:00 UTC<br>to Mon 2 Mar 2026, 00:00 UTC"


def test_the_numbers_of_a_figure_are_its_points() -> None:
    rows = list(csv.DictReader(io.StringIO(figure_csv(FIGURES["objective"]))))
    assert list(rows[0]) == list(COLUMNS)
    mine = [row for row in rows if row["series"] == "budget left"]
    assert [float(row["y"]) for row in mine] == [0.8] * 6
    assert mine[0]["x"].startswith("2026-03-01")


def test_a_name_that_is_a_formula_does_nothing_in_a_spreadsheet() -> None:
    figure = go.Figure(go.Bar(x=["=1+1", "b"], y=[-1.5, float("nan")], name="@sum"))
    rows = list(csv.reader(io.StringIO(figure_csv(figure))))[1:]
    assert rows[0][0].startswith("'") and rows[0][1].startswith("'")
    assert [row[2] for row in rows] == ["-1.5", ""]


def test_a_band_and_a_heat_map_are_written_as_what_they_are() -> None:
    figure = go.Figure(
        [go.Scatter(x=[1, 2, 1], y=[1, 2, 1], fill="toself"), go.Heatmap(x=["d1"], y=["a"], z=[[0.4]])]
    )
    assert list(csv.reader(io.StringIO(figure_csv(figure))))[1:] == [["heatmap", "d1", "a", "0.4", ""]]
