"""Analyses of windows: what changed and where it is worst, as they are now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.data.operations import runs_about
from app.data.scope import Scope
from app.data.scope import environment as present
from app.words import readable
from backend import clock
from backend.database.session import reading
from backend.errors import NotFound
from backend.monitoring import analysis_service as service
from backend.queue import ANALYSE_WINDOW


def analysis(
    scope: Scope, model: str, size: str, start: datetime, environment: str | None = None
) -> dict[str, Any] | None:
    """The newest analysis of a window in the console's words; None while there is none, or no such window."""
    with reading() as session:
        try:
            found = service.find_analysis(
                session, scope.actor(), model=model, start=start, size=size, environment=environment or present()
            )  # fmt: skip
        except NotFound:
            return None
        if found is None:
            return None
        view = service.analysis_view(found)
    return view | {
        "says": readable(view["says"]),
        "happened": _told(view["happened"]),
    }


def happened(
    scope: Scope, model: str, size: str, start: datetime, environment: str
) -> tuple[datetime, list[dict[str, Any]]] | None:
    """The end of a window, and what happened before and during it; None where there is no such window."""
    with reading() as session:
        try:
            window, found = service.happened_before(
                session, scope.actor(), model=model, environment=environment, size=size, start=start
            )
        except NotFound:
            return None
        return window.end, _told([one.document() for one in found])


def parts_between(
    scope: Scope, model: str, size: str, since: datetime, until: datetime, environment: str
) -> list[dict[str, Any]]:
    """The parts of the change of each analysed window: start, end, parts, scale, unit and metric."""
    with reading() as session:
        found = service.analyses_between(
            session, scope.actor(), model=model, environment=environment, size=size, since=since, until=until
        )
        return [
            {
                "start": one.window.start, "end": one.window.end, "parts": one.row.document["split"]["parts"],
                "scale": one.row.document["scale"], "unit": one.row.document["unit"], "metric": one.row.metric,
            }
            for one in found
        ]  # fmt: skip


def _told(happened: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "at": clock.from_iso(one["at"]), "text": readable(one["text"])} for one in happened]


def analysed(scope: Scope, model: str, size: str) -> dict[datetime, str]:
    """{start: one sentence} of every analysed window, newest first."""
    with reading() as session:
        found = service.analysed_windows(session, scope.actor(), model, present(), size=size)
    return {start: readable(says) for start, says in found.items()}


def analysis_runs(scope: Scope, model: str) -> list[dict[str, Any]]:
    """Queued and running analyses of a model's windows."""
    return [run for run in runs_about(scope, model) if run["name"] == ANALYSE_WINDOW.name]
