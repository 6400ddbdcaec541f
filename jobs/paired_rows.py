"""Scoring the same rows with two versions: what comparing gates, and who flips, are computed from.

Each version is loaded in a process of its own (`jobs.models`), so that neither can alter what the other answers. The
number of rows is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from backend import clock
from backend.governance.pairs import Answers, Measured, PairedRows, Source
from backend.monitoring.columns import ModelSpec
from backend.observations.reader import Filter, scan
from backend.registry.reference_file import reference_of
from backend.registry.tables import Version
from backend.settings import settings
from jobs.explaining.base import input_of
from jobs.models import ModelProcess, open_model
from jobs.models.explaining import prepared_there

MOST_ROWS: Final = 5000
ENOUGH_LABELS: Final = (
    500  # fewer known labels among live rows: a metric is measured on the reference instead
)
TRIED_ROWS: Final = 5
LATENCY_ROUNDS: Final = 40
WARMING_ROUNDS: Final = 2
MEMORY_ROUNDS: Final = 3
MOST_REASONS: Final = 100
MOST_REASON_FEATURES: Final = 40
ROLES: Final = ("champion", "canary", "backfill")  # a shadow's answers reached nobody


@dataclass(frozen=True)
class Scored:
    """What came of it: `pairs`, or `missing` why there are none; and whether the candidate answers at all.

    `reasons`: how often the first reason of a positive decision changes, as `count_flips` takes it.
    """

    pairs: PairedRows | None = None
    missing: str = ""
    reasons: dict[str, Any] | None = None
    answers: bool | None = None
    answers_not: str = ""


@dataclass(frozen=True)
class _Loaded:
    version: Version
    cutoff: float
    model: ModelProcess


@dataclass(frozen=True)
class _Rows:
    """Rows before they are scored; `frame` has id, ts (or None), label and the columns of the spec."""

    source: Source
    frame: pd.DataFrame
    note: str = ""


def score_rows(
    spec: ModelSpec, environment: str, *, before: Version | None, before_cutoff: float | None, after: Version,
    after_cutoff: float, allow: tuple[str, ...] = (), most: int = MOST_ROWS,
) -> Scored:  # fmt: skip
    """Score rows with champion and candidate. Whatever stands in the way is said, never raised.

    allow   further modules that a model file may import (the parameter of the gate `artefact_scanned`)
    """
    with ExitStack() as stack:
        return _scored(stack, spec, environment, before, before_cutoff, after, after_cutoff, allow, most)


def _scored(
    stack: ExitStack, spec: ModelSpec, environment: str, before: Version | None, before_cutoff: float | None,
    after: Version, after_cutoff: float, allow: tuple[str, ...], most: int,
) -> Scored:  # fmt: skip
    try:
        candidate = stack.enter_context(_loaded(after, after_cutoff, allow))
        reference = _reference(spec, after, most)
    except Exception as error:  # noqa: BLE001 - a file, a registry or a library may raise anything; it is said
        said = f"version {after.version} cannot be loaded: {_reason(error)}"
        return Scored(missing=said, answers_not=said)
    try:
        candidate.model.check_fits(spec)
        _answers(spec, candidate, reference.frame.head(TRIED_ROWS))
    except Exception as error:  # noqa: BLE001 - the candidate's own code
        said = f"version {after.version} cannot score rows of the model's spec: {_reason(error)}"
        return Scored(missing=said, answers=False, answers_not=said)
    if before is None or before_cutoff is None:
        return Scored(
            missing=f"nothing serves in {environment}, so there is nothing to compare with", answers=True
        )
    try:
        champion = (
            replace(candidate, cutoff=before_cutoff)
            if before.version == after.version
            else stack.enter_context(_loaded(before, before_cutoff, allow))
        )
    except Exception as error:  # noqa: BLE001 - as above
        return Scored(missing=f"version {before.version} cannot be loaded: {_reason(error)}", answers=True)
    try:
        pairs = _pairs(spec, environment, champion, candidate, reference, most)
    except Exception as error:  # noqa: BLE001 - as above
        return Scored(
            missing=f"the rows could not be scored by both versions: {_reason(error)}", answers=True
        )
    return Scored(pairs, reasons=_reasons(spec, pairs, champion, candidate), answers=True)


def _pairs(
    spec: ModelSpec, environment: str, champion: _Loaded, candidate: _Loaded, reference: _Rows, most: int
) -> PairedRows:
    since, note = _unseen_since(champion.version, candidate.version)
    labelled = _live(spec, environment, candidate.version.model, since, note, most, labelled=True)
    if len(labelled.frame) >= ENOUGH_LABELS:
        return _score(spec, champion, candidate, labelled, measure=True)
    newest = _live(spec, environment, candidate.version.model, since, note, most, labelled=False)
    on_reference = _score(spec, champion, candidate, reference, measure=newest.frame.empty)
    if newest.frame.empty:
        return on_reference
    return replace(_score(spec, champion, candidate, newest, measure=True), judged=on_reference)


def _unseen_since(champion: Version, candidate: Version) -> tuple[datetime | None, str]:
    """From when on rows were among the training data of neither, as far as that is known: a candidate would shine on
    rows it learned from."""
    ends, unknown = [], []
    for version in (champion, candidate):
        end = version.training.get("to")
        try:
            ends.append(clock.from_iso(end if isinstance(end, str) else ""))
        except ValueError:
            unknown.append(f"whether version {version.version} was trained on them is not known")
    return max(ends, default=None), "; ".join(unknown) or "after both were trained"


def _live(
    spec: ModelSpec, environment: str, model: str, since: datetime | None, note: str, most: int, *, labelled: bool
) -> _Rows:  # fmt: skip
    where = Filter(start=since, environments=[environment], roles=ROLES)
    found = scan(settings().observations, model, where)
    wanted = _columns(spec, found.columns)
    if labelled:
        found = found.filter("label_status = 'known'")
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in ["prediction_id", "label", *wanted])
    frame = found.order("ts DESC, prediction_id").limit(most).project(f"epoch_us(ts) AS ts, {names}").df()
    frame = frame.rename(columns={"prediction_id": "id"})
    for column in spec.features:
        if column.name not in frame:  # the store has never seen it: every row lacks it
            frame[column.name] = None
    return _Rows("live", frame, note)


def _reference(spec: ModelSpec, version: Version, most: int) -> _Rows:
    """The newest rows of the version's reference."""
    whole = reference_of(version).to_pandas()
    missing = [column.name for column in spec.features if column.name not in whole]
    if missing:
        raise ValueError(f"its reference data lack {', '.join(missing)}")
    part = whole.tail(most)
    frame = part[_columns(spec, list(part.columns))].copy()
    frame["id"] = [f"reference row {number}" for number in range(len(whole) - len(part), len(whole))]
    frame["ts"] = None
    frame["label"] = part.get("label")
    return _Rows("reference", frame.reset_index(drop=True), "held out when it was trained")


