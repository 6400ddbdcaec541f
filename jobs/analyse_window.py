"""Analysing windows: what changed against the version's reference, and on which rows the model is worst.

A run is about one window (`arguments`: environment, size, start), or without arguments about the newest windows that
are due. Every window is stored in a transaction of its own; a worker that dies goes on with the others. What cannot
be analysed is stored with the reason, so that it is said and not tried for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend import clock
from backend.database.session import WriteSession, reading, writing
from backend.errors import NotFound, WarrantError
from backend.explain.tables import ShapSummary
from backend.identity.actor import system_actor
from backend.monitoring.analysis import MOST_ROWS, Analysis, metric_of, nothing_told
from backend.monitoring.analysis_service import (
    WindowInputs,
    inputs_of,
    named_window,
    store_analysis,
    windows_to_analyse,
)
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.queue import ANALYSE_WINDOW
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pandas as pd

    from backend.monitoring.grids import Grid
    from backend.monitoring.importance import Importances

STEPS = ("analyse_windows",)

ACTOR = system_actor("worker")
Progress = Callable[[float, str], None]
Guard = Callable[[WriteSession], None]
log = logging.getLogger("warrant.jobs")


@workflow(ANALYSE_WINDOW)
def analyse_window(run: Run) -> None:
    """Analyse the window that the run names, or the due ones of its subject, a model."""
    run.progress(0.02, "looking for the window" if run.arguments else "looking for windows to analyse")
    done = run.step("analyse_windows", _step, run)
    run.progress(1.0, f"{done} windows analysed")


def _step(run: Run) -> int:
    if run.arguments:
        return analyse_one(run.subject, run.arguments, progress=run.progress, guard=run.require_owned)
    return analyse_due(run.subject, progress=run.progress, guard=run.require_owned)


def _silent(_fraction: float, _doing: str) -> None:
    """Progress nobody looks at."""


def _unguarded(_session: WriteSession) -> None:
    """A guard for callers that nobody can take a run from."""


def analyse_one(
    model: str, arguments: dict[str, Any], *, progress: Progress = _silent, guard: Guard = _unguarded
) -> int:
    """Analyse the window that `arguments` name: environment, size, start. Raises `NotFound` where there is none."""
    environment, size = str(arguments["environment"]), str(arguments["size"])
    with reading() as session:
        spec = _spec(session, model)
        window = named_window(
            session, model=model, environment=environment, size=size, start=clock.from_iso(arguments["start"])
        )
        inputs = inputs_of(session, [window], spec)
    return _analyse_all(model, environment, spec, inputs, progress, guard)


def analyse_due(
    model: str,
    *,
    environment: str | None = None,
    progress: Progress = _silent,
    guard: Guard = _unguarded,
) -> int:
    """Analyse the newest windows of a model that are due; gives how many."""
    environment = environment or settings().environment
    with reading() as session:
        spec = _spec(session, model)
        due = windows_to_analyse(session, model=model, environment=environment, spec=spec, now=clock.now())
    return _analyse_all(model, environment, spec, due, progress, guard)


def _spec(session: Any, model: str) -> ModelSpec:
    found = session.get(Model, model)
    if found is None:
        raise NotFound(f"there is no model named {model!r}")
    return parse_spec(found.spec)


def _analyse_all(
    model: str,
    environment: str,
    spec: ModelSpec,
    due: list[WindowInputs],
    progress: Progress,
    guard: Guard,
) -> int:
    references: dict[int, Reference] = {}
    for place, inputs in enumerate(due):

        def told(share: float, doing: str, done: int = place, named: WindowInputs = inputs) -> None:
            window = f"{named.window.start:%Y-%m-%d %H:%M} UTC"
            progress(0.03 + 0.95 * (done + share) / len(due), f"{doing} of the window from {window}")

        found = _analyse(model, environment, spec, inputs, references, told)
        with writing() as session:
            guard(session)
            store_analysis(session, ACTOR, model=model, environment=environment, inputs=inputs, found=found)
    return len(due)


def _analyse(
    model: str,
    environment: str,
    spec: ModelSpec,
    inputs: WindowInputs,
    references: dict[int, Reference],
    progress: Progress,
) -> Analysis:
    """What the rows say, or why they say nothing."""
    from backend.monitoring.analysis import analyse_rows

    metric, number = metric_of(spec), inputs.version
    try:
        if number is None:
            return nothing_told(metric, "no version answered in this window")
        progress(0.0, "reading the rows")
        if number not in references:
            references[number] = _reference(model, number, spec)
        reference = references[number]
        window, rows = _rows(model, environment, spec, inputs)
        progress(0.15, "splitting the change and searching slices")
        return analyse_rows(
            spec, reference.frame, window, reference.grids, importances=reference.importances,
            rows=(reference.rows, rows),
        )  # fmt: skip
    except WarrantError as error:
        return nothing_told(metric, error.message)
    except (ValueError, ArithmeticError) as error:
        log.warning("the window of %s from %s cannot be analysed", model, inputs.window.start, exc_info=error)
        return nothing_told(metric, f"its rows could not be analysed ({error})")


@dataclass(frozen=True)
class Reference:
    """A version's reference data as an analysis needs them; `frame` has at most `MOST_ROWS` of the `rows`."""

    frame: pd.DataFrame
    rows: int
    grids: Mapping[str, Grid]
    importances: Importances | None


