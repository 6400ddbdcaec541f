"""A Streamlit page of the key charts, drawn as pages draw them from figures that are the same each time.

`streamlit run tests/browser/chart_board.py` shows it; `tests/browser/test_chart_pictures.py` compares it with the
pictures that somebody looked at and found right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import charts
from app.charts import Mark, Period
from app.charts.answers import figures_over_time
from app.charts.attributions import waterfall
from app.charts.changes import happened_figure
from app.charts.earlier import Earlier
from app.charts.fairness import gaps_figure
from app.charts.frame import empty_figure
from app.charts.marks import Happened
from app.charts.segments import segments_figure
from app.charts.slices import slices_figure
from app.charts.slo_board import Fired, Step, slo_board
from app.charts.volume import volume_figure
from app.components import use_style
from app.components.charts import draw
from backend.monitoring.page_points import Series

FONT: Final = "DejaVu Sans"
"""One that every machine of the tests has; what a system calls its own differs from one to the next."""
START: Final = datetime(2026, 3, 2, tzinfo=UTC)
DAYS: Final = [START + timedelta(days=day) for day in range(28)]
ZONE: Final = "Europe/Berlin"
HAPPENED: Final = Happened(
    [(START - timedelta(days=9), "v6"), (DAYS[11], "v7")], [Mark(DAYS[19], "INC-42", "page")]
)


def _wave(day: int, *, of: float = 0.0) -> float:
    """A number between -1 and 1 that looks as days do."""
    return math.sin(1.7 * day + of) * 0.6 + math.sin(0.45 * day + 2 * of) * 0.4


def _levels(values: list[float | None], threshold: float) -> list[str]:
    return [
        "no data" if value is None else "page" if value > 2 * threshold else "ticket" if value > threshold
        else "ok" for value in values
    ]  # fmt: skip


def performance() -> go.Figure:
    true = [0.71 + 0.008 * _wave(day) - (0.05 if day > 18 else 0) for day in range(28)]
    labelled = 21
    realised = pd.DataFrame(
        {
            "window_start": DAYS[:labelled], "value": true[:labelled], "low": [one - 0.012 for one in true[:labelled]],
            "high": [one + 0.012 for one in true[:labelled]],
            "completeness": [0.98] * (labelled - 2) + [0.7, 0.3], "rows": 1200,
        }
    )  # fmt: skip
    estimated = pd.DataFrame(
        {
            "window_start": DAYS, "value": [one + 0.006 * _wave(day, of=2.0) for day, one in enumerate(true)],
            "low": [one - 0.02 for one in true], "high": [one + 0.02 for one in true],
        }
    )  # fmt: skip
    before = pd.DataFrame(
        {
            "window_start": [day - timedelta(days=28) for day in DAYS],
            "value": [0.708 + 0.006 * _wave(day, of=1.0) for day in range(28)],
        }
    )
    return charts.performance_figure(
        realised, estimated, reference=0.712, deployments=HAPPENED.deployments, marks=HAPPENED.marks, tz=ZONE,
        earlier=Earlier(before, timedelta(days=28), "the range before"),
    )  # fmt: skip


def _drift() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, column in enumerate(("dep_delay", "carrier", "distance", "origin", "dest", "hour")):
        values: list[float | None] = [
            0.04 + 0.03 * abs(_wave(day, of=place)) + (0.22 if place == 0 and day > 18 else 0)
            + (0.09 if place == 3 and 8 < day < 13 else 0) for day in range(28)
        ]  # fmt: skip
        if place == 4:
            values[5:8] = [None] * 3
        rows += [
            {"window_start": DAYS[day], "column": column, "value": math.nan if value is None else value,
             "threshold": 0.1, "verdict": verdict}
            for day, (value, verdict) in enumerate(zip(values, _levels(values, 0.1), strict=True))
        ]  # fmt: skip
    return pd.DataFrame(rows)


def drift_map() -> go.Figure:
    return charts.drift_heatmap(_drift(), tz=ZONE, chosen=("dep_delay", DAYS[20]))


def drift_of_a_column() -> go.Figure:
    points = _drift()
    return charts.drift_series(
        points[points["column"] == "dep_delay"], column="dep_delay", deployments=HAPPENED.deployments,
        marks=HAPPENED.marks, tz=ZONE,
    )  # fmt: skip


def rows_and_labels() -> go.Figure:
    frame = pd.DataFrame(
        {
            "window_start": DAYS,
            "rows": [0 if day in (6, 13, 20, 16) else int(1000 + 300 * _wave(day)) for day in range(28)],
            "completeness": [max(0.0, min(1.0, (26 - day) / 6)) for day in range(28)],
            "state": ["expected none" if day in (6, 13, 20) else "missing" if day == 16 else None for day in range(28)],
        }
    )  # fmt: skip
    return volume_figure(frame, tz=ZONE, happened=HAPPENED)


def numbers_of_a_column() -> go.Figure:
    edges = list(range(-20, 121, 5))
    middles = [edge + 2.5 for edge in edges[:-1]]

    def shares(centre: float, width: float) -> list[float]:
        weights = [math.exp(-(((one - centre) / width) ** 2)) for one in middles]
        return [one / sum(weights) for one in weights]

    return charts.distribution_figure(
        {
            "kind": "numeric", "edges": edges, "reference": shares(12, 25), "current": shares(34, 30),
            "overflow": (0.0, 0.02), "underflow": (0.0, 0.0), "null": (0.01, 0.08),
        },
        column="dep_delay", unit="min",
    )  # fmt: skip


def categories_of_a_column() -> go.Figure:
    return charts.distribution_figure(
        {
            "kind": "categorical", "labels": ["UA", "B6", "EV", "DL", "XX"],
            "reference": [0.30, 0.26, 0.24, 0.20, 0.0], "current": [0.22, 0.27, 0.2, 0.2, 0.09],
            "unseen": ["XX"], "null": (0.0, 0.02),
        },
        column="carrier",
    )  # fmt: skip


def objective() -> go.Figure:
    steps = []
    for day, at in enumerate(DAYS):
        bad = 8 if day <= 18 else 30 + 12 * (day - 19)
        left = 1 - 0.008 * day - (0.07 * (day - 18) if day > 18 else 0)
        whole = 4000 + 600 * _wave(day)
        seen = not 8 <= day <= 9
        steps.append(
            Step(
                at - timedelta(days=1), at, 1 - bad / whole if seen else None, left if seen else None,
                bad / whole / 0.005 if seen else None, whole - bad if seen else 0, bad if seen else 0,
                f"{bad} of {whole:,.0f} requests failed",
            )
        )  # fmt: skip
    return slo_board(
        steps, target=0.995, ends=(DAYS[0], DAYS[-1]), exhausted_at=DAYS[-1] + timedelta(days=3),
        pages_above=[(6, "over 6 hours and 30 minutes"), (14.4, "over 1 hour and 5 minutes")],
        excluded=[(DAYS[3], DAYS[5], "move of the database")], tz=ZONE, happened=HAPPENED,
        alerts=[Fired(DAYS[20], DAYS[22], "its budget burns", "attention"), Fired(DAYS[23], None, "it burns", "page")],
    )  # fmt: skip


def what_served() -> go.Figure:
    return charts.deployments_timeline(
        [
            Period("v6", "champion", DAYS[0], DAYS[11]),
            Period("v7", "canary", DAYS[8], DAYS[11], 0.2),
            Period("v7", "champion", DAYS[11]),
            Period("v8", "shadow", DAYS[20], DAYS[25]),
        ],
        now=DAYS[27], marks=HAPPENED.marks, tz=ZONE,
    )  # fmt: skip


def one_prediction() -> go.Figure:
    parts = [
        ("dep_delay", 48.0, 1.31), ("distance", 733.0, -0.42), ("carrier", "UA", 0.27), ("hour", 18, 0.19),
        ("origin", "EWR", -0.11), ("month", 3, 0.04),
    ]  # fmt: skip
    contributions = [{"column": name, "value": value, "contribution": step} for name, value, step in parts]
    return waterfall(-1.2, -1.2 + sum(step for *_, step in parts), contributions, unit="log-odds", limit=5)


def parts_of_a_population() -> go.Figure:
    frames = []
    for place, segment in enumerate(("EWR", "JFK", "LGA", "rare")):
        values: list[float | None] = [
            0.70 + 0.02 * _wave(day, of=place) - (0.08 if place == 1 and day > 18 else 0) for day in range(28)
        ]
        if place == 3:
            values[10:15] = [None] * 5
        frames.append(
            pd.DataFrame(
                {
                    "segment": segment, "window_start": DAYS,
                    "value": [math.nan if one is None else one for one in values], "reference_value": 0.705,
                    "verdict": [
                        "no data" if one is None else "page" if one < 0.64 else "ok" for one in values
                    ],
                    "rows": 300,
                }
            )
        )  # fmt: skip
    return segments_figure(pd.concat(frames), tz=ZONE, happened=HAPPENED)


def worst_slices() -> go.Figure:
    told = [
        (("hour 10 to 17",), 0.48, 0.79, 0.71, 0.086),
        (("carrier = EV", "delay under 7"), 0.57, 0.65, 0.63, 0.021),
    ]
    slices = [
        {"conditions": [{"text": text} for text in texts], "inside": inside, "outside": outside,
         "reference_inside": before, "rows": 240, "share": 0.2, "effect": effect}
        for texts, inside, outside, before, effect in told
    ]  # fmt: skip
    return slices_figure(slices, metric="AUC", scale=100, unit="points")


def gap_between_groups() -> go.Figure:
    values = [0.06 + 0.02 * _wave(day) + (0.07 if day > 18 else 0) for day in range(28)]
    points = pd.DataFrame(
        {
            "statistic": "gap", "window_start": DAYS, "value": values, "low": [one - 0.03 for one in values],
            "high": [one + 0.03 for one in values], "threshold": 0.1,
            "verdict": ["page" if one > 0.1 else "ok" for one in values],
            "level": ["page" if one > 0.1 else "ok" for one in values], "rows": 900, "text": "",
        }
    )  # fmt: skip
    return gaps_figure(points, {"gap": "selection rate"}, tz=ZONE, switches=HAPPENED.deployments)


def what_happened_before() -> go.Figure:
    return happened_figure(
        [
            {"at": DAYS[11], "kind": "deployment", "text": "version 7 as champion", "level": "change"},
            {"at": DAYS[14], "kind": "schema", "text": "gate vanished", "level": "attention"},
            {"at": DAYS[19], "kind": "incident", "text": "INC-42", "level": "page"},
        ],
        window=(DAYS[20], DAYS[21]), since=DAYS[7], tz=ZONE,
    )  # fmt: skip


def around_an_incident() -> go.Figure:
    minutes = [START + timedelta(minutes=one) for one in range(60)]
    served = tuple((at, 40 + 6 * _wave(one), None, None, "") for one, at in enumerate(minutes))
    slow = tuple(
        (at, 12 + 3 * _wave(one, of=1) + (35 if one > 31 else 0), None, None, "")
        for one, at in enumerate(minutes)
    )
    return figures_over_time(
        [Series("requests a second", served), Series("p95 ms", slow)], opened_at=minutes[35],
        opened="INC-42 opened", ends=(minutes[0], minutes[-1]), tz=ZONE,
        happened=Happened(
            [(START - timedelta(days=9), "v6"), (minutes[30], "v7")],
            [Mark(minutes[29], "CHG-9: promote version 7", "change", "CHG-9"),
             Mark(minutes[12], "demo fault unit-change", "injected", "unit-change")],
        ),
    )  # fmt: skip


def nothing_yet() -> go.Figure:
    return empty_figure(
        "No labels yet", "They come two days after the flight; the estimate is drawn until then."
    )


BOARD: Final[Mapping[str, Callable[[], go.Figure]]] = {
    one.__name__: one
    for one in (
        performance, drift_map, drift_of_a_column, rows_and_labels, numbers_of_a_column, categories_of_a_column,
        objective, what_served, one_prediction, parts_of_a_population, worst_slices, gap_between_groups,
        what_happened_before,
        around_an_incident, nothing_yet,
    )
}  # fmt: skip


def _without_a_line(figure: go.Figure) -> None:
    figure.data = tuple(one for one in figure.data if one.name != "PSI")


def _without_marks(figure: go.Figure) -> None:
    figure.data = tuple(one for one in figure.data if one.name != "incident (page)")


def _in_another_colour(figure: go.Figure) -> None:
    figure.update_traces(marker_color="#12794a", selector={"name": "page"})


def _without_words(figure: go.Figure) -> None:
    figure.update_layout(showlegend=False)


def _moved(figure: go.Figure) -> None:
    figure.update_traces(y=[one and one + 0.03 for one in figure.data[1].y], selector={"name": "PSI"})


SPOILERS: Final[Mapping[str, Callable[[go.Figure], None]]] = {
    one.__name__.strip("_"): one
    for one in (_without_a_line, _without_marks, _in_another_colour, _without_words, _moved)
}
"""What goes wrong with `drift_of_a_column`, for the test of the comparison itself."""


def show() -> None:
    """Every chart of the board, one below the other; `?spoilt=HOW` draws one alone, as one of `SPOILERS` leaves it."""
    st.set_page_config(layout="centered")
    use_style()
    st.title("Key charts")
    spoilt = st.query_params.get("spoilt")
    for name in BOARD if spoilt is None else ["drift_of_a_column"]:
        figure = BOARD[name]()
        if spoilt is not None:
            SPOILERS[spoilt](figure)
        figure.update_layout(font_family=FONT)
        draw(figure, name.replace("_", " "), key=name, rows=False)


if __name__ == "__main__":
    show()
