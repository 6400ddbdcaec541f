"""Predictions and labels coming in: JSON batches, and Parquet or Arrow bodies for bulk."""

from __future__ import annotations

import io
import json
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from fastapi import APIRouter, Depends, Request, Response

from backend.api.idempotency import answered, once
from backend.api.limits import LARGEST_BATCH_BYTES, read_limited
from backend.api.security import current_actor
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.observations.schema import Stream
from backend.observations.service import Payload, accept_batch, record_batch
from backend.observations.validation import MAX_ROWS

PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")
ARROW = ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file")
LARGEST_UNPACKED_BYTES = 4 * 1024**3

router = APIRouter(tags=["observations"])
Caller = Annotated[Actor, Depends(current_actor)]


async def limited_body(request: Request) -> bytes:
    """The raw body, refused before it is read where its declared or real length is over the limit."""
    return await read_limited(request, LARGEST_BATCH_BYTES)


Body = Annotated[bytes, Depends(limited_body)]
_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}, PARQUET[0]: {}, ARROW[0]: {}},
    }
}


@router.post("/models/{model}/predictions", status_code=202, openapi_extra=_OPENAPI)
def ingest_predictions(request: Request, model: str, actor: Caller, body: Body) -> Response:
    """Accept predictions: `{"predictions": [{"prediction_id", "ts", "version", "features": {…}, "score"}]}`."""
    return _ingest(request, actor, model, "predictions", body)


@router.post("/models/{model}/labels", status_code=202, openapi_extra=_OPENAPI)
def ingest_labels(request: Request, model: str, actor: Caller, body: Body) -> Response:
    """Accept labels: `{"labels": [{"prediction_id", "label", "status": "known", "label_ts"}]}`."""
    return _ingest(request, actor, model, "labels", body)


def _ingest(request: Request, actor: Actor, model: str, stream: Stream, body: bytes) -> Response:
    actor.require_some(Permission.INGEST)
    known = answered(request, actor, body)
    if known is not None:
        return known
    payload = parse_body(request.headers.get("Content-Type", ""), body, stream)
    with reading() as session:
        accepted = accept_batch(session, actor, model=model, stream=stream, payload=payload, source="api")

    def answer(session: Any) -> dict[str, int]:
        record_batch(session, actor, model=model, stream=stream, accepted=accepted, source="api")
        return {"rows_new": accepted.rows_new, "rows_known": accepted.rows_known}

    return once(request, actor, body, answer, status=202)


def parse_body(content_type: str, body: bytes, stream: Stream | Literal["kpis"]) -> Payload:
    """The rows of a request body. Raises `BadInput` that says what is wrong with it as a whole."""
    kind = content_type.split(";")[0].strip().lower()
    if kind in PARQUET or kind in ARROW:
        try:
            return _parquet(body) if kind in PARQUET else _arrow(body, stream=kind == ARROW[0])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise BadInput(f"the body is not readable as {kind}: {error}") from error
    if kind not in ("application/json", ""):
        raise BadInput(
            f"the content type {kind} is not accepted; send application/json, {PARQUET[0]} or {ARROW[0]}"
        )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    rows = document.get(stream) if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f'send {{"{stream}": [ … ]}} with one object a row')
    return rows


def _parquet(body: bytes) -> pa.Table:
    """The table, unless its own footer says that it unpacks to more than is ever accepted."""
    file = pq.ParquetFile(io.BytesIO(body))
    facts = file.metadata
    unpacked = sum(facts.row_group(index).total_byte_size for index in range(facts.num_row_groups))
    if facts.num_rows > MAX_ROWS or unpacked > LARGEST_UNPACKED_BYTES:
        raise BadInput(
            f"the file holds {facts.num_rows:,} rows, {unpacked // 1024**2:,} MiB unpacked; a batch has at most "
            f"{MAX_ROWS:,} rows and {LARGEST_UNPACKED_BYTES // 1024**2:,} MiB: send it in parts",
            rows=facts.num_rows,
        )
    return file.read()


def _arrow(body: bytes, *, stream: bool) -> pa.Table:
    """The table, its buffers checked: offsets in a damaged body could point anywhere."""
    opened = pa.ipc.open_stream if stream else pa.ipc.open_file
    with opened(pa.BufferReader(body)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table