def _reference(model: str, number: int, spec: ModelSpec) -> Reference:
    """Raises `NotFound` for a version that is not registered and `Conflict` where its file is not the recorded one."""
    import numpy as np

    from backend.monitoring.grids import freeze_grids
    from backend.registry.reference_file import reference_of

    with reading() as session:
        version = session.get(Version, (model, number))
    if version is None:
        raise NotFound(f"version {number} of {model} is not registered")
    table = reference_of(version)
    grids = freeze_grids(table, spec.columns)
    kept = table.select([name for name in _wanted(spec) if name in table.column_names])
    if kept.num_rows > MOST_ROWS:
        kept = kept.take(np.linspace(0, kept.num_rows - 1, MOST_ROWS).round().astype(np.int64))
    return Reference(kept.to_pandas(), table.num_rows, grids, _importances(version, spec))


def _importances(version: Version, spec: ModelSpec) -> Importances | None:
    """The version's SHAP summary, else what was measured with its reference."""
    from backend.monitoring.importance import share_shap
    from backend.monitoring.reference_store import load_reference

    with reading() as session:
        explained = session.get(ShapSummary, (version.model, version.version))
        if explained is not None:
            return share_shap({one["column"]: float(one["mean_abs"]) for one in explained.features})
        known = load_reference(session, version, spec)
    return known.importances if known is not None else None


def _rows(model: str, environment: str, spec: ModelSpec, inputs: WindowInputs) -> tuple[pd.DataFrame, int]:
    """Rows of the version that answered most of the window, and how many there are.

    Columns that were never stored are left out. Of more than `MOST_ROWS` a share is drawn by the hash of their ids.
    """
    from backend.observations.reader import Filter, scan

    where = Filter(
        start=inputs.window.start, end=inputs.window.end, versions=[inputs.version or 0],
        environments=[environment],
    )  # fmt: skip
    stored = scan(settings().observations, model, where)
    ids = stored.project("prediction_id")
    count = int(ids.aggregate("count(*)").fetchall()[0][0])
    if count > MOST_ROWS:
        stored = stored.filter(f"hash(prediction_id) % {count} < {MOST_ROWS}")
    quoted = ", ".join(
        '"' + name.replace('"', '""') + '"' for name in _wanted(spec) if name in stored.columns
    )
    frame: pd.DataFrame = stored.project(quoted).order("ts").df()
    return frame, count


def _wanted(spec: ModelSpec) -> list[str]:
    return list(
        dict.fromkeys(["ts", "score", "prediction", *(column.name for column in spec.features), "label"])
    )
