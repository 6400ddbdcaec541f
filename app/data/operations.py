"""Job runs, workers, the writer's lease and the demo's injected fault."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.answers import answered
from app.data.rows import row_of
from app.data.scope import SHORT, Scope
from backend import clock, demo_state, leases, queue
from backend.backups.state import backup_state, recent_drills
from backend.database.session import reading
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.own_objectives import Reading, read_objectives
from backend.registry import service as registry


def jobs(scope: Scope, *, limit: int = 60) -> dict[str, Any]:
    """Runs, workers and the writer's lease as they are now."""
    with reading() as session:
        see(session, scope.actor(), Permission.READ_JOBS)
        runs = queue.recent_runs(session, limit=limit)
        open_runs = queue.recent_runs(session, limit=200, states=("queued", "running"))
        failed = queue.recent_runs(session, limit=20, states=("failed",))
        names = names_of(session, {run.requested_by for run in [*runs, *failed]})
        known = {run.id: run for run in [*runs, *open_runs, *failed]}
        writer = leases.lease_of(session, leases.WRITER)
        now = clock.now()
        return {
            "runs": [
                row_of(run) | {"requested_by_name": names.get(run.requested_by or "", "Warrant")}
                for run in sorted(known.values(), key=lambda run: run.requested_at, reverse=True)
            ],
            "workers": [
                row_of(beat) | {"alive": now - beat.seen_at <= queue.worker_dead_after()}
                for beat in queue.recent_workers(session)
            ],
            "writer": row_of(writer) | {"held": bool(writer.holder) and writer.expires_at > now}
            if writer
            else None,
        }


def backups(scope: Scope) -> dict[str, Any]:
    """The newest backup, the last drills and what is late, as they are stored."""
    with reading() as session:
        see(session, scope.actor(), Permission.READ_JOBS)
        state = backup_state(session)
        return {
            "is_set": state.is_set,
            "late": state.late,
            "newest": row_of(state.newest) if state.newest else None,
            "drills": [row_of(one) for one in recent_drills(session)],
        }


def own_objectives(scope: Scope) -> list[Reading]:
    """Warrant's own objectives as they stand now, the console's own of the one that draws the page."""
    with reading() as session:
        see(session, scope.actor(), Permission.READ_JOBS)
        return read_objectives(session, answered())


def run(scope: Scope, run_id: str | None) -> dict[str, Any] | None:
    """One job run as it is now, for those who may see what it is about."""
    with reading() as session:
        see(session, scope.actor())
        found = session.get(queue.JobRun, run_id) if run_id else None
        return row_of(found) if found else None


def runs_about(scope: Scope, model: str) -> list[dict[str, Any]]:
    """Queued and running jobs whose subject is this model, as they are now."""
    with reading() as session:
        registry.get_model(session, scope.actor(), model)
        found = queue.recent_runs(session, limit=50, states=("queued", "running"))
        return [
            row_of(run) | {"title": queue.JOBS[run.name].title}
            for run in found
            if run.name in queue.JOBS and run.subject.split("/")[0].split(" ")[0] == model
        ]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=1)
def injected_fault() -> demo_state.InjectedFault | None:
    return demo_state.injected_fault()
