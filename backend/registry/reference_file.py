"""A version's reference rows, read only where the file is the one that was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from backend.errors import Conflict
from backend.registry.artefacts import file_digest

if TYPE_CHECKING:
    import pyarrow as pa

    from backend.registry.tables import Version


def check_reference(path: Path, digest: str) -> None:
    """Raises `Conflict` when the file is not the one that was recorded."""
    found = file_digest(path)
    if found != digest:
        raise Conflict(
            f"the reference data at {path} are not the recorded ones: recorded {digest[:19]}…, found {found[:19]}…"
        )


def read_reference(path: Path, digest: str) -> pa.Table:
    """The reference rows of the file that was recorded; raises as `check_reference` does."""
    check_reference(path, digest)
    return pq.read_table(path)


def reference_of(version: Version) -> pa.Table:
    """The reference rows of a version; raises as `read_reference` does."""
    return read_reference(Path(version.reference_path), version.reference_digest)
