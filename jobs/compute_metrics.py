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
from backend.monitoring.traffic import store_volume
from backend.queue import COMPUTE_METRICS
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pyarrow as pa

    from backend.monitoring.computation import Places
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
    if spec.window_rows is not None:
        _cut_windows(model, environment, spec, now, guard)
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
                spec, size, [one.window for one in batch], rows, references, Circumstances(now, rota, tracks),
                _place(model, environment, spec, batch, rows),
            )  # fmt: skip
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
        while store_volume(session, model=model, environment=environment, spec=spec):
            continue
        judge(session, ACTOR, model=session.get_one(Model, model), environment=environment, spec=spec)
    return len(due)


def _cut_windows(model: str, environment: str, spec: ModelSpec, now: datetime, guard: Guard) -> None:
    """Cut windows of N rows where rows have come."""
    from backend.monitoring.numbering import find_cut, known_windows, micros, store_cut
    from backend.observations.reader import Filter, read

    with reading() as session:
        known = known_windows(session, model=model, environment=environment, spec=spec)
    if known.first_dirty is None:
        return
    rows, before_end = (_count(model, environment, until) for until in (None, known.end))
    with reading() as session:
        cut = find_cut(
            session, known, model=model, environment=environment, spec=spec, rows=rows, rows_before_end=before_end
        )  # fmt: skip
    if cut is None:
        return
    where = Filter(start=cut.since, environments=[environment])
    moments = read(settings().observations, model, where, columns=["ts"]).column("ts")
    before = 0 if cut.since is None else _count(model, environment, cut.since)
    with writing() as session:
        guard(session)
        store_cut(
            session, model=model, environment=environment, spec=spec, cut=cut, before=before, now=now,
            moments=micros(moments),
        )  # fmt: skip


def _count(model: str, environment: str, until: datetime | None) -> int:
    """Rows of a model before a moment; None: all of them."""
    from backend.observations.reader import Filter, scan

    where = Filter(end=until, environments=[environment])
    return int(scan(settings().observations, model, where, columns=["ts"]).count("*").fetchall()[0][0])


def _place(
    model: str, environment: str, spec: ModelSpec, batch: Sequence[DueWindow], rows: pa.Table
) -> Places | None:
    """The place in the batch of each row's window, for windows of N rows; None: their times tell."""
    if spec.window_rows is None:
        return None
    import numpy as np

    from backend.monitoring.numbering import number_of_rows

    before = _count(model, environment, min(one.window.start for one in batch))
    numbers = number_of_rows(rows.num_rows, before, spec.window_rows)
    place = np.full(rows.num_rows, -1, dtype=np.int64)
    for index, one in enumerate(batch):
        place[numbers == one.number] = index
    return place


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
            apart = batch and _far(batch[-1], one)
            if len(batch) == BATCH_WINDOWS or apart:
                yield size, batch[::-1]
                batch = []
            batch.append(one)
        if batch:
            yield size, batch[::-1]


def _far(later: DueWindow, one: DueWindow) -> bool:
    """Whether so much lies between two windows that one read of both would be a waste."""
    if one.number:
        return later.number - one.number > 8
    return (later.window.start - one.window.end) > 8 * (one.window.end - one.window.start)


def _rows(model: str, environment: str, spec: ModelSpec, batch: Sequence[DueWindow]) -> pa.Table:
    from backend.monitoring.computation import columns_needed
    from backend.observations.reader import Filter, read, scan

    where = Filter(
        start=min(one.window.start for one in batch),
        end=max(one.window.end for one in batch),
        environments=[environment],
    )
    # A column that the spec has and no row ever had is no reason to stop: it is missing everywhere.
    there = set(scan(settings().observations, model, where).columns)
    columns = [name for name in columns_needed(spec) if name in there]
    return read(settings().observations, model, where, columns=columns)


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
