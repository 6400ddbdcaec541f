"""Rights of the people behind the data: requests, explanations, rules of retention and purpose, opt-outs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Cut, Limit, Offset, as_is
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.data_rights.explanation import explain_prediction, request_explanation
from backend.data_rights.explanation_document import explanation_document
from backend.data_rights.handing_out import open_document
from backend.data_rights.requests import (
    MOST_IDS,
    get_request,
    request_erasure_of_person,
    request_erasure_of_texts,
    request_rows,
)
from backend.data_rights.rules import count_opt_outs, opt_in, opt_out, rule_of, set_rule
from backend.data_rights.tables import DataRequest
from backend.data_rights.texts import MOST_ENTRIES
from backend.data_rights.views import page_of_requests, request_views, rule_view
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["data rights"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Id = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]*$")]
Days = Annotated[int | None, Field(ge=1, le=36_600, description="left out: no end")]
SEALED = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
}


class RowsRequest(BaseModel):
    kind: Literal["erase", "access"]
    model: Short
    prediction_ids: list[Id] = Field([], max_length=MOST_IDS)
    value: str = Field(
        "", max_length=1024, pattern=r"^[^\x00]*$", description="what the subject column holds"
    )
    reason: Text


class PersonErasure(BaseModel):
    reason: Text


class TextsErasure(BaseModel):
    entries: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1, max_length=MOST_ENTRIES)
    reason: Text


class ExplanationRequest(BaseModel):
    prediction_id: Id
    complaint: bool = False


class RuleRequest(BaseModel):
    purposes: list[Short] = Field(max_length=20)
    basis: Text = ""
    predictions_days: Days = None
    explanations_days: Days = None
    payloads_days: Days = None
    why: Text


class OptOutRequest(BaseModel):
    value: Id
    out: bool = True
    why: Text = ""


@router.get("/data-requests")
def requests(actor: Caller, offset: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
    """Requests of data subjects: those that wait for a decision first, then the newest."""
    with reading() as session:
        part = Cut(offset, limit)
        return part.answer(
            "requests", request_views(session, page_of_requests(session, actor, **part.more)), as_is
        )


@router.get("/data-requests/{request_id}")
def request_(actor: Caller, request_id: str) -> dict[str, Any]:
    """One request, with what and how many once it is done."""
    with reading() as session:
        return request_views(session, [get_request(session, actor, request_id)])[0]


@router.get("/data-requests/{request_id}/document")
def document(actor: Caller, request_id: str, form: Literal["html", "pdf", "json"] = "json") -> Response:
    """All rows of the subject of a finished access request."""
    with reading() as session:
        content, media_type = open_document(session, actor, request_id, form)
    return Response(content, media_type=media_type, headers=SEALED)


@router.post("/data-requests", status_code=201)
def ask(request: Request, actor: Caller, body: Body, asked: RowsRequest) -> Response:
    """Ask that rows be erased or handed out. The change that carries it out waits for others."""
    return _asked(
        request, actor, body,
        lambda session: request_rows(
            session, actor, kind=asked.kind, model=asked.model, reason=asked.reason,
            prediction_ids=asked.prediction_ids, value=asked.value,
        ),
    )  # fmt: skip


@router.post("/people/{person_id}/erasure", status_code=201)
def erase_person(
    request: Request, actor: Caller, body: Body, person_id: str, asked: PersonErasure
) -> Response:
    """Ask that somebody who used Warrant be erased."""
    return _asked(
        request, actor, body,
        lambda session: request_erasure_of_person(session, actor, person_id=person_id, reason=asked.reason),
    )  # fmt: skip


@router.post("/audit/entries/erasure", status_code=201)
def erase_texts(request: Request, actor: Caller, body: Body, asked: TextsErasure) -> Response:
    """Ask that the texts of entries of the log be erased. Leaves and proofs stay."""
    return _asked(
        request, actor, body,
        lambda session: request_erasure_of_texts(session, actor, entries=asked.entries, reason=asked.reason),
    )  # fmt: skip


@router.get("/models/{model}/explanation")
def explanation(
    actor: Caller,
    model: str,
    prediction_id: Annotated[str, Query(min_length=1, max_length=1024)],
    form: Literal["html", "pdf", "json"] = "json",
) -> Response:
    """Why one prediction came out as it did, and who let that version decide."""
    with reading() as session:
        found = explain_prediction(
            session, actor, model=model, prediction_id=prediction_id, observations=settings().observations
        )
    content, media_type = explanation_document(found, form)
    return Response(content, media_type=media_type, headers=SEALED)


@router.post("/models/{model}/explanation", status_code=202)
def compute(request: Request, actor: Caller, body: Body, model: str, asked: ExplanationRequest) -> Response:
    """Have a job compute what moved one prediction."""

    def act(session: WriteSession) -> dict[str, Any]:
        run = request_explanation(
            session, actor, model=model, prediction_id=asked.prediction_id, complaint=asked.complaint
        )
        return {"run_id": run.id, "state": run.state}

    return once(request, actor, body, act, status=202)


@router.get("/models/{model}/data-rule")
def rule(actor: Caller, model: str) -> dict[str, Any]:
    """Purposes, ground and retention of a model's data, and how many people opted out."""
    with reading() as session:
        found, out = rule_of(session, actor, model), count_opt_outs(session, actor, model)
        return rule_view(found, opt_outs=out)


@router.post("/models/{model}/data-rule", status_code=201)
def replace_rule(request: Request, actor: Caller, body: Body, model: str, asked: RuleRequest) -> Response:
    """Replace what holds for a model's data."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = set_rule(session, actor, model=model, **asked.model_dump())
        return rule_view(made, opt_outs=count_opt_outs(session, actor, model))

    return once(request, actor, body, act, status=201)


@router.post("/models/{model}/opt-outs", status_code=201)
def opt(request: Request, actor: Caller, body: Body, model: str, asked: OptOutRequest) -> Response:
    """Somebody does not want to be learnt from, or does again (`out` false)."""

    def act(session: WriteSession) -> dict[str, Any]:
        change = opt_out if asked.out else opt_in
        made = change(session, actor, model=model, value=asked.value, why=asked.why)
        return {"id": made.id, "since": made.since, "withdrawn_at": made.withdrawn_at}

    return once(request, actor, body, act, status=201)


def _asked(request: Request, actor: Actor, body: bytes, ask_for: Any) -> Response:
    def act(session: WriteSession) -> dict[str, Any]:
        made: DataRequest = ask_for(session)
        return request_views(session, [made])[0]

    return once(request, actor, body, act, status=201)
