"""Explains a sample of each finished window, and the predictions that its alerts and worst slices are about.

The sample is drawn by the hash of the prediction's id: the same rows whenever it is drawn, and no better known to
anybody than the others. Figures of a window (mean |SHAP| by column and segment) are of the sample alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from backend.data_rights.explanation import cutoff_at
from backend.database.session import reading, writing
from backend.errors import WarrantError
from backend.explain.predictions import LocalExplanation, store_explanations
from backend.explain.windows import (
    Leaning,
    alerted_segments,
    store_leanings,
    windows_to_explain,
    worst_slices,
)
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.spec_explanations import ExplanationRule
from backend.monitoring.tables import WindowState
from backend.queue import EXPLAIN_SAMPLE
from backend.registry.service import get_model
from backend.registry.tables import Model
from backend.settings import settings
from jobs.models import ModelEnded
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pandas as pd

    from jobs.explaining.versions import PreparedVersion

STEPS = ("explain_windows",)

MOST_CANDIDATES: Final = 20_000
LEAST_OF_SEGMENT: Final = 20


@workflow(EXPLAIN_SAMPLE)
def explain_sample(run: Run) -> None:
    """Explain what is due of the model that is the run's subject."""
    run.progress(0.05, "finding windows")
    run.step("explain_windows", explain_windows, run, run.subject)


def explain_windows(run: Run, model: str) -> int:
    """Gives how many predictions were explained. A window that cannot be explained is stored with the reason."""
    with reading() as session:
        spec = parse_spec(get_model(session, run.actor, model).spec)
        due = windows_to_explain(session, model=model, environment=settings().environment, spec=spec)
    count = done = 0
    for number, windows in groupby(sorted(due, key=_version_of), key=_version_of):
        with ExitStack() as stack:
            version = _prepared(stack, run, model, number)
            for window in windows:
                run.progress(
                    0.1 + 0.9 * done / len(due),
                    f"explaining the window from {window.start:%Y-%m-%d %H:%M} UTC",
                )
                count, done = count + _explain_window(run, spec, window, version), done + 1
    tell_drift(run, model)
    return count


def tell_drift(run: Run, model: str) -> None:
    """Store how far what windows leant on is from the version's own explanation, and raise or resolve alerts by it."""
    from backend.explain.attribution_drift import store_attribution_points
    from backend.monitoring.judgement import judge

    environment = settings().environment
    with writing() as session:
        run.require_owned(session)
        found = session.get_one(Model, model)
        spec = parse_spec(found.spec)
        if store_attribution_points(session, run.actor, model=model, environment=environment, spec=spec):
            judge(session, run.actor, model=found, environment=environment, spec=spec)


def _version_of(window: WindowState) -> int:
    return int(window.version or 0)


def _prepared(stack: ExitStack, run: Run, model: str, number: int) -> PreparedVersion | WarrantError:
    """The version for as long as the stack; or why it cannot be explained, which its windows then say."""
    from jobs.explaining.versions import prepared_version

    try:
        return stack.enter_context(prepared_version(run.actor, model, number))
    except ModelEnded:
        raise
    except WarrantError as refused:
        return refused


def _explain_window(
    run: Run, spec: ModelSpec, window: WindowState, version: PreparedVersion | WarrantError
) -> int:
    try:
        if isinstance(version, WarrantError):
            raise version
        with reading() as session:
            chosen = _chosen(spec, window, alerted_segments(session, window), worst_slices(session, window))
        explained = [
            one
            for because, rows in chosen.items()
            if len(rows)
            for one in version.explain(rows, because=because, cutoffs=cutoffs_of(version, rows))
        ]
        explained = _still_stored(window.model, explained)
    except ModelEnded:
        raise
    except WarrantError as refused:
        with writing() as session:
            run.require_owned(session)
            store_leanings(session, run.actor, window=window, leanings=(), reason=refused.message)
        return 0
    leanings = _leanings(version, chosen["sample"], [one for one in explained if one.because == "sample"])
    with writing() as session:
        run.require_owned(session)
        store_explanations(session, run.actor, explainer=version.facts, explained=explained)
        store_leanings(session, run.actor, window=window, leanings=leanings)
    return len(explained)


