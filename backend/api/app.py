"""The REST API: assembled from its routers, mounted at /api/v1 by the console."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from backend.api import problems
from backend.api.limits import BodyLimit
from backend.api.routes import (
    access,
    analyses,
    assurance,
    audit,
    audit_evidence,
    cards,
    changes,
    controls,
    data_rights,
    explanations,
    gates,
    incidents,
    inventory,
    models,
    monitors,
    notifications,
    objectives,
    observations,
    operations,
    packs,
    people,
    policies,
    registry,
    retraining,
    serious,
)
from backend.api.security import REQUEST_ID_HEADER, request_id_of

VERSION = "1"


def create_api() -> FastAPI:
    """A FastAPI application without documentation pages of its own: those would load scripts from elsewhere."""
    api = FastAPI(
        title="Warrant", version=VERSION, docs_url=None, redoc_url=None,
        description="Predictions and labels in; models, changes, alerts, jobs and the audit log out.",
    )  # fmt: skip
    problems.install(api)
    for routes in (
        models,
        cards,
        analyses,
        observations,
        monitors,
        notifications,
        objectives,
        changes,
        gates,
        policies,
        registry,
        retraining,
        inventory,
        assurance,
        serious,
        controls,
        access,
        data_rights,
        explanations,
        packs,
        incidents,
        operations,
        audit,
        audit_evidence,
        people,
    ):
        api.include_router(routes.router)

    api.add_middleware(BodyLimit)

    @api.middleware("http")
    async def stamp(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request_id = request_id_of(request)
        response = await call_next(request)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return api
