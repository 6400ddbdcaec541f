"""How far a model has come in after its document was applied: the import, the version, and its first windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.monitoring.tables import WindowState
from backend.queue import IMPORT_HISTORY, JobRun
from backend.registry.service import get_model
from backend.registry.tables import Version


@dataclass(frozen=True)
class Arrival:
    """state, progress, step, error, since: of the import, as `JobRun` has them; state "" where there is none.

    computed, due: windows of the model whose figures are stored, and that wait for them
    """

    state: str
    progress: float
    step: str
    error: str
    since: datetime | None
    version: int | None
    computed: int
    due: int

    @property
    def is_shown(self) -> bool:
        """Whether there is a first page to look at."""
        return self.version is not None and self.computed > 0


def arrival_of(session: ReadSession, viewer: Actor, model: str, run_id: str | None) -> Arrival:
    """Raises `NotFound` for a model that the viewer may not see. `run_id`: an import; left out: the last one."""
    get_model(session, viewer, model)
    wanted = select(JobRun).where(JobRun.name == IMPORT_HISTORY.name, JobRun.subject == model)
    if run_id:
        wanted = wanted.where(JobRun.id == run_id)
    run = session.scalars(wanted.order_by(JobRun.requested_at.desc()).limit(1)).one_or_none()
    windows = select(func.count()).select_from(WindowState).where(WindowState.model == model)
    told: tuple[str, float, str, str, datetime | None] = ("", 0.0, "", "", None) if run is None else (
        run.state, run.progress, run.step, run.error, run.started_at or run.requested_at,
    )  # fmt: skip
    return Arrival(
        *told,
        session.scalar(select(func.max(Version.version)).where(Version.model == model)),
        session.scalar(windows.where(WindowState.computed_at.is_not(None))) or 0,
        session.scalar(windows.where(WindowState.computed_at.is_(None))) or 0,
    )
