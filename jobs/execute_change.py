"""Executing an approved change: stage by stage move the record, have the target follow, look, or put it back."""

from __future__ import annotations

import logging
import time
from typing import Any

from sqlalchemy.orm import Session

from backend.database.session import WriteSession, reading, writing
from backend.deployment.tables import Deployment
from backend.deployment.targets import Wanted, the_target, wanted_of
from backend.errors import Unavailable, WarrantError
from backend.governance import execution, rollouts
from backend.governance.kinds import kind_of
from backend.governance.overtaking import still_running
from backend.governance.tables import Change
from backend.identity.actor import system_actor
from backend.queue import EXECUTE_CHANGE
from backend.registry.tables import Model, Version
from backend.serving.client import SmokeRow, smoke
from backend.settings import settings
from jobs.runtime import Run, StepFailed, reason_of, workflow
from jobs.watching import watch_stage
from jobs.withdrawing import tell_withdrawn

log = logging.getLogger("warrant.jobs")

STEPS = (
    "check_approval",
    "await_earlier",
    "carry_out",
    "apply_record",
    "check_return",
    "open_stage",
    "await_stage",
    "smoke_stage",
    "watch_stage",
    "write_deployment",
    "await_gateways",
    "smoke_test",
    "mirror_alias",
    "watch_champion",
    "close_change",
    "restore",
    "confirm_restored",
    "mirror_restored_alias",
    "tell_withdrawn",
)
GATEWAY_POLL_S = 0.1
SMOKE_ROWS = 5
MIRROR_TRIES = 3

ACTOR = system_actor("worker")


class GatewaysDidNotFollow(Unavailable):
    """The gateways that are alive did not come to serve the approved deployment in time; says which and why."""

    title = "The gateways did not follow"


@workflow(EXECUTE_CHANGE)
def execute_change(run: Run) -> None:
    """Bring about one approved change exactly once, however often workers die on the way."""
    change_id = int(run.arguments["change_id"])
    try:
        run.progress(0.05, "checking that the approval still holds")
        plan = run.step("check_approval", _check_approval, run, change_id)
        if plan is None:
            run.progress(1.0, "nothing to execute; the change says why")
            return
        if plan["after"]:
            run.progress(0.07, "waiting until an earlier run has left")
            run.step("await_earlier", _await_earlier, run, plan["after"])
        if not plan["rolls_out"]:
            if plan["outside"]:
                run.progress(0.2, "doing what lies outside the database")
                run.step("carry_out", _carry_out, run, change_id)
            run.progress(0.5, "writing it down")
            retired = run.step("apply_record", _apply_record, run, change_id)
            if retired is not None:
                run.progress(0.8, "telling that nothing serves any more")
                run.step("tell_withdrawn", _tell_withdrawn, run, change_id, retired)
            return
        if plan["way_back_id"] is not None:
            run.progress(0.1, "scoring the last live rows with the version to return to")
            run.step("check_return", _check_return, run, change_id)
        *before, last = plan["stages"]
        for stage in before:
            _try_out(run, change_id, stage, of=len(plan["stages"]))
        run.progress(0.6 if before else 0.2, "writing the deployment record")
        deployment_id = run.step("write_deployment", _open_stage, run, change_id, last["number"])
        run.progress(0.65 if before else 0.3, "waiting until the gateways serve it")
        urls = run.step("await_gateways", _await_gateways, run, change_id, deployment_id)
        run.progress(0.7, "sending smoke requests")
        answered = run.step("smoke_test", _smoke_test, run, change_id, deployment_id, urls)
        run.progress(0.75, "mirroring the record to MLflow's alias")
        mirrored = run.step("mirror_alias", _mirror_alias, run, deployment_id)
        if last["bake_s"]:
            run.progress(0.8, f"watching it for {last['bake_s']:g} s")
            _require(run, "watch_champion", change_id, last)
        outcome = (
            answered if mirrored is None else f"{answered}; MLflow's alias does not follow yet: {mirrored}"
        )
        run.progress(0.95, "closing the change and its incident")
        run.step("close_change", _close_change, run, change_id, deployment_id, outcome)
    except StepFailed as failure:
        # Whichever step it was: a change that nobody executes must not stay open, it would block the next one.
        run.progress(0.8, "putting back what served before")
        restored = run.step("restore", _restore, run, change_id, failure.message)
        if restored["champion"] is not None:
            run.step("confirm_restored", _confirm_restored, run, change_id, restored["champion"])
        if restored["moved_back"]:
            run.step("mirror_restored_alias", _mirror_alias, run, restored["champion"])
        if restored["withdrawn"] is not None:
            run.step("tell_withdrawn", _tell_withdrawn, run, change_id, restored["withdrawn"])
        raise


