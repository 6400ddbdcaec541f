"""`Idempotency-Key`: the same key gives the same answer and no second effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from sqlalchemy.dialects.postgresql import insert as insert_on_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

from backend import clock
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.reach import narrow
from backend.identity.tables import IdempotencyKey

HEADER = "Idempotency-Key"
LONGEST_KEY = 200


async def body_of(request: Request) -> bytes:
    """FastAPI dependency: the raw body, whose digest an idempotency key is bound to."""
    return await request.body()


def once(
    request: Request,
    actor: Actor,
    body: bytes,
    act: Callable[[WriteSession], Any],
    *,
    status: int = 200,
) -> Response:
    """Run `act` in one transaction and answer with what it returns, remembered under the request's key.

    The stored answer commits with the effect. The same key with another request is a `Conflict`. Without
    the header the request is simply carried out. An error stores nothing, so the key can be used again.
    A second request that comes while the first is at work waits for it and gives its answer.
    """
    key = _key_of(request)
    with writing() as session:
        narrow(session, actor)
        if key is not None and not _claim(session, actor, key, _digest(request, body), status):
            known = _known_answer(session, request, actor, body)
            if known is not None:
                return known
        answer = json.dumps(jsonable_encoder(act(session), custom_encoder={datetime: _as_read}))
        if key is not None:
            session.get_one(IdempotencyKey, (actor.person_id, key)).body = answer
            session.flush()
    return JSONResponse(json.loads(answer), status_code=status)


def answered(request: Request, actor: Actor, body: bytes) -> Response | None:
    """The answer that was given under the request's key, or None; for work that must not begin a second time.

    Raises `Conflict` when the key was used for another request.
    """
    if _key_of(request) is None:
        return None
    with reading() as session:
        return _known_answer(session, request, actor, body)


def _as_read(moment: datetime) -> str:
    """A time as the routes write it that are read."""
    return moment.isoformat().replace("+00:00", "Z")


def _claim(session: WriteSession, actor: Actor, key: str, digest: str, status: int) -> bool:
    """Make the key ours. Waits for another transaction that is claiming it; False when that one committed."""
    insert = insert_on_sqlite if session.get_bind().dialect.name == "sqlite" else insert_on_postgresql
    statement = insert(IdempotencyKey).values(
        person_id=actor.person_id, key=key, request_digest=digest, status=status, body="", created_at=clock.now()
    )  # fmt: skip
    made = session.execute(statement.on_conflict_do_nothing().returning(IdempotencyKey.key))
    return made.scalar_one_or_none() is not None


def _known_answer(session: ReadSession, request: Request, actor: Actor, body: bytes) -> Response | None:
    key = _key_of(request)
    known = session.get(IdempotencyKey, (actor.person_id, key))
    if known is None:
        return None
    if known.request_digest != _digest(request, body):
        raise Conflict(f"the {HEADER} {key!r} was used for another request; use a new one")
    return Response(
        known.body, known.status, media_type="application/json", headers={"Idempotent-Replay": "true"}
    )


def _key_of(request: Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise BadInput(f"the {HEADER} header takes 1 to {LONGEST_KEY} characters")
    return key


def _digest(request: Request, body: bytes) -> str:
    """What the key is bound to: method, path, query and body."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(asked.encode() + body).hexdigest()
