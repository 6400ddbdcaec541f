"""Changes whose run has ended without saying what became of them: given up, or failed while it put things back.

Their run is not begun again, so nobody would watch what it had opened, and no other change of the model could be asked
for. What served before is put back as by the run itself (`execution.restore`); the target and MLflow's alias are told
by those who look whether they follow (`backend.governance.reconciling`).
"""

from __future__ import annotations

from sqlalchemy import select

from backend.database.session import ReadSession, WriteSession
from backend.governance import execution
from backend.governance.reconciling import MLFLOW, note_found
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.queue import EXECUTE_CHANGE, JobRun
from backend.settings import settings

_BEGUN = ("approved", "executing")


def abandoned_changes(session: ReadSession) -> list[int]:
    """Changes that are approved or being executed by a run that has failed. One that fails in order closes its change
    before it ends."""
    return list(
        session.scalars(
            select(Change.id)
            .join(JobRun, JobRun.id == Change.run_id)
            .where(
                Change.state.in_(_BEGUN), JobRun.name == EXECUTE_CHANGE.name, JobRun.state == "failed",
            )
            .order_by(Change.id)
        )
    )  # fmt: skip


def end_abandoned(session: WriteSession, actor: Actor, change_id: int) -> bool:
    """Fail one of them with what its run said last, and put back what served; False where it is over by now."""
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    run = session.get(JobRun, change.run_id) if change.run_id is not None else None
    if change.state not in _BEGUN or run is None or run.state != "failed":
        return False
    why = f"its run ended and left it: {run.error or 'it does not say why'}"
    restored = execution.restore(session, actor, change_id, why=why)
    if restored is not None and change.environment == settings().mirrored_environment:
        note_found(session, change_id, MLFLOW, key=f"deployment-{restored}", settled=False, problem=why)
    return True
