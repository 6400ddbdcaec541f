"""What models cost, day by day, as CSV; or everything the page knows, as JSON."""

from __future__ import annotations

from datetime import date

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from backend.costs.report import costs
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor


def routes() -> list[BaseRoute]:
    return [Route("/export/costs.{form}", guarded(export_costs))]


def export_costs(request: Request, viewer: Actor) -> Response:
    """A row for each model, group and day: amount and unit."""
    with reading() as session:
        found = costs(session, viewer, since=_day(request, "since"), until=_day(request, "until")).as_dict()
    form = request.path_params["form"]
    rows = found["days"] if form == "csv" else [found]
    return as_file("costs", form, rows)


def _day(request: Request, name: str) -> date | None:
    given = request.query_params.get(name)
    try:
        return date.fromisoformat(given) if given else None
    except ValueError as error:
        raise BadInput(f"{name} is a day such as 2026-11-01, not {given!r}", field=name) from error
