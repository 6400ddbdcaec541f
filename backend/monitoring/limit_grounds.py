"""What the limits of stored points rest on: the reference, its quiet windows, and the budget of false pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import ReferenceSummary
from backend.registry.service import get_model


@dataclass(frozen=True)
class LimitGrounds:
    """reference          digest of the version's reference data; empty where none is measured
    reference_rows     its rows
    quiet              {(column, statistic): so many windows of the reference say what is usual}; performance has
                       no column
    pages_per_quarter  false pages that the model's budget tolerates now
    """

    reference: str = ""
    reference_rows: int = 0
    quiet: Mapping[tuple[str, str], int] = field(default_factory=dict)
    pages_per_quarter: float = 0.0
    time_zone: str = "UTC"


def limit_grounds(
    session: ReadSession, viewer: Actor, model: str, version: int | None, size: str
) -> LimitGrounds:
    """Of one version and size of windows. Raises `NotFound` for a model the viewer may not see."""
    spec = parse_spec(get_model(session, viewer, model).spec)
    known = session.get(ReferenceSummary, (model, version)) if version is not None else None
    budget, zone = spec.budget.pages_per_quarter, spec.timezone
    if known is None:
        return LimitGrounds(pages_per_quarter=budget, time_zone=zone)
    quiet = {
        (column, statistic): len(values)
        for column, statistics in known.noise.get(size, {}).items()
        for statistic, values in statistics.items()
    }
    own = known.performance.get("by_window", {}).get(size, {})
    quiet |= {("", metric): len(values) for metric, values in own.items() if isinstance(values, list)}
    return LimitGrounds(known.reference_digest, known.rows, quiet, budget, zone)