def _columns(spec: ModelSpec, there: list[str]) -> list[str]:
    wanted = [*(column.name for column in spec.features), *spec.segments, *spec.protected]
    return [name for name in dict.fromkeys(wanted) if name in there]


@contextmanager
def _loaded(version: Version, cutoff: float, allow: tuple[str, ...]) -> Iterator[_Loaded]:
    with open_model(version.uri, version.artefact_digest, allow=allow) as model:
        yield _Loaded(version, cutoff, model)


def _score(
    spec: ModelSpec, champion: _Loaded, candidate: _Loaded, rows: _Rows, *, measure: bool
) -> PairedRows:
    frame = rows.frame
    sides = [_answers(spec, one, frame) for one in (champion, candidate)]
    if measure and champion.version.version != candidate.version.version:
        costs = _costs(spec, (champion, candidate), frame)
        sides = [replace(side, measured=cost) for side, cost in zip(sides, costs, strict=True)]
    groups = [name for name in dict.fromkeys([*spec.segments, *spec.protected]) if name in frame]
    return PairedRows(
        task=spec.task, source=rows.source, ids=tuple(str(one) for one in frame["id"]),
        times=tuple(_moment(one) for one in frame["ts"]),
        features=frame[[column.name for column in spec.features]], segments=frame[groups],
        label=_texts(frame["label"]), before=sides[0], after=sides[1], note=rows.note,
    )  # fmt: skip


