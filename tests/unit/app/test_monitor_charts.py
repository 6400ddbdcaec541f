"""The chart of a monitor and its sentence: shaded where it fires, gaps stay gaps, unknown is never fine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from app.charts.monitors import monitor_figure
from app.components.monitor_form import is_flat
from app.components.monitor_parts import rate_words, replay_sentence, say_quiet
from backend.monitoring.budget_service import FalseAlarms
from backend.monitoring.monitor_replay import History, Replay, Series, replay
from backend.monitoring.monitors import Figure, Monitor, parse_monitor
from backend.monitoring.windows import Window

START = datetime(2026, 2, 2, tzinfo=UTC)
ALLOWED = FalseAlarms(1 / 3, 1.0, "default", 1, 2.0, 100.0, "x")
FIGURE = Figure("realised", "", "mae")


def frame(values: list[float], upper: float = 0.2) -> pd.DataFrame:
    days = [START + timedelta(days=i) for i in range(len(values))]
    return pd.DataFrame({"window_start": days, "value": values, "lower": -np.inf, "upper": upper})


def drawn(figure: go.Figure, name: str) -> Any:
    return next(one for one in figure.data if one.name == name)


def watched(values: list[float], level: str = "page") -> tuple[Monitor, Replay]:
    value = np.asarray(values, dtype=float)
    nothing = np.full(len(value), np.nan)
    series = Series(value, nothing, nothing, np.full(len(value), 500.0), np.ones(len(value)),
                    np.zeros(len(value), dtype=bool), np.zeros(len(value), dtype=bool))  # fmt: skip
    windows = [Window(START + timedelta(days=i), START + timedelta(days=i + 1)) for i in range(len(value))]
    rule = {"kind": "realised", "statistic": "mae", "threshold": {"kind": "constant", "value": 0.2}}
    monitor = parse_monitor({"name": "x", "level": level, "when": rule}, sizes=("1d",))
    return monitor, replay(monitor, History(windows, np.ones(len(value), dtype=np.int64), {FIGURE: series}))


def test_where_it_fires_is_shaded_and_marked_with_the_shape_of_its_level() -> None:
    fires = (START + timedelta(days=1), START + timedelta(days=2))
    figure = monitor_figure(frame([0.1, 0.5, 0.1]), [fires], name="PSI", level="page", tz="Europe/Berlin")
    shaded = drawn(figure, "it fires")
    assert pd.to_datetime(shaded.x, unit="ms") == [pd.Timestamp(2026, 2, 3, 1)]
    assert list(shaded.width) == [86_400_000]
    assert list(drawn(figure, "beyond it").y) == [0.5]
    assert drawn(figure, "beyond it").marker.symbol == "square"
    assert list(drawn(figure, "threshold").y) == [0.2] * 3


def test_a_threshold_that_is_not_known_is_not_drawn_and_a_gap_stays_a_gap() -> None:
    figure = monitor_figure(frame([0.1, np.nan, 0.1], upper=np.nan), [], name="PSI", level="attention")
    assert [one.name for one in figure.data] == ["PSI"]
    assert not drawn(figure, "PSI").connectgaps


def test_one_wild_value_does_not_flatten_the_others() -> None:
    assert monitor_figure(frame([0.1, 0.1, 9.0]), [], name="PSI", level="page").layout.yaxis.type == "log"
    assert monitor_figure(frame([0.1, 0.0, 9.0]), [], name="PSI", level="page").layout.yaxis.type == "linear"


def test_nothing_to_draw_says_what_to_do() -> None:
    for empty in (frame([]), frame([np.nan, np.nan])):
        figure = monitor_figure(empty, [], name="PSI", level="page")
        assert "No PSI is stored" in figure.layout.annotations[0].text


@pytest.mark.parametrize(
    ("values", "level", "says", "state"),
    [
        ([], "page", "No finished window is stored", "unknown"),
        ([np.nan] * 60, "page", "None of 60 windows", "unknown"),
        ([np.nan] * 50 + [0.1] * 10, "page", "It would not have fired in the 10 of 60 windows", "unknown"),
        ([0.1] * 60, "page", "It would not have fired in 60 windows", "ok"),
        ([0.5, 0.1], "page", "too short to say how many pages a month", "unknown"),
        ([0.5] + [0.1] * 119, "page", "so it fits even if none of them is true", "ok"),
        ([0.5, 0.1] * 30, "page", "15.2 pages a month. A monitor that fires so much of the time tells nothing new. The "
                                  "budget allows one false page in 3.00 months: it fits only if 97.8\u202f% or more",
         "attention"),
        ([0.5] + [0.1] * 59, "ticket", "one ticket in 1.97 months.", "ok"),
        ([0.5, 0.1] * 30, "ticket", "15.2 tickets a month.", "attention"),
    ],
)  # fmt: skip
def test_how_often_is_said_in_plain_words_and_unknown_is_never_fine(
    values: list[float], level: str, says: str, state: str
) -> None:
    said, found = replay_sentence(*watched(values, level), ALLOWED)
    assert says in said
    assert found == state


def test_rates_below_one_a_month_are_told_by_how_rare_they_are() -> None:
    assert rate_words(3.2, "page") == "3.20 pages a month"
    assert rate_words(0.25, "page") == "one page in 4.00 months"


def test_the_form_shows_one_group_and_leaves_nested_ones_to_yaml() -> None:
    one = {"kind": "drift", "statistic": "psi", "threshold": {}}
    assert is_flat({"when": one})
    assert is_flat({"when": {"any": [one, one]}})
    assert not is_flat({"when": {"any": [one, {"all": [one]}]}})
    assert not is_flat({"when": {"any": [one] * 7}})


@pytest.mark.parametrize(
    ("rows", "said", "level"),
    [
        ([], "toy has no monitor of your own", "settled"),
        ([{}, {}], "None of 2 monitors fires", "ok"),
        (
            [{}, {"judged": False}, {"state": "paused"}],
            "None of 3 monitors fires; 1 cannot tell now; 1 paused",
            "unknown",
        ),
        (
            [{"holds": "until later"}],
            "The one monitor of your own does not fire; 1 cannot tell now",
            "unknown",
        ),
    ],
)
def test_quiet_is_only_what_was_looked_at(rows: list[dict[str, Any]], said: str, level: str) -> None:
    quiet = {
        "broken": "", "state": "on", "alert": None, "holds": "", "looked_at": START, "mostly_tested": True,
        "judged": True,
    }  # fmt: skip
    assert say_quiet("toy", [quiet | one for one in rows]) == (said, level)
