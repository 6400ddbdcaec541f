"""Errors over HTTP: the one place where the error tree becomes `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from backend.api.security import request_id_of
from backend.database.refusals import unavailable
from backend.errors import WarrantError

log = logging.getLogger("warrant.api")

CLIENT_LEFT: Final = 499
"""The caller closed the connection before its request was whole: nobody sees this answer, and nothing has failed."""


def problem(request: Request, *, status: int, title: str, detail: str, **more: object) -> JSONResponse:
    """One `application/problem+json` answer. `retry_after_s` among the details is also a header."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    body["request_id"] = request_id_of(request)
    headers = {"X-Request-ID": request_id_of(request)}
    if "retry_after_s" in more:
        headers["Retry-After"] = str(more["retry_after_s"])
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)


def install(api: FastAPI) -> None:
    """Answer every error of the tree, of validation, and every surprise, in one form."""

    @api.exception_handler(WarrantError)
    async def known(request: Request, error: WarrantError) -> JSONResponse:
        details = {
            key: value for key, value in error.details.items() if key not in ("type", "title", "status")
        }
        return problem(request, status=error.status, title=error.title, detail=error.message, **details)

    @api.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = [{"where": list(map(str, one["loc"])), "reason": one["msg"]} for one in error.errors()]
        return problem(
            request, status=422, title="Bad input", detail=f"{where}: {first['msg']}", errors=found[:20]
        )

    @api.exception_handler(DataError)
    async def not_storable(request: Request, error: DataError) -> JSONResponse:
        log.info("request %s holds what the database refuses: %s", request_id_of(request), error.orig)
        return problem(
            request, status=422, title="Bad input",
            detail="the request holds a value that cannot be stored, such as text with a NUL character",
        )  # fmt: skip

    @api.exception_handler(OperationalError)
    async def refused(request: Request, error: OperationalError) -> JSONResponse:
        log.error("request %s: the database refuses: %s", request_id_of(request), error.orig)
        told = unavailable(error)
        return problem(request, status=told.status, title=told.title, detail=told.message)

    @api.exception_handler(ClientDisconnect)
    async def left(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_LEFT)

    @api.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        return problem(request, status=error.status_code, title=str(error.detail), detail=str(error.detail))

    @api.exception_handler(Exception)
    async def surprise(request: Request, error: Exception) -> JSONResponse:
        log.exception("request %s failed", request_id_of(request), exc_info=error)
        return problem(
            request, status=500, title="Something went wrong here",
            detail=f"the request failed on our side; give the request id {request_id_of(request)} to whoever runs this",
        )  # fmt: skip
