"""Jobs of CI systems: a short token for a job's identity token, and the rules of who is let in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.provider_threads import ProviderThreads
from backend.api.security import client_address, current_actor, request_id_of
from backend.database.session import WriteSession, reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.job_tokens import GRANT, ISSUED, LONGEST_TOKEN, TYPES, JobRefused, exchange
from backend.identity.roles import Permission
from backend.identity.tables import TrustRule
from backend.identity.trust_rules import create_rule, end_rule, list_rules

router = APIRouter(tags=["people"])
_may_wait_for_an_issuer = ProviderThreads()
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Word = Annotated[str, Field(max_length=300)]
Sent = Annotated[str, Form(max_length=LONGEST_TOKEN)]


class NewTrustRule(BaseModel):
    name: str = Field(max_length=100)
    issuer: Word = Field(description="such as https://token.actions.githubusercontent.com")
    audience: Word = Field(description="what the job asks its token for")
    claims: dict[str, list[Word]] = Field(
        description="claim to its values; * stands for any text", max_length=20
    )
    person_id: Word = Field(description="the service account that jobs act as")
    scopes: list[Permission]
    models: list[Word] | None = Field(default=None, max_length=1000)
    minutes: int = 15


class RuleEnding(BaseModel):
    why: str = Field(default="", max_length=4000)


def rule_facts(row: TrustRule) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "issuer": row.issuer, "audience": row.audience, "claims": row.claims,
        "person_id": row.person_id, "scopes": row.scopes, "models": row.models, "minutes": row.minutes,
        "created_at": row.created_at, "last_used_at": row.last_used_at, "ended_at": row.ended_at,
    }  # fmt: skip


@router.post("/token-exchange")
@_may_wait_for_an_issuer
def exchange_token(
    request: Request,
    grant_type: Sent = "",
    subject_token: Sent = "",
    subject_token_type: Sent = "",
    requested_token_type: Sent = "",
    scope: Sent = "",
) -> Response:
    """A short API token for a CI job's identity token (RFC 8693). It asks for no other sign-in."""
    if not subject_token:
        raise JobRefused("no subject_token was sent")
    if grant_type != GRANT or subject_token_type not in TYPES or requested_token_type not in ("", ISSUED):
        raise BadInput(f"send grant_type={GRANT} and subject_token_type={TYPES[0]}", error="invalid_request")
    given = exchange(
        subject_token=subject_token, scope=scope, address=client_address(request), request_id=request_id_of(request)
    )  # fmt: skip
    answer = {
        "access_token": given.token, "issued_token_type": ISSUED, "token_type": "Bearer",
        "expires_in": given.expires_in_s, "scope": " ".join(given.scopes),
    }  # fmt: skip
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.get("/ci-trust")
def rules(actor: Caller, part: Part) -> dict[str, Any]:
    """Which jobs of CI systems are let in, as which account."""
    with reading() as session:
        return part.answer("rules", list_rules(session, actor, **part.more), rule_facts)


@router.post("/ci-trust", status_code=201)
def create(request: Request, actor: Caller, body: Body, new: NewTrustRule) -> Response:
    """Let in jobs with these claims."""

    def act(session: WriteSession) -> dict[str, Any]:
        return rule_facts(create_rule(session, actor, **new.model_dump()))

    return once(request, actor, body, act, status=201)


@router.post("/ci-trust/{rule_id}/end", status_code=201)
def end(request: Request, actor: Caller, body: Body, rule_id: str, asked: RuleEnding) -> Response:
    """Let in no more jobs by this rule, and end the tokens that it gave."""
    return once(
        request, actor, body, lambda session: rule_facts(end_rule(session, actor, rule_id, why=asked.why)),
        status=201,
    )  # fmt: skip
