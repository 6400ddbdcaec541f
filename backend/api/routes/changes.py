"""Changes: preview, ask, decide, cancel. The same rules as the pages, because it is the same service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.parameters import AlertNumber, Before, RowId, VersionNumber
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading, writing
from backend.governance.asking import (
    LONGEST_TEXT,
    cancel_change,
    preview_change,
    request_change,
)
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.policy_rules import Kind
from backend.governance.reading import get_change, list_changes, note_look, snapshot_of, waiting_for
from backend.governance.reviews import review_change
from backend.governance.rollout_commands import rollout_view, tell_rollout
from backend.governance.sending_again import preview_again, resubmit_change
from backend.governance.settling import recheck_gates
from backend.governance.tables import Change
from backend.governance.urgent import break_glass, take_way_back, way_back_view
from backend.governance.views import change_detail, change_summaries, preview_view
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["changes"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]  # PostgreSQL stores no NUL
Cutoff = Annotated[
    float | None, Field(ge=0, le=1, description="score from which the version decides positively")
]


class Wanted(BaseModel):
    """What is to be changed."""

    kind: Kind
    model: str | None = None
    environment: str = Field(default_factory=lambda: settings().environment)
    to_version: VersionNumber = None
    to_cutoff: Cutoff = None
    alert_id: AlertNumber = None
    subject: dict[str, Any] = Field(
        default_factory=dict,
        description="policy: document; tier: tier; promote: segments, as {column: values}, where its rule has "
        "whoever asks name those that its rollout is kept to",
    )

    def asked(self) -> Asked:
        return Asked(
            self.kind,
            self.environment,
            self.model,
            self.to_version,
            self.to_cutoff,
            self.alert_id,
            self.subject,
        )


class ChangeRequest(Wanted):
    reason: Text
    digest: str = Field(description="the digest of the preview you looked at")


class DecisionRequest(BaseModel):
    verdict: Literal["approve", "reject", "ask", "retract"]
    comment: Text = ""
    digest: str = Field(description="the digest of the change you looked at")
    accept: list[str] = Field(default_factory=list, description="inconclusive gates that an approval accepts")


class ReasonedRequest(BaseModel):
    reason: Text = ""


class SeenRequest(BaseModel):
    reason: Text
    digest: str = Field(description="the digest you looked at")


class ReturnRequest(SeenRequest):
    alert_id: AlertNumber = None


class RolloutRequest(BaseModel):
    command: Literal["pause", "resume", "skip", "abort"]
    reason: Text = ""


class ReviewRequest(BaseModel):
    verdict: Literal["justified", "not_justified"]
    comment: Text


def acted(request: Request, actor: Actor, body: bytes, act: Callable[[WriteSession], Change]) -> Response:
    """Do it once for this Idempotency-Key, and answer with the change as it is then."""
    return once(request, actor, body, lambda session: change_detail(session, actor, act(session)), status=201)


@router.get("/changes/preview")
def preview(
    actor: Caller,
    kind: Kind,
    model: str | None = None,
    environment: str | None = None,
    to_version: VersionNumber = None,
    to_cutoff: Cutoff = None,
    alert_id: AlertNumber = None,
) -> dict[str, Any]:
    """The difference, the policy and the digest of a change that has not been asked for."""
    asked = Asked(kind, environment or settings().environment, model, to_version, to_cutoff, alert_id)
    with reading() as session:
        return preview_view(preview_change(session, actor, asked), actor)


@router.post("/changes/preview")
def preview_subject(actor: Caller, wanted: Wanted) -> dict[str, Any]:
    """The same for changes whose subject is a document; it changes nothing."""
    with reading() as session:
        return preview_view(preview_change(session, actor, wanted.asked()), actor)


@router.post("/changes", status_code=201)
def ask(request: Request, actor: Caller, body: Body, asked: ChangeRequest) -> Response:
    """Ask for a change, on the digest of its preview."""
    return acted(
        request, actor, body,
        lambda session: request_change(
            session, actor, asked.asked(), reason=asked.reason, seen_digest=asked.digest
        ),
    )  # fmt: skip


@router.post("/changes/break-glass", status_code=201)
def act_at_once(request: Request, actor: Caller, body: Body, asked: ChangeRequest) -> Response:
    """Carry out a change without approval, where the policy allows it; somebody else reviews it afterwards."""
    return acted(
        request, actor, body,
        lambda session: break_glass(
            session, actor, asked.asked(), reason=asked.reason, seen_digest=asked.digest
        ),
    )  # fmt: skip


@router.get("/ways-back")
def agreed_return(actor: Caller, model: str, environment: str | None = None) -> dict[str, Any]:
    """The return that is agreed for what serves, with its digest and why it cannot be taken; or null."""
    with reading() as session:
        return {"way_back": way_back_view(session, actor, model, environment or settings().environment)}


@router.post("/ways-back/{way_back_id}/return", status_code=201)
def take_return(
    request: Request, actor: Caller, body: Body, way_back_id: RowId, taken: ReturnRequest
) -> Response:
    """Take the return that was approved together with a promotion."""
    return acted(
        request, actor, body,
        lambda session: take_way_back(
            session, actor, way_back_id, reason=taken.reason, seen_digest=taken.digest, alert_id=taken.alert_id
        ),
    )  # fmt: skip


@router.get("/changes")
def changes(
    actor: Caller,
    model: str | None = None,
    state: Annotated[list[str] | None, Query()] = None,
    waiting_for_me: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Before = None,
) -> dict[str, Any]:
    """Changes, newest first, those that wait for you by urgency. Pass `next` as `before` for the following page."""
    with reading() as session:
        if waiting_for_me:
            found = waiting_for(session, actor, limit=limit, before=before)
        else:
            found = list_changes(
                session, actor, model=model, states=tuple(state or ()), limit=limit, before=before
            )
        following = found[-1].id if len(found) == limit else None
        return {"changes": change_summaries(session, found), "next": following}


@router.get("/changes/{change_id}")
def change(actor: Caller, change_id: RowId) -> dict[str, Any]:
    """One change with its evidence, decisions and outcome."""
    with reading() as session:
        return change_detail(session, actor, get_change(session, actor, change_id))


@router.get("/changes/{change_id}/shown/{digest}")
def shown(actor: Caller, change_id: RowId, digest: str) -> dict[str, Any]:
    """What was shown of a change under a digest that somebody signed."""
    with reading() as session:
        return snapshot_of(session, actor, change_id, digest)


@router.post("/changes/{change_id}/look")
def look(actor: Caller, change_id: RowId) -> dict[str, Any]:
    """What is new in a change since you last looked; and from now on this is what you saw."""
    with writing() as session:
        return {"news": note_look(session, actor, change_id)}


@router.post("/changes/{change_id}/decisions", status_code=201)
def decision(
    request: Request, actor: Caller, body: Body, change_id: RowId, decided: DecisionRequest
) -> Response:
    """Approve, reject or ask for changes, on the digest you saw; or retract your approval."""
    return acted(
        request, actor, body,
        lambda session: decide(
            session, actor, change_id, verdict=decided.verdict, comment=decided.comment,
            seen_digest=decided.digest, accept=decided.accept,
        ),
    )  # fmt: skip


@router.post("/changes/{change_id}/cancellation", status_code=201)
def cancellation(
    request: Request, actor: Caller, body: Body, change_id: RowId, cancelled: ReasonedRequest
) -> Response:
    """Withdraw a change you asked for."""
    return acted(
        request, actor, body,
        lambda session: cancel_change(session, actor, change_id, reason=cancelled.reason),
    )  # fmt: skip


@router.post("/changes/{change_id}/gates", status_code=201)
def evaluate_again(
    request: Request, actor: Caller, body: Body, change_id: RowId, asked: ReasonedRequest
) -> Response:
    """Have the gates evaluated again; decisions so far no longer count."""
    return acted(
        request, actor, body, lambda session: recheck_gates(session, actor, change_id, reason=asked.reason)
    )  # fmt: skip


@router.get("/changes/{change_id}/resubmission")
def again(actor: Caller, change_id: RowId) -> dict[str, Any]:
    """A draft of yours as it would be sent again now, with the digest to send it with."""
    with reading() as session:
        return preview_view(preview_again(session, actor, change_id), actor)


@router.post("/changes/{change_id}/resubmission", status_code=201)
def resubmission(
    request: Request, actor: Caller, body: Body, change_id: RowId, sent: SeenRequest
) -> Response:
    """Send a change again after changes were asked for."""
    return acted(
        request, actor, body,
        lambda session: resubmit_change(
            session, actor, change_id, reason=sent.reason, seen_digest=sent.digest
        ),
    )  # fmt: skip


@router.get("/changes/{change_id}/rollout")
def rollout(actor: Caller, change_id: RowId) -> dict[str, Any]:
    """The stages of a rollout, what was seen at each, and what can be told to it now."""
    with reading() as session:
        return rollout_view(session, actor, change_id)


@router.post("/changes/{change_id}/rollout", status_code=201)
def tell(request: Request, actor: Caller, body: Body, change_id: RowId, told: RolloutRequest) -> Response:
    """Pause, resume, skip or abort the stage of a rollout that runs; its run takes it within seconds."""

    def act(session: WriteSession) -> dict[str, Any]:
        tell_rollout(session, actor, change_id, command=told.command, reason=told.reason)
        return rollout_view(session, actor, change_id)

    return once(request, actor, body, act, status=201)


@router.post("/changes/{change_id}/review", status_code=201)
def review(request: Request, actor: Caller, body: Body, change_id: RowId, given: ReviewRequest) -> Response:
    """Review a change that broke the glass."""

    def act(session: WriteSession) -> Change:
        review_change(session, actor, change_id, verdict=given.verdict, comment=given.comment)
        return get_change(session, actor, change_id)

    return acted(request, actor, body, act)
