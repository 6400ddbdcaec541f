"""Many models at once: the list with its filters, tags, acts on several models, and saved views."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import RowId
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.fleet.acts import ActPreview, Asking, perform_act, preview_act
from backend.fleet.listing import MOST, Wanted, list_fleet
from backend.fleet.tags import tag_model
from backend.fleet.views import list_views, remove_view, save_view
from backend.governance.asking import LONGEST_TEXT
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["fleet"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Several = Annotated[list[Word] | None, Query(max_length=100)]
Environment = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


class TagRequest(BaseModel):
    add: list[Word] = Field(default=[], max_length=50)
    remove: list[Word] = Field(default=[], max_length=50)


class ActRequest(BaseModel):
    act: Literal["silence", "owner", "tag", "policy", "enforce"]
    models: list[Word] = Field(min_length=1, max_length=500)
    environment: Word | None = Field(default=None, description="default: the console's own")
    why: str = Field(default="", max_length=LONGEST_TEXT, description="others will read it at each model")
    hours: int | None = Field(default=None, ge=1, le=720, description="silence: for how long")
    until_worse: bool = Field(default=False, description="silence: until it gets worse, 8 hours at most")
    owner: Word = Field(default="", description="owner: a user name")
    add: list[Word] = Field(default=[], max_length=50, description="tag: what to put on")
    remove: list[Word] = Field(default=[], max_length=50, description="tag: what to take off")
    tier: Word = Field(default="", description="policy: have it governed by this tier's rules")


class PerformRequest(ActRequest):
    digest: str = Field(max_length=80, description="of the preview that you saw")


class ViewRequest(BaseModel):
    name: Word
    filters: dict[Word, list[Word]] = Field(default={}, max_length=20)
    columns: list[Word] = Field(default=[], max_length=30)
    sort: Word = ""
    shared: bool = False


@router.get("/fleet")
def fleet(
    actor: Caller, text: Text = "", owner: Several = None, tier: Several = None, team: Several = None,
    tag: Several = None, health: Several = None, environment: Environment = None, sort: Text = "need",
    descending: bool = False, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """Models with how they are, worst first. Values of one filter are alternatives; `-` is a model without owner or
    team. `levels` counts by health what matches the other filters. Pass `next` as `offset`."""
    wanted = Wanted(
        text=text, owner=owner or (), tier=tier or (), team=team or (), tag=tag or (), health=health or (), sort=sort,
        descending=descending,
    )  # fmt: skip
    with reading() as session:
        page = list_fleet(
            session, actor, environment or settings().environment, wanted, offset=offset, limit=limit
        )
    following = offset + limit if offset + limit < page.total else None
    return {
        "models": [asdict(one) for one in page.rows], "total": page.total, "known": page.known,
        "levels": page.levels, "next": following,
    }  # fmt: skip


@router.post("/models/{model}/tags", status_code=201)
def tags(request: Request, actor: Caller, body: Body, model: str, asked: TagRequest) -> Response:
    """Put tags on a model and take others off; answers with those it has then."""

    def act(session: WriteSession) -> dict[str, Any]:
        return {
            "model": model,
            "tags": tag_model(session, actor, model, add=asked.add, remove=asked.remove),
        }

    return once(request, actor, body, act, status=201)


@router.post("/fleet/acts/preview")
def preview(actor: Caller, asked: ActRequest) -> dict[str, Any]:
    """What an act on several models would do to which, and which it leaves out with the reason of each."""
    with reading() as session:
        return _preview(preview_act(session, actor, _asking(asked), _environment(asked)))


@router.post("/fleet/acts", status_code=201)
def act_on(request: Request, actor: Caller, body: Body, asked: PerformRequest) -> Response:
    """Do what was previewed, model by model; one that is refused meanwhile is told, and the others stand."""

    def act(session: WriteSession) -> dict[str, Any]:
        found = perform_act(session, actor, _asking(asked), _environment(asked), seen_digest=asked.digest)
        return {
            "done": [{"model": one.model, "what": one.what} for one in found.done],
            "refused": [asdict(one) for one in found.refused],
            "left_out": [asdict(one) for one in found.left_out],
        }

    return once(request, actor, body, act, status=201)


@router.get("/views")
def views(actor: Caller, part: Part) -> dict[str, Any]:
    """Saved views of the list of models: one's own, and those that are shared."""
    with reading() as session:
        return part.answer("views", list_views(session, actor, **part.more), asdict)


@router.post("/views", status_code=201)
def keep_view(request: Request, actor: Caller, body: Body, asked: ViewRequest) -> Response:
    """Save a view, in place of one's own of the same name. Sharing is for those who see every model."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = save_view(
            session, actor, name=asked.name, filters=asked.filters, columns=asked.columns, sort=asked.sort,
            shared=asked.shared,
        )  # fmt: skip
        return {"id": made.id, "name": made.name, "is_shared": made.is_shared, **made.query}

    return once(request, actor, body, act, status=201)


@router.post("/views/{view_id}/removal", status_code=201)
def take_view_away(request: Request, actor: Caller, body: Body, view_id: RowId) -> Response:
    """Remove a view: one's own, or as an administrator a shared one."""

    def act(session: WriteSession) -> dict[str, Any]:
        remove_view(session, actor, view_id)
        return {"removed": view_id}

    return once(request, actor, body, act, status=201)


def _asking(asked: ActRequest) -> Asking:
    return Asking(
        act=asked.act, models=tuple(asked.models), why=asked.why, hours=asked.hours, until_worse=asked.until_worse,
        owner=asked.owner, add=tuple(asked.add), remove=tuple(asked.remove), tier=asked.tier,
    )  # fmt: skip


def _environment(asked: ActRequest) -> str:
    return asked.environment or settings().environment


def _preview(found: ActPreview) -> dict[str, Any]:
    return {
        "digest": found.digest, "planned": [{"model": one.model, "what": one.what} for one in found.planned],
        "left_out": [asdict(one) for one in found.left_out],
    }  # fmt: skip