def _try_out(run: Run, change_id: int, stage: dict[str, Any], *, of: int) -> None:
    """One stage in which the champion goes on serving."""
    number, words = stage["number"], stage["words"]
    run.progress(0.15 + 0.45 * (number - 1) / of, f"stage {number} of {of}: {words}")
    deployment_id = run.step("open_stage", _open_stage, run, change_id, number)
    urls = run.step("await_stage", _await_gateways, run, change_id, deployment_id)
    if number == 1:
        run.step("smoke_stage", _smoke_test, run, change_id, deployment_id, urls)
    _require(run, "watch_stage", change_id, stage)


def _require(run: Run, step: str, change_id: int, stage: dict[str, Any]) -> None:
    """Watch a stage to its end. `StepFailed` where it failed, which puts back what served before."""
    over = run.step(step, watch_stage, run, change_id, stage["number"])
    if over["verdict"] == "failure":
        raise StepFailed(step, "RolloutFailed", f"{stage['words']}: {over['why']}")


def _check_approval(run: Run, change_id: int) -> dict[str, Any] | None:
    with writing() as session:
        run.require_owned(session)
        plan = execution.begin(session, ACTOR, change_id, run.run_id)
        if plan is None:
            return None
        return {
            "rolls_out": plan.rollout is not None,
            "outside": kind_of(plan.kind).outside,
            "stages": plan.stages,
            "way_back_id": plan.way_back_id,
            "after": plan.after,
        }


def _await_earlier(run: Run, run_ids: list[str]) -> list[str]:
    """Wait until the runs of changes that are over have left: two must not tell a target, or an alias, at a time.

    A run that was overtaken leaves at its next look, or when the request that it is sending is answered. One that does
    not, because what it waits for hangs, is not waited for longer than gateways are; gives those.
    """
    deadline = time.monotonic() + settings().gateway_wait_s
    while True:
        run.require_owned()
        with reading() as session:
            left = still_running(session, run_ids)
        if not left:
            return []
        if time.monotonic() >= deadline:
            log.warning("going on beside %s, which did not leave in time", ", ".join(left))
            return left
        time.sleep(GATEWAY_POLL_S)


def _carry_out(run: Run, change_id: int) -> None:
    from jobs.data_requests import carry_out

    _note(run, change_id, "doing what lies outside the database")
    carry_out(run, change_id)


def _apply_record(run: Run, change_id: int) -> int | None:
    """Gives the deployment that a retirement ended."""
    with writing() as session:
        run.require_owned(session)
        execution.apply_record(session, ACTOR, change_id)
        return execution.retired_by(session, change_id)


def _check_return(run: Run, change_id: int) -> int:
    from jobs.return_check import check_return

    _note(run, change_id, "scoring the last live rows with the version to return to")
    with reading() as session:
        change = session.get_one(Change, change_id)
    return check_return(change.model or "", change.environment, change.to_version or 0)


def _open_stage(run: Run, change_id: int, number: int) -> int:
    with writing() as session:
        run.require_owned(session)
        return execution.open_stage(session, ACTOR, change_id, number)


def _await_gateways(run: Run, change_id: int, deployment_id: int) -> list[str]:
    """Have the target carry out the record, and wait until it did; gives the addresses of gateways to ask."""
    _note(run, change_id, "waiting until the gateways serve it")
    target, wait_s = the_target(), settings().gateway_wait_s
    wanted = _wanted(change_id, deployment_id)
    _require_going(run, change_id)
    target.ensure(wanted)
    deadline = time.monotonic() + wait_s
    while True:
        _require_going(run, change_id)
        with reading() as session:
            if _deployment(session, deployment_id).ended_at is not None:
                raise GatewaysDidNotFollow(f"deployment {deployment_id} was ended by another change")
        observed = target.observe(wanted)
        if observed.settled:
            return list(observed.urls)
        if time.monotonic() >= deadline:
            raise GatewaysDidNotFollow(f"after {wait_s:g} s, {observed.text}")
        time.sleep(GATEWAY_POLL_S)


def _wanted(change_id: int, deployment_id: int) -> Wanted:
    with reading() as session:
        deployment = _deployment(session, deployment_id)
        return wanted_of(session, change_id, deployment.model, deployment.environment)


