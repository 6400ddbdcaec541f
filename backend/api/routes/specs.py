"""A model as one document: proposing it from a file, what differs from the record, and putting it in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring.monitors_service import LONGEST_WHY
from backend.onboarding.document import LONGEST_DOCUMENT, Written, read_document

router = APIRouter(tags=["specs"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST_WHY, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(max_length=500, pattern=r"^[^\x00\n]*$")]


class SourceNamed(BaseModel):
    path: Name = Field(description="a file or Delta folder below WARRANT_SOURCE_FOLDERS")
    name: Name = Field("", description="what the model is called; left out: as the file is")
    columns: dict[Name, Name] = Field(
        default_factory=dict, max_length=20, description="role to column, such as {label: cnt}"
    )


class SpecText(BaseModel):
    document: Annotated[
        str, Field(max_length=LONGEST_DOCUMENT, pattern=r"^[^\x00]*$", description="warrant.yaml")
    ]
    file: Name = Field("warrant.yaml", description="how the file is called in what is refused")


class SpecToApply(SpecText):
    why: Text = ""


@router.post("/specs/proposals")
def propose_spec(actor: Caller, asked: SourceNamed) -> dict[str, Any]:
    """A first document from a file of predictions, each value with confidence and reason. Stores nothing."""
    from backend.onboarding.proposing import propose_document
    from backend.onboarding.source_files import find_source

    actor.require_some(Permission.REGISTER_VERSIONS)
    path = find_source(asked.path)
    draft = propose_document(path, shown_as=asked.path, name=asked.name, columns=asked.columns)
    return {"document": draft.text, "proposals": [one.as_dict() for one in draft.proposals]}


@router.post("/specs/diff")
def compare_spec(actor: Caller, asked: SpecText) -> dict[str, Any]:
    """What differs between a document and what is recorded. `differs`: applying it would do something, or waits."""
    from backend.onboarding.comparing import compare, unanswered

    written = _read(actor, asked)
    with reading() as session:
        found = compare(session, actor, written)
        return {
            "model": written.name,
            "digest": written.digest,
            "differs": any(one.is_open for one in found),
            "differences": [one.as_dict() for one in found],
            "unanswered": unanswered(session, written),
        }


@router.post("/specs/apply")
def apply_spec(request: Request, actor: Caller, body: Body, asked: SpecToApply) -> Response:
    """Make the record what the document says, whole or not at all. What only a change may edit is asked for as one."""
    from backend.onboarding.applying import apply_document
    from backend.onboarding.comparing import unanswered

    written = _read(actor, asked)

    def act(session: WriteSession) -> dict[str, Any]:
        done = apply_document(session, actor, written=written, why=asked.why)
        return {
            "model": written.name,
            "digest": written.digest,
            "done": [one.as_dict() for one in done],
            "unanswered": unanswered(session, written),
        }

    return once(request, actor, body, act)


def _read(actor: Actor, asked: SpecText) -> Written:
    """The document, for somebody who may register models: others learn nothing about their text."""
    actor.require_some(Permission.REGISTER_VERSIONS)
    return read_document(asked.document, file=asked.file)
