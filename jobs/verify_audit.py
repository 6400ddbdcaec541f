"""Recomputes the whole audit log some times a day, keeps what it found, and opens a finding when it is not intact."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from backend import clock
from backend.audit.findings import NOT_INTACT, close_finding, open_finding
from backend.audit.tables import AuditVerification
from backend.audit.verification import verify
from backend.database.session import writing
from backend.queue import VERIFY_AUDIT
from jobs.runtime import Run, workflow

STEPS = ("verify_log",)
SUBJECT = "log"
KEEP = timedelta(days=400)


@workflow(VERIFY_AUDIT)
def verify_audit(run: Run) -> None:
    run.progress(0.1, "recomputing every hash of the audit log")
    run.step("verify_log", verify_log, run)


def verify_log(run: Run) -> bool:
    began = clock.now()
    result = verify()
    problem = result.problem.message if result.problem else ""
    with writing() as session:
        run.require_owned(session)
        session.add(
            AuditVerification(at=began, ok=result.ok, size=result.size, root=result.root, problem=problem)
        )
        session.execute(delete(AuditVerification).where(AuditVerification.at < began - KEEP))
        if result.ok:
            close_finding(
                session, run.actor, NOT_INTACT, subject=SUBJECT, why="the whole log was found intact"
            )
        else:
            open_finding(
                session, run.actor, NOT_INTACT, subject=SUBJECT, level="page", title=problem,
                details={"entry": result.problem.seq if result.problem else None},
            )  # fmt: skip
    return result.ok
