"""Predictions and labels over HTTP, down to the rows in Delta and the windows they make due."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, update

from backend import clock
from backend.api import limits
from backend.api.routes import observations
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.monitoring.tables import WindowState
from backend.observations.reader import Filter, read, row_counts
from backend.observations.spool import pending_bytes
from backend.registry.service import register_model
from backend.settings import settings
from jobs.commit_spool import commit_once
from tests.integration.api.conftest import Callers
from tests.worlds import SPEC, SYSTEM

NOW = datetime.now(UTC).replace(microsecond=0)
PARQUET, STREAM, FILE = observations.PARQUET[0], *observations.ARROW


def prediction(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "prediction_id": f"p-{number}", "ts": clock.to_iso(NOW - timedelta(hours=1, minutes=number)), "version": 2,
        "score": 0.25, "prediction": "0", "distance": float(number), "carrier": "UA",
    }  # fmt: skip
    return {**row, **changes}


def label(number: int, **changes: Any) -> dict[str, Any]:
    row = {"prediction_id": f"p-{number}", "label": "1", "status": "known", "label_ts": clock.to_iso(NOW)}
    return {**row, **changes}


def body(rows: list[dict[str, Any]], kind: str) -> bytes:
    if kind == "application/json":
        return json.dumps({"predictions" if "ts" in rows[0] else "labels": rows}).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table, sink = pa.table({name: [row.get(name) for row in rows] for name in names}), io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, sink)
    else:
        opened = pa.ipc.new_stream if kind == STREAM else pa.ipc.new_file
        with opened(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def send(
    callers: Callers, content: bytes, kind: str = "application/json", *, stream: str = "predictions",
    model: str = "toy", key: str | None = None,
) -> tuple[int, dict[str, Any]]:  # fmt: skip
    headers = {"Content-Type": kind} | ({"Idempotency-Key": key} if key else {})
    answer = callers.send("engineer", "POST", f"/models/{model}/{stream}", content=content, headers=headers)
    return answer.status_code, answer.json()


def send_rows(callers: Callers, rows: list[dict[str, Any]], **how: Any) -> tuple[int, dict[str, Any]]:
    stream = "predictions" if "ts" in rows[0] else "labels"
    return send(callers, body(rows, "application/json"), stream=stream, **how)


def stored(model: str = "toy") -> int:
    """Rows in Delta, after a pass of the writer."""
    commit_once("tests")
    return row_counts(settings().observations, model).predictions


def nothing_waits() -> bool:
    return pending_bytes(settings().spool) == 0


@pytest.mark.parametrize("kind", ["application/json", PARQUET, STREAM, FILE])
def test_a_batch_is_stored_once_and_joined_with_its_labels(callers: Callers, kind: str) -> None:
    predictions = body([prediction(number) for number in range(5)], kind)
    assert send(callers, predictions, kind) == (202, {"rows_new": 5, "rows_known": 0})
    assert not nothing_waits()
    assert send(callers, predictions, kind) == (202, {"rows_new": 0, "rows_known": 5})
    assert stored() == 5
    assert send(callers, predictions, kind) == (202, {"rows_new": 0, "rows_known": 5})
    more = body([prediction(4), prediction(5)], kind)
    assert send(callers, more, kind) == (202, {"rows_new": 1, "rows_known": 1})
    labels = body([label(number) for number in range(3)], kind)
    assert send(callers, labels, kind, stream="labels") == (202, {"rows_new": 3, "rows_known": 0})
    assert stored() == 6
    rows = read(
        settings().observations, "toy", Filter(), columns=["prediction_id", "distance", "carrier", "label"]
    )
    assert sorted(rows.to_pylist(), key=lambda row: row["prediction_id"])[1] == {
        "prediction_id": "p-1", "distance": 1.0, "carrier": "UA", "label": "1",
    }  # fmt: skip
    assert rows.column("label").null_count == 3


def test_the_formats_agree_on_what_is_the_same_row(callers: Callers) -> None:
    rows = [prediction(number, carrier=None, distance=None) for number in range(3)]
    assert send_rows(callers, rows)[1] == {"rows_new": 3, "rows_known": 0}
    for row in rows:
        row.update(carrier="", distance=None)
    typed = pa.Table.from_pylist([prediction(number) for number in range(3)])
    for name in ("carrier", "distance"):
        column = pa.nulls(3, typed.schema.field(name).type)
        typed = typed.set_column(typed.schema.get_field_index(name), name, column)
    sink = io.BytesIO()
    pq.write_table(typed, sink)
    assert send(callers, sink.getvalue(), PARQUET) == (202, {"rows_new": 0, "rows_known": 3})


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"score": 1.5}, "score", "between|within"),
        ({"score": None, "prediction": None}, "score", "both missing"),
        ({"prediction": "maybe"}, "prediction", "not a binary prediction"),
        ({"ts": "2026-03-01T09:05:00"}, "ts", "no time zone"),
        ({"ts": clock.to_iso(NOW + timedelta(hours=2))}, "ts", "future"),
        ({"version": 0}, "version", "whole number from 1"),
        ({"role": "king"}, "role", "not one of"),
        ({"prediction_id": "p-0"}, "prediction_id", "also the id of row 0"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", PARQUET])
def test_a_bad_row_is_named_and_nothing_is_stored(
    callers: Callers, kind: str, changes: dict[str, Any], column: str, reason: str
) -> None:
    rows = [prediction(number) for number in range(4)]
    rows[2] |= changes
    status, problem = send(callers, body(rows, kind), kind)
    assert (status, problem["row_number"], problem["column"]) == (422, 2, column)
    assert any(word in problem["reason"] for word in reason.split("|")), problem
    assert nothing_waits()


def test_text_where_a_number_belongs_is_named(callers: Callers) -> None:
    rows = [prediction(0), prediction(1, distance="far")]
    status, problem = send_rows(callers, rows)
    assert (status, problem["row_number"], problem["column"]) == (422, 1, "distance")
    rows[0]["distance"] = "near"  # a column of a file has one type
    status, problem = send(callers, body(rows, PARQUET), PARQUET)
    assert (status, problem["row_number"], problem["column"]) == (422, 0, "distance")


@pytest.mark.parametrize(
    ("changes", "column"),
    [({"label": "maybe"}, "label"), ({"status": "lost"}, "status"), ({"status": "will_not_come"}, "label"),
     ({"label": None}, "label"), ({"label_ts": "yesterday"}, "label_ts")],
)  # fmt: skip
def test_a_bad_label_is_named_and_nothing_is_stored(
    callers: Callers, changes: dict[str, Any], column: str
) -> None:
    status, problem = send_rows(callers, [label(0), label(1, **changes)])
    assert (status, problem["row_number"], problem["column"]) == (422, 1, column)
    assert nothing_waits()


def test_an_unknown_column_is_named(callers: Callers) -> None:
    for kind in ("application/json", PARQUET):
        status, problem = send(callers, body([prediction(0, colour="red")], kind), kind)
        assert (status, problem["column"]) == (422, "colour")
        assert "distance" in problem["reason"]


def test_the_same_id_with_other_content_is_a_conflict(callers: Callers) -> None:
    send_rows(callers, [prediction(0)])
    for _ in ("while it waits", "after it was stored"):
        status, problem = send_rows(callers, [prediction(1), prediction(0, score=0.9)])
        assert (status, problem["prediction_ids"], problem["count"]) == (409, ["p-0"], 1)
        assert stored() == 1
    assert send_rows(callers, [label(0)])[0] == 202
    assert send_rows(callers, [label(0, label="0")])[0] == 409


def test_a_key_used_for_another_body_stores_nothing(callers: Callers) -> None:
    assert send_rows(callers, [prediction(0)], key="k") == (202, {"rows_new": 1, "rows_known": 0})
    assert send_rows(callers, [prediction(0)], key="k") == (202, {"rows_new": 1, "rows_known": 0})
    assert send_rows(callers, [prediction(1)], key="k")[0] == 409
    assert stored() == 1
    with reading() as session:
        entries = session.scalar(
            select(func.count()).select_from(AuditEntry).where(AuditEntry.action == Action.BATCH_INGESTED.value)
        )  # fmt: skip
    assert entries == 1


@pytest.mark.parametrize("kind", [PARQUET, STREAM, FILE, "application/json"])
def test_a_damaged_body_is_refused(callers: Callers, kind: str) -> None:
    whole = body([prediction(number) for number in range(50)], kind)
    damaged = [b"", b"PAR1", b"garbage" * 100, whole[: len(whole) // 2], whole[:-1], whole[1:], b"PAR1" * 20]
    for content in damaged:
        status, problem = send(callers, content, kind)
        assert status in (202, 422), problem  # a stream may end early and yet be whole
        if status == 202:
            assert kind == STREAM
            assert problem["rows_new"] in (0, 50)
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        flipped = whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :]
        assert send(callers, flipped, kind)[0] in (202, 409, 422), position


@pytest.mark.parametrize(
    "content", [b"[1]", b'"text"', b'{"labels": []}', b'{"predictions": {}}', b"{", b"\xff"]
)
def test_json_of_another_shape_is_refused(callers: Callers, content: bytes) -> None:
    assert send(callers, content)[0] == 422


def test_deeply_nested_json_is_refused(callers: Callers) -> None:
    assert send(callers, b"[" * 200_000 + b"]" * 200_000)[0] == 422


def test_another_content_type_is_refused(callers: Callers) -> None:
    status, problem = send(callers, b"a,b\n1,2", "text/csv")
    assert status == 422
    assert PARQUET in problem["detail"]


def test_a_file_with_too_many_rows_is_refused_before_it_is_read(callers: Callers) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"prediction_id": pa.repeat("p", 1_000_001)}), sink)
    assert len(sink.getvalue()) < 20_000
    status, problem = send(callers, sink.getvalue(), PARQUET)
    assert (status, problem["rows"]) == (422, 1_000_001)


def test_a_body_over_the_limit_is_refused(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "LARGEST_BATCH_BYTES", 1000)
    assert limits.LARGEST_BATCH_BYTES > 100 * 1024**2
    large = body([prediction(number) for number in range(50)], "application/json")
    headers = {"Content-Type": "application/json"}
    declared = callers.send("engineer", "POST", "/models/toy/predictions", content=large, headers=headers)
    chunked = callers.send(
        "engineer", "POST", "/models/toy/predictions", content=iter([large]), headers=headers
    )
    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert nothing_waits()


def test_a_batch_may_be_larger_than_other_requests(callers: Callers) -> None:
    rows = [prediction(number, ts=clock.to_iso(NOW - timedelta(hours=1))) for number in range(8000)]
    content = body(rows, "application/json")
    assert len(content) > limits.LARGEST_BODY_BYTES
    assert send(callers, content) == (202, {"rows_new": 8000, "rows_known": 0})


def due(model: str) -> list[tuple[str, float]]:
    """Start and hours of the windows that are due; they are then no longer."""
    with writing() as session:
        rows = session.scalars(
            select(WindowState)
            .where(WindowState.model == model, WindowState.dirty_at.is_not(None))
            .order_by(WindowState.start)
        ).all()
        found = [(f"{row.start:%m-%d %H:%M}", (row.end - row.start) / timedelta(hours=1)) for row in rows]
        session.execute(update(WindowState).values(dirty_at=None))
    return found


def test_exactly_the_days_of_rows_and_late_labels_become_due_over_clock_changes(callers: Callers) -> None:
    with writing() as session:
        register_model(
            session, SYSTEM, name="ny", title="New York", description="", tier="low",
            spec={**SPEC, "timezone": "America/New_York"},
        )  # fmt: skip
    spring = datetime(2026, 3, 8, 5, tzinfo=UTC)  # local midnight; this day has 23 hours
    autumn = datetime(2025, 11, 2, 4, tzinfo=UTC)  # and this one 25
    moments = [
        autumn - timedelta(microseconds=1), autumn, autumn + timedelta(hours=25, microseconds=-1),
        autumn + timedelta(hours=25), spring, spring + timedelta(hours=23, microseconds=-1),
        spring + timedelta(hours=23),
    ]  # fmt: skip
    rows = [prediction(number, ts=moment.isoformat()) for number, moment in enumerate(moments)]
    assert send_rows(callers, rows, model="ny")[0] == 202
    assert stored("ny") == 7
    assert due("ny") == [
        ("11-01 04:00", 24), ("11-02 04:00", 25), ("11-03 05:00", 24), ("03-08 05:00", 23), ("03-09 04:00", 24),
    ]  # fmt: skip
    for number, windows in (
        (2, [("11-02 04:00", 25)]),
        (5, [("03-08 05:00", 23)]),
        (0, [("11-01 04:00", 24)]),
    ):
        assert send_rows(callers, [label(number)], model="ny")[0] == 202
        commit_once("tests")
        assert due("ny") == windows
    send_rows(callers, [label(2)], model="ny")
    commit_once("tests")
    assert due("ny") == []
    send_rows(callers, [{**label(99), "prediction_id": "nobody"}], model="ny")
    commit_once("tests")
    assert due("ny") == []
    send_rows(callers, [{**prediction(99), "prediction_id": "nobody", "ts": spring.isoformat()}], model="ny")
    commit_once("tests")
    assert due("ny") == [("03-08 05:00", 23)]
