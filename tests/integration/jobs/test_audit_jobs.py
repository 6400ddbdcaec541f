"""The jobs that sign and recompute the audit log, run by a real worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from backend.audit.findings import NOT_INTACT, NOT_SIGNED, open_findings
from backend.audit.signers import key_path, verifier_keys
from backend.audit.state import log_state
from backend.audit.tables import AuditCheckpoint, AuditVerification
from backend.audit.verification import verify
from backend.database.session import reading, writing
from backend.queue import SIGN_AUDIT, VERIFY_AUDIT, Job, request_job
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import run as tamper
from tests.integration.jobs.conftest import Start, run_of, wait_for


@pytest.fixture
def finish(database: str, start_worker: Start) -> Callable[[Job], Any]:
    start_worker("a")

    def ask(job: Job) -> Any:
        with writing() as session:
            run_id = request_job(session, job).id
        return wait_for(lambda: (run := run_of(run_id)).state in ("succeeded", "failed") and run)

    return ask


@pytest.mark.slow
def test_a_worker_signs_the_head_and_says_when_it_must_not(
    database: str, finish: Callable[[Job], Any]
) -> None:
    append(3)
    assert finish(SIGN_AUDIT).state == "succeeded"
    with reading() as session:
        state = log_state(session)
    assert state.signed_size == state.size >= 3
    assert len(verifier_keys()) == 1
    secret = key_path().read_text()
    key_path().unlink()
    failed = finish(SIGN_AUDIT)
    assert (failed.state, "put the key back" in failed.error) == ("failed", True)
    with reading() as session:
        (finding,) = open_findings(session)
    assert (finding.kind, finding.level) == (NOT_SIGNED, "page")
    key_path().write_text(secret)
    key_path().chmod(0o600)
    assert finish(SIGN_AUDIT).state == "succeeded"
    with reading() as session:
        assert open_findings(session) == []
        assert len(session.scalars(select(AuditCheckpoint)).all()) >= 2
    assert verify().ok


@pytest.mark.slow
def test_a_worker_recomputes_the_log_and_keeps_what_it_found(
    database: str, finish: Callable[[Job], Any]
) -> None:
    append(3)
    finish(VERIFY_AUDIT)
    tamper("UPDATE audit_payloads SET payload = replace(payload, 'reason', 'Reason') WHERE seq = 1")
    finish(VERIFY_AUDIT)
    with reading() as session:
        first, second = session.scalars(select(AuditVerification).order_by(AuditVerification.id)).all()
        (finding,) = open_findings(session)
    assert (first.ok, second.ok) == (True, False)
    assert second.problem.startswith("entry 1 ")
    assert (finding.kind, finding.title) == (NOT_INTACT, second.problem)
