"""Looking up what explanation and report jobs stored, as a viewer may see it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.errors import NotFound
from backend.explain.tables import Report, ShapSummary
from backend.identity.actor import Actor
from backend.registry.service import get_model
from backend.settings import settings


def shap_summary_of(session: ReadSession, viewer: Actor, model: str, version: int) -> ShapSummary | None:
    """The stored summary of a version, or None where no job has written one."""
    get_model(session, viewer, model)
    return session.get(ShapSummary, (model, version))


def list_reports(session: ReadSession, viewer: Actor, model: str, *, limit: int = 20) -> list[Report]:
    """The model's reports, newest first."""
    get_model(session, viewer, model)
    query = select(Report).where(Report.model == model).order_by(Report.created_at.desc()).limit(limit)
    return list(session.scalars(query))


def find_report(session: ReadSession, viewer: Actor, report_id: str) -> Report:
    """Raises `NotFound` also where the viewer may not see the report's model."""
    report = session.get(Report, report_id)
    if report is None:
        raise NotFound(f"there is no report {report_id} that you may see")
    get_model(session, viewer, report.model)
    return report


def report_file(report: Report) -> Path:
    """Where the report lies. Raises `NotFound` when the file is gone or its path leads out of the folder."""
    folder = settings().artefacts.resolve()
    path = (folder / report.path).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise NotFound(f"the file of report {report.id} is gone; have the report written again")
    return path
