"""Executing an approved change: move the record, wait until the gateways serve it, ask them, or put it back."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy.orm import Session

from backend.database.session import WriteSession, reading, writing
from backend.deployment.service import live_reports
from backend.deployment.tables import Deployment
from backend.errors import Unavailable
from backend.governance import execution
from backend.identity.actor import system_actor
from backend.queue import EXECUTE_CHANGE
from backend.registry.tables import Model, Version
from backend.serving.client import SmokeRow, smoke
from backend.settings import settings
from jobs.runtime import Run, StepFailed, workflow

STEPS = (
    "check_approval",
    "write_deployment",
    "await_gateways",
    "smoke_test",
    "mirror_alias",
    "close_change",
    "restore",
    "confirm_restored",
    "mirror_restored_alias",
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
        run.progress(0.2, "writing the deployment record")
        deployment_id = run.step("write_deployment", _write_deployment, run, change_id)
        run.progress(0.3, "waiting until the gateways serve it")
        urls = run.step("await_gateways", _await_gateways, run, change_id, deployment_id)
        run.progress(0.7, "sending smoke requests")
        answered = run.step("smoke_test", _smoke_test, run, change_id, deployment_id, urls)
        run.progress(0.85, "mirroring the record to MLflow's alias")
        mirrored = run.step("mirror_alias", _mirror_alias, run, deployment_id)
        outcome = (
            answered if mirrored is None else f"{answered}; MLflow's alias does not follow yet: {mirrored}"
        )
        run.progress(0.95, "closing the change and its incident")
        run.step("close_change", _close_change, run, change_id, deployment_id, outcome)
    except StepFailed as failure:
        # Whichever step it was: a change that nobody executes must not stay open, it would block the next one.
        run.progress(0.8, "putting back what served before")
        restored = run.step("restore", _restore, run, change_id, failure.message)
        if restored is not None:
            run.step("confirm_restored", _confirm_restored, run, restored)
            run.step("mirror_restored_alias", _mirror_alias, run, restored)
        raise


def _check_approval(run: Run, change_id: int) -> dict[str, Any] | None:
    with writing() as session:
        run.require_owned(session)
        plan = execution.begin(session, ACTOR, change_id, run.run_id)
        return None if plan is None else {"model": plan.model, "to_version": plan.to_version}


def _write_deployment(run: Run, change_id: int) -> int:
    with writing() as session:
        run.require_owned(session)
        return execution.write_deployment(session, ACTOR, change_id)


def _await_gateways(run: Run, change_id: int, deployment_id: int) -> list[str]:
    """Wait until every live gateway reports the deployment; gives their addresses."""
    _note(run, change_id, "waiting until the gateways serve it")
    wait_s = settings().gateway_wait_s
    deadline = time.monotonic() + wait_s
    state = "no gateway reports for this environment; start one, then ask again"
    while True:
        run.require_owned()
        with reading() as session:
            deployment = _deployment(session, deployment_id)
            reports = live_reports(session, deployment.model, deployment.environment)
            if deployment.ended_at is not None:
                raise GatewaysDidNotFollow(f"deployment {deployment_id} was ended by another change")
        behind = [report for report in reports if report.deployment_id != deployment_id]
        if reports and not behind:
            return sorted({report.url for report in reports})
        refused = next((report for report in behind if report.error), None)
        if refused is not None:
            state = f"gateway {refused.gateway_id} keeps version {refused.version}: {refused.error}"
        elif behind:
            state = f"gateway {behind[0].gateway_id} still serves version {behind[0].version}"
        if time.monotonic() >= deadline:
            raise GatewaysDidNotFollow(f"after {wait_s:g} s, {state}")
        time.sleep(GATEWAY_POLL_S)


def _smoke_test(run: Run, change_id: int, deployment_id: int, urls: list[str]) -> str:
    _note(run, change_id, "sending smoke requests")
    with reading() as session:
        deployment = _deployment(session, deployment_id)
        version = session.get_one(Version, (deployment.model, deployment.version))
        spec = session.get_one(Model, deployment.model).spec
    rows = _smoke_rows(version.reference_path, list(spec["features"]))
    texts = [smoke(url, deployment.model, deployment.version, rows) for url in urls]
    text = "; ".join(dict.fromkeys(texts))
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
    """Point MLflow's alias where the record points; gives the reason where that did not work.

    A mirror that is away does not undo a change of production: the reconciling job reports it later.
    """
    from backend.registry.mlflow_adapter import mirror_champion

    with reading() as session:
        deployment = _deployment(session, deployment_id)
    error: str | None = None
    for attempt in range(MIRROR_TRIES):
        with reading() as session:
            if _deployment(session, deployment_id).ended_at is not None:
                return "the deployment was ended meanwhile"
        run.require_owned()
        try:
            mirror_champion(deployment.model, deployment.version)
            error = None
            break
        except Exception as failure:  # noqa: BLE001 - whatever a registry that is away raises; it is reported
            error = f"{type(failure).__name__}: {failure}"
            time.sleep(0.5 * (attempt + 1))
    with writing() as session:
        run.require_owned(session)
        execution.record_mirrored(session, ACTOR, deployment_id, error=error)
    return error


def _close_change(run: Run, change_id: int, deployment_id: int, outcome: str) -> None:
    with writing() as session:
        run.require_owned(session)
        execution.finish(session, ACTOR, change_id, deployment_id, outcome=outcome)


def _restore(run: Run, change_id: int, why: str) -> int | None:
    with writing() as session:
        run.require_owned(session)
        return execution.restore(session, ACTOR, change_id, why=why)


def _confirm_restored(run: Run, deployment_id: int) -> bool:
    """Record that the gateways serve what was put back. Where none is alive, or one does not follow, that is not
    recorded: the deployment stays `starting`."""
    deadline = time.monotonic() + settings().gateway_wait_s
    while True:
        with reading() as session:
            deployment = _deployment(session, deployment_id)
            reports = live_reports(session, deployment.model, deployment.environment)
        if reports and all(report.deployment_id == deployment_id for report in reports):
            break
        if not reports or deployment.ended_at is not None or time.monotonic() >= deadline:
            return False
        time.sleep(GATEWAY_POLL_S)
    with writing() as session:
        run.require_owned(session)
        return execution.confirm_serving(session, ACTOR, deployment_id)


def _note(run: Run, change_id: int, step: str) -> None:
    with writing() as session:
        run.require_owned(session)
        execution.note_step(session, change_id, step)


def _deployment(session: Session | WriteSession, deployment_id: int) -> Deployment:
    return session.get_one(Deployment, deployment_id)
