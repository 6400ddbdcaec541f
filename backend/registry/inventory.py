"""The inventory of an imported registry: what MLflow says of its models, and what is missing before Warrant can vouch.

An import reads no artefact and loads no model. What MLflow does not say stays unknown. An `ImportedVersion` is no
`Version`: nothing that an approval binds to is known of it, so it can be listed and cannot serve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.observations.schema import check_model
from backend.registry.service import get_model
from backend.registry.tables import ImportedModel, ImportedVersion, Model, SeenAlias, Version

TIERS: Final = ("low", "medium", "high", "prohibited")
# Unknown is never taken for harmless: until somebody says otherwise the strictest tier that may serve governs.
UNKNOWN_TIER: Final = "high"
STAGE: Final = "stage:"


class OnlyImported(Conflict):
    """A version that is known from an import alone was asked to serve. What it lacks is in `details`."""

    title = "Only imported"


@dataclass(frozen=True)
class FoundRun:
    """A training run as MLflow has it. `user` is what the training machine called itself's user: nobody checked it."""

    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    user: str
    started_at: datetime | None
    ended_at: datetime | None
    code_revision: str = ""  # what the training machine took for the commit of its code

    def as_dict(self) -> dict[str, Any]:
        return {
            "parameters": dict(self.parameters), "metrics": dict(self.metrics), "tags": dict(self.tags),
            "user": self.user, "code_revision": self.code_revision,
            "started_at": clock.to_iso(self.started_at) if self.started_at else None,
            "ended_at": clock.to_iso(self.ended_at) if self.ended_at else None,
        }  # fmt: skip


@dataclass(frozen=True)
class FoundVersion:
    """A model version as MLflow has it. `run` None: it names none, or one that is gone."""

    version: int
    run_id: str
    source: str
    status: str
    description: str
    tags: Mapping[str, str]
    created_at: datetime | None
    run: FoundRun | None = None
    signature: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class FoundModel:
    """A registered model as MLflow has it. `aliases` also has its stages, as `stage:<Stage>`."""

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    created_at: datetime | None
    updated_at: datetime | None
    versions: tuple[FoundVersion, ...] = ()


@dataclass(frozen=True)
class Imported:
    """What one import did. `left_out` says why for each model that cannot be in the inventory."""

    registry: str
    models: int
    versions: int
    new_models: tuple[str, ...]
    new_versions: int
    no_longer_found: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "registry": self.registry, "models": self.models, "versions": self.versions,
            "new_models": len(self.new_models), "new_versions": self.new_versions,
            "no_longer_found": list(self.no_longer_found), "left_out": dict(self.left_out),
        }  # fmt: skip


