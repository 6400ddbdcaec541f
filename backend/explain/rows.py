"""Many stored explanations of a version at once, as matrices: what figures over rows are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.explain.figures import Floats, cohort_differences, mean_sizes, with_intervals
from backend.explain.predictions import adds_up
from backend.explain.tables import Explainer, PredictionExplanation
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.service import get_version

MOST_ROWS: Final = 2_000


@dataclass(frozen=True)
class LocalValues:
    """SHAP values (rows, columns) of one version's newest explained predictions, by one explainer.

    inputs   what the columns held, one tuple a row
    apart    rows whose values do not add up to the model's output
    """

    columns: tuple[str, ...]
    values: Floats
    inputs: tuple[tuple[Any, ...], ...]
    unit: str
    method: str
    apart: int


def count_stored(session: ReadSession, viewer: Actor, model: str, version: int) -> dict[str, int]:
    """How many predictions of a version are explained, by why."""
    get_version(session, viewer, model, version)
    query = (
        select(PredictionExplanation.because, func.count())
        .where(PredictionExplanation.model == model, PredictionExplanation.version == version)
        .group_by(PredictionExplanation.because)
    )
    return {because: int(count) for because, count in session.execute(query)}


def list_values(session: ReadSession, viewer: Actor, model: str, version: int) -> LocalValues | None:
    """The sampled predictions, whose figures stand for all; None where there are none. Single people's values: for
    those who may look at single predictions."""
    allow(session, viewer, Permission.EXPLAIN_PREDICTION)
    return _read(session, viewer, model, version)


def importance(session: ReadSession, viewer: Actor, model: str, version: int) -> dict[str, Any] | None:
    """Mean |SHAP| of each column over the sampled predictions, with intervals; None where there are none."""
    found = _read(session, viewer, model, version)
    if found is None:
        return None
    return {
        "rows": len(found.values), "unit": found.unit, "method": found.method, "apart": found.apart,
        "columns": with_intervals(mean_sizes(found.columns, found.values)),
    }  # fmt: skip


def cohorts(session: ReadSession, viewer: Actor, model: str, version: int, column: str) -> list[str]:
    """What a column holds in enough of the sampled rows, the commonest first; numbers as quarters of their range."""
    found = _read(session, viewer, model, version)
    if found is None or column not in found.columns:
        return []
    texts = cohort_texts(found, column)
    names, counts = np.unique([one for one in texts if one], return_counts=True)
    return [str(names[place]) for place in np.argsort(-counts, kind="stable")[:20]]


def compare_cohort(
    session: ReadSession, viewer: Actor, model: str, version: int, *, column: str, value: str
) -> dict[str, Any]:
    """Rows of which a column holds something beside all others: mean SHAP of each column with intervals."""
    found = _read(session, viewer, model, version)
    if found is None or column not in found.columns:
        raise BadInput(f"no explained prediction of {model} version {version} has the column {column}")
    member = np.array([one == value for one in cohort_texts(found, column)])
    return {
        "rows": int(member.sum()), "others": int((~member).sum()), "unit": found.unit,
        "columns": cohort_differences(found.columns, found.values, member),
    }  # fmt: skip


def cohort_texts(found: LocalValues, column: str) -> list[str]:
    """To which cohort of a column each row belongs; "missing" where it holds nothing."""
    given = [row[found.columns.index(column)] for row in found.inputs]
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(set(numbers)) <= 8 or len(numbers) < len([one for one in given if one is not None]):
        return ["missing" if one is None else str(one) for one in given]
    edges = [float(one) for one in np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))]
    return ["missing" if one is None else _quarter(float(one), edges) for one in given]


def _quarter(value: float, edges: Sequence[float]) -> str:
    place = min(int(np.searchsorted(edges, value, side="right")), len(edges) - 1)
    return f"{edges[max(place - 1, 0)]:.4g} to {edges[place]:.4g}"


def _read(session: ReadSession, viewer: Actor, model: str, version: int) -> LocalValues | None:
    """The newest `MOST_ROWS` of the sample, those of the explainer that made the newest of them."""
    get_version(session, viewer, model, version)
    row = PredictionExplanation
    query = (
        select(row.contributions, row.inputs, row.explainer_id, row.gap, row.output)
        .where(row.model == model, row.version == version, row.because == "sample")
        .order_by(row.ts.desc())
        .limit(MOST_ROWS)
    )
    found = session.execute(query).all()
    if not found:
        return None
    explainer = session.get_one(Explainer, found[0].explainer_id)
    mine = [one for one in found if one.explainer_id == explainer.id]
    values = np.frombuffer(b"".join(one.contributions for one in mine), "<f4").reshape(len(mine), -1)
    return LocalValues(
        tuple(explainer.columns), values.astype("float64"), tuple(tuple(one.inputs) for one in mine), explainer.unit,
        explainer.method, sum(not adds_up(one.gap, one.output) for one in mine),
    )  # fmt: skip
