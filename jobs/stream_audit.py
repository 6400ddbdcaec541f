"""Sends new entries of the audit log to the systems that follow it. One that is away opens a finding; the next run
goes on where it stopped."""

from __future__ import annotations

from backend.audit.streaming import send_new_entries
from backend.database.session import writing
from backend.queue import STREAM_AUDIT
from jobs.runtime import Run, workflow

STEPS = ("send_entries",)


@workflow(STREAM_AUDIT)
def stream_audit(run: Run) -> None:
    run.progress(0.1, "sending new entries of the audit log")
    run.step("send_entries", send, run)


def send(run: Run) -> dict[str, int]:
    """Returns how many entries each destination took."""

    def still() -> None:
        with writing() as session:
            run.require_owned(session)

    return send_new_entries(run.actor, holder=run.run_id, still=still)
