"""The inventory of a registry, the moves made in it, and what served when, as CSV or JSON."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from app.series_downloads import moment_of, named
from backend.database.session import reading
from backend.deployment.timeline import read_timeline, timeline_view
from backend.errors import BadInput
from backend.governance.registry_moves import list_moves, move_view
from backend.identity.actor import Actor
from backend.registry.inventory import list_inventory
from backend.settings import settings

MOST_MOVES = 100_000


def routes() -> list[BaseRoute]:
    return [
        Route("/export/registry-moves.{form}", guarded(export_moves)),
        Route("/export/inventory.{form}", guarded(export_inventory)),
        Route("/export/timeline.{form}", guarded(export_timeline)),
    ]


def export_moves(request: Request, viewer: Actor) -> Response:
    """Moves found from `since` to `until`, of `model` where it is named, each with what the rules said and why."""
    query = request.query_params
    with reading() as session:
        report = list_moves(
            session, viewer, since=moment_of(query.get("since"), "since"),
            until=moment_of(query.get("until"), "until"), model=query.get("model"), limit=MOST_MOVES,
        )  # fmt: skip
        rows = [_move(move_view(move)) for move in report.moves]
    return as_file(named("registry-moves", query.get("model")), request.path_params["form"], rows)


def _move(move: dict[str, Any]) -> dict[str, Any]:
    reasons = "; ".join(f"{one['check']}: {one['says']}: {one['text']}" for one in move["reasons"])
    return {**move, "reasons": reasons}


def export_inventory(request: Request, viewer: Actor) -> Response:
    """A row for each version, and one for each model without any, with all that is not known."""
    with reading() as session:
        rows: list[dict[str, Any]] = []
        for one in list_inventory(session, viewer):
            model = {
                "model": one.model.name, "tier": one.model.tier, "enforcement": one.model.enforcement,
                "imported_from": one.imported.read_from if one.imported else None,
                "gaps_of_model": "; ".join(one.gaps),
            }  # fmt: skip
            empty = {"version": None, "registered": None, "aliases": None, "gaps_of_version": None}
            rows += [
                {**model, "version": version.version, "registered": version.registered is not None,
                 "aliases": ", ".join(version.aliases), "gaps_of_version": "; ".join(version.gaps)}
                for version in one.versions
            ] or [{**model, **empty}]  # fmt: skip
    return as_file("inventory", request.path_params["form"], rows)


def export_timeline(request: Request, viewer: Actor) -> Response:
    """What served `model` when, in `environment` (left out: this one's), `since` and `until`
    moments: a row for each version and stretch of time."""
    query = request.query_params
    model = query.get("model")
    if not model:
        raise BadInput("model is needed in the address")
    environment = query.get("environment") or settings().environment
    with reading() as session:
        view = timeline_view(
            read_timeline(
                session, viewer, model, environment, since=moment_of(query.get("since"), "since"),
                until=moment_of(query.get("until"), "until"),
            )
        )  # fmt: skip
    changes = {one["id"]: one for one in view["changes"]}
    rows = [
        {"start": stretch["start"], "end": stretch["end"], **row,
         "change": f"CHG-{row['change_id']}" if row["change_id"] is not None else None,
         "allowed": changes[row["change_id"]]["allowed"] if row["change_id"] in changes else None}
        for stretch in view["stretches"]
        for row in stretch["served"]
    ]  # fmt: skip
    return as_file(named("timeline", model, environment), request.path_params["form"], rows)
