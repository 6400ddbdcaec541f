"""Gates for systems outside: may this version go on, and what did they find."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.parameters import RowId
from backend.api.security import current_actor
from backend.database.session import reading
from backend.governance.asking import LONGEST_TEXT
from backend.governance.ci_gate import gate_answer
from backend.governance.conditions import conditions_of
from backend.governance.external_checks import LONGEST_URL, report_check
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["changes"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
CheckName = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class CheckReport(BaseModel):
    verdict: Literal["pass", "fail", "inconclusive"]
    text: str = Field("", max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")
    url: str = Field("", max_length=LONGEST_URL, pattern=r"^[^\x00]*$")
    digest: str = Field(description="request_digest of the change that was looked at")
    revision: int = Field(ge=1, lt=2**31, description="its revision then")


@router.get("/gates/{model}/{version}")
def gate(
    actor: Caller, model: str, version: Annotated[int, Path(ge=1, lt=2**31)], environment: str | None = None
) -> dict[str, Any]:
    """Whether a version may go into an environment: allowed, refused or waiting, with each reason."""
    with reading() as session:
        return gate_answer(session, actor, model, version, environment or settings().environment)


@router.get("/models/{model}/conditions")
def conditions(actor: Caller, model: str, environment: str | None = None) -> dict[str, Any]:
    """What has to go on holding while a version serves, the broken first."""
    with reading() as session:
        return {"conditions": conditions_of(session, actor, model, environment=environment)}


@router.post("/changes/{change_id}/checks/{name}", status_code=201)
def check(
    request: Request, actor: Caller, body: Body, change_id: RowId, name: CheckName, report: CheckReport
) -> Response:
    """Report what a system outside found of a change whose rule asks for it; service accounts only."""
    return once(
        request, actor, body,
        lambda session: change_detail(
            session, actor,
            report_check(
                session, actor, change_id, name, verdict=report.verdict, text=report.text, url=report.url,
                seen_digest=report.digest, revision=report.revision,
            ),
        ),
        status=201,
    )  # fmt: skip
