"""Reads MLflow's aliases and says where they do not agree with the deployment record. It only reads.

The alias `champion` is our mirror for others. Nothing of ours follows it: one that names a version no open deployment
names is a finding (an audit entry a move, and a ticket while it lasts), never a deployment.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.deployment.tables import Deployment
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.queue import MIRROR_REGISTRY
from backend.registry.service import list_models
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("read_aliases", "record_findings")

SUBJECT: Final = "alias champion"
# An execution writes the record first and mirrors it seconds later.
MIRROR_LAG: Final = timedelta(minutes=1)


@workflow(MIRROR_REGISTRY)
def mirror_registry(run: Run) -> None:
    """One look at every model, or at the run's subject."""
    run.progress(0.1, "reading MLflow's aliases")
    aliases = run.step("read_aliases", read_aliases, run)
    run.progress(0.7, "comparing them with the deployment record")
    run.step("record_findings", record_findings, run, aliases)


def read_aliases(run: Run) -> dict[str, int | None]:
    """Each model's version with the alias `champion`; None where there is none. Raises when MLflow is away."""
    with reading() as session:
        names = [run.subject] if run.subject else [model.name for model in list_models(session, run.actor)]
    if not names or not _has_registry():
        return {}
    # Its defaults would try for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.exceptions import MlflowException

    from backend.registry.mlflow_adapter import champion_alias

    found: dict[str, int | None] = {}
    for name in names:
        try:
            found[name] = champion_alias(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found[name] = None
    return found


def _has_registry() -> bool:
    """Whether there is something to read: opening the embedded registry would make an empty one."""
    from sqlalchemy import make_url

    url = settings().mlflow
    if not url.startswith("sqlite"):
        return True
    path = make_url(url).database
    return bool(path) and os.path.exists(str(path))  # noqa: PTH110


def record_findings(run: Run, aliases: dict[str, int | None]) -> int:
    """Open, refresh or resolve each model's finding. Returns how many there are now."""
    count = 0
    for model, version in aliases.items():
        with writing() as session:
            run.require_owned(session)
            count += compare_alias(session, run.actor, model=model, alias=version)
    return count


def compare_alias(session: WriteSession, actor: Actor, *, model: str, alias: int | None) -> bool:
    """Compare one alias with the record. True while it names a version that no open deployment names.

    A change that is being executed, or one that has just been, has a minute to mirror itself. The same move is
    recorded once, however often it is seen.
    """
    environment = settings().environment
    now = clock.now()
    deployments = list(
        session.scalars(select(Deployment).where(Deployment.model == model, Deployment.ended_at.is_(None)))
    )
    versions = sorted({deployment.version for deployment in deployments})
    firing = session.scalars(
        select(Alert).where(
            Alert.fingerprint == f"{model}/{environment}/registry/{SUBJECT}", Alert.state == "firing"
        )
    ).one_or_none()
    if alias is None or alias in versions:
        if firing is not None:
            resolve(session, actor, firing, why="MLflow's alias agrees with the deployment record again")
        return False
    executing = session.scalars(
        select(Change.id).where(Change.model == model, Change.state == "executing").limit(1)
    ).first()
    if executing is not None or any(now - deployment.started_at < MIRROR_LAG for deployment in deployments):
        return firing is not None
    serving = ", ".join(f"version {version}" for version in versions) or "no version"
    details: dict[str, Any] = {"alias": "champion", "version": alias, "record": versions}
    if firing is None or firing.details.get("version") != alias:
        record(
            session, actor, Action.ALIAS_MOVED_ELSEWHERE, object_kind="model", object_id=model, payload=details,
            why="MLflow keeps neither who moved an alias nor when; the gateway does not follow it",
        )  # fmt: skip
    fire(
        session, actor,
        Firing(
            model=model, environment=environment, version=None, kind="registry", level="ticket",
            title=f"MLflow's alias champion names version {alias}; the deployment record has {serving}",
            subject=SUBJECT, since=firing.since if firing is not None else now, details=details,
        ),
    )  # fmt: skip
    return True
