"""Model cards as files: Markdown, Hugging Face's card, HTML, PDF, or the source for git."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import guarded
from app.formats import whole_number
from backend.cards.examination import examine_card
from backend.cards.export import export_card
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor


def routes() -> list[BaseRoute]:
    return [Route("/export/card/{form}", guarded(send_card))]


def send_card(request: Request, viewer: Actor) -> Response:
    """The card of `model` and `version`: that `number`, else the one that holds. `open` shows HTML in the browser."""
    query = request.query_params
    version, number = whole_number(query.get("version")), whole_number(query.get("number"))
    if not query.get("model") or version is None:
        raise BadInput("model and version are needed in the address")
    with reading() as session:
        found = examine_card(session, viewer, query["model"], version, number)
    made = export_card(found, request.path_params["form"])
    headers = {
        "Content-Disposition": f'attachment; filename="{made.name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    }
    return Response(made.body, media_type=made.media_type, headers=headers)
