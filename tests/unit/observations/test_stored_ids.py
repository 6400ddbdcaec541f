"""A look-up reads only the files that can hold an id, whatever is kept, and never misses one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.observations.snapshots import snapshot
from backend.observations.store import accept
from backend.observations.stored_ids import StoredIds, id_hashes
from backend.observations.writer import commit_spool

from .samples import NOW, predictions


def write_file(path: Path, ids: range) -> str:
    pq.write_table(pa.table({"prediction_id": [f"p-{i}" for i in ids], "other": list(ids)}), path)
    return str(path)


def ids(*numbers: int) -> pa.ChunkedArray:
    return pa.chunked_array([[f"p-{i}" for i in numbers]], pa.string())


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [write_file(tmp_path / f"{n}.parquet", range(100 * n, 100 * n + 100)) for n in range(4)]


def test_only_files_with_one_of_the_ids_are_named(files: list[str]) -> None:
    stored = StoredIds()
    assert stored.files_with("t", files, ids(-1, 1000)) == []
    assert stored.files_with("t", files, ids(5, 399, 1000)) == [files[0], files[3]]
    assert stored.files_with("t", files, ids(*range(-500, 1000))) == files
    assert stored.files_with("t", files, ids()) == []


def test_kept_files_are_not_read_again(files: list[str]) -> None:
    stored = StoredIds()
    stored.files_with("t", files, ids(1))
    for file in files:
        Path(file).unlink()
    assert stored.files_with("t", files, ids(250)) == [files[2]]


@pytest.mark.parametrize("room", [0, 99, 100, 250])
def test_files_beyond_the_bound_are_always_named(files: list[str], room: int) -> None:
    stored = StoredIds(max_ids=room)
    kept = room // 100
    assert stored.files_with("t", files, ids(1000)) == files[kept:]
    assert stored.count == kept * 100
    assert stored.files_with("another", files, ids(1000)) == files, "the bound is for all tables together"


def test_files_that_left_the_table_make_room(files: list[str]) -> None:
    stored = StoredIds(max_ids=200)
    stored.files_with("t", files[:2], ids(1))
    assert stored.files_with("t", files[2:], ids(1)) == []
    assert stored.count == 200


def test_ids_are_hashed_whatever_their_text() -> None:
    odd = pa.chunked_array([["", "ä\x00", "💥" * 100], ["a"]], pa.string())
    assert len(np.unique(id_hashes(odd))) == 4


def test_a_new_snapshot_is_seen_at_once_also_in_a_table_made_anew(tmp_path: Path) -> None:
    def store(number: int) -> None:
        accept(observations, spool, "m", "predictions", predictions([number]), source="api", now=NOW)
        commit_spool(observations, spool)

    observations, spool = tmp_path / "observations", tmp_path / "spool"
    assert snapshot(observations, "m", "predictions") is None
    seen: list[tuple[str, ...]] = []
    for number in range(3):
        store(number)
        found = snapshot(observations, "m", "predictions")
        assert found is not None
        assert found is snapshot(observations, "m", "predictions"), "kept while nothing was committed"
        assert len(found.files) == number + 1
        seen.append(found.files)
    shutil.rmtree(observations / "m")
    assert snapshot(observations, "m", "predictions") is None
    for number in range(3):
        store(number)
    again = snapshot(observations, "m", "predictions")
    assert again is not None
    assert again.version == 2
    assert set(again.files).isdisjoint(seen[-1])
