"""What a batch must be, and that one bad row names itself and refuses the whole."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadInput
from backend.observations.schema import Kind
from backend.observations.validation import BadRow, label_batch, prediction_batch, prediction_row

from .samples import FEATURES, NOW, label, prediction

BAD_PREDICTIONS = [
    ("prediction_id", None, "is missing"),
    ("prediction_id", "", "is missing"),
    ("prediction_id", "x" * 1025, "longer than 1024"),
    ("prediction_id", "p-1", "is also the id of row 1"),
    ("ts", None, "is missing"),
    ("ts", "2026-03-02T11:00:00", "no time zone"),
    ("ts", "yesterday", "is not a time"),
    ("ts", (NOW + timedelta(minutes=6)).isoformat(), "in the future"),
    ("ts", "1970-01-20T00:00:00Z", "before 1990"),
    ("version", None, "is missing"),
    ("version", 0, "whole number from 1"),
    ("score", 1.5, "within 0 and 1"),
    ("score", -0.1, "within 0 and 1"),
    ("score", None, "both missing"),
    ("score", math.nan, "both missing"),
    ("score", math.inf, "infinite"),
    ("role", "king", "not one of champion"),
    ("distance", math.inf, "infinite"),
    ("carrier", "x" * 1025, "longer than 1024"),
]
BAD_JSON_ONLY = [
    ("ts", 1_700_000_000, "write a time with its zone"),
    ("version", "1", "whole number from 1"),
    ("version", 1.5, "whole number from 1"),
    ("score", "0.5", "must be a number"),
    ("score", True, "must be a number"),
    ("distance", "far", "must be a number"),
    ("distance", [1], "must be a number"),
    ("carrier", 1.5, "fraction"),
    ("carrier", {"a": 1}, "must be text"),
    ("carrier", "\ud800", "surrogate"),
    ("altitude", 3, "unknown column"),
    ("features", 3, "must be an object"),
    ("features", {"distance": 1.0}, "given twice"),
    ("features", {"score": 1.0}, "not a feature"),
]


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in rows[0]}
    return pa.table(columns)


@pytest.mark.parametrize(("column", "value", "reason"), BAD_PREDICTIONS + BAD_JSON_ONLY)
def test_bad_row_in_json_is_named(column: str, value: Any, reason: str) -> None:
    rows = [prediction(0), prediction(1), prediction(2, **{column: value}), prediction(3)]
    with pytest.raises(BadRow, match=reason) as caught:
        prediction_batch(FEATURES, rows, now=NOW)
    assert caught.value.row_number == 2
    assert "row 2" in caught.value.message
    assert caught.value.status == 422
    assert caught.value.column in (column, "distance", "score")


@pytest.mark.parametrize(("column", "value", "reason"), BAD_PREDICTIONS)
def test_bad_row_in_a_table_is_named(column: str, value: Any, reason: str) -> None:
    rows = [prediction(0), prediction(1), prediction(2, **{column: value}), prediction(3)]
    with pytest.raises(BadRow, match=reason) as caught:
        prediction_batch(FEATURES, as_table([{"role": "champion", **row} for row in rows]), now=NOW)
    assert (caught.value.row_number, caught.value.column) == (2, column)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("ts", pa.array([NOW, NOW], pa.timestamp("us")), "no time zone"),
        ("ts", pa.array([1, 2]), "type int64"),
        ("version", pa.array([1.0, 1.5]), "not a whole number"),
        ("version", pa.array(["1", "2"]), "whole numbers"),
        ("score", pa.array(["a", "b"]), "must hold numbers"),
        ("score", pa.array([True, False]), "must hold numbers"),
        ("carrier", pa.array([1.0, 1.5]), "fraction"),
        ("carrier", pa.array([[1], [2]]), "must hold text"),
        ("carrier", pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string()), "UTF-8"),
        ("prediction_id", pa.array([1, 2]), "must hold text"),
    ],
)
def test_column_of_a_wrong_type_is_named(column: str, values: pa.Array, reason: str) -> None:
    table = as_table([prediction(0), prediction(1)])
    table = table.set_column(table.column_names.index(column), column, values)
    with pytest.raises(BadRow, match=reason) as caught:
        prediction_batch(FEATURES, table, now=NOW)
    assert caught.value.column == column


def test_unknown_and_missing_columns_of_a_table_are_named() -> None:
    table = as_table([prediction(0)])
    with pytest.raises(BadRow, match="unknown column"):
        prediction_batch(FEATURES, table.append_column("altitude", pa.array([1.0])), now=NOW)
    with pytest.raises(BadRow, match="'version': is missing"):
        prediction_batch(FEATURES, table.drop_columns(["version"]), now=NOW)


def test_batch_over_the_limit_is_refused() -> None:
    with pytest.raises(BadInput, match="the limit is 2"):
        prediction_batch(FEATURES, [prediction(i) for i in range(3)], now=NOW, max_rows=2)
    with pytest.raises(BadInput, match="the limit is 2"):
        prediction_batch(FEATURES, as_table([prediction(i) for i in range(3)]), now=NOW, max_rows=2)


@pytest.mark.parametrize("body", ["text", {"prediction_id": "a"}, 3, None])
def test_body_that_is_not_a_list_is_refused(body: Any) -> None:
    with pytest.raises(BadInput, match="list of objects"):
        prediction_batch(FEATURES, body, now=NOW)


def test_feature_may_not_take_a_name_of_the_store() -> None:
    with pytest.raises(BadInput, match="cannot be called 'label'"):
        prediction_batch({"label": "numeric"}, [], now=NOW)


def test_regression_takes_any_finite_score() -> None:
    table = prediction_batch(FEATURES, [prediction(0, score=-40.5)], now=NOW, task="regression")
    assert table.column("score").to_pylist() == [-40.5]


def test_defaults_times_and_nulls_are_canonical() -> None:
    row = {"prediction_id": "a", "ts": "2026-03-02T10:00:00.123456789+02:00", "version": 3, "prediction": 1.0}
    table = prediction_batch(FEATURES, [row], now=NOW)
    assert table.drop_columns(["row_digest"]).to_pylist() == [
        {
            "prediction_id": "a",
            "ts": datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC),
            "version": 3,
            "environment": "production",
            "role": "champion",
            "injected": None,
            "score": None,
            "prediction": "1",
            "distance": None,
            "carrier": None,
        }
    ]


@pytest.mark.parametrize("tabular", [False, True])
@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"status": None}, "status", "is missing"),
        ({"status": "maybe"}, "status", "not one of known"),
        ({"label": None}, "label", "goes with a label"),
        ({"status": "will_not_come"}, "label", "goes with a label"),
        ({"label_ts": None}, "label_ts", "is missing"),
        ({"label_ts": (NOW + timedelta(hours=1)).isoformat()}, "label_ts", "in the future"),
        ({"prediction_id": "p-0"}, "prediction_id", "also the id of row 0"),
        ({"label": "x" * 2000}, "label", "longer than"),
    ],
)
def test_bad_label_is_named(tabular: bool, changes: dict[str, Any], column: str, reason: str) -> None:
    rows = [label(0), label(1, **changes)]
    with pytest.raises(BadRow, match=reason) as caught:
        label_batch(as_table(rows) if tabular else rows, now=NOW)
    assert (caught.value.row_number, caught.value.column) == (1, column)


def test_label_without_status_column_is_refused() -> None:
    rows = [{name: value for name, value in label(0).items() if name != "status"}]
    for body in (rows, as_table(rows)):
        with pytest.raises(BadRow, match="'status': is missing"):
            label_batch(body, now=NOW)


NAMES: dict[str, Kind] = {"a": "numeric", "ä'\"|;": "numeric", "b": "categorical", "n1": "categorical"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.datetimes(
    datetime(1991, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2026, 3, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
)
ROW = st.fixed_dictionaries(
    {
        "ts": TIMES,
        "version": st.integers(1, 2**31 - 1),
        "environment": st.none() | TEXT,
        "role": st.sampled_from([None, "champion", "shadow"]),
        "injected": st.none() | TEXT,
        "score": st.floats(0, 1),
        "prediction": st.none() | TEXT,
        "a": st.none() | st.floats(allow_infinity=False),
        "ä'\"|;": st.none() | st.floats(allow_infinity=False),
        "b": st.none() | TEXT,
        "n1": st.none() | TEXT,
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6))
def test_json_and_table_and_gateway_agree_on_rows_and_digests(given_rows: list[dict[str, Any]]) -> None:
    rows = [{"prediction_id": f"id-{i}", **row} for i, row in enumerate(given_rows)]
    from_json = prediction_batch(NAMES, rows, now=NOW)
    types = {name: pa.float64() for name, kind in NAMES.items() if kind == "numeric"} | {
        name: pa.string() for name in ("environment", "role", "injected", "prediction", "b", "n1")
    }
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    from_table = prediction_batch(NAMES, pa.table(columns), now=NOW)
    assert from_json.equals(from_table.combine_chunks())
    single = [prediction_row(NAMES, row, now=NOW)["row_digest"] for row in rows]
    assert single == from_table.column("row_digest").to_pylist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=5)
    | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5)
    | st.lists(st.none() | st.booleans(), min_size=1, max_size=5)
    | st.lists(st.none() | TEXT, min_size=1, max_size=5)
)
def test_labels_of_any_type_are_the_same_text_from_json_and_tables(values: list[Any]) -> None:
    unknown = [value is None or value != value for value in values]
    rows = [
        {
            "prediction_id": str(i),
            "label": value,
            "status": "will_not_come" if missing else "known",
            "label_ts": NOW,
        }
        for i, (value, missing) in enumerate(zip(values, unknown, strict=True))
    ]
    from_json = label_batch(rows, now=NOW)
    from_table = label_batch(as_table(rows), now=NOW)
    assert from_json.equals(from_table.combine_chunks())


@settings(max_examples=100, deadline=None)
@given(ROW, ROW)
def test_rows_with_other_content_have_other_digests(first: dict[str, Any], second: dict[str, Any]) -> None:
    one = prediction_row(NAMES, {"prediction_id": "x", **first}, now=NOW)
    two = prediction_row(NAMES, {"prediction_id": "x", **second}, now=NOW)
    same = {**one, "row_digest": ""} == {**two, "row_digest": ""}
    assert (one["row_digest"] == two["row_digest"]) == same


def test_digest_does_not_change_when_the_spec_gains_a_feature() -> None:
    before = prediction_row(FEATURES, prediction(1), now=NOW)
    after = prediction_row({**FEATURES, "extra": "numeric"}, prediction(1), now=NOW)
    assert before["row_digest"] == after["row_digest"]


def test_digest_is_the_documented_one() -> None:
    """Stored digests must keep their meaning: a change of the canonical text needs a new scheme mark."""
    canonical = (
        "p1|13:prediction_ids3:p-1;2:tsi1772445600000000;7:versioni1;11:environments10:production;"
        "4:roles8:champion;5:scoren4591870180066957722;7:carriers2:AA;8:distancen4607182418800017408;"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    assert prediction_row(FEATURES, prediction(1), now=NOW)["row_digest"] == digest


def test_digests_of_many_parts_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nulls in some parts only, a part of nothing else, and rows too large to share a part."""
    monkeypatch.setattr("backend.observations.digest._PART_BYTES", 4096)
    monkeypatch.setattr("backend.observations.digest._PART_ROWS", 7)
    rows = [
        prediction(i, distance=None if i < 20 else float(i), carrier=None if i % 3 else "x" * (i * 10))
        for i in range(100)
    ]
    table = prediction_batch(FEATURES, as_table(rows), now=NOW)
    assert table.column("row_digest").to_pylist() == [
        prediction_row(FEATURES, row, now=NOW)["row_digest"] for row in rows
    ]
