"""Reports: files that a job writes for people, listed and handed out with their digest checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.explain.tables import Report
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.queue import WRITE_REPORT, JobRun, request_job
from backend.registry.artefacts import ArtefactAltered, file_digest
from backend.registry.service import get_model
from backend.settings import settings


@dataclass(frozen=True)
class WrittenReport:
    """A file that a job has written under `settings().artefacts`."""

    id: str
    kind: str
    model: str
    environment: str
    window_start: datetime | None
    path: str  # relative to settings().artefacts
    media_type: str
    bytes: int
    sha256: str  # "sha256:<hex>"
    created_by: str | None


def request_report(
    session: WriteSession, actor: Actor, *, model: str, environment: str, start: datetime, end: datetime
) -> JobRun:
    """Queue Evidently's report of the predictions in [start, end) against their version's reference."""
    allow(session, actor, Permission.WRITE_REPORT)
    get_model(session, actor, model)
    if not start < end:
        raise BadInput(f"the report's window ends before it starts: {start} .. {end}")
    run = request_job(
        session, WRITE_REPORT, subject=model,
        arguments={"environment": environment, "start": clock.to_iso(start), "end": clock.to_iso(end)},
        requested_by=actor.person_row,
    )  # fmt: skip
    record(
        session, actor, Action.REPORT_REQUESTED, object_kind="model", object_id=model,
        payload={"run": run.id, "environment": environment, "start": clock.to_iso(start), "end": clock.to_iso(end)},
    )  # fmt: skip
    return run


def store_report(session: WriteSession, actor: Actor, *, written: WrittenReport) -> Report:
    """Record a written report. Doing it again for the same id returns the row that exists."""
    allow(session, actor, Permission.WRITE_REPORT)
    known = session.get(Report, written.id)
    if known is not None:
        return known
    row = Report(
        id=written.id, kind=written.kind, model=written.model, environment=written.environment,
        window_start=written.window_start, path=written.path, media_type=written.media_type, bytes=written.bytes,
        sha256=written.sha256, created_at=clock.now(), created_by=written.created_by,
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.REPORT_WRITTEN, object_kind="report", object_id=row.id,
        payload={"model": row.model, "kind": row.kind, "sha256": row.sha256, "bytes": row.bytes},
    )  # fmt: skip
    return row


def list_reports(session: ReadSession, viewer: Actor, model: str, *, limit: int = 50) -> list[Report]:
    """A model's reports, newest first."""
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(Report).where(Report.model == model).order_by(Report.created_at.desc()).limit(limit)
        )
    )


def open_report(session: ReadSession, viewer: Actor, report_id: str) -> tuple[Report, Path]:
    """A report and its file, whose digest was checked now.

    Raises `NotFound` when there is none that the viewer may see or its file is gone, `ArtefactAltered` when the file
    is not the one that was written.
    """
    see(session, viewer)
    report = session.get(Report, report_id)
    if report is None:
        raise NotFound(f"there is no report {report_id} that you may see")
    get_model(session, viewer, report.model)
    folder = settings().artefacts.resolve()
    path = (folder / report.path).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise NotFound(f"the file of report {report_id} is gone; ask for the report again")
    found = file_digest(path)
    if found != report.sha256:
        raise ArtefactAltered(
            f"the file of report {report_id} was altered after it was written",
            expected=report.sha256,
            found=found,
        )
    return report, path


def forget_reports(session: WriteSession, model: str, *, before: datetime | None = None) -> int:
    """Remove every report of a model of which rows were erased, or those of windows that began before that moment: a
    report draws rows of its window, and is made again from those that are left. Gives how many."""
    old = [] if before is None else [func.coalesce(Report.window_start, Report.created_at) < before]
    found = session.scalars(select(Report).where(Report.model == model, *old)).all()
    for one in found:
        (settings().artefacts / one.path).unlink(missing_ok=True)
        session.delete(one)
    return len(found)
