"""The inventory of models: every model with owner, tier, purpose, data, validation, findings and what is due."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import ZonedMoment
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.assurance.facts import keep_facts, register_vendor_model
from backend.assurance.inventory import entry_of, list_models_kept
from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.questionnaire import (
    answer_questionnaire,
    answers_of,
    asked_now,
    replace_questionnaire,
)
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.settings import settings

router = APIRouter(tags=["inventory"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Name = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


class VendorModelRequest(BaseModel):
    name: Short
    title: Short
    vendor: Short
    purpose: Text
    data: Text
    contact: Short
    owner_id: Short
    next_review_at: ZonedMoment | None = None


class FactsRequest(BaseModel):
    why: Text
    purpose: Text | None = None
    data: Text | None = None
    vendor: Short | None = None
    contact: Short | None = None
    owner_id: Short | None = None
    next_review_at: ZonedMoment | None = None


class QuestionnaireRequest(BaseModel):
    document: str = Field(max_length=200_000, description="the whole questionnaire as YAML")
    note: Text


class AnswersRequest(BaseModel):
    answers: dict[Short, Short]
    digest: str = Field(max_length=80, description="of the questionnaire you looked at")
    note: Text = ""


def _facts(facts: ModelFacts) -> dict[str, Any]:
    return {
        "model": facts.model, "purpose": facts.purpose, "data": facts.data, "vendor": facts.vendor,
        "contact": facts.contact, "next_review_at": facts.next_review_at, "kept_at": facts.kept_at,
    }  # fmt: skip


def answers_view(row: TierAnswers, now: str) -> dict[str, Any]:
    """Answers with whether they are to the questionnaire that is asked now (its digest)."""
    return {
        "id": row.id, "revision": row.revision, "answers": row.answers, "levels": row.levels, "tier": row.tier,
        "note": row.note, "answered_by": row.answered_by, "answered_at": row.answered_at, "current": row.digest == now,
    }  # fmt: skip


@router.get("/inventory")
def inventory(
    actor: Caller, text: Name = "", owner: Name = "", team: Name = "",
    tier: Annotated[list[Literal["low", "medium", "high", "prohibited"]] | None, Query()] = None,
    kind: Annotated[list[Literal["own", "imported", "vendor"]] | None, Query()] = None,
    needing: bool = False, sort: Name = "due", descending: bool = False,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """Models with what people vouch for and what is due; the most urgent first. Pass `next` as `offset`."""
    with reading() as session:
        page = list_models_kept(
            session, actor, environment=settings().environment, text=text, tiers=tier or (), kinds=kind or (),
            owner=owner, team=team, needing=needing, sort=sort, descending=descending, offset=offset, limit=limit,
        )  # fmt: skip
        following = offset + limit if offset + limit < page.total else None
        return {
            "models": [one.as_dict() for one in page.entries], "total": page.total, "known": page.known,
            "needing": page.needing, "next": following,
        }  # fmt: skip


@router.get("/inventory/{model}")
def inventory_entry(actor: Caller, model: str) -> dict[str, Any]:
    """One model of the inventory."""
    with reading() as session:
        return entry_of(session, actor, model, environment=settings().environment).as_dict()


@router.post("/inventory", status_code=201)
def add_vendor_model(request: Request, actor: Caller, body: Body, asked: VendorModelRequest) -> Response:
    """Enter a model that a vendor serves: no artefact, no version, nothing measured; governed as tier high."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = register_vendor_model(
            session, actor, name=asked.name, title=asked.title, vendor=asked.vendor, purpose=asked.purpose,
            data=asked.data, contact=asked.contact, owner_id=asked.owner_id, next_review_at=asked.next_review_at,
        )  # fmt: skip
        return entry_of(session, actor, made.name, environment=settings().environment).as_dict()

    return once(request, actor, body, act, status=201)


@router.post("/inventory/{model}/facts", status_code=201)
def keep(request: Request, actor: Caller, body: Body, model: str, asked: FactsRequest) -> Response:
    """Write purpose, data, owner or next review of a model; what is left out stays."""
    return once(
        request, actor, body,
        lambda session: _facts(
            keep_facts(
                session, actor, model=model, why=asked.why, purpose=asked.purpose, data=asked.data,
                vendor=asked.vendor, contact=asked.contact, owner_id=asked.owner_id,
                next_review_at=asked.next_review_at,
            )
        ),
        status=201,
    )  # fmt: skip


@router.get("/questionnaire")
def questionnaire(actor: Caller) -> dict[str, Any]:
    """The questions from whose answers a tier is proposed."""
    actor.require_some(Permission.READ_MODELS)
    with reading() as session:
        now = asked_now(session)
        return {"revision": now.revision, "digest": now.digest, "document": now.document.as_dict()}


@router.post("/questionnaire", status_code=201)
def replace(request: Request, actor: Caller, body: Body, asked: QuestionnaireRequest) -> Response:
    """Put another questionnaire in force; answers to earlier ones stay."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = replace_questionnaire(session, actor, text=asked.document, note=asked.note)
        return {"revision": made.revision, "digest": made.digest}

    return once(request, actor, body, act, status=201)


@router.get("/models/{model}/tier-answers")
def tier_answers(actor: Caller, model: str, part: Part) -> dict[str, Any]:
    """Answers about a model, newest first, with the tier that follows from each."""
    with reading() as session:
        now = asked_now(session).digest
        found = answers_of(session, actor, model, **part.more)
        return part.answer("answers", found, lambda one: answers_view(one, now))


@router.post("/models/{model}/tier-answers", status_code=201)
def answer_tier(request: Request, actor: Caller, body: Body, model: str, asked: AnswersRequest) -> Response:
    """Answer the questionnaire; the tier that follows is proposed. It moves by a change of kind `tier` only."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = answer_questionnaire(
            session, actor, model=model, answers=asked.answers, seen_digest=asked.digest, note=asked.note
        )
        return answers_view(made, made.digest)

    return once(request, actor, body, act, status=201)
