"""The policy of all changes, and rights to decide that are lent. A policy is replaced by a change of kind `policy`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import RowId, ZonedMoment
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.governance.delegations import delegate, delegations_of, end_delegation
from backend.governance.policies import (
    ActivePolicy,
    active_policy,
    dry_run,
    policy_history,
    policy_revision,
)
from backend.governance.policy_document import read_policy
from backend.governance.tables import Delegation, Policy
from backend.identity.actor import Actor
from backend.identity.roles import Permission

router = APIRouter(tags=["policies"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class Draft(BaseModel):
    document: str = Field(max_length=200_000, description="the whole policy as YAML")


class Loan(BaseModel):
    to_person: str = Field(description="the id of who decides instead")
    starts_at: ZonedMoment
    ends_at: ZonedMoment
    reason: str = Field(max_length=500)


def _policy(found: ActivePolicy) -> dict[str, Any]:
    return {
        "revision": found.revision, "digest": found.digest, "document": found.document.as_dict(),
        "yaml": found.document.as_yaml(),
    }  # fmt: skip


@router.get("/policy")
def policy(actor: Caller) -> dict[str, Any]:
    """The policy that is in force."""
    actor.require_some(Permission.READ_MODELS)
    with reading() as session:
        return _policy(active_policy(session))


@router.get("/policy/revisions")
def revisions(actor: Caller, part: Part) -> dict[str, Any]:
    """Every revision that people made, newest first; revision 1 is the built-in one."""
    with reading() as session:
        return part.answer("revisions", policy_history(session, actor, **part.more), _told)


def _told(row: Policy) -> dict[str, Any]:
    return {
        "revision": row.revision, "digest": row.digest, "change_id": row.change_id, "note": row.note,
        "created_at": row.created_at,
    }  # fmt: skip


@router.get("/policy/revisions/{revision}")
def one_revision(actor: Caller, revision: RowId) -> dict[str, Any]:
    """One revision as it was in force."""
    with reading() as session:
        return _policy(policy_revision(session, actor, revision))


@router.post("/policy/dry-run")
def try_policy(actor: Caller, draft: Draft) -> dict[str, Any]:
    """What a draft would have said of the last finished changes; it changes nothing."""
    document = read_policy(draft.document)
    with reading() as session:
        told = dry_run(session, actor, document)
    return {
        "changes": [
            {"id": one.change_id, "summary": one.summary, "was": one.was, "would": one.would,
             "reasons": list(one.reasons), "differs": one.differs}
            for one in told
        ]
    }  # fmt: skip


def _loan(row: Delegation) -> dict[str, Any]:
    return {
        "id": row.id, "from_person": row.from_person, "to_person": row.to_person, "starts_at": row.starts_at,
        "ends_at": row.ends_at, "reason": row.reason, "revoked_at": row.revoked_at,
    }  # fmt: skip


@router.get("/delegations")
def delegations(actor: Caller, part: Part) -> dict[str, Any]:
    """Rights to decide that you lend or have been lent, and that are not over."""
    with reading() as session:
        return part.answer("delegations", delegations_of(session, actor, **part.more), _loan)


@router.post("/delegations", status_code=201)
def lend(request: Request, actor: Caller, body: Body, asked: Loan) -> Response:
    """Lend your right to decide to somebody, for a time."""

    def act(session: WriteSession) -> dict[str, Any]:
        return _loan(
            delegate(
                session, actor, to_person=asked.to_person, starts_at=asked.starts_at, ends_at=asked.ends_at,
                reason=asked.reason,
            )
        )  # fmt: skip

    return once(request, actor, body, act, status=201)


@router.post("/delegations/{delegation_id}/end", status_code=201)
def take_back(request: Request, actor: Caller, body: Body, delegation_id: RowId) -> Response:
    """Take back, or give back, what was lent."""
    return once(
        request, actor, body, lambda session: _loan(end_delegation(session, actor, delegation_id)), status=201
    )
