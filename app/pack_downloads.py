"""Taking an evidence pack away; that it was taken is an entry of the log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from app.downloads import guarded
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.packs.making import making_of
from backend.packs.service import take_pack


def routes() -> list[BaseRoute]:
    return [
        Route("/export/pack/{pack_id}.zip", guarded(send_pack)),
        Route("/export/pack/{pack_id}.made.json", guarded(send_making)),
    ]


def send_pack(request: Request, viewer: Actor) -> Response:
    with writing() as session:
        pack, path = take_pack(session, viewer, request.path_params["pack_id"])
    return FileResponse(path, media_type="application/zip", filename=f"evidence-{pack.id}.zip")


def send_making(request: Request, viewer: Actor) -> Response:
    """The file that goes beside the ZIP: the log's own entry of its making, with its proof."""
    pack_id = request.path_params["pack_id"]
    with reading() as session:
        found = making_of(session, viewer, pack_id)
    name = f'attachment; filename="evidence-{pack_id}.made.json"'
    return Response(found, media_type="application/json", headers={"Content-Disposition": name})
