"""What a hold names has to be there: a hold on a misspelt name keeps nothing, and nobody notices before it is gone."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.errors import BadInput, NotFound
from backend.holds.tables import EVERYTHING
from backend.identity.actor import Actor
from backend.identity.tables import Person
from backend.monitoring.columns import parse_spec
from backend.observations.pseudonyms import pseudonym
from backend.packs.tables import EvidencePack
from backend.registry.service import get_model, get_version
from backend.registry.tables import Model

_OF_A_MODEL: Final = ("predictions", "windows", "log")


def existing(
    session: ReadSession, actor: Actor, *, kind: str, object_id: str, model: str | None
) -> tuple[str, str | None]:
    """The object as it is stored with the hold, and the model that it is of. Raises `NotFound`, `BadInput`."""
    if not object_id:
        raise BadInput("name what is held", field="object_id")
    if model is not None:
        get_model(session, actor, model)
    if object_id == EVERYTHING:
        return object_id, model
    if kind == "person":
        return _person(session, object_id, model)
    if kind == "pack":
        pack = session.get(EvidencePack, object_id)
        if pack is None:
            raise NotFound(f"there is no evidence pack {object_id} to hold")
        return object_id, _agreed(object_id, pack.model or model, model)
    named = object_id if kind in _OF_A_MODEL else _of_version(session, actor, object_id)
    get_model(session, actor, named)
    return object_id, _agreed(object_id, named, model)


def _agreed(object_id: str, named: str | None, model: str | None) -> str | None:
    if model is not None and model != named:
        raise BadInput(f"{object_id} is of {named}, not of {model}; leave the model out", field="model")
    return named


def _of_version(session: ReadSession, actor: Actor, object_id: str) -> str:
    name, _, number = object_id.rpartition("/")
    if not name or not number.isdecimal() or number != str(int(number)) or len(number) > 9:
        raise BadInput(f"name a version as model/version, as in toy/2; not {object_id!r}", field="object_id")
    return get_version(session, actor, name, int(number)).model


def _person(session: ReadSession, object_id: str, model: str | None) -> tuple[str, str | None]:
    if session.get(Person, object_id) is not None:
        return object_id, model
    if object_id.startswith("per_"):
        raise NotFound(f"there is no account {object_id} to hold")
    if model is None:
        model = _only_model_with_subjects(session)
    elif not _names_subjects(session.get_one(Model, model)):
        raise BadInput(
            f"the spec of {model} declares no `subject` column to find this person by", field="model"
        )
    return pseudonym(model, object_id), model


def _only_model_with_subjects(session: ReadSession) -> str:
    named = [row.name for row in session.scalars(select(Model).order_by(Model.name)) if _names_subjects(row)]
    if len(named) != 1:
        those = ", ".join(named) or "none does: declare one in the spec, or hold the model's predictions"
        raise BadInput(
            "that is no account; for a data subject name the model whose `subject` column holds the value, one hold "
            f"for each model ({those})",
            field="model",
        )
    return named[0]


def _names_subjects(model: Model) -> bool:
    return bool(model.spec) and bool(parse_spec(model.spec).subject)
