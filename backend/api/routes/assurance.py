"""What people vouch for: papers, validations with their conditions, findings, holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.limits import read_limited
from backend.api.pages import Part, as_is
from backend.api.parameters import Before, RowId, VersionNumber, ZonedMoment
from backend.api.security import current_actor
from backend.assurance.documents import LARGEST_BYTES, add_document, require_hand_in
from backend.assurance.exceptions import (
    ask_exception,
    decide_exception,
    end_exception,
    exception_views,
    list_exceptions,
)
from backend.assurance.findings import (
    STATES,
    answer_finding,
    close_finding,
    get_finding,
    list_findings,
    open_finding,
    plan_finding,
    reopen_finding,
)
from backend.assurance.reading import (
    assurance_of,
    condition_view,
    finding_views,
    open_document,
    validation_views,
)
from backend.assurance.tables import Document, Finding
from backend.assurance.texts import LONGEST
from backend.assurance.validations import NewCondition, meet_condition, record_validation
from backend.database.session import WriteSession, reading
from backend.holds.rows import count_held
from backend.holds.service import list_holds, place_hold, release_hold
from backend.holds.tables import Hold
from backend.identity.actor import Actor

router = APIRouter(tags=["assurance"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00]*$")]  # PostgreSQL stores no NUL
Short = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Severity = Literal["high", "medium", "low"]
# A paper is somebody else's file: it is saved, and where a browser opens it all the same it may do nothing.
SEALED = {"Content-Security-Policy": "sandbox; default-src 'none'"}


class ConditionRequest(BaseModel):
    text: Text
    due_at: ZonedMoment


class ValidationRequest(BaseModel):
    version: VersionNumber = Field(None, description="left out: the model as a whole")
    scope: Text
    outcome: Literal["fit", "fit_with_conditions", "not_fit"]
    summary: Text
    report: Digest = Field(description="of a file that was handed in")
    conditions: list[ConditionRequest] = []
    next_review_at: ZonedMoment | None = None


class EvidenceRequest(BaseModel):
    evidence: Text
    document: Digest | None = None


class FindingRequest(BaseModel):
    model: Short | None = Field(None, description="left out: about no single model")
    title: Short
    detail: Text
    severity: Severity
    owner_id: Short
    due_at: ZonedMoment
    plan: Text = ""
    validation_id: int | None = Field(None, ge=1, lt=2**63)


class PlanRequest(BaseModel):
    why: Text
    plan: Text | None = None
    owner_id: Short | None = None
    due_at: ZonedMoment | None = None
    severity: Severity | None = None


class AnswerRequest(BaseModel):
    answer: Text


class ReopeningRequest(BaseModel):
    why: Text
    due_at: ZonedMoment


class HoldRequest(BaseModel):
    kind: Short
    object_id: Short
    reason: Text
    model: Short | None = None


class ExceptionRequest(BaseModel):
    gate: Short
    reason: Text
    expires_at: ZonedMoment


class ExceptionDecision(BaseModel):
    verdict: Literal["grant", "refuse"]
    comment: Text


class ReleaseRequest(BaseModel):
    why: Text


async def _paper(request: Request, actor: Caller) -> bytes:
    require_hand_in(actor)
    return await read_limited(request, LARGEST_BYTES)


def _document(document: Document) -> dict[str, Any]:
    return {
        "digest": document.digest, "name": document.name, "media_type": document.media_type, "bytes": document.bytes,
        "added_at": document.added_at,
    }  # fmt: skip


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id, "kind": hold.kind, "object_id": hold.object_id, "model": hold.model,
        "incident_id": hold.incident_id, "reason": hold.reason, "placed_by": hold.placed_by,
        "placed_at": hold.placed_at, "released_by": hold.released_by, "released_at": hold.released_at,
        "released_because": hold.released_because,
    }  # fmt: skip


@router.post(
    "/documents", status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)  # fmt: skip
def hand_in(
    request: Request, actor: Caller, name: Annotated[str, Query(max_length=300)],
    data: Annotated[bytes, Depends(_paper)],
) -> Response:  # fmt: skip
    """Keep a file (the raw body) under the digest of its bytes; the same bytes again are the same document."""
    return once(
        request, actor, data, lambda session: _document(add_document(session, actor, name=name, data=data)),
        status=201,
    )  # fmt: skip


@router.get("/documents/{digest}", response_class=FileResponse)
def document(actor: Caller, digest: str) -> Response:
    """The file of this digest, its bytes checked, for whoever may see a model that it is about."""
    with reading() as session:
        found, path = open_document(session, actor, digest)
    return FileResponse(path, media_type=found.media_type, filename=found.name, headers=SEALED)


@router.get("/models/{model}/assurance")
def assurance(actor: Caller, model: str) -> dict[str, Any]:
    """Validations with their conditions and findings of a model, newest first."""
    with reading() as session:
        return assurance_of(session, actor, model)


@router.post("/models/{model}/validations", status_code=201)
def validate(request: Request, actor: Caller, body: Body, model: str, asked: ValidationRequest) -> Response:
    """Record what your validation found. Who built or owns the model is refused."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = record_validation(
            session, actor, model=model, version=asked.version, scope=asked.scope, outcome=asked.outcome,
            summary=asked.summary, report=asked.report, next_review_at=asked.next_review_at,
            conditions=[NewCondition(one.text, one.due_at) for one in asked.conditions],
        )  # fmt: skip
        return validation_views(session, [made])[0]

    return once(request, actor, body, act, status=201)


