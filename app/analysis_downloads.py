"""The slices of an analysed window as CSV or JSON, read as the page reads them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from app.series_downloads import named
from backend import clock
from backend.database.session import reading
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.monitoring.analysis_service import analysis_view, find_analysis

SEARCHES = ("became_worse", "always_hard")
COLUMNS = (
    "rows", "share", "inside", "outside", "reference_inside", "reference_rows", "effect", "p_corrected",
)  # fmt: skip


def routes() -> list[BaseRoute]:
    return [Route("/export/slices.{form}", guarded(export_slices))]


def export_slices(request: Request, viewer: Actor) -> Response:
    """The slices of `model`, `size` and `start` (ISO 8601) that one `search` found."""
    query = request.query_params
    search = query.get("search", SEARCHES[0])
    if search not in SEARCHES:
        raise BadInput(f"search: {search!r} is not one of {', '.join(SEARCHES)}")
    try:
        start = clock.from_iso(query.get("start", ""))
    except ValueError as error:
        raise BadInput("start: write the time with its zone, as 2026-03-01T09:05:00Z") from error
    with reading() as session:
        found = find_analysis(
            session, viewer, model=query.get("model", ""), start=start, size=query.get("size")
        )
        if found is None:
            raise NotFound("this window has not been analysed; ask for it on the Slices page")
        view = analysis_view(found)
    rows: list[dict[str, Any]] = [
        {
            "slice": " and ".join(condition["text"] for condition in one["conditions"]),
            **{name: one[name] for name in COLUMNS},
        }
        for one in view[search]["slices"]
    ]
    name = named(f"slices-{search}", view["model"], view["size"], start)
    return as_file(name, request.path_params["form"], rows)
