"""Monitors that people write, and figures of their own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import answered, body_of, once
from backend.api.pages import Part
from backend.api.parameters import ZonedMoment
from backend.api.routes.observations import limited_body, parse_body
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import false_alarms
from backend.monitoring.kpi_service import kpi_series, newest_year, store_kpis
from backend.monitoring.monitor_history import known_figures
from backend.monitoring.monitor_tables import MonitorVersion
from backend.registry.service import get_model
from backend.settings import settings

router = APIRouter(tags=["monitors"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Batch = Annotated[bytes, Depends(limited_body)]
Text = Annotated[str, Field(max_length=service.LONGEST_WHY, pattern=r"^[^\x00]*$")]
Seen = Annotated[int, Field(ge=1, lt=2**31, description="the version you looked at")]
SeenQuery = Annotated[int, Query(ge=1, lt=2**31, description="the version you looked at")]


class NewMonitor(BaseModel):
    definition: dict[str, Any]
    why: Text = ""


class MonitorChange(BaseModel):
    """One of: another definition, the number of an earlier version to bring back, or paused."""

    seen: Seen
    definition: dict[str, Any] | None = None
    restore: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    paused: bool | None = None
    why: Text = ""


class Proposal(BaseModel):
    definition: dict[str, Any]


def _view(row: MonitorVersion) -> dict[str, Any]:
    return {
        "key": row.key, "version": row.number, "name": row.name, "state": row.state, "definition": row.definition,
        "made_by": row.made_by, "made_at": row.made_at, "why": row.why, "environment": row.environment,
    }  # fmt: skip


@router.get("/models/{model}/monitors")
def monitors(actor: Caller, model: str, environment: str | None = None) -> dict[str, Any]:
    """The monitors that people wrote for a model, the figures they can look at, and the false alarms allowed."""
    environment = environment or settings().environment
    with reading() as session:
        found = service.list_monitors(session, actor, model, environment)
        sizes = service.sizes_of(get_model(session, actor, model))
        allowed = false_alarms(session, actor, model, environment)
        return {
            "monitors": [_view(row) for row in found],
            "false_pages_per_month": allowed.per_month,
            "figures": {
                size: [one._asdict() for one in known_figures(session, model, environment, size=size)]
                for size in sizes
            },
        }


@router.get("/models/{model}/monitors/{key}")
def monitor_versions(actor: Caller, model: str, key: str, part: Part) -> dict[str, Any]:
    """Every version of a monitor, newest first."""
    with reading() as session:
        _of_model(service.get_monitor(session, actor, key), model)
        return part.answer("versions", service.monitor_versions(session, actor, key, **part.more), _view)


@router.post("/models/{model}/monitors", status_code=201)
def create_monitor(
    request: Request, actor: Caller, body: Body, model: str, new: NewMonitor, environment: str | None = None
) -> Response:
    """Store a monitor; it is looked at from the next computation on."""
    return once(
        request, actor, body,
        lambda session: _view(
            service.create_monitor(
                session, actor, model=model, environment=environment or settings().environment,
                definition=new.definition, why=new.why,
            )
        ),
        status=201,
    )  # fmt: skip


@router.put("/models/{model}/monitors/{key}")
def change_monitor(
    request: Request, actor: Caller, body: Body, model: str, key: str, change: MonitorChange
) -> Response:
    """Change, pause or resume a monitor, or bring back one of its versions; `seen` is the version you looked at."""

    def act(session: WriteSession) -> dict[str, Any]:
        row = service.get_monitor(session, actor, key)
        _of_model(row, model)
        how = {"seen": change.seen, "why": change.why}
        if change.restore is not None:
            row = service.restore_monitor(session, actor, key, number=change.restore, **how)  # type: ignore[arg-type]
        elif change.definition is not None:
            row = service.change_monitor(session, actor, key, definition=change.definition, **how)  # type: ignore[arg-type]
        if change.paused is not None:
            how["seen"] = change.seen if change.definition is None and change.restore is None else row.number
            row = service.pause_monitor(session, actor, key, paused=change.paused, **how)  # type: ignore[arg-type]
        return _view(row)

    return once(request, actor, body, act)


@router.delete("/models/{model}/monitors/{key}")
def delete_monitor(
    request: Request, actor: Caller, body: Body, model: str, key: str, seen: SeenQuery
) -> Response:
    """Delete a monitor; its versions stay readable and can be brought back."""

    def act(session: WriteSession) -> dict[str, Any]:
        _of_model(service.get_monitor(session, actor, key), model)
        return _view(service.delete_monitor(session, actor, key, seen=seen))

    return once(request, actor, body, act)


@router.post("/models/{model}/monitors/replay")
def replay_monitor(
    actor: Caller, model: str, proposal: Proposal, environment: str | None = None
) -> dict[str, Any]:
    """When a proposed monitor would have fired over stored history, and how many pages a month. Stores nothing."""
    environment = environment or settings().environment
    with reading() as session:
        monitor, found = service.replay_definition(
            session, actor, model=model, environment=environment, definition=proposal.definition,
        )  # fmt: skip
        allowed = false_alarms(session, actor, model, environment)
        return {
            **found.to_json(), "level": monitor.level, "says": monitor.words(),
            "pages_per_month": found.per_month if monitor.level == "page" else 0.0,
            "false_pages_per_month": allowed.per_month,
        }  # fmt: skip


@router.post(
    "/models/{model}/kpis", status_code=202,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)  # fmt: skip
def ingest_kpis(
    request: Request, model: str, actor: Caller, body: Batch, environment: str | None = None
) -> Response:
    """Accept figures of your own: `{"kpis": [{"ts", "name", "value", "segment", "id"}]}`, Parquet or Arrow too."""
    actor.require_some(Permission.INGEST)
    known = answered(request, actor, body)
    if known is not None:
        return known
    rows = parse_body(request.headers.get("Content-Type", ""), body, "kpis")

    def act(session: WriteSession) -> dict[str, int]:
        stored = store_kpis(
            session, actor, model=model, environment=environment or settings().environment, rows=rows
        )
        return {"rows_new": stored.new, "rows_known": stored.known, "rows_replaced": stored.replaced}

    return once(request, actor, body, act, status=202)


@router.get("/models/{model}/kpis")
def kpis(
    actor: Caller,
    model: str,
    size: str | None = None,
    environment: str | None = None,
    until: ZonedMoment | None = None,
) -> dict[str, Any]:
    """Figures of your own in windows, of all rows and by segment: those of a year up to the newest row, or to `until`.
    `before` is where that year began; pass it as `until` for the year before, until it is null."""
    environment = environment or settings().environment
    with reading() as session:
        wanted = size or service.sizes_of(get_model(session, actor, model))[0]
        year = newest_year(session, actor, model, environment, size=wanted, until=until)
        found = kpi_series(
            session, actor, model, environment, size=wanted, since=year.since, until=year.until
        )
        rows = found.astype(object).where(found.notna(), None).to_dict("records")
        return {"size": wanted, "kpis": rows, "before": year.since if year.more else None}


def _of_model(row: MonitorVersion, model: str) -> None:
    if row.model != model:
        raise NotFound(f"{model} has no such monitor that you may see")
