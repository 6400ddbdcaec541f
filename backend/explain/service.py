"""Explanations: requested by people, computed by a job, looked up by pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.explain.tables import ShapSummary
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.queue import COMPUTE_SHAP, JobRun, request_job
from backend.registry.service import get_version


@dataclass(frozen=True)
class Contribution:
    """How much one column moves a version's output.

    mean_abs   mean |SHAP| over the explained rows, in the unit of the output (log-odds for a classifier)
    direction  Pearson correlation of value and SHAP, -1..1; None for categories and for a column that never changes
    se         standard error of `mean_abs`; None where it was not computed
    """

    column: str
    mean_abs: float
    direction: float | None
    se: float | None = None


@dataclass(frozen=True)
class Explanation:
    """A version's global explanation, as computed. `method` names explainer and background in words."""

    model: str
    version: int
    rows: int
    method: str
    base_value: float
    contributions: tuple[Contribution, ...]


def request_explanation(session: WriteSession, actor: Actor, *, model: str, version: int) -> JobRun:
    """Queue the explanation of a version. While one is queued or running it is returned instead."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    get_version(session, actor, model, version)
    for run in session.scalars(
        select(JobRun).where(
            JobRun.name == COMPUTE_SHAP.name, JobRun.subject == model, JobRun.state.in_(("queued", "running"))
        )
    ):
        if run.arguments.get("version") == version:
            return run
    run = request_job(
        session, COMPUTE_SHAP, subject=model, arguments={"version": version},
        requested_by=actor.person_row,
    )  # fmt: skip
    record(
        session, actor, Action.METRICS_REQUESTED, object_kind="version", object_id=f"{model}/{version}",
        payload={"job": COMPUTE_SHAP.name, "run": run.id},
    )  # fmt: skip
    return run


def store_explanation(session: WriteSession, actor: Actor, *, explanation: Explanation) -> ShapSummary:
    """Store a version's explanation, in place of an earlier one. Largest contribution first.

    The same explanation again (a job that was resumed) changes nothing and is not recorded twice.
    """
    allow(session, actor, Permission.COMPUTE_METRICS)
    get_version(session, actor, explanation.model, explanation.version)
    features = [asdict(one) for one in ranked(explanation.contributions)]
    row = session.get(ShapSummary, (explanation.model, explanation.version))
    if row is not None and (row.features, row.method, row.rows) == (
        features,
        explanation.method,
        explanation.rows,
    ):
        return row
    if row is None:
        row = ShapSummary(model=explanation.model, version=explanation.version)
        session.add(row)
    row.computed_at, row.rows, row.method = clock.now(), explanation.rows, explanation.method
    row.base_value, row.features = explanation.base_value, features
    session.flush()
    record(
        session, actor, Action.EXPLANATION_STORED,
        object_kind="version", object_id=f"{explanation.model}/{explanation.version}",
        payload={"rows": explanation.rows, "method": explanation.method},
    )  # fmt: skip
    return row


def ranked(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Largest first; by name where equal, so that the order never depends on chance."""
    return sorted(contributions, key=lambda one: (-one.mean_abs, one.column))


def find_explanation(session: ReadSession, viewer: Actor, model: str, version: int) -> ShapSummary | None:
    """A version's stored explanation, or None before a job has computed one."""
    get_version(session, viewer, model, version)
    return session.get(ShapSummary, (model, version))
