"""Rows of one person leave the store, the spool, the shadows and what was set aside, whenever the writer is killed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.errors import BadInput
from backend.observations import erasing
from backend.observations.erasing import FAULT_POINTS, Subject, count_rows, erase_rows, find_ids, rows_of
from backend.observations.schema import shadow_table
from backend.observations.spool_log import SpoolLog
from backend.observations.store import accept, gateway_row
from backend.observations.validation import label_batch, prediction_batch, prediction_row
from backend.observations.writer import Committed, commit_spool

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEATURES: dict[str, Any] = {"customer": "categorical", "amount": "numeric"}
ADA = ("a1", "a2", "it's")


def send(store: Path, spool: Path, rows: dict[str, str]) -> None:
    """Predictions by id, each of a customer, and their labels."""
    given = [
        {"prediction_id": id_, "ts": (NOW - timedelta(hours=number)).isoformat(), "version": 1, "score": 0.5,
         "customer": customer, "amount": number}
        for number, (id_, customer) in enumerate(rows.items())
    ]  # fmt: skip
    labels = [
        {"prediction_id": one, "label": "1", "status": "known", "label_ts": NOW.isoformat()} for one in rows
    ]
    accept(
        store, spool, "toy", "predictions", prediction_batch(FEATURES, given, now=NOW), source="api", now=NOW
    )
    accept(store, spool, "toy", "labels", label_batch(labels, now=NOW), source="api", now=NOW)


def in_log(spool: Path, table: str, prediction_id: str, customer: str) -> SpoolLog:
    """A gateway's row in a log that is still open."""
    row = prediction_row(
        FEATURES,
        {"prediction_id": prediction_id, "ts": NOW, "version": 1, "score": 0.4,
         "features": {"customer": customer, "amount": 3.0}},
        now=NOW,
    )  # fmt: skip
    log = SpoolLog(spool, rotate_s=3600)
    log.append("predictions", table, gateway_row(row, now=NOW))
    return log


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Ada's rows in the store, in shadows, set aside, and in the spool; Bob's beside them."""
    store, spool = tmp_path / "observations", tmp_path / "spool"
    send(store, spool, {"a1": "ada", "b1": "bob"})
    in_log(spool, shadow_table("toy"), "a1", "ada").close()
    commit_spool(store, spool)
    in_log(spool, "toy", "a1", "ada").close()  # the same id with other content: set aside
    commit_spool(store, spool)
    send(store, spool, {"a2": "ada", "b2": "bob"})
    in_log(spool, "toy", "it's", "ada").close()
    return store, spool


def holds_text(folder: Path, text: str) -> list[Path]:
    import pyarrow.parquet as pq

    return [
        path
        for path in folder.rglob("*.parquet")
        if "_delta_log" not in path.parts and text in str(pq.read_table(path).to_pylist())
    ]


def test_a_subject_is_found_wherever_rows_lie(places: tuple[Path, Path]) -> None:
    store, spool = places
    assert find_ids(store, spool, "toy", Subject(column="customer", value="ada")) == sorted(ADA)
    assert find_ids(store, spool, "toy", Subject(prediction_ids=("b1", "a2", "nobody"))) == ["a2", "b1"]
    assert count_rows(store, spool, "toy", ADA) == {
        "a1": {"predictions": 1, "labels": 1, "predictions of shadows": 1, "predictions set aside": 1},
        "a2": {"predictions in the spool": 1, "labels in the spool": 1},
        "it's": {"predictions in the spool": 1},
    }  # fmt: skip
    found = rows_of(store, spool, "toy", ["a1"])
    assert found["predictions"][0]["customer"] == "ada"
    assert "row_digest" not in found["predictions"][0]


def test_a_column_that_is_not_stored_is_refused(places: tuple[Path, Path]) -> None:
    with pytest.raises(BadInput, match="patient"):
        find_ids(*places, "toy", Subject(column="patient", value="ada"))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("point", ["", *FAULT_POINTS, "committed", "called_back", "deleted_one"])
def test_erased_rows_are_gone_from_every_file_wherever_it_is_killed(
    places: tuple[Path, Path], point: str
) -> None:
    store, spool = places
    told: list[str] = []

    def after(reached: str) -> None:
        if reached == point:
            raise Killed

    def on_committed(committed: Sequence[Committed]) -> None:
        told.extend(one.model for one in committed)

    def erase(after: Any) -> None:
        erase_rows(store, spool, "toy", ADA, on_committed=on_committed, after=after)

    if point:
        with pytest.raises(Killed):
            erase(after)
    erase(lambda _: None)
    assert find_ids(store, spool, "toy", Subject(column="customer", value="ada")) == []
    assert find_ids(store, spool, "toy", Subject(prediction_ids=ADA)) == []
    assert holds_text(store, "ada") == []
    assert find_ids(store, spool, "toy", Subject(column="customer", value="bob")) == ["b1", "b2"]
    assert "toy" in told


def test_a_log_that_a_gateway_keeps_open_is_waited_for_and_said(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, spool = places
    monkeypatch.setattr(erasing, "SPOOL_PATIENCE_S", 0.0)
    log = in_log(spool, "toy", "a4", "ada")
    try:
        with pytest.raises(erasing.StillThere, match="gateway keeps their log open"):
            erase_rows(store, spool, "toy", ["a4"], on_committed=lambda _: None)
    finally:
        log.close()
    erase_rows(store, spool, "toy", ["a4"], on_committed=lambda _: None)
    assert find_ids(store, spool, "toy", Subject(prediction_ids=("a4",))) == []
