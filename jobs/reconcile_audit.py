"""Compares the audit log with what happened, every quarter of an hour; what does not fit becomes a finding."""

from __future__ import annotations

from backend.audit.reconciliation import disagreements, reconcile
from backend.database.session import reading, writing
from backend.queue import RECONCILE_AUDIT
from jobs.runtime import Run, workflow

STEPS = ("open_findings",)


@workflow(RECONCILE_AUDIT)
def reconcile_audit(run: Run) -> None:
    run.progress(0.1, "comparing the audit log with what happened")
    run.step("open_findings", open_findings, run)


def open_findings(run: Run) -> int:
    """Returns how many findings were opened. Some thousand entries a transaction, and every change and deployment in a
    session that only reads, so that nobody waits for long."""
    with reading() as session:
        found = disagreements(session)
    opened, more = 0, True
    while more:
        with writing() as session:
            run.require_owned(session)
            count, more = reconcile(session, run.actor, found)
        opened += count
    return opened
