"""Looks whether a target, and MLflow's alias, are as the record says; tells them again where they are not.

A change waits for its target for a while (`WARRANT_GATEWAY_WAIT_S`), then goes on without it. What came back later is
told here, under the key of the change that owns the model there, and never while a change is executed.
"""

from __future__ import annotations

import logging

from backend.database.session import reading, writing
from backend.deployment.targets import Wanted, the_target
from backend.errors import WarrantError
from backend.governance import execution, reconciling
from backend.governance.tables import Change
from backend.queue import RECONCILE_TARGET
from jobs.runtime import Run, reason_of, workflow
from jobs.withdrawing import tell_withdrawn

STEPS = ("tell_target", "tell_alias", "tell_withdrawn")

log = logging.getLogger("warrant.jobs")


@workflow(RECONCILE_TARGET)
def reconcile_target(run: Run) -> None:
    """One model in one environment. Each step looks first, so it can be repeated."""
    run.progress(0.1, "asking the target")
    run.step("tell_target", tell_target, run)
    run.progress(0.6, "looking at MLflow's alias")
    run.step("tell_alias", tell_alias, run)
    run.progress(0.8, "looking whether something left service")
    run.step("tell_withdrawn", tell_withdrawn, run, run.arguments["model"], run.arguments["environment"])


def tell_target(run: Run) -> str:
    """Gives what was done, in a word or the problem."""
    target = the_target()
    wanted = _claim(run)
    if wanted is None:
        return "a change moves it"
    try:
        lacking = target.lacks(wanted)
        if lacking is not None:
            again = _claim(run, telling=(target.name, lacking), expected=wanted)
            if again is None:
                return "a change moves it"
            run.require_owned()
            (target.restore if _failed(again) else target.ensure)(again)
            return "told again"
        observed = target.observe(wanted)
    except WarrantError as problem:
        log.warning("%s is not as the record says: %s", run.subject, problem.message)
        _note(run, wanted, target.name, settled=False, problem=problem.message)
        return problem.message
    _note(run, wanted, target.name, settled=observed.settled, problem=observed.text)
    return "settled" if observed.settled else observed.text


def _claim(
    run: Run, *, telling: tuple[str, str] | None = None, expected: Wanted | None = None
) -> Wanted | None:
    """What may be told now; with `telling` (target, why), it is written down that it is told."""
    with writing() as session:
        run.require_owned(session)
        wanted = reconciling.claim_target(session, run.arguments["model"], run.arguments["environment"])
        if wanted is None or (expected is not None and wanted.key != expected.key):
            return None
        if telling is not None:
            target, why = telling
            reconciling.note_told_again(session, run.actor, wanted.change_id, target, key=wanted.key, why=why)
        return wanted


def _failed(wanted: Wanted) -> bool:
    with reading() as session:
        return session.get_one(Change, wanted.change_id).state == "failed"


def _note(run: Run, wanted: Wanted, target: str, *, settled: bool, problem: str) -> None:
    with writing() as session:
        run.require_owned(session)
        now = reconciling.claim_target(session, run.arguments["model"], run.arguments["environment"])
        if now is None or now.key != wanted.key:
            return
        reconciling.note_found(
            session, wanted.change_id, target, key=wanted.key, settled=settled, problem=problem
        )
        if settled:
            reconciling.note_serves(session, run.actor, wanted)


def tell_alias(run: Run) -> str:
    """Set an alias that its change could not set, unless it names something that this change never knew."""
    from backend.registry.mlflow_adapter import champion_alias, mirror_champion

    model, environment = run.arguments["model"], run.arguments["environment"]
    with writing() as session:
        run.require_owned(session)
        serving = reconciling.claim_alias(session, model, environment)
    if serving is None:
        return "nothing to tell"
    try:
        named = champion_alias(model)
        with writing() as session:
            run.require_owned(session)
            now = reconciling.claim_alias(session, model, environment)
            if now is None or now.id != serving.id or now.change_id is None:
                return "a change moves it"
            if not reconciling.alias_is_pending(session, now, named):
                return f"it names version {named}, which somebody set since"
            if named != now.version:
                reconciling.note_told_again(
                    session, run.actor, now.change_id, reconciling.MLFLOW, key=f"deployment-{now.id}",
                    why=f"MLflow's alias named {f'version {named}' if named else 'nothing'}",
                )  # fmt: skip
        run.require_owned()
        if named != serving.version:
            mirror_champion(model, serving.version)
    except Exception as failure:  # noqa: BLE001 - whatever a registry that is away raises; the next look tries again
        log.warning("MLflow's alias of %s cannot be set: %s", model, reason_of(failure))
        return reason_of(failure)[:300]
    with writing() as session:
        run.require_owned(session)
        execution.record_mirrored(session, run.actor, serving.id, error=None)
    return "told again"
