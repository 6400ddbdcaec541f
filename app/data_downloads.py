"""Documents for data subjects: all rows of a request, and the explanation of one prediction."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import guarded
from backend.data_rights.explanation import explain_prediction
from backend.data_rights.explanation_document import explanation_document
from backend.data_rights.handing_out import open_document
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.settings import settings

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def routes() -> list[BaseRoute]:
    return [
        Route("/export/data-request/{form}", guarded(send_rows)),
        Route("/export/explanation/{form}", guarded(send_explanation)),
    ]


def send_rows(request: Request, viewer: Actor) -> Response:
    """The document of an access request."""
    with reading() as session:
        content, media_type = open_document(
            session, viewer, request.query_params.get("id", ""), request.path_params["form"]
        )
    return _file("rows", request.path_params["form"], content, media_type)


def send_explanation(request: Request, viewer: Actor) -> Response:
    """Why one prediction came out as it did."""
    query = request.query_params
    if not query.get("model") or not query.get("prediction"):
        raise BadInput("model and prediction are needed in the address")
    with reading() as session:
        found = explain_prediction(
            session, viewer, model=query["model"], prediction_id=query["prediction"],
            observations=settings().observations,
        )  # fmt: skip
    content, media_type = explanation_document(found, request.path_params["form"])
    return _file("explanation", request.path_params["form"], content, media_type)


def _file(name: str, form: str, content: bytes, media_type: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Content-Security-Policy": SANDBOX,
    }
    return Response(content, media_type=media_type, headers=headers)
