"""Model cards: reading, comparing, exporting, writing and reviewing them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part, as_is
from backend.api.security import current_actor
from backend.cards import service
from backend.cards.adoption import adopt_huggingface_card, adopt_mlflow_version
from backend.cards.examination import examine_card
from backend.cards.export import export_card
from backend.cards.versions import card_diff, get_card_version
from backend.cards.views import card_view, change_view, version_views
from backend.database.session import WriteSession, reading
from backend.errors import BadInput
from backend.identity.actor import Actor

router = APIRouter(tags=["cards"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Version = Annotated[int, Path(ge=0, lt=2**31, description="of the model")]
Number = Annotated[int, Path(ge=1, lt=2**31, description="of the card")]
Which = Annotated[int | None, Query(ge=1, lt=2**31, description="of the card; left out: the one that holds")]
Numbered = Annotated[int, Query(ge=1, lt=2**31)]
Text = Annotated[str, Field(max_length=400_000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=service.LONGEST_WHY, pattern=r"^[^\x00]*$")]
Began = Annotated[int, Field(ge=0, lt=2**31, description="the number the text began from; 0: none")]
AT = "/models/{model}/versions/{version}/card"


class Edit(BaseModel):
    text: Text
    based_on: Began
    why: Short = ""


class Import(BaseModel):
    """mlflow: what the imported registry says of the version, without a text."""

    source: Literal["file", "huggingface", "mlflow"] = "file"
    source_name: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""
    text: Text = ""
    based_on: Began | None = None
    why: Short = ""


class Review(BaseModel):
    verdict: Literal["approve", "return"]
    digest: Short
    comment: Short = ""


@router.get(AT)
def card(
    actor: Caller, model: str, version: Version, number: Which = None, newest: bool = False
) -> dict[str, Any]:
    """A card with its facts, completeness and contradictions. `newest`: of whatever state."""
    with reading() as session:
        return card_view(session, actor, examine_card(session, actor, model, version, number, newest=newest))


@router.get(AT + "/versions")
def card_versions(actor: Caller, model: str, version: Version, part: Part) -> dict[str, Any]:
    """Every version of a card, newest first."""
    with reading() as session:
        return part.answer("versions", version_views(session, actor, model, version, **part.more), as_is)


@router.get(AT + "/diff")
def diff(actor: Caller, model: str, version: Version, before: Numbered, after: Numbered) -> dict[str, Any]:
    """The unified diff of two versions of a card."""
    with reading() as session:
        texts = [get_card_version(session, actor, model, version, one).text for one in (before, after)]
        names = (f"version {before}", f"version {after}")
        return {"before": before, "after": after, "diff": card_diff(texts[0], texts[1], names=names)}


@router.get(AT + "/export")
def export(
    actor: Caller,
    model: str,
    version: Version,
    form: str = "markdown",
    number: Which = None,
    newest: bool = False,
) -> Response:
    """The card as a file: `source`, `markdown`, `huggingface`, `html` or `pdf`."""
    with reading() as session:
        found = examine_card(session, actor, model, version, number, newest=newest)
    made = export_card(found, form)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"'}
    return Response(made.body, media_type=made.media_type, headers=headers)


@router.post(AT, status_code=201)
def write(request: Request, actor: Caller, body: Body, model: str, version: Version, edit: Edit) -> Response:
    """Save an edited card as its next version, a draft. 409 where somebody saved another one meanwhile."""
    return once(
        request, actor, body,
        lambda session: change_view(
            service.write_card(
                session, actor, model=model, version=version, text=edit.text, based_on=edit.based_on, why=edit.why
            )
        ),
        status=201,
    )  # fmt: skip


@router.post(AT + "/imports", status_code=201)
def take(
    request: Request, actor: Caller, body: Body, model: str, version: Version, asked: Import
) -> Response:
    """Take a card from a file, a card of Hugging Face or an imported MLflow version."""

    def act(session: WriteSession) -> dict[str, Any]:
        taken = _take(session, actor, model, version, asked)
        return {**change_view(taken.card), "made": taken.made, "note": taken.note}

    return once(request, actor, body, act, status=201)


def _take(session: WriteSession, actor: Actor, model: str, version: int, asked: Import) -> service.Taken:
    if asked.source == "mlflow":
        return adopt_mlflow_version(session, actor, model=model, version=version, based_on=asked.based_on)
    if not asked.source_name:
        raise BadInput("source_name: say which file the card comes from", field="source_name")
    if asked.source == "huggingface":
        return adopt_huggingface_card(
            session, actor, model=model, version=version, text=asked.text, source_name=asked.source_name,
            based_on=asked.based_on,
        )  # fmt: skip
    return service.import_card(
        session, actor, model=model, version=version, text=asked.text, source="file",
        source_name=asked.source_name, based_on=asked.based_on, why=asked.why,
    )  # fmt: skip


@router.post(AT + "/versions/{number}/submission", status_code=201)
def submit(
    request: Request, actor: Caller, body: Body, model: str, version: Version, number: Number
) -> Response:
    """Ask for a review of a draft."""
    return once(
        request, actor, body,
        lambda session: change_view(
            service.submit_card(session, actor, model=model, version=version, number=number)
        ),
        status=201,
    )  # fmt: skip


@router.post(AT + "/versions/{number}/reviews", status_code=201)
def review(
    request: Request, actor: Caller, body: Body, model: str, version: Version, number: Number, said: Review
) -> Response:
    """Approve a version that is in review, or return it with a comment. `digest` is of the text you read."""
    return once(
        request, actor, body,
        lambda session: change_view(
            service.review_card(
                session, actor, model=model, version=version, number=number, verdict=said.verdict,
                seen_digest=said.digest, comment=said.comment,
            )
        ),
        status=201,
    )  # fmt: skip
