"""Exposure x purpose: a small questionnaire, versioned, whose answers propose a risk tier and change none.

Each axis is as high as its highest answer; a table gives the tier of both. An option of level `prohibited` proposes
that tier whatever the rest says. The tier itself moves by a change of kind `tier` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select

from backend import clock
from backend.assurance.inventory_tables import Questionnaire, TierAnswers
from backend.assurance.texts import written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance.yaml_text import read_yaml
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.service import get_model

BUILT_IN: Final = Path(__file__).with_name("questionnaire.yaml")
LEVELS: Final = ("low", "medium", "high", "prohibited")
AXES: Final = ("exposure", "purpose")
Level = Literal["low", "medium", "high", "prohibited"]
Step = Literal["low", "medium", "high"]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Words = Annotated[str, Field(min_length=1, max_length=400)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Option(_Strict):
    id: Id
    text: Words
    level: Level


class Question(_Strict):
    id: Id
    text: Words
    options: tuple[Option, ...] = Field(min_length=2, max_length=12)

    @model_validator(mode="after")
    def _differ(self) -> Question:
        _refuse_twice([option.id for option in self.options], f"options of {self.id}")
        return self


class Axis(_Strict):
    title: Words
    explanation: Words
    questions: tuple[Question, ...] = Field(min_length=1, max_length=20)


class Document(_Strict):
    """One revision: both axes with their questions, and the tier of each pair of levels."""

    axes: dict[Literal["exposure", "purpose"], Axis]
    tiers: dict[Step, dict[Step, Step]]

    @model_validator(mode="after")
    def _whole(self) -> Document:
        if set(self.axes) != set(AXES):
            raise ValueError("a questionnaire has both axes, exposure and purpose")
        _refuse_twice([one.id for one in self.questions], "questions")
        steps = set(LEVELS[:3])
        if set(self.tiers) != steps or any(set(row) != steps for row in self.tiers.values()):
            raise ValueError("tiers names low, medium and high of exposure, and of purpose within each")
        for row in self.tiers.values():
            _refuse_falling([row[step] for step in LEVELS[:3]])
        for step in LEVELS[:3]:
            _refuse_falling([self.tiers[one][step] for one in LEVELS[:3]])
        return self

    @property
    def questions(self) -> list[Question]:
        return [question for axis in self.axes.values() for question in axis.questions]

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def propose(self, answers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The tier that follows, and the level of each axis. Every question has to be answered."""
        missing = [one.id for one in self.questions if one.id not in answers]
        extra = sorted(set(answers) - {one.id for one in self.questions})
        if missing or extra:
            said = f"unanswered: {', '.join(missing)}" if missing else f"not asked: {', '.join(extra)}"
            raise BadInput(f"answer each question once; {said}", field="answers")
        levels: dict[str, str] = {
            name: max((_level(one, answers[one.id]) for one in axis.questions), key=LEVELS.index)
            for name, axis in self.axes.items()
        }
        if "prohibited" in levels.values():
            return "prohibited", levels
        return self.tiers[levels["exposure"]][levels["purpose"]], levels  # type: ignore[index]


def _level(question: Question, chosen: str) -> str:
    found = next((one for one in question.options if one.id == chosen), None)
    if found is None:
        known = ", ".join(one.id for one in question.options)
        raise BadInput(f"{question.id} is answered by one of {known}, not {chosen!r}", field="answers")
    return found.level


def _refuse_twice(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"the {what} have different ids")


def _refuse_falling(tiers: list[str]) -> None:
    """More exposure or a graver purpose never gives a lower tier."""
    ranks = [LEVELS.index(one) for one in tiers]
    if ranks != sorted(ranks):
        raise ValueError(f"a tier never falls while exposure or purpose rises, as in {', '.join(tiers)}")


@dataclass(frozen=True)
class Asked:
    """The questionnaire that is asked now."""

    revision: int
    digest: str
    document: Document


def read_questionnaire(text: str) -> Document:
    """A questionnaire from YAML; `BadInput` says what is wrong with it, and where."""
    try:
        return Document.model_validate(read_yaml(text))
    except yaml.YAMLError as error:
        raise BadInput(
            f"the questionnaire is not YAML: {' '.join(str(error).split())}", field="document"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{place}: {first['msg']}", field="document") from error


@cache
def _built_in() -> Asked:
    from backend.governance.digests import digest_of

    document = read_questionnaire(BUILT_IN.read_text(encoding="utf-8"))
    return Asked(1, digest_of(document.as_dict()), document)


def asked_now(session: ReadSession) -> Asked:
    """The highest revision; the built-in one is revision 1."""
    row = session.scalars(select(Questionnaire).order_by(Questionnaire.revision.desc()).limit(1)).first()
    return (
        _built_in() if row is None else Asked(row.revision, row.digest, Document.model_validate(row.document))
    )


def questionnaire_of(session: ReadSession, revision: int) -> Document:
    """The questions as they were asked in a revision, to show answers with."""
    if revision == 1:
        return _built_in().document
    return Document.model_validate(session.get_one(Questionnaire, revision).document)


def replace_questionnaire(session: WriteSession, actor: Actor, *, text: str, note: str) -> Questionnaire:
    """Put another questionnaire in force. Answers to earlier ones stay, and are shown as such."""
    from backend.governance.digests import digest_of

    actor.require(Permission.SET_ASSURANCE_RULES)
    document = read_questionnaire(text)
    now = asked_now(session)
    digest = digest_of(document.as_dict())
    if digest == now.digest:
        raise BadInput("this is the questionnaire that is asked already", field="document")
    row = Questionnaire(
        revision=now.revision + 1, document=document.as_dict(), digest=digest, note=written(note, "note"),
        made_by=actor.person_id, made_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.QUESTIONNAIRE_REPLACED, object_kind="questionnaire", object_id=row.revision,
        payload={"digest": digest, "replaces": now.digest}, why=row.note,
    )  # fmt: skip
    return row


def answer_questionnaire(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    answers: Mapping[str, str],
    seen_digest: str,
    note: str,
) -> TierAnswers:
    """Answer the questions about a model; gives the tier that follows. The model's own tier stays as it is."""
    from backend.errors import ChangedSinceSeen

    allow(session, actor, Permission.KEEP_INVENTORY)
    get_model(session, actor, model)
    now = asked_now(session)
    if seen_digest != now.digest:
        raise ChangedSinceSeen("the questionnaire changed since you looked; answer the present one")
    tier, levels = now.document.propose(answers)
    row = TierAnswers(
        model=model, revision=now.revision, digest=now.digest, answers=dict(answers), levels=levels, tier=tier,
        note=written(note, "note", required=False), answered_by=actor.person_id, answered_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.TIER_PROPOSED, object_kind="model", object_id=model, why=row.note,
        payload={"answers": dict(answers), "levels": levels, "tier": tier, "questionnaire": now.digest},
    )  # fmt: skip
    return row


def answers_of(
    session: ReadSession, viewer: Actor, model: str, *, limit: int | None = None, offset: int = 0
) -> list[TierAnswers]:
    """Answers about a model, newest first."""
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(TierAnswers)
            .where(TierAnswers.model == model)
            .order_by(TierAnswers.id.desc())
            .limit(limit)
            .offset(offset)
        )
    )
