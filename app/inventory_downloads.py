"""The inventory of models and who can do what, as CSV or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from backend.access.movements import movements_in
from backend.access.rights import rights_now
from backend.assurance.inventory import every_model_kept
from backend.audit.population import parse_period
from backend.database.session import reading
from backend.fleet.listing import Wanted, list_fleet
from backend.identity.actor import Actor
from backend.settings import settings


def routes() -> list[BaseRoute]:
    return [
        Route("/export/models.{form}", guarded(export_models)),
        Route("/export/fleet.{form}", guarded(export_fleet)),
        Route("/export/access.{form}", guarded(export_access)),
        Route("/export/movements.{form}", guarded(export_movements)),
    ]


def export_models(request: Request, viewer: Actor) -> Response:
    """What the filters of the Inventory page find, in its order; `due` says what is overdue or missing."""
    query = request.query_params
    with reading() as session:
        found = every_model_kept(
            session, viewer, environment=settings().environment, text=query.get("text", ""),
            tiers=query.getlist("tier"), kinds=query.getlist("kind"), team=query.get("team", ""),
            needing=query.get("needing") == "1",
            sort=query.get("sort", "due"),
        )  # fmt: skip
        rows = [one.as_dict() for one in found]
    if request.path_params["form"] == "csv":
        rows = [_flat(one) for one in rows]
    return as_file("models", request.path_params["form"], rows)


def export_fleet(request: Request, viewer: Actor) -> Response:
    """What the filters of the Models page find, in its order, all of it."""
    query = request.query_params
    wanted = Wanted(
        text=query.get("text", ""), owner=query.getlist("owner"), tier=query.getlist("tier"),
        team=query.getlist("team"), tag=query.getlist("tag"), health=query.getlist("health"),
        sort=query.get("sort", "need"),
    )  # fmt: skip
    with reading() as session:
        page = list_fleet(
            session, viewer, query.get("environment") or settings().environment, wanted, limit=None
        )
    rows = [asdict(one) for one in page.rows]
    if request.path_params["form"] == "csv":
        rows = [_on_one_line(one) for one in rows]
    return as_file("fleet", request.path_params["form"], rows)


def _on_one_line(row: dict[str, Any]) -> dict[str, Any]:
    figure = row.pop("figure") or {}
    row.pop("history")
    told = {f"figure_{name}": figure.get(name) for name in ("statistic", "column", "value", "threshold")}
    return {**row, "tags": " ".join(row["tags"]), **told}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    validation, findings = row.pop("validation"), row.pop("findings")
    return {
        **row, "due": "; ".join(row["due"]), "exceptions": "; ".join(row["exceptions"]),
        "validation": validation["ref"] if validation else None,
        "outcome": validation["outcome"] if validation else None,
        "validated_at": validation["recorded_at"] if validation else None,
        **{f"findings_{name}": count for name, count in findings.items()},
    }  # fmt: skip


def export_access(request: Request, viewer: Actor) -> Response:
    """Every right of every open account."""
    with reading() as session:
        rows = [
            {
                "person": one.name, "username": one.username, "account": one.account, "kind": one.kind,
                "subject": one.subject, "last_used_at": one.last_used_at,
                "permissions": ", ".join(one.facts.get("permissions") or ()), "until": one.facts.get("until"),
                "from": one.facts.get("from"), "models": ", ".join(one.facts.get("models") or ()),
                "team": one.facts.get("team"),
                "last_done": (one.facts.get("last_done") or {}).get("permission"),
                "last_done_at": (one.facts.get("last_done") or {}).get("at"),
            }
            for one in rights_now(session, viewer)
        ]  # fmt: skip
    return as_file("access", request.path_params["form"], rows)


def export_movements(request: Request, viewer: Actor) -> Response:
    """Who joined, moved and left in a period."""
    with reading() as session:
        found = movements_in(session, viewer, parse_period(request.query_params.get("period", "")))
    rows = [one.as_dict() | {"gained": ", ".join(one.gained), "lost": ", ".join(one.lost)} for one in found]
    return as_file("movements", request.path_params["form"], rows)
