"""The board of an objective: lanes on one axis, gaps, lines that page, what fired, and the forecast."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from app.charts.frame import Mark
from app.charts.marks import Happened
from app.charts.rows import figure_csv
from app.charts.slo_board import Fired, Step, slo_board
from app.formats import format_fine_share
from app.theme import MARK, STATES

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
ENDS = (START, START + 8 * HOUR)


def step(hour: int, *, bad: int | None = 0) -> Step:
    """A hundred events, or none."""
    since = START + hour * HOUR
    if bad is None:
        return Step(since, since + HOUR, None, 0.5, None)
    said = f"{bad} of 100 requests failed"
    return Step(since, since + HOUR, 1 - bad / 100, 0.5, bad / 2, 100 - bad, bad, said)


STEPS = [step(0), step(1, bad=30), step(2, bad=None), step(3, bad=1), *(step(one) for one in range(4, 8))]


def board(**more: Any) -> Any:
    given = {"target": 0.98, "ends": ENDS, "pages_above": [(14.4, "over 1 hour and 5 minutes")]} | more
    return slo_board(STEPS, **given)


def trace(figure: Any, name: str) -> Any:
    return next(one for one in figure.data if one.name == name)


def test_the_lanes_lie_on_one_axis_and_share_a_cursor() -> None:
    figure = board()
    assert figure.layout.hoversubplots == "axis"
    assert [list(one) for one in figure.layout.grid.subplots] == [
        ["xy"],
        *([f"xy{one}"] for one in (2, 3, 4, 5)),
    ]
    assert {one.xaxis for one in figure.data} == {None}
    lanes = [figure.layout[name].domain for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4", "yaxis5")]
    assert all(upper[0] > lower[1] for upper, lower in pairwise(lanes))
    assert list(figure.layout.xaxis.range) == [one.replace(tzinfo=None) for one in ENDS]


def test_a_step_without_events_is_a_gap_and_has_no_bar() -> None:
    figure = board()
    for name in ("good of all events", "times the allowed rate"):
        assert trace(figure, name).y[2] is None
        assert not trace(figure, name).connectgaps
    assert len(trace(figure, "bad events").x) == len(STEPS) - 1


def test_a_hover_tells_value_events_and_window() -> None:
    said = trace(board(), "good of all events").customdata[1]
    assert said == (
        "<b>70.0\u202f%</b> good: 30 of 100 requests failed<br>Sun 1 Mar 2026, 01:00 UTC<br>"
        "to Sun 1 Mar 2026, 02:00 UTC"
    )
    assert trace(board(), "times the allowed rate").customdata[1] == "<b>15.0×</b> the allowed rate"


def test_what_is_beyond_a_line_has_the_shape_of_its_state() -> None:
    below, above = (trace(board(), name) for name in ("below the target", "above a factor that pages"))
    assert (list(below.y), below.marker.symbol) == ([0.7], STATES["attention"].symbol)
    assert (list(above.y), above.marker.symbol) == ([15.0], STATES["page"].symbol)


def test_a_factor_that_pages_is_a_dashed_line_with_its_windows() -> None:
    figure = board()
    (line,) = [one for one in figure.layout.shapes if one.yref == "y3"]
    assert (line.y0, line.line.dash, line.line.color) == (14.4, "dash", MARK["page"])
    assert "pages above 14.4× over 1 hour and 5 minutes" in [one.text for one in figure.layout.annotations]


def test_alerts_are_as_long_as_they_fired_and_within_the_range() -> None:
    alerts = [
        Fired(START - HOUR, START + HOUR, "it burns", "page"),
        Fired(START + 6 * HOUR, None, "it burns", "page"),
        Fired(START + 2 * HOUR, START + 3 * HOUR, "it is slow", "attention"),
    ]
    figure = board(alerts=alerts)
    hours = [
        None if at is None else (at - START.replace(tzinfo=None)) / HOUR for at in trace(figure, "pages").x
    ]
    assert hours == [0, 1, None, 6, 8, None]
    assert trace(figure, "tickets").y[0] == 1


def test_what_does_not_count_is_a_band_with_its_reason() -> None:
    figure = board(
        excluded=[(START + HOUR, START + 2 * HOUR, "a move"), (START - 5 * HOUR, START - HOUR, "old")]
    )
    bands = [one for one in figure.layout.shapes if one.type == "rect"]
    assert [(one.yref, one.y0, one.y1) for one in bands] == [("paper", 0, 1)]
    assert trace(figure, "left out").customdata[0].startswith("a move<br>")


def test_an_incident_outside_of_the_range_is_not_drawn() -> None:
    marks = [Mark(START + HOUR, "INC-1", "page"), Mark(START - HOUR, "INC-0", "page")]
    assert len(trace(board(happened=Happened((), marks)), "incident").x) == 1


@pytest.mark.parametrize(("after", "hours"), [(2, 10), (400, 8 + 8 / 3)])
def test_a_forecast_makes_the_axis_longer_by_a_third_at_most(after: int, hours: float) -> None:
    figure = board(exhausted_at=ENDS[1] + after * HOUR)
    last = figure.layout.xaxis.range[1] - START.replace(tzinfo=None)
    assert last / HOUR == pytest.approx(hours)
    assert trace(figure, "at the present rate").y[1] == pytest.approx(
        0 if after == 2 else 0.5 * (1 - 8 / 3 / 400)
    )


def test_the_rows_of_the_board_are_its_points() -> None:
    rows = list(csv.DictReader(io.StringIO(figure_csv(board()))))
    good = [row for row in rows if row["series"] == "good of all events"]
    assert [row["y"] for row in good][:2] == ["1.0", "0.7"]
    assert "30 of 100 requests failed" in good[1]["said"]
    assert {"budget left", "times the allowed rate", "good events", "bad events"} <= {
        row["series"] for row in rows
    }


def test_of_nothing_the_board_says_so() -> None:
    figure = slo_board([], target=0.9, ends=ENDS)
    assert not figure.data
    assert "No event was counted" in figure.layout.annotations[0].text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "100\u202f%"), (0.99953, "99.953\u202f%"), (0.9, "90.0\u202f%"), (0.999, "99.9\u202f%"), (0, "0\u202f%"),
     (None, "–"), (-5.296, "−529.6\u202f%")],
)  # fmt: skip
def test_a_share_that_is_nearly_whole_has_the_decimals_that_tell_it_from_the_whole(
    value: float | None, text: str
) -> None:
    assert format_fine_share(value) == text
