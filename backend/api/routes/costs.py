"""What models cost, and their budgets."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.routes.assurance import Text
from backend.api.security import current_actor
from backend.costs.budgets import set_budget
from backend.costs.report import costs
from backend.database.session import reading
from backend.identity.actor import Actor

router = APIRouter(tags=["costs"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class BudgetRequest(BaseModel):
    kind: Literal["compute", "gpu", "storage", "money"]
    amount: Annotated[float | None, Field(gt=0, le=1e12, allow_inf_nan=False)] = Field(
        None, description="hours a month, GB held, or money a month; left out: no budget"
    )
    why: Text = ""


@router.get("/costs")
def read_costs(
    actor: Caller,
    since: Annotated[
        date | None, Query(description="first day, UTC; default: 29 days before `until`")
    ] = None,
    until: Annotated[date | None, Query(description="last day, within the period; default: today")] = None,
) -> dict[str, Any]:
    """Compute time, GPU time and storage by model and team over a period, with budgets and days that stand out."""
    with reading() as session:
        return costs(session, actor, since=since, until=until).as_dict()


@router.post("/models/{model}/budgets", status_code=201)
def budget(request: Request, actor: Caller, body: Body, model: str, asked: BudgetRequest) -> Response:
    """Set, change or take away a budget of a model. Exceeding it stops nothing; it is a ticket."""
    return once(
        request, actor, body,
        lambda session: set_budget(
            session, actor, model=model, kind=asked.kind, amount=asked.amount, why=asked.why
        ),
        status=201,
    )  # fmt: skip
