"""Retraining: preview and ask for one, follow its run, cancel it, begin it again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.parameters import AlertNumber
from backend.api.security import current_actor
from backend.database.session import reading
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.monitoring.spec_fields import delay
from backend.retraining.plan import Plan, Wish
from backend.retraining.running import cancel_run, resume_run
from backend.retraining.service import asked_for, preview_retraining, request_retraining
from backend.retraining.trainers import TRAINERS
from backend.retraining.views import list_runs, run_view, triggers_view

router = APIRouter(tags=["retraining"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


class Wanted(BaseModel):
    """What is to be trained, on which rows, at what cost at most."""

    model: str
    trainer: str
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="of the trainer; what is left out is its own"
    )
    as_of: datetime | None = Field(None, description="nothing that became known later is used; else now")
    window: str = Field("365d", description="training rows are of so long before that")
    device: Literal["cpu", "gpu"] = "cpu"
    cpu_allowed: bool = Field(False, description="device gpu: train on the processor where no GPU fits")
    seed: int = Field(7, ge=0)
    deterministic: bool = False
    hours: float = Field(1.0, gt=0, le=14 * 24, description="training ends after so long")
    memory_mb: int = Field(4096, ge=64)
    least_labelled: float = Field(0.0, ge=0, le=1, description="share of rows that must have a label")
    search: dict[str, Any] | None = Field(
        None, description="of hyper-parameters: `space`, and `trials`, `minutes`, `metric`, `pruner`"
    )
    environment: str | None = None
    alert_id: AlertNumber = None

    def plan(self) -> Plan:
        return Wish(
            self.trainer, self.parameters, as_of=self.as_of, window_s=delay(self.window, "window") or 0.0,
            device=self.device, cpu_allowed=self.cpu_allowed, seed=self.seed, deterministic=self.deterministic,
            wall_s=int(self.hours * 3600), memory_mb=self.memory_mb, least_labelled=self.least_labelled,
            search=self.search,
        ).plan()  # fmt: skip


class RetrainingRequest(Wanted):
    reason: Text
    digest: str | None = Field(
        None, description="the digest of the preview you looked at; give its as_of, too"
    )


class ReasonedRequest(BaseModel):
    reason: Text = ""


@router.get("/retraining/trainers")
def trainers(actor: Caller) -> dict[str, Any]:
    """The trainers that a retraining may name, with what they run on."""
    return {
        "trainers": [
            {"name": one.name, "title": one.title, "explanation": one.explanation, "devices": one.devices,
             "tasks": one.tasks, "example": one.example}
            for one in TRAINERS
        ]
    }  # fmt: skip


@router.post("/retraining/preview")
def preview(actor: Caller, wanted: Wanted) -> dict[str, Any]:
    """The plan as it would be carried out, its rule and digest, and whether it would wait for a decision."""
    plan = wanted.plan()
    asked = asked_for(wanted.model, plan, environment=wanted.environment, alert_id=wanted.alert_id)
    with reading() as session:
        return preview_retraining(session, actor, asked, plan)


@router.post("/retraining", status_code=201)
def ask(request: Request, actor: Caller, body: Body, wanted: RetrainingRequest) -> Response:
    """Ask for a retraining: the change that it is, which goes ahead or waits for a decision."""
    plan = wanted.plan()
    asked = asked_for(wanted.model, plan, environment=wanted.environment, alert_id=wanted.alert_id)
    return once(
        request, actor, body,
        lambda session: change_detail(
            session, actor,
            request_retraining(session, actor, asked, plan, reason=wanted.reason, seen_digest=wanted.digest),
        ),
        status=201,
    )  # fmt: skip


@router.get("/retraining")
def runs(
    actor: Caller,
    model: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: datetime | None = None,
) -> dict[str, Any]:
    """Runs, newest first. Pass `next` of an answer as `before` for the following page."""
    with reading() as session:
        found = list_runs(session, actor, model=model, limit=limit, before=before)
        return {"runs": found, "next": found[-1]["requested_at"] if len(found) == limit else None}


@router.get("/retraining/{run_id}")
def run(actor: Caller, run_id: str) -> dict[str, Any]:
    """One run with its steps: progress, log, curve, findings and cost."""
    with reading() as session:
        return run_view(session, actor, run_id)


@router.post("/retraining/{run_id}/cancellation", status_code=201)
def cancel(request: Request, actor: Caller, body: Body, run_id: str, asked: ReasonedRequest) -> Response:
    """Stop a run; a trainer that runs ends within seconds."""
    return once(
        request, actor, body,
        lambda session: run_view(session, actor, cancel_run(session, actor, run_id, reason=asked.reason).id),
        status=201,
    )  # fmt: skip


@router.post("/retraining/{run_id}/resumption", status_code=201)
def resume(request: Request, actor: Caller, body: Body, run_id: str) -> Response:
    """Begin a failed run again where it failed; training goes on from its last checkpoint."""
    return once(
        request, actor, body, lambda session: run_view(session, actor, resume_run(session, actor, run_id).id),
        status=201,
    )  # fmt: skip


@router.get("/models/{model}/retraining")
def triggers(actor: Caller, model: str) -> dict[str, Any]:
    """What sets off retraining of a model, what it cost this week, and the causes that were seen."""
    with reading() as session:
        return triggers_view(session, actor, model)
