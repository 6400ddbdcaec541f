"""The audit log as evidence: exports, kept searches, findings, populations and samples, the house as it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import Moment, RowId, ZonedMoment
from backend.api.security import current_actor
from backend.assurance.as_of import house_as_of
from backend.audit.export import begin_export, pieces
from backend.audit.finding_hands import (
    LONGEST_REASON,
    close_by_hand,
    count_findings,
    list_findings,
    own_finding,
)
from backend.audit.population import LARGEST_SAMPLE, draw_sample, parse_period, population_of
from backend.audit.saved_searches import LONGEST_NAME, delete_search, save_search, saved_searches
from backend.audit.searching import Search
from backend.audit.streaming import stream_states
from backend.audit.tables import AuditFinding, SavedSearch
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import Actor
from backend.identity.roles import Permission

router = APIRouter(tags=["audit"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")]
Period = Annotated[str, Query(max_length=40, description="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30")]


class KeptSearch(BaseModel):
    """A search under a name: who, action, object_kind, object_id, since, until, text, routine."""

    name: Annotated[str, Field(max_length=LONGEST_NAME)]
    search: dict[str, Any]


class Owner(BaseModel):
    owner_id: Annotated[str, Field(max_length=100)]


class Closing(BaseModel):
    why: Text


class SampleWanted(BaseModel):
    period: Annotated[str, Field(max_length=40)]
    n: Annotated[int, Field(ge=1, le=LARGEST_SAMPLE)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    as_of: ZonedMoment | None = None


def _finding(one: AuditFinding) -> dict[str, Any]:
    return {
        "id": one.id, "kind": one.kind, "subject": one.subject, "level": one.level, "state": one.state,
        "title": one.title, "details": one.details, "owner": one.owner, "opened_at": one.opened_at,
        "last_seen_at": one.last_seen_at, "closed_at": one.closed_at, "closed_because": one.closed_because,
    }  # fmt: skip


def _search(one: SavedSearch) -> dict[str, Any]:
    return {"name": one.name, "search": one.search, "saved_at": one.saved_at}


@router.get("/audit/export")
def export(
    actor: Caller,
    form: str = "jsonl",
    who: str = "",
    action: str = "",
    object_kind: str = "",
    object_id: str = "",
    text: str = "",
    routine: bool = True,
    since: Moment | None = None,
    until: Moment | None = None,
) -> StreamingResponse:
    """Every entry that matches, oldest first, as `jsonl`, `csv`, `ocsf` or `cef`. The export is an entry itself."""
    wanted = Search(
        who=who, action=action, object_kind=object_kind, object_id=object_id, text=text, routine=routine,
        since=since, until=until,
    )  # fmt: skip
    with writing() as session:
        begun = begin_export(session, actor, wanted, form=form)
    headers = {"Content-Disposition": f'attachment; filename="{begun.file_name}"'}
    return StreamingResponse(pieces(begun), media_type=begun.form.media_type, headers=headers)


@router.get("/audit/searches")
def searches(actor: Caller, part: Part) -> dict[str, Any]:
    """The caller's own kept searches."""
    with reading() as session:
        return part.answer("searches", saved_searches(session, actor, **part.more), _search)


@router.post("/audit/searches")
def keep_search(request: Request, actor: Caller, body: Body, wanted: KeptSearch) -> Response:
    """Keep a search under a name; one of that name is replaced."""
    return once(
        request, actor, body,
        lambda session: _search(
            save_search(session, actor, name=wanted.name, wanted=Search.from_json(wanted.search))
        ),
    )  # fmt: skip


@router.delete("/audit/searches/{name}")
def drop_search(request: Request, actor: Caller, body: Body, name: str) -> Response:
    """Delete one of the caller's own."""

    def act(session: WriteSession) -> dict[str, Any]:
        delete_search(session, actor, name=name)
        return {"deleted": name}

    return once(request, actor, body, act)


@router.get("/audit/findings")
def findings(
    actor: Caller, closed: bool = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200, offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:  # fmt: skip
    """What a person has to look at in the log itself; with `closed` what was closed. `total` counts all of them."""
    with reading() as session:
        found = list_findings(session, actor, closed=closed, limit=limit, offset=offset)
        total = count_findings(session, actor, closed=closed)
        following = offset + limit if offset + limit < total else None
        return {"findings": [_finding(one) for one in found], "total": total, "next": following}


@router.post("/audit/findings/{finding_id}/owner")
def own(request: Request, actor: Caller, body: Body, finding_id: RowId, owner: Owner) -> Response:
    """Say who looks after it."""
    return once(
        request, actor, body,
        lambda session: _finding(own_finding(session, actor, finding_id, owner_id=owner.owner_id)),
    )  # fmt: skip


@router.post("/audit/findings/{finding_id}/closing")
def close(request: Request, actor: Caller, body: Body, finding_id: RowId, closing: Closing) -> Response:
    """Close it, with a reason. Whose doing it is about cannot."""
    return once(
        request, actor, body,
        lambda session: _finding(close_by_hand(session, actor, finding_id, why=closing.why)),
    )  # fmt: skip


@router.get("/audit/streams")
def streams(actor: Caller) -> dict[str, Any]:
    """How far the systems that follow the log are behind."""
    actor.require_some(Permission.READ_AUDIT)
    with reading() as session:
        return {
            "streams": []
            if actor.models_with(Permission.READ_AUDIT) is not None
            else [asdict(one) for one in stream_states(session)]
        }


@router.get("/audit/population")
def population(actor: Caller, period: Period, as_of: ZonedMoment | None = None) -> dict[str, Any]:
    """The changes requested in a period by a day, and whether the log and the table of changes agree on them."""
    with reading() as session:
        found = population_of(session, actor, parse_period(period), as_of=as_of)
    return {**asdict(found), "equal": found.equal}


@router.post("/audit/samples")
def sample(request: Request, actor: Caller, body: Body, wanted: SampleWanted) -> Response:
    """Draw a sample of a population: the same seed draws the same rows. It is an entry itself."""
    return once(
        request, actor, body,
        lambda session: draw_sample(
            session, actor, period=wanted.period, n=wanted.n, seed=wanted.seed, as_of=wanted.as_of
        ).as_dict(),
    )  # fmt: skip


@router.get("/audit/as-of")
def as_of(actor: Caller, at: ZonedMoment) -> dict[str, Any]:
    """Inventory, tiers, roles, policy and findings as they were."""
    with reading() as session:
        return asdict(house_as_of(session, actor, at))
