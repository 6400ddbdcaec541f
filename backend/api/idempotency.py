"""`Idempotency-Key`: the same key gives the same answer and no second effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from backend import clock
from backend.database.session import WriteSession, writing
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
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
    """
    key = request.headers.get(HEADER)
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise BadInput(f"the {HEADER} header takes 1 to {LONGEST_KEY} characters")
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
    with writing() as session:
        known = session.get(IdempotencyKey, (actor.person_id, key), with_for_update=True) if key else None
        if known is not None:
            if known.request_digest != digest:
                raise Conflict(f"the {HEADER} {key!r} was used for another request; use a new one")
            return Response(
                known.body, known.status, media_type="application/json", headers={"Idempotent-Replay": "true"}
            )
        answer = json.dumps(jsonable_encoder(act(session)))
        if key:
            session.add(
                IdempotencyKey(
                    person_id=actor.person_id, key=key, request_digest=digest, status=status, body=answer,
                    created_at=clock.now(),
                )
            )  # fmt: skip
            session.flush()
    return JSONResponse(json.loads(answer), status_code=status)
