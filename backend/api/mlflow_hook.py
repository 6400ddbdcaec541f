"""What an MLflow server tells by its webhooks: that a model got a version, or that an alias moved.

MLflow 3 signs each delivery (https://mlflow.org/docs/latest/ml/webhooks/): `X-MLflow-Signature: v1,<base64>` is the
HMAC-SHA256, under the webhook's secret, of `<X-MLflow-Delivery-Id>.<X-MLflow-Timestamp>.<body>`. Of a delivery only
the model's name is believed: MLflow itself is then asked what is so. So a delivery that is lost, late or comes twice
does no harm; the registry is looked at every minute anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from backend.addresses import without_credentials
from backend.api.problems import CLIENT_LEFT, problem
from backend.database.session import ReadSession, writing
from backend.errors import BadInput, NotFound, NotSignedIn, WarrantError
from backend.observations.schema import check_model
from backend.queue import MIRROR_REGISTRY, JobRun, request_job
from backend.registry.tables import ImportedModel, Model
from backend.settings import settings

PATH: Final = "/hooks/mlflow"
LARGEST_BYTES: Final = 256 * 1024
# MLflow tries a delivery again for some seconds under its first timestamp.
OLDEST_S: Final = 300
VERSIONS: Final = frozenset({"registered_model", "model_version"})
ALIASES: Final = frozenset({"model_version_alias"})
_DELIVERY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BadSignature(NotSignedIn):
    title = "Not signed by this MLflow"


class HookData(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class HookEvent(BaseModel):
    entity: Annotated[str, Field(max_length=100)]
    action: Annotated[str, Field(max_length=100)]
    data: dict[str, Any]


def routes() -> list[BaseRoute]:
    return [Route(PATH, receive, methods=["POST"])]


async def receive(request: Request) -> Response:
    """`202` with what was asked for: a look at the model, `known`, or nothing, `ignored`."""
    try:
        body = await _body(request)
        delivery = verified(
            body,
            signature=request.headers.get("X-MLflow-Signature", ""),
            delivery=request.headers.get("X-MLflow-Delivery-Id", ""),
            timestamp=request.headers.get("X-MLflow-Timestamp", ""),
        )
        done = await run_in_threadpool(take, _event(body), delivery)
    except ClientDisconnect:
        return Response(status_code=CLIENT_LEFT)
    except WarrantError as error:
        return problem(request, status=error.status, title=error.title, detail=error.message, **error.details)
    return JSONResponse({"delivery": delivery, "outcome": done}, status_code=202)


def verified(body: bytes, *, signature: str, delivery: str, timestamp: str) -> str:
    """The delivery's id, if MLflow signed it lately. Raises `NotFound` where no secret is set, else `BadSignature`."""
    secret = settings().mlflow_webhook_secret
    if not secret:
        raise NotFound("webhooks of MLflow are not taken here: WARRANT_MLFLOW_WEBHOOK_SECRET is not set")
    signed = f"{delivery}.{timestamp}.".encode("utf-8", "replace") + body
    wanted = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    scheme, _, sent = signature.partition(",")
    try:
        given = base64.b64decode(sent, validate=True) if scheme == "v1" else b""
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, wanted):
        raise BadSignature(
            "the signature does not fit: the webhook's secret in MLflow is WARRANT_MLFLOW_WEBHOOK_SECRET"
        )
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise BadSignature("the timestamp is not in Unix seconds")
    if abs(time.time() - int(timestamp)) > OLDEST_S:
        raise BadSignature(f"the delivery is more than {OLDEST_S} s old, or the two clocks differ as much")
    if not _DELIVERY.fullmatch(delivery):
        raise BadSignature("the delivery's id is not a UUID")
    return delivery


def take(event: HookEvent, delivery: str) -> Literal["asked", "known", "ignored"]:
    """Ask for a look at the model that a delivery is about. The same delivery asks once."""
    if event.entity not in VERSIONS | ALIASES:
        return "ignored"
    try:
        name = HookData.model_validate(event.data).name
    except ValidationError as error:
        raise BadInput("data.name: a delivery names its model", field="data.name") from error
    versions = event.entity in VERSIONS
    with writing() as session:
        imported = _is_imported(session)
        if session.get(Model, name) is None and not (versions and imported and _fits(name)):
            return "ignored"
        run_id = f"{MIRROR_REGISTRY.name}-hook-{delivery}"
        arguments = {"versions": versions and imported}
        if session.get(JobRun, run_id) is not None or _is_waiting(session, name, arguments):
            return "known"
        request_job(session, MIRROR_REGISTRY, subject=name, arguments=arguments, run_id=run_id)
    return "asked"


def _fits(name: str) -> bool:
    """Whether a model can have this name here; an import leaves the others out, too."""
    try:
        check_model(name)
    except BadInput:
        return False
    return True


def _is_imported(session: ReadSession) -> bool:
    """Whether the registry that is watched was imported: its models and versions are kept in the inventory."""
    watched = without_credentials(settings().mlflow)
    found = select(ImportedModel.model).where(ImportedModel.read_from == watched).limit(1)
    return session.scalars(found).first() is not None


def _is_waiting(session: ReadSession, name: str, arguments: dict[str, Any]) -> bool:
    """Whether the same look is asked for and has not begun: it will see this delivery's move, too."""
    waiting = session.scalars(
        select(JobRun).where(
            JobRun.name == MIRROR_REGISTRY.name, JobRun.subject == name, JobRun.state == "queued"
        )
    )
    return any(one.arguments.get("versions", False) or not arguments["versions"] for one in waiting)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BYTES:
            raise BadInput(f"a delivery has at most {LARGEST_BYTES // 1024} KiB")
    return bytes(body)


def _event(body: bytes) -> HookEvent:
    try:
        return HookEvent.model_validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise BadInput("the body is no delivery of MLflow: entity, action and data as JSON") from error
