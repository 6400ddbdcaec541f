"""What models cost."""

from __future__ import annotations

from datetime import date

from app.data.scope import Scope
from backend.costs import report
from backend.database.session import reading
from backend.settings import settings


def costs(scope: Scope, since: date, until: date) -> report.Costs:
    with reading() as session:
        return report.costs(session, scope.actor(), since=since, until=until)


def prices() -> dict[str, float]:
    return settings().prices
