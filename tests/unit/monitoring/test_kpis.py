"""The user's own figures: checked row by row, summed up by window and segment."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.kpis import KpiValue, aggregate_kpis, read_kpis
from backend.monitoring.windows import windows_between

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=10)
WINDOWS = windows_between(START, START + timedelta(days=3), "1d")


def row(
    hours: float, value: Any, *, name: str = "revenue", segment: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"ts": START + timedelta(hours=hours), "name": name, "value": value, "segment": segment, **more}


def by_place(values: list[KpiValue]) -> dict[tuple[int, str, str | None], KpiValue]:
    return {(WINDOWS.index(v.window), v.name, v.segment): v for v in values}


def test_figures_are_summed_up_by_window_and_segment() -> None:
    rows = [row(1, 10.0, segment="web"), row(30, 4.0), row(2, 20.0, segment="shop"), row(80, 99.0),
            row(3, 30, segment="web"), row(1, 0.5, name="conversion")]  # fmt: skip
    found = by_place(aggregate_kpis(read_kpis(rows, now=NOW), WINDOWS))
    day = found[0, "revenue", None]
    assert (day.rows, day.total, day.mean) == (3, 60.0, 20.0)
    assert day.low == pytest.approx(20 - 1.959964 * 10 / math.sqrt(3))
    assert found[0, "revenue", "web"].total == 40.0
    assert found[1, "revenue", None].total == 4.0
    assert found[0, "conversion", None].mean == 0.5
    empty = found[2, "revenue", None]
    assert (empty.rows, empty.total, empty.reason) == (0, None, "no rows in this window")
    assert sum(v.rows for v in found.values() if v.segment is None) == 5  # 80 h lies in no window


@pytest.mark.parametrize("form", ["frame", "table", "text"])
def test_frames_tables_and_text_are_read_alike(form: str) -> None:
    rows = [row(5, 2.0, segment="a"), row(1, 1.0)]
    expected = read_kpis(rows, now=NOW)
    frame = pd.DataFrame(rows)
    given: Any = frame
    if form == "table":
        given = pa.Table.from_pandas(frame)
    if form == "text":
        given = [
            {**one, "ts": one["ts"].isoformat().replace("+00:00", "Z"), "value": str(one["value"])}
            for one in rows
        ]
    assert read_kpis(given, now=NOW).equals(expected)
    assert expected.column("value").to_pylist() == [1.0, 2.0]  # in time order


def test_a_row_with_a_known_id_corrects_and_rows_without_one_all_count() -> None:
    rows = [row(1, 10.0, id="a"), row(1, 5.0), row(1, 5.0), row(1, 12.0, id="a")]
    table = read_kpis(rows, now=NOW)
    assert sorted(table.column("value").to_pylist()) == [5.0, 5.0, 12.0]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"ts": datetime(2026, 1, 1)}, "ts, row 1: 2026-01-01 00:00:00 has no time zone"),  # noqa: DTZ001
        ({"ts": "yesterday"}, "ts, row 1: 'yesterday' is not a time"),
        ({"ts": NOW + timedelta(hours=1)}, "ts, row 1: 2026-01-11T01:00:00\\+00:00 lies in the future"),
        ({"value": math.inf}, "value, row 1: a figure must be a finite number"),
        ({"value": None}, "value, row 1: a figure must be a finite number"),
        ({"value": "many"}, "value, row 1: 'many' is not a number"),
        ({"name": ""}, "name, row 1: it is empty"),
        ({"name": None}, "name, row 1: it is empty"),
    ],
)
def test_a_wrong_row_is_named(broken: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_kpis([row(1, 1.0), {**row(2, 2.0), **broken}], now=NOW)


def test_missing_columns_and_no_rows() -> None:
    with pytest.raises(BadInput, match="no column 'value'"):
        read_kpis([{"ts": START, "name": "x"}], now=NOW)
    assert read_kpis([], now=NOW).num_rows == 0
    assert aggregate_kpis(read_kpis([], now=NOW), WINDOWS) == []
    with pytest.raises(BadInput, match="has no time zone"):
        read_kpis(pd.DataFrame({"ts": [datetime(2026, 1, 1)], "name": ["x"], "value": [1.0]}), now=NOW)  # noqa: DTZ001
    with pytest.raises(ValueError, match="overlap"):
        aggregate_kpis(read_kpis([row(1, 1.0)], now=NOW), WINDOWS[::-1])


def test_many_rows_equal_pandas() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({
        "ts": pd.to_datetime(START) + pd.to_timedelta(random.integers(0, 3 * 86_400, 50_000), unit="s"),
        "name": random.choice(["a", "b"], 50_000), "value": random.normal(5, 2, 50_000),
        "segment": random.choice(["x", "y", None], 50_000),
    })  # fmt: skip
    found = by_place(aggregate_kpis(read_kpis(frame, now=NOW), WINDOWS))
    day = (frame["ts"].dt.floor("D") - pd.to_datetime(START)).dt.days
    expected = frame.groupby([day, "name", "segment"])["value"].agg(["size", "sum", "mean", "std"])
    for (place, name, segment), figures in expected.iterrows():
        one = found[place, name, segment]
        assert (one.rows, one.total) == (figures["size"], pytest.approx(figures["sum"]))
        half = 1.959964 * figures["std"] / math.sqrt(figures["size"])
        assert (one.low, one.high) == (
            pytest.approx(figures["mean"] - half),
            pytest.approx(figures["mean"] + half),
        )