@router.post("/conditions/{condition_id}/acceptance", status_code=201)
def accept_condition(
    request: Request, actor: Caller, body: Body, condition_id: RowId, asked: EvidenceRequest
) -> Response:
    """Accept that a condition of a validation is met. Who built or owns the model is refused."""
    return once(
        request, actor, body,
        lambda session: condition_view(
            meet_condition(session, actor, condition_id, evidence=asked.evidence, document=asked.document)
        ),
        status=201,
    )  # fmt: skip


@router.get("/findings")
def findings(
    actor: Caller, model: Annotated[str | None, Query(max_length=200)] = None,
    state: Annotated[list[Literal["open", "answered", "closed"]] | None, Query()] = None, overdue: bool = False,
    before: Before = None, limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """Findings, newest first; without `state` those that are not closed. Pass `next` as `before`."""
    with reading() as session:
        rows = list_findings(
            session, actor, model=model, states=tuple(state or STATES[:2]), overdue=overdue, before=before, limit=limit
        )  # fmt: skip
        return {
            "findings": finding_views(session, rows),
            "next": rows[-1].id if len(rows) == limit else None,
        }


@router.get("/findings/{finding_id}")
def finding(actor: Caller, finding_id: RowId) -> dict[str, Any]:
    with reading() as session:
        return finding_views(session, [get_finding(session, actor, finding_id)])[0]


@router.post("/findings", status_code=201)
def find(request: Request, actor: Caller, body: Body, asked: FindingRequest) -> Response:
    """Open a finding for somebody to mend by a day."""
    return _acted(
        request, actor, body,
        lambda session: open_finding(
            session, actor, model=asked.model, title=asked.title, detail=asked.detail, severity=asked.severity,
            owner_id=asked.owner_id, due_at=asked.due_at, plan=asked.plan, validation_id=asked.validation_id,
        ),
    )  # fmt: skip


@router.post("/findings/{finding_id}/plan", status_code=201)
def plan(request: Request, actor: Caller, body: Body, finding_id: RowId, asked: PlanRequest) -> Response:
    """Write its plan, or give it another owner, day or severity; its owner moves neither day nor severity."""
    return _acted(
        request, actor, body,
        lambda session: plan_finding(
            session, actor, finding_id, why=asked.why, plan=asked.plan, owner_id=asked.owner_id, due_at=asked.due_at,
            severity=asked.severity,
        ),
    )  # fmt: skip


@router.post("/findings/{finding_id}/answer", status_code=201)
def answer(request: Request, actor: Caller, body: Body, finding_id: RowId, asked: AnswerRequest) -> Response:
    """Say what was done about a finding of your own."""
    return _acted(
        request, actor, body,
        lambda session: answer_finding(session, actor, finding_id, answer=asked.answer),
    )  # fmt: skip


@router.post("/findings/{finding_id}/closure", status_code=201)
def close(request: Request, actor: Caller, body: Body, finding_id: RowId, asked: EvidenceRequest) -> Response:
    """Close a finding with evidence; nobody who owns it or ever did."""
    return _acted(
        request, actor, body,
        lambda session: close_finding(
            session, actor, finding_id, evidence=asked.evidence, document=asked.document
        ),
    )  # fmt: skip


@router.post("/findings/{finding_id}/reopening", status_code=201)
def reopen(
    request: Request, actor: Caller, body: Body, finding_id: RowId, asked: ReopeningRequest
) -> Response:
    """Open it again: it was not mended after all."""
    return _acted(
        request, actor, body,
        lambda session: reopen_finding(session, actor, finding_id, why=asked.why, due_at=asked.due_at),
    )  # fmt: skip


@router.get("/exceptions")
def exceptions(
    actor: Caller,
    part: Part,
    model: Annotated[str | None, Query(max_length=200)] = None,
    standing: bool = True,
) -> dict[str, Any]:
    """Exceptions from gates, newest first; without `standing` also those that are over or were refused."""
    with reading() as session:
        found = list_exceptions(session, actor, model=model, standing=standing, **part.more)
        return part.answer("exceptions", exception_views(session, found), as_is)


@router.post("/models/{model}/exceptions", status_code=201)
def ask_for_exception(
    request: Request, actor: Caller, body: Body, model: str, asked: ExceptionRequest
) -> Response:
    """Ask that a gate does not stand in a model's way for a time."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = ask_exception(
            session, actor, model=model, gate=asked.gate, reason=asked.reason, expires_at=asked.expires_at
        )
        return exception_views(session, [made])[0]

    return once(request, actor, body, act, status=201)


@router.post("/exceptions/{exception_id}/decision", status_code=201)
def decide_on_exception(
    request: Request, actor: Caller, body: Body, exception_id: RowId, asked: ExceptionDecision
) -> Response:
    """Grant or refuse an exception that somebody else asked for."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = decide_exception(session, actor, exception_id, verdict=asked.verdict, comment=asked.comment)
        return exception_views(session, [made])[0]

    return once(request, actor, body, act, status=201)


@router.post("/exceptions/{exception_id}/end", status_code=201)
def end_the_exception(
    request: Request, actor: Caller, body: Body, exception_id: RowId, asked: ReleaseRequest
) -> Response:
    """End an exception before its day."""
    return once(
        request, actor, body,
        lambda session: exception_views(session, [end_exception(session, actor, exception_id, why=asked.why)])[0],
        status=201,
    )  # fmt: skip


@router.get("/holds")
def holds(
    actor: Caller,
    part: Part,
    model: Annotated[str | None, Query(max_length=200)] = None,
    released: bool = False,
) -> dict[str, Any]:
    """What retention and erasure leave alone, newest first; `released` also shows what is held no longer."""
    with reading() as session:
        found = list_holds(session, actor, model=model, open_only=not released, **part.more)
        return part.answer("holds", found, _hold)


@router.post("/holds", status_code=201)
def hold(request: Request, actor: Caller, body: Body, asked: HoldRequest) -> Response:
    """Keep something against retention and erasure; `predictions` says how many a data subject has now."""
    return once(
        request, actor, body,
        lambda session: _placed(
            session,
            place_hold(
                session, actor, kind=asked.kind, object_id=asked.object_id, reason=asked.reason, model=asked.model
            ),
        ),
        status=201,
    )  # fmt: skip


def _placed(session: WriteSession, hold: Hold) -> dict[str, Any]:
    return _hold(hold) | {"predictions": count_held(session, hold)}


@router.post("/holds/{hold_id}/release", status_code=201)
def release(request: Request, actor: Caller, body: Body, hold_id: RowId, asked: ReleaseRequest) -> Response:
    """Release a hold that somebody else placed."""
    return once(
        request, actor, body, lambda session: _hold(release_hold(session, actor, hold_id, why=asked.why)), status=201
    )  # fmt: skip


def _acted(request: Request, actor: Actor, body: bytes, act: Any) -> Response:
    def answered(session: WriteSession) -> dict[str, Any]:
        done: Finding = act(session)
        return finding_views(session, [done])[0]

    return once(request, actor, body, answered, status=201)
