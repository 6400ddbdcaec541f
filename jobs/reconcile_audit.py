"""Compares the audit log with what happened, every quarter of an hour; what does not fit becomes a finding."""

from __future__ import annotations

from backend.audit.reconciliation import disagreements, reconcile
from backend.audit.search_checks import look_at_search, tell_search
from backend.database.session import reading, writing
from backend.queue import RECONCILE_AUDIT
from jobs.runtime import Run, workflow

STEPS = ("open_findings", "check_search")


@workflow(RECONCILE_AUDIT)
def reconcile_audit(run: Run) -> None:
    run.progress(0.1, "comparing the audit log with what happened")
    run.step("open_findings", open_findings, run)
    run.step("check_search", check_search, run)


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


def check_search(run: Run) -> bool:
    """Whether the entries looked at this time are found by the words that they hold."""
    with reading() as session:
        found = look_at_search(session)
    with writing() as session:
        run.require_owned(session)
        tell_search(session, run.actor, found)
    return found.is_whole