def _moment(microseconds: Any) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(int(microseconds) / 1e6, UTC)


def _texts(values: pd.Series) -> Any:
    from backend.monitoring.performance import class_name

    found = np.empty(len(values), dtype=object)
    found[:] = [None if pd.isna(value) else class_name(value) for value in values]
    return found


def _answers(spec: ModelSpec, loaded: _Loaded, frame: pd.DataFrame) -> Answers:
    rows = loaded.model.send(input_of(frame, spec))
    scored = loaded.model.score(rows, spec, loaded.cutoff)
    score = np.array([np.nan if one.score is None else one.score for one in scored], dtype=np.float64)
    prediction = np.empty(len(scored), dtype=object)
    prediction[:] = [one.prediction for one in scored]
    return Answers(loaded.version.version, loaded.cutoff, score, prediction)


def _costs(spec: ModelSpec, sides: tuple[_Loaded, _Loaded], frame: pd.DataFrame) -> list[Measured]:
    """Time of single rows, in turns on the same row so that a busy machine hits both; and memory of all rows."""
    latency: tuple[list[float], list[float]] = ([], [])
    memory: tuple[list[int], list[int]] = ([], [])
    sent = [one.model.send(input_of(frame, spec)) for one in sides]
    for number in range(LATENCY_ROUNDS + WARMING_ROUNDS):
        for at in (0, 1) if number % 2 else (1, 0):
            taken = sides[at].model.time_row(sent[at], spec, sides[at].cutoff, number)
            if number >= WARMING_ROUNDS:
                latency[at].append(taken)
    for _ in range(MEMORY_ROUNDS):
        for at in (0, 1):
            memory[at].append(sides[at].model.measure_memory(sent[at], spec, sides[at].cutoff))
    return [Measured(tuple(latency[at]), tuple(memory[at]), sides[at].model.held_bytes) for at in (0, 1)]


def _reasons(spec: ModelSpec, pairs: PairedRows, champion: _Loaded, candidate: _Loaded) -> dict[str, Any]:
    """Whether what pushes a case most towards the positive class changes, among those that both decide positively."""
    from backend.monitoring.performance import wilson

    if spec.task != "binary":
        return {"share": None, "why": f"a {spec.task} model decides nothing positively"}
    both = np.flatnonzero((pairs.before.prediction == "1") & (pairs.after.prediction == "1"))[:MOST_REASONS]
    if not len(both):
        return {"share": None, "why": "both versions decide no row positively"}
    if len(spec.features) > MOST_REASON_FEATURES:
        return {
            "share": None,
            "why": f"reasons over {len(spec.features)} features take too long to compute here",
        }
    if champion.version.version == candidate.version.version:
        return {"share": 0.0, "rows": len(both), "changed": 0, "low": 0.0, "high": 0.0}
    rows = pairs.features.iloc[both]
    try:
        first = []
        for one in (champion, candidate):
            values = prepared_there(one.model, pairs.features, spec).explain(rows).values
            if values.ndim == 3:  # a value for each class; the positive one is the last
                values = values[..., -1]
            first.append(values.argmax(axis=1))
    except Exception as error:  # noqa: BLE001 - shap and models raise anything; flips are counted without
        return {"share": None, "why": f"the reasons could not be computed: {_reason(error)}"}
    changed = int((first[0] != first[1]).sum())
    low, high = wilson(float(changed), float(len(both)))
    return {"share": changed / len(both), "rows": len(both), "changed": changed, "low": low, "high": high}


def _reason(error: Exception) -> str:
    return str(getattr(error, "message", "")) or f"{type(error).__name__}: {error}"


def answers_to(spec: ModelSpec, version: Version, cutoff: float, frame: pd.DataFrame) -> Answers:
    """What a version says of rows with the spec's features."""
    with _loaded(version, cutoff, ()) as loaded:
        return _answers(spec, loaded, frame)
