"""The figures of what changed: parts that add up, and happenings on one axis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.charts.changes import happened_figure, parts_figure
from backend.monitoring.causes import KINDS

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PARTS = [
    {"kind": kind, "value": value, "low": low, "high": high}
    for kind, value, low, high in zip(
        KINDS, (0.012, 0.040, -0.009, 0.001), (0.01, 0.03, -0.02, None), (0.014, 0.05, 0.002, None), strict=True
    )
]  # fmt: skip


def test_bars_are_in_points_and_the_last_is_their_sum() -> None:
    bars, intervals = parts_figure(PARTS, metric="AUC", scale=100, unit="points").data
    assert list(bars.x) == pytest.approx([1.2, 4.0, -0.9, 0.1, 4.4])
    assert [text.split("<br>")[1] for text in bars.y] == [
        "+1.2 worse (+1.0 to +1.4)", "+4.0 worse (+3.0 to +5.0)", "−0.9 better (−2.0 to +0.2)", "+0.1 worse",
        "4.4 worse",
    ]  # fmt: skip
    assert len(intervals.x) == 3  # a part without an interval gets none
    assert list(intervals.error_x.arrayminus) == pytest.approx([0.2, 1.0, 1.1])


def test_without_parts_the_figure_says_so() -> None:
    assert "No parts" in parts_figure([], metric="AUC", scale=100, unit="points").layout.annotations[0].text


def test_every_kind_of_happening_has_a_lane_in_the_viewers_zone() -> None:
    happened = [
        {"at": START - 3 * DAY, "kind": "deployment", "text": "version 3 as champion", "level": "change"},
        {"at": START - 2 * DAY, "kind": "schema", "text": "x vanished", "level": "attention"},
        {"at": START - DAY, "kind": "incident", "text": "INC-1", "level": "page"},
    ]
    figure = happened_figure(happened, window=(START, START + DAY), since=START - 7 * DAY, tz="Europe/Paris")
    assert [trace.y[0] for trace in figure.data] == ["deployment", "schema change", "incident"]
    assert str(figure.data[0].x[0]).startswith("2026-02-27 01:00")
    assert figure.data[0].customdata[0][0] == "version 3 as champion"
    nothing = happened_figure([], window=(START, START + DAY), since=START - 7 * DAY)
    assert "Nothing is recorded before this window" in nothing.layout.annotations[0].text


def test_parts_of_analysed_windows_stand_on_the_time_axis_of_what_happened() -> None:
    happened = [{"at": START - 3 * DAY, "kind": "deployment", "text": "version 3", "level": "change"}]
    analysed = [
        {"start": START + age * DAY, "end": START + (age + 1) * DAY, "parts": PARTS, "scale": 100, "unit": "points",
         "metric": "roc_auc"}
        for age in (-2, 0)
    ]  # fmt: skip
    window = (START, START + DAY)
    figure = happened_figure(
        happened, window=window, since=START - 7 * DAY, tz="Europe/Paris", analysed=analysed
    )
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    assert list(bars["behaviour within segments"].y) == pytest.approx([4.0, 4.0])
    assert [str(at) for at in bars["input mix"].x] == ["2026-02-28 13:00:00", "2026-03-02 13:00:00"]
    assert bars["data quality"].customdata[0][1] == "0.9 points better"
    assert {trace.name for trace in figure.data if trace.showlegend is not False} == set(bars)
    assert {trace.xaxis for trace in figure.data} == {None}  # one axis for all
    assert figure.layout.yaxis.domain[1] < figure.layout.yaxis2.domain[0]
    assert figure.layout.yaxis2.title.text.startswith("points of AUC")


def test_parts_have_the_figure_to_themselves_where_nothing_happened() -> None:
    one = {"start": START, "end": START + DAY, "parts": PARTS, "scale": 1, "unit": "", "metric": "mae"}
    figure = happened_figure([], window=(START, START + DAY), since=START - 7 * DAY, analysed=[one])
    assert tuple(figure.layout.yaxis2.domain) == (0, 1)
    assert figure.layout.yaxis2.title.text.startswith("MAE")