def cutoffs_of(version: PreparedVersion, rows: pd.DataFrame) -> list[float]:
    """The cut-off of the time of each row whose answer is not recorded: what its score was held against then."""
    usual = float(version.version.cutoff)
    said = rows["prediction"].notna().to_numpy() if "prediction" in rows else [False] * len(rows)
    if not version.spec.reason_codes or all(said):
        return [usual] * len(rows)
    number, model = version.version.version, version.version.model
    found = [
        {**{str(name): one for name, one in row.items()}, "ts": row["ts"].to_pydatetime(), "version": number}
        for row in rows.to_dict("records")
    ]
    with reading() as session:
        return [
            usual if known else cutoff_at(session, model, row, otherwise=usual)
            for known, row in zip(said, found, strict=True)
        ]


def _chosen(
    spec: ModelSpec, window: WindowState, alerted: Sequence[str], slices: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, pd.DataFrame]:
    """The rows to explain by why; no row twice."""
    import numpy as np

    rule = spec.explanations or ExplanationRule(0, 0)
    rows = _candidates(window, MOST_CANDIDATES if alerted or slices else rule.sample)
    sample = rows.head(rule.sample)
    left = rows.iloc[rule.sample :]
    of_alert = (
        left[np.logical_or.reduce([_in_segment(left, one) for one in alerted])] if alerted else left.head(0)
    )
    of_alert = of_alert.head(rule.always)
    left = left.drop(index=of_alert.index)
    room = rule.always - len(of_alert)
    of_slice = _in_slices(spec, window, left, slices, room) if slices and room > 0 else left.head(0)
    return {"sample": sample, "alert": of_alert, "slice": of_slice}


def _candidates(window: WindowState, most: int) -> pd.DataFrame:
    """Rows of the version that answered most of the window, in the order of the hash of their ids."""
    from backend.observations.reader import Filter, scan

    where = Filter(
        start=window.start, end=window.end, versions=[window.version or 0], environments=[window.environment]
    )
    found: pd.DataFrame = (
        scan(settings().observations, window.model, where).order("md5(prediction_id)").limit(most).df()
    )
    return found


def _in_segment(rows: pd.DataFrame, segment: str) -> Any:
    import numpy as np

    column, _, value = segment.partition("=")
    if not column or column not in rows:
        return np.full(len(rows), not column)
    return (rows[column].astype("str") == value).to_numpy()


def _in_slices(
    spec: ModelSpec,
    window: WindowState,
    rows: pd.DataFrame,
    slices: Sequence[Sequence[dict[str, Any]]],
    room: int,
) -> pd.DataFrame:
    """Rows of the slices, as many of each as there is room for."""
    import numpy as np

    from backend.monitoring.cells import place_rows
    from backend.monitoring.grids import freeze_grids
    from backend.registry.reference_file import reference_of
    from backend.registry.tables import Version

    with reading() as session:
        version = session.get_one(Version, (window.model, window.version))
    grids = freeze_grids(reference_of(version), spec.columns)
    names = {condition["column"] for one in slices for condition in one}
    placed = place_rows(rows, {name: grids[name] for name in names if name in grids})
    chosen = np.zeros(len(rows), dtype=bool)
    for one in slices:
        member = np.logical_and.reduce(
            [np.isin(placed[each["column"]].codes, each["cells"]) for each in one if each["column"] in placed]
        )
        chosen[np.flatnonzero(member)[: max(1, room // len(slices))]] = True
    return rows[chosen].head(room)


def _still_stored(model: str, explained: list[LocalExplanation]) -> list[LocalExplanation]:
    """Those whose rows are in the store now: what was erased meanwhile is not stored again."""
    from backend.observations.reader import present_ids

    present = present_ids(settings().observations, model, [one.prediction_id for one in explained])
    return [one for one in explained if one.prediction_id in present]


def _leanings(
    version: PreparedVersion, rows: pd.DataFrame, explained: Sequence[LocalExplanation]
) -> list[Leaning]:
    """Over all sampled rows, and over each value of the spec's segments that enough of them have."""
    import numpy as np

    from backend.explain.figures import mean_sizes

    columns = [column.name for column in version.spec.features]
    by_id = {one.prediction_id: one.values for one in explained}
    rows = rows[rows["prediction_id"].isin(list(by_id))]
    values = np.array([by_id[str(one)] for one in rows["prediction_id"]]).reshape(len(rows), len(columns))
    found = [Leaning("", len(rows), tuple(mean_sizes(columns, values)))]
    for name in version.spec.segments:
        texts = rows[name].astype("str").to_numpy() if name in rows else np.array([])
        for value, count in zip(*np.unique(texts, return_counts=True), strict=True):
            if count >= LEAST_OF_SEGMENT:
                found.append(
                    Leaning(f"{name}={value}", int(count), tuple(mean_sizes(columns, values[texts == value])))
                )
    return found
