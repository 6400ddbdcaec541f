"""Reads MLflow's aliases and says where they do not agree with the deployment record. It only reads.

The alias `champion` is our mirror, of one environment, for others. Nothing of ours follows it: one that names a version
no open deployment there names, and one that was deleted while something serves, is a finding (an audit entry a move,
and a ticket while it lasts), never a deployment.
Moves of observed models, and of other aliases and stages, are recorded with what the rules would have said, and nobody
is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.deployment.tables import Deployment, Telling
from backend.governance.reconciling import MLFLOW, alias_is_pending
from backend.governance.registry_moves import (
    CHAMPION,
    add_move,
    note_aliases,
    note_seen,
    open_move,
    settle_move,
)
from backend.governance.rollout_commands import current_step
from backend.governance.tables import Change
from backend.governance.withdrawing import alias_is_left
from backend.identity.actor import Actor
from backend.queue import MIRROR_REGISTRY
from backend.registry.tables import ImportedModel, Model, SeenAlias
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("take_versions", "read_aliases", "record_findings")

SUBJECT: Final = "alias champion"
# An execution writes the record first and mirrors it seconds later.
MIRROR_LAG: Final = timedelta(minutes=1)
# Moves of so many models are recorded in one transaction: others have to get a turn in between.
MODELS_AT_ONCE: Final = 100

Aliases = dict[str, dict[str, int] | None]  # None: MLflow has no such model


@workflow(MIRROR_REGISTRY)
def mirror_registry(run: Run) -> None:
    """One look at every model, or at the run's subject; with `versions`, its inventory is renewed first."""
    if run.arguments.get("versions"):
        run.step("take_versions", take_versions, run)
    run.progress(0.1, "reading MLflow's aliases")
    aliases = run.step("read_aliases", read_aliases, run)
    run.progress(0.7, "comparing them with the deployment record")
    run.step("record_findings", record_findings, run, aliases)


def take_versions(run: Run) -> int:
    """Bring the inventory's entry of the run's subject to what MLflow says now. Gives how many versions are new."""
    from backend.registry.inventory import import_registry
    from backend.registry.mlflow_reading import open_registry, read_registry

    found = read_registry(open_registry(), run.subject)
    registry = without_credentials(settings().mlflow)
    with writing() as session:
        run.require_owned(session)
        return import_registry(
            session, run.actor, registry=registry, found=found, only=run.subject
        ).new_versions


def read_aliases(run: Run) -> Aliases:
    """What each alias of each model that we know names. Raises when MLflow is away."""
    from backend.registry.mlflow_reading import has_registry, open_registry
    from backend.registry.mlflow_reading import read_aliases as read

    with reading() as session:
        names = [run.subject] if run.subject else list(session.scalars(select(Model.name)))
    if not names or not has_registry(settings().mlflow):
        return {}
    found = read(open_registry(), run.subject or None)
    return {name: found.get(name) for name in names}


def record_findings(run: Run, aliases: Aliases) -> int:
    """Record moves; open, refresh or resolve each enforced model's finding. Returns how many of these there are now."""
    names = sorted(aliases)
    for start in range(0, len(names), MODELS_AT_ONCE):
        with writing() as session:
            run.require_owned(session)
            some = names[start : start + MODELS_AT_ONCE]
            elsewhere = imported_elsewhere(session)
            looked = {name: aliases[name] or {} for name in some if aliases[name] is not None}
            note_aliases(
                session, run.actor, {name: named for name, named in looked.items() if name not in elsewhere}
            )
    with reading() as session:
        enforced = set(session.scalars(select(Model.name).where(Model.enforcement == "enforce")))
        strangers = imported_elsewhere(session)
    count = 0
    for name in names:
        if name not in enforced or (name in strangers and aliases[name] is None):
            continue
        with writing() as session:
            run.require_owned(session)
            count += compare_alias(session, run.actor, model=name, alias=(aliases[name] or {}).get(CHAMPION))
    return count


def imported_elsewhere(session: ReadSession) -> set[str]:
    """Models whose inventory is of another registry than the one that is watched: their aliases are not these."""
    watched = without_credentials(settings().mlflow)
    return set(session.scalars(select(ImportedModel.model).where(ImportedModel.read_from != watched)))


def compare_alias(session: WriteSession, actor: Actor, *, model: str, alias: int | None) -> bool:
    """Compare the alias with the record of the environment that it mirrors. True while it names another version than
    the champion there, or none although it named one; what serves elsewhere justifies nothing.

    A change that is being executed, or one that has just been, has a minute to mirror itself, and one that found MLflow
    away is mirrored later; one whose rollout is watched has nothing to mirror. The same move is recorded once, however
    often it is seen.
    """
    found = session.get_one(Model, model)
    if found.enforcement != "enforce":
        return False  # somebody said so since the aliases were read
    environment = settings().mirrored_environment
    now = clock.now()
    deployments = list(
        session.scalars(
            select(Deployment).where(
                Deployment.model == model,
                Deployment.environment == environment,
                Deployment.role == "champion",
                Deployment.ended_at.is_(None),
            )
        )
    )
    versions = sorted({deployment.version for deployment in deployments})
    firing = session.scalars(
        select(Alert).where(
            Alert.fingerprint == f"{model}/{environment}/registry/{SUBJECT}", Alert.state == "firing"
        )
    ).one_or_none()
    standing = open_move(session, model, CHAMPION)
    deleted = (
        alias is None and bool(versions) and (standing is not None or _was_set(session, model, deployments))
    )
    if alias in versions or (alias is None and not deleted):
        _remember(session, model, alias)
        settle_move(session, model)
        if firing is not None:
            resolve(session, actor, firing, why="MLflow's alias agrees with the deployment record again")
        return False
    executing = session.scalars(
        select(Change.id)
        .where(Change.model == model, Change.environment == environment, Change.state == "executing")
        .limit(1)
    ).first()
    moving = executing is not None and current_step(session, executing) is None
    moving |= any(alias_is_pending(session, deployment, alias) for deployment in deployments)
    moving |= alias_is_left(session, model, environment, alias)
    if moving or any(now - deployment.started_at < MIRROR_LAG for deployment in deployments):
        return firing is not None
    serving = ", ".join(f"version {version}" for version in versions) or "no version"
    said = "was deleted" if alias is None else f"names version {alias}"
    details: dict[str, Any] = {"alias": CHAMPION, "version": alias, "record": versions}
    if standing is None or standing.to_version != alias:
        before = versions[0] if len(versions) == 1 else None
        add_move(session, actor, found, alias=CHAMPION, before=before, after=alias, state="open")
        _remember(session, model, alias)
    fire(
        session, actor,
        Firing(
            model=model, environment=environment, version=None, kind="registry", level="ticket",
            title=f"MLflow's alias champion {said}; the deployment record has {serving}",
            subject=SUBJECT, since=firing.since if firing is not None else now, details=details,
        ),
    )  # fmt: skip
    return True


def _was_set(session: ReadSession, model: str, deployments: Sequence[Deployment]) -> bool:
    """Whether the alias is known to have named something: a look saw it, or our own mirroring of what serves set it."""
    seen = session.get(SeenAlias, (model, CHAMPION))
    if seen is not None and seen.version is not None:
        return True
    told = [session.get(Telling, (one.change_id, MLFLOW)) for one in deployments if one.change_id is not None]
    return any(row is not None and row.settled_at is not None for row in told)


def _remember(session: WriteSession, model: str, alias: int | None) -> None:
    seen = session.get(SeenAlias, (model, CHAMPION))
    if (seen.version if seen is not None else None) != alias:
        note_seen(session, model, CHAMPION, alias)