def _smoke_test(run: Run, change_id: int, deployment_id: int, urls: list[str]) -> str:
    _note(run, change_id, "sending smoke requests")
    with reading() as session:
        deployment = _deployment(session, deployment_id)
        version = session.get_one(Version, (deployment.model, deployment.version))
        spec = session.get_one(Model, deployment.model).spec
    rows = _smoke_rows(version.reference_path, list(spec["features"]))
    texts = [
        smoke(url, deployment.model, deployment.version, rows, deployment_id=deployment_id) for url in urls
    ]
    text = "; ".join(dict.fromkeys(texts)) or f"carried out by the target {settings().target}"
    with writing() as session:
        run.require_owned(session)
        execution.record_smoke(session, ACTOR, deployment_id, requests=len(rows) * len(urls), text=text)
    return text


def _smoke_rows(path: str, features: list[str]) -> list[SmokeRow]:
    """The first rows of the version's reference data, with the scores of training time."""
    import pyarrow.parquet as pq

    head = next(pq.ParquetFile(path).iter_batches(SMOKE_ROWS, columns=[*features, "score"])).to_pylist()
    return [SmokeRow({name: row[name] for name in features}, row["score"]) for row in head]


def _mirror_alias(run: Run, deployment_id: int) -> str | None:
    """Point MLflow's alias where the record of its environment points; gives the reason where that did not work.

    A mirror that is away does not undo a change of production: the reconciling job reports it later.
    """
    from backend.registry.mlflow_adapter import mirror_champion

    with reading() as session:
        deployment = _deployment(session, deployment_id)
    if deployment.environment != settings().mirrored_environment:
        return None
    error: str | None = None
    for attempt in range(MIRROR_TRIES):
        with reading() as session:
            if _deployment(session, deployment_id).ended_at is not None:
                return "the deployment was ended meanwhile"
        _require_going(run, deployment.change_id)
        try:
            mirror_champion(deployment.model, deployment.version)
            error = None
            break
        except Exception as failure:  # noqa: BLE001 - whatever a registry that is away raises; it is reported
            error = reason_of(failure)
            time.sleep(0.5 * (attempt + 1))
    with writing() as session:
        run.require_owned(session)
        execution.record_mirrored(session, ACTOR, deployment_id, error=error)
    return error


def _close_change(run: Run, change_id: int, deployment_id: int, outcome: str) -> None:
    with writing() as session:
        run.require_owned(session)
        execution.finish(session, ACTOR, change_id, deployment_id, outcome=outcome)


def _restore(run: Run, change_id: int, why: str) -> dict[str, Any]:
    """Put the record back. `champion`: what is to serve, where this change had moved anything; else None.
    `withdrawn`: the deployment of a first version that failed, after which nothing serves; else None."""
    with writing() as session:
        run.require_owned(session)
        restored = execution.restore(session, ACTOR, change_id, why=why)
        serving = execution.champion_after(session, change_id)
        return {
            "champion": serving,
            "moved_back": restored is not None,
            "withdrawn": execution.withdrawn_by(session, change_id),
        }


def _confirm_restored(run: Run, change_id: int, deployment_id: int) -> bool:
    """Have the target bring back what the record says, and record that it did. Where nothing is there that could, or
    it does not follow, that is not recorded: the deployment stays `starting`."""
    target, wanted = the_target(), _wanted(change_id, deployment_id)
    run.require_owned()
    try:
        target.restore(wanted)
        deadline = time.monotonic() + settings().gateway_wait_s
        while not (observed := target.observe(wanted)).settled:
            with reading() as session:
                ended = _deployment(session, deployment_id).ended_at is not None
            if not observed.anybody or ended or time.monotonic() >= deadline:
                return False
            time.sleep(GATEWAY_POLL_S)
    except WarrantError:
        log.exception("the target did not bring back deployment %d", deployment_id)
        return False
    with writing() as session:
        run.require_owned(session)
        return execution.confirm_serving(session, ACTOR, deployment_id)


def _tell_withdrawn(run: Run, change_id: int, deployment_id: int) -> bool:
    """Have the target and MLflow's alias follow the record, by which nothing serves any more. What was away is told by
    a later look (`jobs/reconcile_target.py`)."""
    with reading() as session:
        deployment = _deployment(session, deployment_id)
    return tell_withdrawn(run, deployment.model, deployment.environment)


def _require_going(run: Run, change_id: int | None) -> None:
    """Called directly before an effect outside: the run is ours, and no change that could not wait took over."""
    run.require_owned()
    if change_id is not None:
        with reading() as session:
            rollouts.require_going(session.get_one(Change, change_id))


def _note(run: Run, change_id: int, step: str) -> None:
    with writing() as session:
        run.require_owned(session)
        execution.note_step(session, change_id, step)


def _deployment(session: Session | WriteSession, deployment_id: int) -> Deployment:
    return session.get_one(Deployment, deployment_id)
