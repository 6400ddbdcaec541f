"""The files that access requests hand out: where they lie, whose rows are in one, and letting one go."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from backend.data_rights.tables import DataRequest
from backend.durable import durable_folder
from backend.settings import settings


def documents_folder() -> Path:
    """Nobody but its owner looks in."""
    folder: Path = durable_folder(settings().resolved_home() / "data_requests")
    folder.chmod(0o700)
    return folder


def holds_rows_of(
    request: DataRequest, prediction_ids: Collection[str], column: str, value: str | None
) -> bool:
    """Whether the document has a row of these predictions, or of whom the column names. A lost file has none."""
    try:
        found = json.loads((documents_folder() / request.file).read_bytes())
    except FileNotFoundError:
        return False
    rows = (row for rows in found["rows"].values() for row in rows)
    return any(
        row.get("prediction_id") in prediction_ids or (value and str(row.get(column)) == value)
        for row in rows
    )


def places_of(request: DataRequest) -> tuple[Path, Path]:
    """Where its document lies, and where it is written first."""
    name = f"{request.id}.json"
    return documents_folder() / name, documents_folder() / f".{name}.tmp"


def forget_document(request: DataRequest) -> None:
    """Remove the file, also one that nobody came to offer; the request stays, with what and how many."""
    for path in places_of(request):
        path.unlink(missing_ok=True)
    request.file = ""
