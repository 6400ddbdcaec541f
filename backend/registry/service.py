"""Models and versions: registering them, and reading them as a viewer may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Text, func, select, type_coerce

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow, in_reach, see
from backend.identity.roles import Permission
from backend.identity.tables import Team, TeamModel
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.observations.schema import check_model
from backend.registry.artefacts import file_digest
from backend.registry.tables import Model, Version

IS_DESCRIBED: Final = type_coerce(Model.spec, Text).not_in(("{}", "null"))
"""Whether there is anything to monitor a model by: `Model.described`, asked of the database."""
CHOICES: Final = 5_000
"""At most so many models are offered to choose from."""


@dataclass(frozen=True)
class NewVersion:
    """What a trainer hands over. Digests are `sha256:<hex>`; metrics are held-out, with intervals."""

    model: str
    version: int
    run_id: str
    uri: str
    artefact_digest: str
    trained_by: str | None
    trained_at: datetime
    cutoff: float
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    reference_path: str
    card_path: str
    data_owner: str | None = None


def _refuse_look_alike(session: ReadSession, name: str) -> None:
    """Two names that differ in case alone are one to whoever reads them."""
    same = session.scalar(select(Model.name).where(func.lower(Model.name) == name.lower()).limit(1))
    if same is not None:
        raise Conflict(f"there is a model {same} already; choose a name that differs in more than its case")


def register_model(
    session: WriteSession,
    actor: Actor,
    *,
    name: str,
    title: str,
    description: str,
    tier: str,
    spec: dict[str, Any],
    notice: str | None = None,
    owner_id: str | None = None,
    why: str = "",
    told: Mapping[str, Any] | None = None,
) -> Model:
    """Register a model once; registering the same name again updates its texts and spec, its owner where one is named,
    and never its tier: another one is a change of kind `tier`, which people agree to.

    told   what the audit entry says beside the texts and the spec
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    check_model(name)
    parsed = parse_spec(spec)
    model = session.get(Model, name)
    if model is None:
        _refuse_look_alike(session, name)
        model = Model(name=name, created_at=clock.now())
        session.add(model)
    elif model.described:
        _refuse_other_kinds(parse_spec(model.spec), parsed)
        if tier != model.tier:
            raise Conflict(
                f"{name} is of tier {model.tier}; to make it {tier}, ask for a change of kind tier: others approve it"
            )
    before = model.owner_id
    model.title, model.description, model.tier = title, description, tier
    model.spec, model.notice, model.owner_id = spec, notice, owner_id or before
    session.flush()
    moved = {"before": {"owner": before}} if model.owner_id != before else {}
    record(
        session, actor, Action.MODEL_REGISTERED, object_kind="model", object_id=name, why=why,
        payload={"title": title, "tier": tier, "spec": spec, "enforcement": model.enforcement, "owner": model.owner_id,
                 **moved, **(told or {})},
    )  # fmt: skip
    return model


def _refuse_other_kinds(before: ModelSpec, after: ModelSpec) -> None:
    """Stored columns keep their type: rows of the new kind could not be stored beside the old ones."""
    kinds = {column.name: column.kind for column in before.features}
    for column in after.features:
        if kinds.get(column.name, column.kind) != column.kind:
            raise Conflict(
                f"feature {column.name!r} is {kinds[column.name]} and cannot become {column.kind}; give the feature a "
                "new name",
                feature=column.name,
            )


def register_version(session: WriteSession, actor: Actor, *, new: NewVersion) -> Version:
    """Record a trained version with the digests of artefact, reference data and card.

    A version is immutable: registering the same number with another artefact is a `Conflict`.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    model = session.get(Model, new.model)
    if model is not None and not model.described:
        raise Conflict(
            f"{new.model} was imported and is not described yet: register the model with task and features first"
        )
    known = session.get(Version, (new.model, new.version))
    if known is not None:
        if known.artefact_digest != new.artefact_digest:
            raise Conflict(
                f"{new.model} version {new.version} exists with another artefact; register a new version"
            )
        return known
    version = Version(
        model=new.model, version=new.version, run_id=new.run_id, uri=new.uri, artefact_digest=new.artefact_digest,
        trained_by=new.trained_by, data_owner=new.data_owner, trained_at=new.trained_at, cutoff=new.cutoff,
        parameters=dict(new.parameters),
        metrics=dict(new.metrics), training=dict(new.training), reference_path=new.reference_path,
        reference_digest=file_digest(Path(new.reference_path)), card_path=new.card_path,
        card_digest=file_digest(Path(new.card_path)),
    )  # fmt: skip
    session.add(version)
    session.flush()
    record(
        session, actor, Action.VERSION_REGISTERED, object_kind="version", object_id=f"{new.model}/{new.version}",
        payload={"artefact": new.artefact_digest, "reference": version.reference_digest, "card": version.card_digest,
                 "training": dict(new.training), "metrics": dict(new.metrics), "trained_by": version.trained_by,
                 "data_owner": version.data_owner},
    )  # fmt: skip
    return version


def list_models(
    session: ReadSession,
    viewer: Actor,
    *,
    names: Collection[str] | None = None,
    team: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Model]:
    """The described models this viewer may see, or those of `names` or of the team named `team`, by name.

    `backend.registry.inventory` lists the others, too.
    """
    see(session, viewer)
    query = select(Model).where(IS_DESCRIBED).order_by(Model.name).limit(limit).offset(offset)
    if names is not None:
        query = query.where(among(Model.name, names))
    if team is not None:
        theirs = select(TeamModel.model).join(Team, Team.id == TeamModel.team_id).where(Team.name == team)
        query = query.where(Model.name.in_(theirs))
    return list(session.scalars(query))


def described_models(session: ReadSession) -> list[Model]:
    """Every model that there is something to monitor of, by name."""
    return list(session.scalars(select(Model).where(IS_DESCRIBED).order_by(Model.name)))


def titles_of_models(session: ReadSession, viewer: Actor, *, noticed: bool = False) -> dict[str, str]:
    """Name -> title of the first `CHOICES` described models, to choose from; `noticed`: of those with a notice."""
    see(session, viewer)
    query = select(Model.name, Model.title).where(IS_DESCRIBED).order_by(Model.name).limit(CHOICES)
    if noticed:
        query = query.where(func.coalesce(Model.notice, "") != "")
    return {row.name: row.title for row in session.execute(query)}


def get_model(session: ReadSession, viewer: Actor, name: str) -> Model:
    """One model; `NotFound` also where the viewer may not know that it exists."""
    see(session, viewer)
    model = session.get(Model, name) if in_reach(session, name) else None
    if model is None:
        raise NotFound(f"there is no model named {name!r} that you may see", model=name)
    return model


def get_version(session: ReadSession, viewer: Actor, model: str, version: int) -> Version:
    get_model(session, viewer, model)
    found = session.get(Version, (model, version))
    if found is None:
        raise NotFound(f"{model} has no version {version}", model=model, version=version)
    return found


def list_versions(
    session: ReadSession, viewer: Actor, model: str, *, limit: int | None = None, offset: int = 0
) -> list[Version]:
    """All versions of a model, newest first."""
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(Version)
            .where(Version.model == model)
            .order_by(Version.version.desc())
            .limit(limit)
            .offset(offset)
        )
    )
