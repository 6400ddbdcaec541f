"""Rules that give roles by sign-on: read, tried out, and replaced by a change that somebody else approves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import MOST
from backend.api.security import current_actor
from backend.database.session import reading
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.kinds.roles import request_role_rules
from backend.identity.actor import Actor
from backend.identity.role_rules import Moved, dry_run, history, read_rules, rules_for

router = APIRouter(tags=["people"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class RulesDraft(BaseModel):
    document: str = Field(max_length=200_000, description="all role rules as YAML")


class RulesAsked(RulesDraft):
    reason: str = Field(max_length=4000)
    digest: str | None = Field(
        None, max_length=100, description="of the preview that was looked at; default: of what it is now"
    )


def _moved(one: Moved) -> dict[str, Any]:
    return {
        "person": one.person_id, "display_name": one.display_name, "username": one.username,
        "provider": one.provider, "said_at": one.said_at, "gains": list(one.gains), "loses": list(one.loses),
    }  # fmt: skip


@router.get("/role-rules")
def role_rules(actor: Caller) -> dict[str, Any]:
    """The rules in force, and every revision that people agreed on."""
    with reading() as session:
        now = rules_for(session, actor)
        return {
            "revision": now.revision, "digest": now.digest, "document": now.document.as_dict(),
            "yaml": now.document.as_yaml(),
            "revisions": [
                {"revision": row.revision, "digest": row.digest, "change_id": row.change_id, "note": row.note,
                 "created_at": row.created_at}
                for row in history(session, actor, limit=MOST)
            ],
        }  # fmt: skip


@router.post("/role-rules/dry-run")
def try_role_rules(actor: Caller, draft: RulesDraft) -> dict[str, Any]:
    """Who would gain or lose which role by a draft, by what their provider said of them last; it changes nothing."""
    wanted = read_rules(draft.document)
    with reading() as session:
        return {"people": [_moved(one) for one in dry_run(session, actor, wanted)]}


@router.post("/role-rules/changes", status_code=201)
def ask_for_role_rules(request: Request, actor: Caller, body: Body, asked: RulesAsked) -> Response:
    """Ask for other rules; somebody else approves. With `digest`, only as they were previewed."""

    def act(session: Any) -> dict[str, Any]:
        wanted = Asked("roles", "*", subject={"document": asked.document})
        seen = asked.digest or preview_change(session, actor, wanted).digest
        change = request_role_rules(
            session, actor, document=asked.document, reason=asked.reason, seen_digest=seen
        )
        return {
            "id": change.id,
            "state": change.state,
            "summary": change.summary,
            "digest": change.request_digest,
        }

    return once(request, actor, body, act, status=201)