def import_registry(
    session: WriteSession, actor: Actor, *, registry: str, found: list[FoundModel], tier: str | None = None,
    only: str | None = None,
) -> Imported:  # fmt: skip
    """Bring the inventory to what a registry says now. Doing it again changes only what the registry changed.

    A model that Warrant did not know becomes an observed one with the risk tier `tier` (unknown: governed as high). One
    that it knows keeps title, tier and enforcement. What the registry no longer has is marked, never deleted. Aliases
    are left to `backend.governance.registry_moves.note_aliases`, which has to tell moves from first looks.
    `only`: what was read is this model alone, so nothing is said of the others.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    if tier is not None and tier not in TIERS:
        raise BadInput(f"a risk tier is one of {', '.join(TIERS)}, not {tier!r}", field="tier")
    now = clock.now()
    left_out: dict[str, str] = {}
    models = {row.name: row for row in session.scalars(select(Model))}
    entries = {row.model: row for row in session.scalars(select(ImportedModel))}
    versions = {(row.model, row.version): row for row in session.scalars(select(ImportedVersion))}
    new_models: list[str] = []
    new_versions = 0
    seen: set[tuple[str, int]] = set()
    taken: dict[str, FoundModel] = {}
    for one in found:
        try:
            taken[check_model(one.name)] = one
        except BadInput as error:
            left_out[one.name] = error.message
    for name, one in taken.items():
        if name not in models:
            models[name] = Model(
                name=name, title=name, description=one.description, tier=tier or UNKNOWN_TIER,
                enforcement="observe", spec={}, created_at=now,
            )  # fmt: skip
            session.add(models[name])
            new_models.append(name)
    session.flush()  # before the rows that refer to them
    for name, one in taken.items():
        if name not in entries:
            entries[name] = ImportedModel(model=name)
            session.add(entries[name])
        _update_model(entries[name], one, registry, now)
    session.flush()
    for name, one in taken.items():
        for version in one.versions:
            key = (name, version.version)
            if key not in versions:
                versions[key] = ImportedVersion(model=name, version=version.version)
                session.add(versions[key])
                new_versions += 1
            _update_version(versions[key], version, now)
            seen.add(key)
    gone = sorted(
        name for name, row in entries.items()
        if row.read_from == registry and row.found and name not in taken and only in (None, name)
    )  # fmt: skip
    for name in gone:
        entries[name].found = False
    for key, row in versions.items():
        if key not in seen and entries[key[0]].read_from == registry and only in (None, key[0]):
            row.found = False
    session.flush()
    done = Imported(registry, len(taken), len(seen), tuple(new_models), new_versions, tuple(gone), left_out)
    record(
        session, actor, Action.REGISTRY_IMPORTED, object_kind="registry", object_id=registry,
        payload={**done.as_dict(), "new_models": new_models},
        why="models of a registry are observed until somebody enforces their rules",
    )  # fmt: skip
    return done


def _update_model(row: ImportedModel, one: FoundModel, registry: str, now: datetime) -> None:
    row.read_from, row.description, row.tags = registry, one.description, dict(one.tags)
    row.created_at, row.updated_at, row.imported_at, row.found = one.created_at, one.updated_at, now, True


def _update_version(row: ImportedVersion, one: FoundVersion, now: datetime) -> None:
    row.run_id, row.source, row.status = one.run_id, one.source, one.status
    row.description, row.tags, row.created_at = one.description, dict(one.tags), one.created_at
    row.run = one.run.as_dict() if one.run is not None else None
    row.signature = dict(one.signature) if one.signature is not None else None
    row.imported_at, row.found = now, True


@dataclass(frozen=True)
class VersionEntry:
    """A version of the inventory. `imported` and `registered`: as MLflow and as Warrant know it; one may be absent."""

    version: int
    imported: ImportedVersion | None
    registered: Version | None
    aliases: tuple[str, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, each in words. A registered version lacks none of what an approval is bound to."""
        gaps: list[str] = []
        if self.registered is None:
            gaps += ["artefact digest: not taken", "no reference data", "no model card", "cut-off: unknown",
                     "training data: unknown"]  # fmt: skip
        elif self.registered.trained_by is not None:
            return ()
        gaps.append(_trainer_gap(self.imported))
        if self.imported is not None and self.registered is None:
            if self.imported.run is None:
                gaps.append(
                    "run: MLflow no longer has it" if self.imported.run_id else "run: MLflow names none"
                )
            elif not self.imported.run["metrics"]:
                gaps.append("held-out metrics: the run recorded none")
            if self.imported.signature is None:
                gaps.append("signature: not in the registry's record")
            if self.imported.status != "READY":
                gaps.append(f"its registration in MLflow is {self.imported.status}")
        return tuple(gaps)


def _trainer_gap(imported: ImportedVersion | None) -> str:
    user = imported.run["user"] if imported is not None and imported.run else ""
    return f"trainer: unknown (MLflow names {user!r}, which nobody checked)" if user else "trainer: unknown"


