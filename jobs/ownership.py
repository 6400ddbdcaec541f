"""Who may act for a run. The workflow engine gives each execution of a run a token; the newest one is the owner's.

A worker that was away (a long pause, a lost network) can wake after its runs were given to another one. Its token is
then no longer the run's, and whatever it does next must not happen. In a database transaction the check
locks the run's row, so that nobody can take the run over between the check and the commit.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnClause, TableClause, column, select, table, update

from backend.database.session import ReadSession, WriteSession


def workflow_table(session: ReadSession) -> TableClause:
    """The engine's table of runs (DBOS 3.4), with the columns that ownership and recovery need."""
    names = ("workflow_uuid", "status", "name", "executor_id", "owner_xid", "queue_name",
             "application_version", "started_at_epoch_ms", "updated_at", "completed_at")  # fmt: skip
    return _engine_table(session, "workflow_status", names)


def record_tables(session: ReadSession) -> list[TableClause]:
    """The engine's tables that keep a run's input, output and steps beside its row, without a foreign key."""
    return [
        _engine_table(session, name, ("workflow_uuid",))
        for name in ("operation_outputs", "workflow_input", "workflow_output")
    ]


def _engine_table(session: ReadSession, name: str, names: tuple[str, ...]) -> TableClause:
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    schema = None if session.get_bind().dialect.name == "sqlite" else "dbos"
    return table(name, *columns, schema=schema)


def is_owner(session: ReadSession, run_id: str, token: str) -> bool:
    """Whether `token` still is the run's. In a write session the answer holds until its commit."""
    status = workflow_table(session)
    query = select(status.c.owner_xid).where(status.c.workflow_uuid == run_id)
    if isinstance(session, WriteSession):
        query = query.with_for_update(key_share=True)
    return bool(session.execute(query).scalar_one_or_none() == token)


def forgive_recoveries(session: WriteSession, run_id: str) -> None:
    """Begin to count anew how often a run was resumed: it has come far enough that it does not kill its workers.

    A rollout that is watched for days sees its worker restarted more often than a broken run may be resumed.
    """
    status = _engine_table(session, "workflow_status", ("workflow_uuid", "recovery_attempts"))
    session.execute(update(status).where(status.c.workflow_uuid == run_id).values(recovery_attempts=1))
