"""A model, or a version of one, as somebody describes it in a file: for those that no job of Warrant's trained.

Files are read by whoever may start Warrant, on its machine: the paths in them name files that Warrant will read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.tables import Person
from backend.registry.artefacts import artefact_digest
from backend.registry.lineage import attach_lineage
from backend.registry.service import NewVersion, register_model, register_version
from backend.registry.tables import Model, Version

HIGHEST: Final = 2**31 - 1


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelFile(_Described):
    """What a model is. `spec` has task, features and the other keys of a model spec."""

    name: str
    title: str
    description: str = ""
    tier: Literal["low", "medium", "high", "prohibited"]
    owner: str | None = None  # a user name
    spec: dict[str, Any]


class VersionFile(_Described):
    """A trained version. Paths are taken from the folder of the file; people are user names, null: nobody here."""

    model: str
    version: int = Field(ge=1, le=HIGHEST)
    run_id: str = ""
    artefact: Path  # the folder of its files
    reference: Path  # the Parquet file of its reference data
    card: Path
    trained_by: str | None
    data_owner: str | None
    trained_at: datetime
    cutoff: float = Field(0.5, ge=0, le=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    lineage: list[Path] = Field(default_factory=list, max_length=50)  # files of DVC and Feast
    repository: str = ""  # where these files lie, and at which revision
    revision: str = ""


AFile = TypeVar("AFile", bound=_Described)


def register_model_of(session: WriteSession, actor: Actor, path: Path) -> Model:
    """Register, or describe anew, the model that a file describes."""
    told = _read(path, ModelFile)
    return register_model(
        session, actor, name=told.name, title=told.title, description=told.description, tier=told.tier,
        spec=told.spec, owner_id=id_of_person(session, told.owner, "owner"),
    )  # fmt: skip


def register_version_of(session: WriteSession, actor: Actor, path: Path) -> Version:
    """Register the version that a file describes, with the digests of the files that it names as they are now."""
    told = _read(path, VersionFile)
    if session.get(Model, told.model) is None:
        raise BadInput(f"{path}: there is no model {told.model!r}; register it first", field="model")
    artefact, reference, card = (
        (path.parent / one).resolve() for one in (told.artefact, told.reference, told.card)
    )
    for key, file in (("reference", reference), ("card", card)):
        if not file.is_file():
            raise BadInput(f"{path}: {key}: there is no file {file}", field=key)
    if told.trained_at.tzinfo is None:
        raise BadInput(
            f"{path}: trained_at: write the time with its zone, as 2026-03-01T00:00:00Z", field="trained_at"
        )
    new = NewVersion(
        model=told.model, version=told.version, run_id=told.run_id, uri=str(artefact),
        artefact_digest=artefact_digest(artefact), trained_by=id_of_person(session, told.trained_by, "trained_by"),
        data_owner=id_of_person(session, told.data_owner, "data_owner"), trained_at=told.trained_at.astimezone(UTC),
        cutoff=told.cutoff, parameters=told.parameters, metrics=told.metrics, training=told.training,
        reference_path=str(reference), card_path=str(card),
    )  # fmt: skip
    made = register_version(session, actor, new=new)
    for one in told.lineage:
        file = (path.parent / one).resolve()
        try:
            data = file.read_bytes()
        except OSError as error:
            raise BadInput(
                f"{path}: lineage: {file} cannot be read: {error.strerror}", field="lineage"
            ) from error
        attach_lineage(
            session, actor, model=told.model, version=told.version, name=file.name, data=data,
            repository=told.repository, revision=told.revision,
        )  # fmt: skip
    return made


def _read(path: Path, shape: type[AFile]) -> AFile:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return shape.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise BadInput(f"{path}: {place}: {first['msg']}", field=place) from error


def id_of_person(session: ReadSession, username: str | None, key: str) -> str | None:
    """The id of a person; an account that acts for one neither trains nor owns anything."""
    if username is None:
        return None
    found = session.scalar(
        select(Person.id).where(Person.username == username.lower(), Person.kind == "person")
    )
    if found is None:
        raise BadInput(
            f"{key}: {username!r} is nobody here; give the user name of a person, or null", field=key
        )
    return found