@dataclass(frozen=True)
class ModelEntry:
    """A model of the inventory with its versions, newest first."""

    model: Model
    imported: ImportedModel | None
    versions: tuple[VersionEntry, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        gaps: list[str] = []
        if self.imported is not None:
            gaps.append("history before Warrant: unknown")
            if not self.imported.found:
                gaps.append("the last import did not find it any more")
        if not self.model.described:
            gaps.append("task and features: unknown; nothing is monitored")
            if self.model.tier == UNKNOWN_TIER:
                gaps.append("risk tier: not confirmed; governed as high")
        if self.model.owner_id is None:
            gaps.append("no owner")
        return tuple(gaps)


def list_inventory(
    session: ReadSession, viewer: Actor, *, after: str = "", limit: int | None = None,
    names: Collection[str] | None = None,
) -> list[ModelEntry]:  # fmt: skip
    """Every model the viewer may see, or those `names`, with what MLflow and Warrant know of it and what nobody does.

    By name; `limit` of them `after` that name.
    """
    see(session, viewer)
    query = select(Model).where(Model.name > after).order_by(Model.name)
    if names is not None:
        query = query.where(among(Model.name, names))
    models = list(session.scalars(query if limit is None else query.limit(limit)))
    listed = [model.name for model in models]
    imported = {
        row.model: row
        for row in session.scalars(select(ImportedModel).where(among(ImportedModel.model, listed)))
    }
    known: dict[str, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(lambda: [None, None, []]))
    for one in session.scalars(select(ImportedVersion).where(among(ImportedVersion.model, listed))):
        known[one.model][one.version][0] = one
    for own in session.scalars(select(Version).where(among(Version.model, listed))):
        known[own.model][own.version][1] = own
    for alias in session.scalars(
        select(SeenAlias).where(among(SeenAlias.model, listed), SeenAlias.version.is_not(None))
    ):
        if alias.version in known[alias.model]:
            known[alias.model][alias.version][2].append(alias.alias)
    return [
        ModelEntry(
            model, imported.get(model.name),
            tuple(
                VersionEntry(number, parts[0], parts[1], tuple(sorted(parts[2])))
                for number, parts in sorted(known[model.name].items(), reverse=True)
            ),
        )
        for model in models
    ]  # fmt: skip


def require_known(session: ReadSession, viewer: Actor, model: str, version: int) -> None:
    """`NotFound` unless the version is registered here or known from an import."""
    get_model(session, viewer, model)
    if (
        session.get(Version, (model, version)) is None
        and session.get(ImportedVersion, (model, version)) is None
    ):
        raise NotFound(f"{model} has no version {version}", model=model, version=version)


def refuse_only_imported(session: ReadSession, model: Model, version: int) -> None:
    """`OnlyImported` for a version without what an approval is bound to, in words somebody can act on."""
    if session.get(Version, (model.name, version)) is not None:
        return
    imported = session.get(ImportedVersion, (model.name, version))
    if imported is None:
        return
    gaps = VersionEntry(version, imported, None, ()).gaps
    first = "" if model.described else f"describe {model.name} (task and features), then "
    raise OnlyImported(
        f"{model.name} version {version} is known from MLflow alone, and an approval would have nothing to bind to "
        f"({'; '.join(gaps[:3])}): {first}register the version with its artefact, reference data and card",
        model=model.name, version=version, gaps=list(gaps),
    )  # fmt: skip


@dataclass(frozen=True)
class Extent:
    """How much an inventory holds. `only_imported`: versions that MLflow names and nobody registered here."""

    names: tuple[str, ...]
    observed: int
    imported: int
    only_imported: int
    read_from: tuple[str, ...]
    imported_at: datetime | None


def extent_of_inventory(session: ReadSession, viewer: Actor) -> Extent:
    """The inventory in numbers, without reading its entries."""
    see(session, viewer)
    rules = session.execute(select(Model.name, Model.enforcement).order_by(Model.name)).all()
    models, last = session.execute(select(func.count(), func.max(ImportedModel.imported_at))).one()
    alone = (
        select(func.count())
        .select_from(ImportedVersion)
        .outerjoin(
            Version, (Version.model == ImportedVersion.model) & (Version.version == ImportedVersion.version)
        )
        .where(Version.version.is_(None))
    )
    places = session.scalars(select(ImportedModel.read_from).distinct())
    return Extent(
        tuple(row.name for row in rules), sum(row.enforcement == "observe" for row in rules), models,
        session.scalar(alone) or 0, tuple(sorted(places)), last,
    )  # fmt: skip
