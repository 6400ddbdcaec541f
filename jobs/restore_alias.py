"""Puts MLflow's alias `champion` back to what serves, because somebody asked for it. It is only a mirror."""

from __future__ import annotations

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import writing
from backend.deployment.service import champion
from backend.governance.registry_moves import CHAMPION, note_seen
from backend.governance.tables import RegistryMove
from backend.queue import MIRROR_REGISTRY, RESTORE_ALIAS, request_job
from jobs.runtime import Run, workflow

STEPS = ("put_back", "record_restored")


@workflow(RESTORE_ALIAS)
def restore_alias(run: Run) -> None:
    """Both steps can be repeated: the alias is set to what serves *then*."""
    run.progress(0.2, "putting the alias back")
    version = run.step("put_back", put_back, run)
    run.progress(0.8, "writing it down")
    run.step("record_restored", record_restored, run, version)


def put_back(run: Run) -> int | None:
    """Point the alias at the version that serves, or take it away where nothing does. Gives the version."""
    from backend.registry.mlflow_adapter import mirror_champion, remove_champion

    with writing() as session:
        run.require_owned(session)
        move = session.get_one(RegistryMove, int(run.arguments["move_id"]))
        serving = champion(session, move.model, move.environment)
        model, version = move.model, serving.version if serving is not None else None
    if version is None:
        remove_champion(model)
    else:
        mirror_champion(model, version)
    return version


def record_restored(run: Run, version: int | None) -> None:
    """Close the move, unless somebody moved the alias again meanwhile; the next look resolves the alert."""
    with writing() as session:
        run.require_owned(session)
        move = session.get_one(RegistryMove, int(run.arguments["move_id"]))
        note_seen(session, move.model, CHAMPION, version)
        if move.state == "open":
            move.state = "restored"
        record(
            session, run.actor, Action.ALIAS_MIRRORED, object_kind="model", object_id=move.model,
            payload={"model": move.model, "alias": CHAMPION, "version": version, "error": None, "move": move.id},
        )  # fmt: skip
        request_job(session, MIRROR_REGISTRY, subject=move.model, run_id=f"{run.run_id}-look")
