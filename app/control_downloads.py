"""A catalogue held against the record, as CSV (a row per control) or JSON (with all evidence)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from backend import clock
from backend.controls.assessment import assess
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor


def routes() -> list[BaseRoute]:
    return [Route("/export/controls.{form}", guarded(export_controls))]


def export_controls(request: Request, viewer: Actor) -> Response:
    """What the Controls page shows for `catalogue`, `model` (left out: the house) and `as_of`."""
    query = request.query_params
    try:
        as_of = clock.from_iso(query["as_of"]) if query.get("as_of") else None
    except ValueError as error:
        raise BadInput(f"as_of: {error}", field="as_of") from error
    with reading() as session:
        found = assess(
            session,
            viewer,
            catalogue=query.get("catalogue", ""),
            model=query.get("model") or None,
            as_of=as_of,
        )
    form = request.path_params["form"]
    name = f"controls-{found.catalogue}"
    return as_file(name, form, [found.as_dict()] if form == "json" else found.rows())
