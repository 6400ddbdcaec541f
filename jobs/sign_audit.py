"""Signs the head of the audit log and hands it to the anchors, every five minutes, also when nothing was appended.

A head that must not be signed opens a finding and fails the run. An anchor that does not answer opens a finding and
holds nothing up: the next run brings it the newest head.
"""

from __future__ import annotations

from backend.audit.anchoring import anchor_newest
from backend.audit.checkpoints import HeadRefused, sign_head
from backend.audit.findings import NOT_SIGNED, close_finding, open_finding
from backend.audit.proofs import LogDamaged
from backend.audit.signers import KeyUnusable
from backend.database.session import writing
from backend.queue import SIGN_AUDIT
from jobs.runtime import Run, workflow

STEPS = ("sign_head", "anchor_head")
SUBJECT = "checkpoint"


@workflow(SIGN_AUDIT)
def sign_audit(run: Run) -> None:
    run.progress(0.1, "signing the head of the log")
    size = run.step("sign_head", sign, run)
    run.progress(0.5, f"{size} entries signed; telling those who keep signed heads")
    run.step("anchor_head", anchor, run)


def sign(run: Run) -> int:
    """Returns the size of the head that was signed."""
    try:
        signed = sign_head()
    except (HeadRefused, KeyUnusable, LogDamaged) as error:
        with writing() as session:
            run.require_owned(session)
            open_finding(
                session, run.actor, NOT_SIGNED, subject=SUBJECT, level="page", title=error.message,
                details={"error": type(error).__name__},
            )  # fmt: skip
        raise
    with writing() as session:
        run.require_owned(session)
        close_finding(
            session, run.actor, NOT_SIGNED, subject=SUBJECT, why=f"checkpoint {signed.number} was signed"
        )
    return signed.size


def anchor(run: Run) -> list[str]:
    """Returns the places that hold the newest head now."""
    return anchor_newest(run.actor)
