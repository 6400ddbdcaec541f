"""Catalogues of controls, what the record shows of each, and judgements that reviewers sign."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import once
from backend.api.pages import Part, as_is
from backend.api.parameters import VersionNumber, ZonedMoment
from backend.api.security import current_actor
from backend.controls.assessment import assess
from backend.controls.catalogues import catalogue_named, catalogues
from backend.controls.judgements import judgement_views, list_judgements, sign_judgement
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.confirmation import confirm_account
from backend.identity.reach import see
from backend.identity.roles import Permission

router = APIRouter(tags=["controls"])
Caller = Annotated[Actor, Depends(current_actor)]
Text = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
About = Annotated[str | None, Query(max_length=200, description="left out: the house")]
AsOf = Annotated[ZonedMoment | None, Query(description="a moment that is over; left out: now")]


class JudgementRequest(BaseModel):
    model: Short | None = Field(None, description="left out: about the house")
    outcome: Literal["met", "not_met", "not_applicable"]
    text: Text
    valid_until: ZonedMoment
    seen_digest: Digest = Field(description="of the evidence, from the assessment that was looked at")
    attachment: Digest | None = Field(None, description="of a file that was handed in (POST /documents)")
    username: Short = Field(description="your own: the account is confirmed again")
    password: str = Field("", max_length=1024, description="where the account has one here")


@router.get("/catalogues")
def every_catalogue(actor: Caller) -> list[dict[str, Any]]:
    """The catalogues there are, with how many controls each has."""
    with reading() as session:
        see(session, actor, Permission.READ_AUDIT)
    return [
        {"id": one.id, "title": one.title, "source": one.source, "edition": one.edition, "caveat": one.caveat,
         "controls": len(one.controls), "digest": one.digest}
        for one in catalogues().values()
    ]  # fmt: skip


@router.get("/catalogues/{catalogue}")
def one_catalogue(actor: Caller, catalogue: str) -> dict[str, Any]:
    """A catalogue with its controls and what each asks of the record."""
    with reading() as session:
        see(session, actor, Permission.READ_AUDIT)
    return catalogue_named(catalogue).as_dict()


@router.get("/catalogues/{catalogue}/assessment")
def assessment(
    actor: Caller, catalogue: str, model: About = None, version: VersionNumber = None, as_of: AsOf = None
) -> dict[str, Any]:
    """Every control with what the record shows of it, gaps first, and the judgement that counts."""
    with reading() as session:
        return assess(
            session, actor, catalogue=catalogue, model=model, version=version, as_of=as_of
        ).as_dict()


@router.get("/catalogues/{catalogue}/controls/{control}/judgements")
def judgements(
    actor: Caller, catalogue: str, control: str, part: Part, model: About = None
) -> dict[str, Any]:
    """Judgements on a control, newest first."""
    with reading() as session:
        found = list_judgements(
            session, actor, catalogue=catalogue, control=control, model=model, **part.more
        )
        return part.answer("judgements", found, as_is)


@router.post("/catalogues/{catalogue}/controls/{control}/judgements", status_code=201)
def judge(request: Request, actor: Caller, catalogue: str, control: str, asked: JudgementRequest) -> Response:
    """Sign a judgement on a control. Who owns or built the model is refused."""
    actor.require(Permission.JUDGE_CONTROLS)
    confirmed = confirm_account(actor, username=asked.username, password=asked.password)
    # What a key is bound to is stored as a fast digest: the password is no part of it.
    body = asked.model_dump_json(exclude={"password"}).encode()

    def act(session: WriteSession) -> dict[str, Any]:
        made = sign_judgement(
            session, actor, catalogue=catalogue, control=control, model=asked.model, outcome=asked.outcome,
            text=asked.text, valid_until=asked.valid_until, seen_digest=asked.seen_digest, confirmed=confirmed,
            attachment=asked.attachment,
        )  # fmt: skip
        return judgement_views(session, [made])[0]

    return once(request, actor, body, act, status=201)
