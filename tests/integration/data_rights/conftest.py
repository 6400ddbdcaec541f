"""A world whose model `toy` says whom a row is about, with rows of two people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from backend import clock
from backend.data_rights.tables import DataRequest
from backend.database.session import reading, writing
from backend.explain.reports import WrittenReport, store_report
from backend.governance import execution
from backend.governance.deciding import decide
from backend.governance.tables import Change
from backend.observations.service import accept_batch
from backend.registry.artefacts import file_digest
from backend.registry.tables import Model
from backend.settings import settings
from jobs import data_requests
from tests.worlds import SPEC, SYSTEM, World, make_world

SUBJECT_SPEC = {
    **SPEC,
    "features": {"distance": "numeric", "carrier": "categorical", "passenger": "id"},
    "subject": "passenger",
    "pseudonymise": ["passenger"],
}


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    describe(SUBJECT_SPEC)
    return made


def describe(spec: dict[str, Any]) -> None:
    with writing() as session:
        session.get_one(Model, "toy").spec = spec


def send(rows: dict[str, str], *, days_ago: int = 0, model_has_subject: bool = True) -> None:
    """Predictions by id, each of a passenger, with their labels, into the spool."""
    at = clock.now() - timedelta(days=days_ago, minutes=1)
    given = [
        {"prediction_id": id_, "ts": at.isoformat(), "version": 2, "score": 0.7, "distance": 100.0, "carrier": "UA",
         **({"passenger": who} if model_has_subject else {})}
        for id_, who in rows.items()
    ]  # fmt: skip
    labels = [
        {"prediction_id": one, "label": "1", "status": "known", "label_ts": at.isoformat()} for one in rows
    ]
    with reading() as session:
        for stream, payload in (("predictions", given), ("labels", labels)):
            accept_batch(session, SYSTEM, model="toy", stream=stream, payload=payload, source="api")  # type: ignore[arg-type]


def move_spool() -> None:
    from backend.observations.writer import commit_spool

    commit_spool(settings().observations, settings().spool)


def approve(world: World, request: DataRequest) -> Change:
    """The lead agrees to what compliance asked for."""
    with reading() as session:
        digest = session.get_one(Change, request.change_id).digest
    with writing() as session:
        return decide(
            session,
            world.lead,
            request.change_id or 0,
            verdict="approve",
            comment="",
            seen_digest=digest,
            accept=(),
        )


class Here:
    """A run that is always ours."""

    worker_id, run_id, actor = "here", "run_here", SYSTEM
    arguments: Mapping[str, Any] = MappingProxyType({})

    def progress(self, fraction: float, doing: str) -> None:
        return None

    def require_owned(self, session: Any = None) -> None:
        return None


def carry_out(change_id: int) -> Change:
    """What the worker does with an approved change."""
    with writing() as session:
        plan = execution.begin(session, SYSTEM, change_id, f"change-{change_id}")
        assert plan is not None, session.get_one(Change, change_id).outcome
    data_requests.carry_out(Here(), change_id)  # type: ignore[arg-type]
    with writing() as session:
        execution.apply_record(session, SYSTEM, change_id)
    return change_of(change_id)


def change_of(change_id: int) -> Change:
    with reading() as session:
        return session.get_one(Change, change_id)


def ids_of(values: Sequence[str] = (), ids: Sequence[str] = ()) -> list[str]:
    """Prediction ids that are stored anywhere: of a passenger (as stored), or these."""
    from backend.observations.erasing import Subject, find_ids

    subject = Subject(tuple(ids), "passenger" if values else "", values[0] if values else "")
    return find_ids(settings().observations, settings().spool, "toy", subject)


def write_report_file(model: str, window_start: datetime | None = None) -> Path:
    """A report that a job wrote about some window of a model."""
    name = f"{model}-{window_start:%Y%m%d}" if window_start else model
    path = settings().artefacts / "reports" / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<p>rows that are drawn</p>")
    with writing() as session:
        store_report(
            session, SYSTEM,
            written=WrittenReport(
                id=f"rep_{name}", kind="evidently", model=model, environment="production", window_start=window_start,
                path=f"reports/{path.name}", media_type="text/html", bytes=path.stat().st_size,
                sha256=file_digest(path), created_by=None,
            ),
        )  # fmt: skip
    return path
