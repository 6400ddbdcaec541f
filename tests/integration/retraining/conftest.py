"""`toy` with a champion that was really trained, and some hundred answered rows with labels in the store."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import clock
from backend.data_rights.rules import set_rule
from backend.database.session import reading, writing
from backend.governance import execution
from backend.governance.standing import what_differs
from backend.governance.tables import Change
from backend.observations.service import accept_batch
from backend.observations.writer import commit_spool
from backend.queue import RETRAIN, JobRun
from backend.registry.tables import Model
from backend.retraining.plan import Plan, Wish
from backend.retraining.running import end_run
from backend.retraining.service import asked_for, request_retraining
from backend.retraining.tables import RetrainingRun, RetrainingStep
from backend.settings import settings
from jobs.retrain import PIPELINE
from jobs.retraining.work import take_step
from tests.worlds import SPEC, SYSTEM, World, make_world, set_tier

PARAMETERS = {"max_iter": 10, "checkpoint_every": 5, "min_samples_leaf": 10}
ROWS = 600


@dataclass
class Here:
    """A run that is always ours, in this process."""

    worker_id: str = "here"
    run_id: str = "run_here"
    actor: Any = SYSTEM
    steps: list[str] = field(default_factory=list)

    def require_owned(self, session: object | None = None) -> None: ...

    def progress(self, fraction: float, doing: str) -> None: ...


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    """Two versions of `toy`, the second one serving; its tier is low. Nothing can be trained or compared."""
    made = make_world(tmp_path / "files")
    describe(made)
    return made


@pytest.fixture
def trained(migrated_home: Path, tmp_path: Path) -> World:
    """The same with a version 2 that was really trained, and answered rows with labels in the store."""
    made = make_world(tmp_path / "files", trained=(2,))
    describe(made)
    with writing() as session:
        set_rule(session, made.compliance, model="toy", purposes=["retraining"], why="for tests")
    store_rows()
    return made


def describe(made: World, **more: Any) -> None:
    """The spec of `toy` with segments, and whatever more; its owner, and its tier."""
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**SPEC, "segments": ["carrier"], **more}
        model.owner_id = made.engineer.person_id
        if model.tier != "low":
            set_tier(session, "toy", "low")


def store_rows(
    rows: int = ROWS, *, days: int = 30, unlabelled: int = 0, seed: int = 5, **columns: Any
) -> None:
    """Answered rows of the last days with their labels, the newest `unlabelled` ones without."""
    draw = np.random.default_rng(seed)
    distance, carrier = draw.uniform(50, 3000, rows), draw.choice(["AA", "B6", "UA"], rows)
    positive = distance / 3000 + draw.normal(0, 0.3, rows) > 0.5
    now = clock.now()
    times = [now - timedelta(days=days) * (1 - (number + 1) / (rows + 2)) for number in range(rows)]
    predictions = [
        {"prediction_id": f"p{seed}-{number}", "ts": times[number].isoformat(), "version": 2, "score": 0.6,
         "distance": float(distance[number]), "carrier": str(carrier[number]),
         **{name: values[number] for name, values in columns.items()}}
        for number in range(rows)
    ]  # fmt: skip
    labels = [
        {"prediction_id": f"p{seed}-{number}", "label": str(int(positive[number])), "status": "known",
         "label_ts": (times[number] + timedelta(seconds=1)).isoformat()}
        for number in range(rows - unlabelled)
    ]  # fmt: skip
    with reading() as session:
        for stream, payload in (("predictions", predictions), ("labels", labels)):
            accept_batch(session, SYSTEM, model="toy", stream=stream, payload=payload, source="backfill")  # type: ignore[arg-type]
    commit_spool(settings().observations, settings().spool)


def plan(**changes: Any) -> Plan:
    return Wish("sklearn_boosting", **{"parameters": PARAMETERS, "wall_s": 600, **changes}).plan()


def ask(who: Any, wanted: Plan | None = None, **more: Any) -> Change:
    wanted = wanted or plan()
    with writing() as session:
        return request_retraining(
            session, who, asked_for("toy", wanted, alert_id=more.pop("alert_id", None)), wanted,
            **{"reason": "it is old", **more},
        )  # fmt: skip


def begin(change: Change) -> RetrainingRun:
    """Carry out the change: a run that waits for a worker."""
    with writing() as session:
        differs = what_differs(session, session.get_one(Change, change.id))
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None, differs
    with writing() as session:
        execution.apply_record(session, SYSTEM, change.id)
    return run_of(f"retrain-{change.id}")


def take(run_id: str, *names: str) -> dict[str, dict[str, Any]]:
    """Do these steps of a run here (none named: all); gives their results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        return {name: take_step(Here(), run_id, name, PIPELINE[name]) for name in names or PIPELINE}  # type: ignore[arg-type]


def step_of(run_id: str, name: str) -> RetrainingStep:
    with reading() as session:
        return session.get_one(RetrainingStep, (run_id, name))


def run_of(run_id: str) -> RetrainingRun:
    with reading() as session:
        return session.get_one(RetrainingRun, run_id)


def job_of(run_id: str) -> JobRun:
    with reading() as session:
        found = session.get_one(JobRun, run_id)
        assert found.name == RETRAIN.name
        return found


def close(run_id: str, state: str = "succeeded") -> None:
    with writing() as session:
        end_run(session, SYSTEM, session.get_one(RetrainingRun, run_id), state, "over")
