"""Reference rows are read from the file that was recorded, and from no other."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.errors import Conflict
from backend.registry.artefacts import file_digest
from backend.registry.reference_file import read_reference


def test_a_file_that_is_not_the_recorded_one_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "reference.parquet"
    pq.write_table(pa.table({"score": [0.2, 0.7]}), path)
    digest = file_digest(path)
    assert read_reference(path, digest).column("score").to_pylist() == [0.2, 0.7]
    pq.write_table(pa.table({"score": [0.2, 0.8]}), path)
    with pytest.raises(Conflict, match="are not the recorded ones") as refused:
        read_reference(path, digest)
    assert str(path) in refused.value.message
