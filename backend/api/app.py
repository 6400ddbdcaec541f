"""The REST API: assembled from its routers, mounted at /api/v1 by the console."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from backend.api import problems
from backend.api.limits import AddressRate, BodyLimit
from backend.api.rates import Buckets
from backend.api.routes import (
    access,
    analyses,
    assurance,
    audit,
    audit_evidence,
    cards,
    changes,
    ci_trust,
    controls,
    costs,
    data_rights,
    explanations,
    fleet,
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
    role_rules,
    search,
    serious,
    sessions,
    specs,
    teams,
    tokens,
)
from backend.api.security import REQUEST_ID_HEADER, request_id_of
from backend.logs import about
from backend.tracing import continued, span

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
        fleet,
        assurance,
        serious,
        controls,
        access,
        data_rights,
        explanations,
        packs,
        incidents,
        operations,
        costs,
        audit,
        audit_evidence,
        people,
        sessions,
        tokens,
        ci_trust,
        role_rules,
        teams,
        specs,
        search,
    ):
        api.include_router(routes.router)

    api.add_middleware(BodyLimit)
    api.state.buckets = Buckets()
    api.add_middleware(AddressRate, buckets=api.state.buckets)

    @api.middleware("http")
    async def stamp(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request_id = request_id_of(request)
        name = f"{request.method} {request.url.path}"
        with (
            about(request_id=request_id),
            continued(request.headers),
            span(name, kind="server", request_id=request_id),
        ):
            response = await call_next(request)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return api
