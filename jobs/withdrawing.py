"""Telling the target, and MLflow's alias, that nothing serves any more; again later, where one of them was away."""

from __future__ import annotations

import logging
import time
from typing import Final

from backend.database.session import writing
from backend.deployment.targets import Wanted, the_target
from backend.errors import Unavailable
from backend.governance.reconciling import MLFLOW, note_found
from backend.governance.registry_moves import CHAMPION, note_seen
from backend.governance.withdrawing import Left, claim_withdrawn
from backend.settings import settings
from jobs.runtime import Run, reason_of

POLL_S: Final = 0.1

log = logging.getLogger("warrant.jobs")


def tell_withdrawn(run: Run, model: str, environment: str) -> bool:
    """Have everybody follow the record, by which nothing serves there any more; gives whether all did. Who was
    away is told later, and the change says so."""
    with writing() as session:
        run.require_owned(session)
        left = claim_withdrawn(session, model, environment)
    heard = {name: _tell(run, left, name) for name in left.to_tell} if left is not None else {}
    return all(heard.values())


def _tell(run: Run, left: Left, name: str) -> bool:
    run.require_owned()
    problem, removed = "", False
    try:
        if name == MLFLOW:
            removed = _free_alias(left)
        elif name == settings().target:
            _bring_about(left.wanted)
    except Exception as failure:  # whatever a target or a registry that is away raises
        log.exception("deployment %d was withdrawn, and not everybody was told: %s", left.deployment_id, name)
        problem = reason_of(failure)
    with writing() as session:
        run.require_owned(session)
        if removed:
            note_seen(session, left.wanted.model, CHAMPION, None)
        note_found(
            session, left.wanted.change_id, name, key=left.wanted.key, settled=not problem, problem=problem
        )
    return not problem


def _bring_about(nothing: Wanted) -> None:
    target, deadline = the_target(), time.monotonic() + settings().gateway_wait_s
    target.restore(nothing)
    while not (observed := target.observe(nothing)).settled:
        if time.monotonic() >= deadline:
            raise Unavailable(observed.text)
        time.sleep(POLL_S)


def _free_alias(left: Left) -> bool:
    """Take the alias away where it names what left service; gives whether it did. What somebody else set stays."""
    from backend.registry.mlflow_adapter import mlflow_client, remove_champion
    from backend.registry.mlflow_reading import has_registry, read_aliases

    model = left.wanted.model
    if not has_registry(settings().mlflow):
        return False
    if read_aliases(mlflow_client(), model).get(model, {}).get(CHAMPION) != left.version:
        return False
    remove_champion(model)
    return True
