"""Examining the rows of finished windows: joint drift, outlier rows and declared rules.

Every window is stored in a transaction of its own, newest first; a worker that dies goes on with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from backend.database.session import WriteSession, reading, writing
from backend.errors import NotFound
from backend.identity.actor import system_actor
from backend.monitoring.budget import Rota
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.examination_service import UnexaminedWindow, store_examination, windows_to_examine
from backend.monitoring.judgement import judge
from backend.monitoring.rotas import rota_of
from backend.queue import COMPUTE_JOINT
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pyarrow as pa

    from backend.monitoring.examination import Examiner

STEPS = ("examine_windows",)

ACTOR = system_actor("worker")
Progress = Callable[[float, str], None]
Guard = Callable[[WriteSession], None]


@workflow(COMPUTE_JOINT)
def compute_joint(run: Run) -> None:
    """Examine the newest finished windows of the run's subject, a model."""
    run.progress(0.02, "looking for windows to examine")
    done = run.step("examine_windows", _step, run)
    run.progress(1.0, f"{done} windows examined")


def _step(run: Run) -> int:
    return examine_due(run.subject, progress=run.progress, guard=run.require_owned)


def examine_due(
    model: str,
    *,
    environment: str | None = None,
    progress: Progress = lambda _fraction, _doing: None,
    guard: Guard = lambda _session: None,
) -> int:
    """Examine every window of a model that lacks it, then raise or resolve its alerts; gives the number of windows.

    Windows of a version that was never registered have nothing to be compared with and are passed over.
    """
    from backend.monitoring.examination import examine

    environment = environment or settings().environment
    with reading() as session:
        found = session.get(Model, model)
        if found is None:
            raise NotFound(f"there is no model named {model!r}")
        spec = parse_spec(found.spec)
        rota = rota_of(session, spec, environment)
        due = windows_to_examine(session, model=model, environment=environment, spec=spec)
        versions = {
            number: session.get(Version, (model, number)) for number in {window.version for window in due}
        }
    done = 0
    for place, window in enumerate(due):
        version = versions[window.version]
        progress(
            0.05 + 0.9 * place / len(due), f"examining the window of {window.window.start:%Y-%m-%d %H:%M} UTC"
        )
        points = []
        if version is not None:
            examiner = _examiner(version.reference_path, version.reference_digest, spec, window.size, rota)
            points = examine(examiner, _rows(model, environment, spec, window))
            done += 1
        with writing() as session:
            guard(session)
            store_examination(
                session, ACTOR, model=session.get_one(Model, model), environment=environment, window=window,
                points=points,
            )  # fmt: skip
    if done:
        with writing() as session:
            guard(session)
            judge(session, ACTOR, model=session.get_one(Model, model), environment=environment, spec=spec)
    return done


@lru_cache(maxsize=4)
def _examiner(path: str, digest: str, spec: ModelSpec, size: str, rota: Rota) -> Examiner:
    """Fitted on a reference file; a fit is deterministic in it, so it is made again where it is needed."""
    from backend.monitoring.examination import prepare
    from backend.registry.reference_file import read_reference

    return prepare(spec, read_reference(Path(path), digest), size, rota)


def _rows(model: str, environment: str, spec: ModelSpec, window: UnexaminedWindow) -> pa.Table:
    from backend.monitoring.examination import columns_examined
    from backend.observations.reader import Filter, read, scan

    where = Filter(
        start=window.window.start,
        end=window.window.end,
        versions=[window.version],
        environments=[environment],
    )
    # A feature that no row ever had is no reason to stop: it is missing everywhere.
    there = set(scan(settings().observations, model, where).columns)
    columns = [name for name in columns_examined(spec) if name in there]
    return read(settings().observations, model, where, columns=columns)
