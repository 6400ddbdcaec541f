"""Where chaos happens: a home, a database, an MLflow registry, a small world, a gateway, and workers that die.

One stage serves many cases: each asks for another change. Versions 3 and 4 of `toy` are good, version 1 answers its
smoke requests wrongly, and no gateway can load version 2.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from backend import clock, queue
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert, Incident, IncidentEntry
from backend.audit.actions import Action
from backend.audit.heads import head_path
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.policy_document import read_policy
from backend.governance.rollout_commands import tell_rollout
from backend.governance.tables import Change, RolloutStep
from backend.queue import JobRun
from backend.settings import settings
from jobs.ownership import workflow_table
from tests.chaos.processes import WorkerProcess, start_forking
from tests.integration.serving.parts import GatewayProcess
from tests.requirements import KEPT_SETTINGS
from tests.worlds import SYSTEM, World, make_world, put_policy_in_force

MODEL, ENVIRONMENT = "toy", "production"
FEATURES = {"distance": 800.0, "carrier": "UA"}
MISSCORED, UNLOADABLE, GOOD = 1, 2, (3, 4)
DEAD_AFTER_S = 3.0
GATEWAY_WAIT_S = 12.0


@dataclass
class Stage:
    """See the module. `kind` is the database's."""

    kind: str
    folder: Path
    world: World
    gateway: GatewayProcess
    workers: list[WorkerProcess] = field(default_factory=list)

    def start_worker(
        self, name: str, *, kill_at: str = "", queues: str = "changes", **environment: str
    ) -> WorkerProcess:
        chaos = {"WARRANT_CHAOS": "1", "WARRANT_KILL_AT": kill_at} if kill_at else {}
        worker = WorkerProcess(name, queues=queues, environment={**os.environ, **chaos, **environment})
        self.workers.append(worker)
        return worker

    def kill_at_each(self, name: str, points: Sequence[str], **environment: str) -> None:
        """Kill worker after worker of this name, one at each point, in the order in which a run passes them.

        Each takes up where the one before it was killed: what one change survives here is every one of these kills.
        """
        for point in points:
            self.forget_kill(point)
            killed = self.start_worker(name, kill_at=point, **environment)
            assert killed.wait(60) == -signal.SIGKILL, f"not killed at {point}\n{killed.output()}"

    def forget_kill(self, point: str) -> None:
        """A point kills once on a stage; after this it kills again."""
        (settings().resolved_home() / "kill" / point.replace(":", ".")).unlink(missing_ok=True)

    def end_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def serving(self) -> int:
        """The version that the record names."""
        with reading() as session:
            found = champion(session, MODEL, ENVIRONMENT)
            assert found is not None
            return found.version

    def other_good(self) -> int:
        return GOOD[0] if self.serving() == GOOD[1] else GOOD[1]

    def page(self, subject: str) -> int:
        """A page about what serves; gives the incident."""
        with writing() as session:
            alert = fire(
                session, SYSTEM,
                Firing(MODEL, ENVIRONMENT, self.serving(), "realised", "page", f"AUC fell ({subject})", subject,
                       clock.now() - timedelta(hours=1), {}),
            )  # fmt: skip
            assert alert.incident_id is not None
            return alert.incident_id

    def request(self, to_version: int) -> tuple[int, str]:
        """Ask for a rollback as the incident's page does; gives the change and the digest that was seen."""
        with reading() as session:
            alert_id = session.scalars(
                select(Alert.id)
                .where(Alert.model == MODEL, Alert.state == "firing", Alert.level == "page")
                .limit(1)
            ).one_or_none()
        asked = Asked("rollback", ENVIRONMENT, MODEL, to_version, alert_id=alert_id)
        with reading() as session:
            seen = preview_change(session, self.world.on_call, asked).digest
        with writing() as session:
            change = request_change(session, self.world.on_call, asked, reason="AUC fell", seen_digest=seen)
            return change.id, change.digest

    def approve(self, change_id: int, digest: str) -> None:
        with writing() as session:
            change = decide(
                session, self.world.lead, change_id, verdict="approve", comment="agreed", seen_digest=digest
            )
            assert change.state == "approved"

    def ask_and_approve(self, to_version: int) -> int:
        change_id, digest = self.request(to_version)
        self.approve(change_id, digest)
        return change_id

    def promote(self, to_version: int, rollout: dict[str, Any]) -> int:
        """Ask for a promotion under a policy with this rollout, and approve it."""
        rule = {"roles": {"ml_lead": 1}, "rollout": rollout}
        document = read_policy({"schema": 1, "rules": [{"name": "tried out", "rule": rule}]})
        asked = Asked("promote", ENVIRONMENT, MODEL, to_version)
        with writing() as session:
            put_policy_in_force(session, document)
        with reading() as session:
            seen = preview_change(session, self.world.on_call, asked).digest
        with writing() as session:
            change = request_change(session, self.world.on_call, asked, reason="better", seen_digest=seen)
            change_id, digest = change.id, change.digest
        self.approve(change_id, digest)
        return change_id

    def tell(self, change_id: int, command: str) -> None:
        with writing() as session:
            actor = self.world.lead if command == "skip" else self.world.on_call
            tell_rollout(session, actor, change_id, command=command, reason="on the stage")

    def stages(self, change_id: int) -> list[RolloutStep]:
        with reading() as session:
            query = select(RolloutStep).where(RolloutStep.change_id == change_id).order_by(RolloutStep.number)
            return list(session.scalars(query))

    def change(self, change_id: int) -> Change:
        with reading() as session:
            return session.get_one(Change, change_id)

    def deployments_of(self, change_id: int) -> list[Deployment]:
        with reading() as session:
            query = select(Deployment).where(Deployment.change_id == change_id).order_by(Deployment.id)
            return list(session.scalars(query))

    def entries(self, action: Action, object_id: object) -> int:
        with reading() as session:
            query = select(func.count()).where(
                AuditEntry.action == action.value, AuditEntry.object_id == str(object_id)
            )
            return int(session.scalar(query) or 0)

    def entry_count(self) -> int:
        with reading() as session:
            return int(session.scalar(select(func.count()).select_from(AuditEntry)) or 0)

    def engine_state(self, change_id: int) -> str:
        with reading() as session:
            status = workflow_table(session)
            query = select(status.c.status).where(status.c.workflow_uuid == f"change-{change_id}")
            return str(session.execute(query).scalar_one())

    def wait_settled(self, change_id: int, within_s: float = 60.0) -> Change:
        """Until the change is over and the workflow engine knows it, too."""
        self.wait_for(
            lambda: self.engine_state(change_id) in ("SUCCESS", "ERROR"), within_s, "the end of the run"
        )
        return self.change(change_id)

    def wait_step(self, change_id: int, step: str, within_s: float = 40.0) -> None:
        self.wait_for(lambda: self.change(change_id).step == step, within_s, f"step {step!r}")

    def wait_for(self, condition: Callable[[], Any], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not come within {within_s:g} s\n{self.output()}")
            time.sleep(0.05)

    def output(self) -> str:
        """What every process of the stage has said."""
        said = [(worker.name, worker.output()) for worker in self.workers] + [("gateway", self.gateway.log())]
        return "\n".join(f"--- {name}\n{text}" for name, text in said)

    def put_to_sleep(self, pid: int) -> None:
        """SIGSTOP at a moment in which the process holds no lock of the database nor of the published head: that would
        be another test."""
        for _ in range(100):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)
            if not self._write_locked() and not self._head_locked():
                return
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
        pytest.fail("the process held a lock of the database whenever it was stopped")

    @staticmethod
    def _head_locked() -> bool:
        with head_path().with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _write_locked(self) -> bool:
        if self.kind == "postgresql":
            open_writes = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
            )
            with reading() as session:
                return bool(session.scalar(text(open_writes)))
        connection = sqlite3.connect(self.database_file, timeout=0.1, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    @property
    def database_file(self) -> Path:
        """SQLite's."""
        return settings().resolved_home() / "warrant.db"

    def assert_executed_once(self, change_id: int, incident_id: int | None = None) -> None:
        """Everything that one execution leaves, and nothing that two would."""
        change = self.wait_settled(change_id)
        assert (change.state, self.engine_state(change_id)) == ("executed", "SUCCESS"), (
            change.outcome or self.output()
        )
        served = self.deployments_of(change_id)
        (deployment,) = [one for one in served if one.role == "champion"]
        assert all(one.state == "ended" and one.ended_at for one in served if one is not deployment)
        assert (deployment.version, deployment.state, deployment.ended_at) == (
            change.to_version,
            "serving",
            None,
        )
        approved = (
            0 if change.way_back_id is not None else 1
        )  # an agreed return was approved with its promotion
        counts = {
            Action.CHANGE_APPROVED: approved, Action.EXECUTION_STARTED: 1, Action.EXECUTION_FINISHED: 1,
            Action.EXECUTION_FAILED: 0,
        }  # fmt: skip
        assert {action: self.entries(action, change_id) for action in counts} == counts
        assert self.entries(Action.DEPLOYMENT_STARTED, deployment.id) == 1
        assert self.entries(Action.DEPLOYMENT_SERVING, deployment.id) == 1
        assert self.run_state(change_id) == "succeeded"
        if incident_id is not None:
            incident = self.incident(incident_id)
            assert (incident.phase, incident.mitigated_by_change) == ("mitigated", change_id), (
                "it still fires"
            )
            assert self.mitigations(incident_id).count(change_id) == 1
            assert self.entries(Action.INCIDENT_MITIGATED, incident_id) == len(self.mitigations(incident_id))
            assert self.entries(Action.INCIDENT_CLOSED, incident_id) == 0
        self.assert_serves(change.to_version, deployment.id)

    def assert_restored_once(self, change_id: int, incident_id: int | None = None, *, why: str) -> None:
        """Everything that one failed execution leaves: production is put back, once, and people are told why."""
        change = self.wait_settled(change_id)
        assert (change.state, self.engine_state(change_id)) == ("failed", "ERROR")
        assert why in change.outcome
        assert change.from_version is not None
        moved, restored = self.deployments_of(change_id)
        assert (moved.version, moved.state, moved.ended_at is None) == (change.to_version, "failed", False)
        assert (restored.version, restored.state, restored.ended_at) == (change.from_version, "serving", None)
        counts = {
            Action.CHANGE_APPROVED: 1, Action.EXECUTION_STARTED: 1, Action.EXECUTION_FINISHED: 0,
            Action.EXECUTION_FAILED: 1,
        }  # fmt: skip
        assert {action: self.entries(action, change_id) for action in counts} == counts
        for deployment in (moved, restored):
            assert self.entries(Action.DEPLOYMENT_STARTED, deployment.id) == 1
        assert self.entries(Action.DEPLOYMENT_FAILED, moved.id) == 1
        assert self.entries(Action.JOB_FAILED, f"change-{change_id}") == 1
        assert self.run_state(change_id) == "failed"
        if incident_id is not None:
            assert self.incident(incident_id).state == "open"
        self.assert_serves(change.from_version, restored.id)

    def assert_serves(self, version: int, deployment_id: int) -> None:
        """The record, the gateway's answers and MLflow's alias agree, and the audit log is whole."""
        with reading() as session:
            open_champions = session.scalars(
                select(Deployment.id).where(Deployment.model == MODEL, Deployment.ended_at.is_(None))
            ).all()
        assert open_champions == [deployment_id]
        self.wait_for(
            lambda: self.gateway.model(MODEL)["deployment_id"] == deployment_id, 10, "the gateway's following"
        )
        answer = self.gateway.predict(MODEL, features=FEATURES).json()
        assert (answer["version"], answer["deployment_id"]) == (version, deployment_id)
        assert alias() == version
        verified = verify()
        assert verified.ok, verified.problem

    def mitigations(self, incident_id: int) -> list[int]:
        """The changes that mitigated it, one after the other: an incident that goes on is met by many."""
        query = select(IncidentEntry.details).where(
            IncidentEntry.incident_id == incident_id, IncidentEntry.kind == "mitigated"
        )
        with reading() as session:
            return [details["change"] for details in session.scalars(query)]

    def incident(self, incident_id: int) -> Incident:
        with reading() as session:
            return session.get_one(Incident, incident_id)

    def run_state(self, change_id: int) -> str:
        with reading() as session:
            return session.get_one(JobRun, f"change-{change_id}").state


def alias() -> int | None:
    """The version that MLflow's alias names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        from backend.registry.mlflow_adapter import champion_alias

        return champion_alias(MODEL)


def fill_mlflow() -> None:
    """The embedded registry with `toy` and its versions, the alias on the last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backend.registry.mlflow_adapter import mirror_champion, mlflow_client

        client = mlflow_client()
        client.create_registered_model(MODEL)
        for _ in range(GOOD[-1]):
            client.create_model_version(MODEL, source=str(settings().resolved_home()))
        mirror_champion(MODEL, GOOD[-1])


@contextmanager
def stage(kind: str, url: str | None, migrated: Path | None, folder: Path) -> Iterator[Stage]:
    """A stage in `folder`, on the migrated database at `url` or, on SQLite, on a copy of the file `migrated`."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [
            name for name in os.environ if name.startswith("WARRANT_") and name not in KEPT_SETTINGS
        ]:
            environment.delenv(name)
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        environment.setenv("WARRANT_WORKER_DEAD_AFTER_S", str(DEAD_AFTER_S))
        environment.setenv("WARRANT_GATEWAY_WAIT_S", str(GATEWAY_WAIT_S))
        if url is not None:
            environment.setenv("WARRANT_DATABASE_URL", url)
        _forget_process_state()
        start_forking()
        home = settings().resolved_home()
        if migrated is not None:
            shutil.copy(migrated, home / "warrant.db")
        world = make_world(
            folder / "files", versions=GOOD[-1], trained=(MISSCORED, *GOOD), misscored=(MISSCORED,)
        )
        with GatewayProcess(folder / "gateway.log").start() as gateway:
            fill_mlflow()
            gateway.wait_ready()
            made = Stage(kind, folder, world, gateway)
            try:
                yield made
            finally:
                made.end_workers()
                _forget_process_state()
    settings.cache_clear()


def _forget_process_state() -> None:
    use_database(None)
    queue.client.cache_clear()
    settings.cache_clear()
