"""Accepting batches of predictions and labels for someone, and counting what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.columns import Kind, parse_spec
from backend.observations.columns import BadRow
from backend.observations.pseudonyms import conceal
from backend.observations.schema import Stream
from backend.observations.store import Accepted, accept
from backend.observations.validation import label_batch, prediction_batch
from backend.registry.service import get_model
from backend.settings import settings

BINARY_CLASSES = pa.array(["0", "1", "0.0", "1.0", "false", "true"])
Payload: TypeAlias = pa.Table | Sequence[Mapping[str, Any]]


def accept_batch(
    session: ReadSession,
    actor: Actor,
    *,
    model: str,
    stream: Stream,
    payload: Payload,
    source: Literal["api", "cli", "backfill"],
) -> Accepted:
    """Check a batch and make it durable in the spool; the writer moves it on within seconds.

    All rows or none: a bad row is a `BadRow` with its number, column and reason; an id that is known with other
    content is a `DifferentContent`. Rows that are known with the same content are counted and not stored again.
    It only reads the database, because checking a large batch must not hold the write lock; the caller then calls
    `record_batch` in a transaction of its own and answers after that. If the process dies in between, the
    caller heard nothing and sends the batch again, which stores nothing twice.
    """
    allow(session, actor, Permission.INGEST)
    spec = parse_spec(get_model(session, actor, model).spec)
    now = clock.now()
    if stream == "predictions":
        features: dict[str, Kind] = {column: "numeric" for _, column in spec.classes}
        features |= {column.name: column.kind for column in spec.features}
        features |= dict.fromkeys(spec.kept_beside, "categorical")
        table = prediction_batch(
            features, conceal(model, spec.pseudonymise, payload), now=now, task=spec.task
        )
    else:
        table = label_batch(payload, now=now)
    if spec.task == "binary":
        _refuse_other_classes(table, "prediction" if stream == "predictions" else "label")
    return accept(settings().observations, settings().spool, model, stream, table, source=source, now=now)


def _refuse_other_classes(table: pa.Table, name: str) -> None:
    """A binary model's predictions and labels are 0 or 1 (or false, true); anything else could never be measured."""
    given = table.column(name)
    wrong = pc.and_(pc.is_valid(given), pc.invert(pc.is_in(pc.utf8_lower(given), value_set=BINARY_CLASSES)))
    first = pc.index(wrong, True).as_py()
    if first >= 0:
        raise BadRow(
            first, name, f"{given[first].as_py()!r} is not a binary {name}; send 0 or 1 (or false, true)"
        )


def record_batch(
    session: WriteSession, actor: Actor, *, model: str, stream: Stream, accepted: Accepted, source: str
) -> None:
    """Put an accepted batch into the audit log."""
    record(
        session, actor, Action.BATCH_INGESTED, object_kind="model", object_id=model,
        payload={"stream": stream, "rows_new": accepted.rows_new, "rows_known": accepted.rows_known, "source": source},
    )  # fmt: skip
