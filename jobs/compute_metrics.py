"""Computing the due windows of a model: read its rows, count, judge, store.

Every batch of windows is stored in one transaction, and storing it again changes nothing; a worker that dies
goes on with the batches that are not stored yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from backend import clock
from backend.database.session import WriteSession, reading, writing
from backend.errors import NotFound
from backend.identity.actor import system_actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.judgement import judge
from backend.monitoring.rotas import rota_of, spec_of
from backend.monitoring.service import DueWindow, due_windows, fill_gaps, store_results
from backend.monitoring.track_service import load_track
from backend.queue import COMPUTE_METRICS
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pyarrow as pa

    from backend.monitoring.evaluate import Point
    from backend.monitoring.references import Reference

STEPS = ("compute_due_windows",)
BATCH_WINDOWS = 32

ACTOR = system_actor("worker")
Progress = Callable[[float, str], None]
Guard = Callable[[WriteSession], None]


@workflow(COMPUTE_METRICS)
def compute_metrics(run: Run) -> None:
    """Compute every due window of the model that the run is about."""
    model = str(run.arguments.get("model") or run.subject)
    run.progress(0.02, "looking for due windows")
    done = run.step("compute_due_windows", _step, run, model)
    run.progress(1.0, f"{done} windows computed")


def _step(run: Run, model: str) -> int:
    return compute_due(model, progress=run.progress, guard=run.require_owned)


def compute_due(
    model: str,
    *,
    environment: str | None = None,
    now: datetime | None = None,
    since: datetime | None = None,
    progress: Progress = lambda _fraction, _doing: None,
    guard: Guard = lambda _session: None,
) -> int:
    """Compute every due window of a model, then raise or resolve its alerts; gives the number of windows.

    `since` leaves windows that ended before it to a later run.
    `guard` is called first in every write transaction and raises when this run may no longer act.
    """
    environment = environment or settings().environment
    now = now or clock.now()
    with writing() as session:
        guard(session)
        found = session.get(Model, model)
        if found is None:
            raise NotFound(f"there is no model named {model!r}")
        spec = spec_of(found)
        fill_gaps(session, model=model, environment=environment, spec=spec, now=now)
    with reading() as session:
        due = due_windows(session, model=model, environment=environment, now=now, since=since)
    references: dict[int, Reference] = {}
    if due:
        from backend.monitoring.computation import (  # with it come pandas and DuckDB
            Circumstances,
            compute_windows,
        )

        with reading() as session:
            rota = rota_of(session, spec, environment)
        done = 0
        for size, batch in _batches(due):
            progress(0.1 + 0.8 * done / len(due), f"computing {size} windows, {done} of {len(due)} done")
            rows = _rows(model, environment, spec, batch)
            _complete(references, model, spec, rows, progress)
            with reading() as session:
                tracks = {
                    version: load_track(
                        session, model=model, environment=environment, version=version, size=size
                    )
                    for version in references
                }
            results = compute_windows(
                spec, size, [one.window for one in batch], rows, references, Circumstances(now, rota, tracks)
            )
            with writing() as session:
                guard(session)
                store_results(
                    session, ACTOR, model=session.get_one(Model, model), environment=environment, spec=spec,
                    computed=list(zip(batch, results, strict=True)),
                )  # fmt: skip
            done += len(batch)
    _judge_inputs(model, environment, spec, references, progress, guard)
    progress(0.97, "judging the newest windows")
    with writing() as session:
        guard(session)
        judge(session, ACTOR, model=session.get_one(Model, model), environment=environment, spec=spec)
    return len(due)


def _judge_inputs(
    model: str,
    environment: str,
    spec: ModelSpec,
    references: dict[int, Reference],
    progress: Progress,
    guard: Guard,
) -> None:
    """Judge drift and quality of windows from their stored profiles where the rule of reference asks for it."""
    from backend.monitoring.rejudging import judge_stored, load_past, store_judged, windows_to_judge

    with reading() as session:
        due = windows_to_judge(session, model=model, environment=environment, spec=spec)
    for place, first in enumerate(range(0, len(due), BATCH_WINDOWS)):
        for size in dict.fromkeys(one.size for one in due[first : first + BATCH_WINDOWS]):
            batch = [one for one in due[first : first + BATCH_WINDOWS] if one.size == size]
            progress(
                0.9, f"judging {size} windows by stored profiles, {place * BATCH_WINDOWS} of {len(due)} done"
            )
            add_references(references, model, spec, {one.version for one in batch}, progress)
            with reading() as session:
                stored = load_past(session, model=model, environment=environment, spec=spec, batch=batch)
            points: dict[int, list[Point]] = {}
            for version in {one.version for one in batch} & references.keys():
                mine = [one for one in batch if one.version == version]
                points |= judge_stored(spec, references[version], stored, mine)
            with writing() as session:
                guard(session)
                store_judged(
                    session, ACTOR, model=session.get_one(Model, model), environment=environment, spec=spec,
                    judged=[(one, points.get(one.id, [])) for one in batch],
                )  # fmt: skip


def _batches(due: Sequence[DueWindow]) -> Iterator[tuple[str, list[DueWindow]]]:
    """Neighbouring windows of one size, a few at a time: one read serves a batch, and memory stays bounded.

    `due` is newest first, and so are the batches; inside a batch the windows are in the order of time.
    """
    for size in dict.fromkeys(one.size for one in due):
        batch: list[DueWindow] = []
        for one in (one for one in due if one.size == size):
            apart = batch and (batch[-1].window.start - one.window.end) > 8 * (
                one.window.end - one.window.start
            )
            if len(batch) == BATCH_WINDOWS or apart:
                yield size, batch[::-1]
                batch = []
            batch.append(one)
        if batch:
            yield size, batch[::-1]


def _rows(model: str, environment: str, spec: ModelSpec, batch: Sequence[DueWindow]) -> pa.Table:
    from backend.monitoring.computation import columns_needed
    from backend.observations.reader import Filter, read

    where = Filter(
        start=batch[0].window.start, end=max(one.window.end for one in batch), environments=[environment]
    )
    return read(settings().observations, model, where, columns=columns_needed(spec))


def _complete(
    references: dict[int, Reference], model: str, spec: ModelSpec, rows: pa.Table, progress: Progress
) -> None:
    """Add the references of the versions that these rows name."""
    named = rows.column("version").unique().to_pylist()
    add_references(references, model, spec, {int(one) for one in named if one is not None}, progress)


def add_references(
    references: dict[int, Reference], model: str, spec: ModelSpec, versions: set[int], progress: Progress
) -> None:
    """Add the references of these versions, taken and stored where that has not been done."""
    from backend.monitoring.reference_store import load_reference, store_reference
    from backend.monitoring.references import take_reference

    for number in sorted(versions - references.keys()):
        with reading() as session:
            version = session.get(Version, (model, number))
            known = load_reference(session, version, spec) if version is not None else None
        if version is None:  # rows of a version that was never registered: counted, compared with nothing
            continue
        if known is None:
            progress(0.05, f"measuring the reference of version {number}")
            known = take_reference(version, spec)
            with writing() as session:
                store_reference(session, known, spec)
        references[number] = known
