"""Files of observations as request bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from backend.errors import BadInput
from backend.observations.schema import Stream


def batch_body(path: Path, stream: Stream | Literal["kpis"]) -> tuple[bytes, str]:
    """The body and content type for a file, by its ending. Raises `BadInput` for a file that cannot be read.

    CSV is read with every column as text where its type is not plain; the console checks each value.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    try:
        return _body(path, stream)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read: {error}") from error


def _body(path: Path, stream: Stream | Literal["kpis"]) -> tuple[bytes, str]:
    ending = path.suffix.lower()
    if ending in (".parquet", ".pq"):
        return path.read_bytes(), "application/vnd.apache.parquet"
    if ending == ".json":
        return path.read_bytes(), "application/json"
    if ending in (".jsonl", ".ndjson"):
        rows = []
        for number, line in enumerate(path.read_text().splitlines()):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise BadInput(f"{path.name}: line {number + 1} is not JSON: {error}") from error
        return json.dumps({stream: rows}).encode(), "application/json"
    if ending == ".csv":
        import pyarrow as pa
        from pyarrow import csv

        try:
            table = csv.read_csv(
                path,
                convert_options=csv.ConvertOptions(
                    column_types={
                        "prediction_id": pa.string(),
                        "label": pa.string(),
                        "prediction": pa.string(),
                        "segment": pa.string(),
                        "id": pa.string(),
                    },
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise BadInput(f"{path.name} is not readable as CSV: {error}") from error
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"
    raise BadInput(
        f"{path.name}: send Parquet, CSV, JSON or JSON Lines, not {ending or 'a file without ending'}"
    )
