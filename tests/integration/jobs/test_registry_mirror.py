"""MLflow's alias against the deployment record: a move made elsewhere is found once, and never followed."""

from __future__ import annotations

import warnings
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.costs.tables import UsageDay
from backend.database.session import reading, writing
from backend.deployment.tables import Deployment
from backend.governance.tables import RegistryMove
from backend.identity.actor import system_actor
from backend.queue import MIRROR_REGISTRY, request_job
from backend.registry.service import register_model
from backend.registry.tables import Version
from backend.settings import settings
from jobs.mirror_registry import compare_alias
from tests.integration.jobs.conftest import Start, run_of, wait_for
from tests.integration.jobs.test_workers import entries

WORKER = system_actor("worker")


@pytest.fixture
def serving(database: str) -> str:
    """Model `flights`: version 2 serves since an hour ago, version 1 did before."""
    now = clock.now()
    with writing() as session:
        register_model(
            session, WORKER, name="flights", title="F", description="", tier="low",
            spec={"task": "binary", "features": {"x": "numeric"}},
        )  # fmt: skip
        for number in (1, 2, 3):
            session.add(
                Version(model="flights", version=number, run_id="", uri="", artefact_digest="", trained_at=now,
                        cutoff=0.5, parameters={}, metrics={}, training={}, reference_path="", reference_digest="",
                        card_path="", card_digest="")
            )  # fmt: skip
        session.flush()
        session.add(
            Deployment(model="flights", environment="production", version=1, cutoff=0.5, state="ended",
                       started_at=now - timedelta(days=1), ended_at=now - timedelta(hours=1))
        )  # fmt: skip
        session.add(
            Deployment(model="flights", environment="production", version=2, cutoff=0.5, state="serving",
                       started_at=now - timedelta(hours=1))
        )  # fmt: skip
    return "flights"


def look(alias: int | None) -> bool:
    with writing() as session:
        return compare_alias(session, WORKER, model="flights", alias=alias)


def alerts() -> list[tuple[str, str, str]]:
    with reading() as session:
        return [
            (one.state, one.level, one.title) for one in session.scalars(select(Alert).order_by(Alert.id))
        ]


def moves() -> list[object]:
    return [entry["version"] for entry in entries(Action.ALIAS_MOVED_ELSEWHERE)]


def test_a_move_is_one_entry_and_one_ticket_however_often_it_is_seen(serving: str) -> None:
    assert not look(None)
    assert not look(2)
    for _ in range(3):
        assert look(3)
    assert moves() == [3]
    title = "MLflow's alias champion names version 3; the deployment record has version 2"
    assert alerts() == [("firing", "ticket", title)]
    assert look(1)  # moved again
    assert moves() == [3, 1]
    assert len(alerts()) == 1
    assert not look(2)
    assert alerts()[0][0] == "resolved"
    assert look(3)
    assert moves() == [3, 1, 3]
    with reading() as session:
        assert session.scalars(select(Incident)).all() == []
        deployed = session.scalars(select(Deployment.version).where(Deployment.ended_at.is_(None))).all()
        assert list(deployed) == [2]


def test_an_alias_that_was_deleted_is_a_finding_and_closes_none(serving: str) -> None:
    assert not look(None), "it was never set"
    assert look(1)
    for _ in range(2):
        assert look(None)
    assert moves() == [1, None]
    assert alerts() == [
        ("firing", "ticket", "MLflow's alias champion was deleted; the deployment record has version 2")
    ]
    with reading() as session:
        said = [
            (one.to_version, one.state)
            for one in session.scalars(select(RegistryMove).order_by(RegistryMove.id))
        ]
    assert said == [(1, "overtaken"), (None, "open")]
    assert not look(2)
    assert alerts()[0][0] == "resolved"
    assert look(None), "it agreed a moment ago"


def test_an_alias_that_goes_with_what_served_is_none(serving: str) -> None:
    assert not look(2)
    with writing() as session:
        session.execute(update(Deployment).values(ended_at=clock.now(), state="ended"))
    assert not look(None)
    assert (moves(), alerts()) == ([], [])


def test_a_record_that_has_just_moved_has_a_minute_to_be_mirrored(serving: str) -> None:
    with writing() as session:
        session.execute(update(Deployment).where(Deployment.version == 2).values(started_at=clock.now()))
    assert not look(1)
    assert moves() == []


def test_what_serves_in_another_environment_justifies_no_alias(
    serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        session.add(
            Deployment(model="flights", environment="staging", version=1, cutoff=0.5, state="serving",
                       started_at=clock.now() - timedelta(hours=1))
        )  # fmt: skip
    assert look(1)
    assert not look(2)
    monkeypatch.setenv("WARRANT_CHAMPION_ENVIRONMENT", "staging")
    settings.cache_clear()
    assert look(2)
    assert not look(1)
    with reading() as session:
        environments = [
            one.environment for one in session.scalars(select(RegistryMove).order_by(RegistryMove.id))
        ]
    assert environments == ["production", "staging"]
    settings.cache_clear()


@pytest.mark.slow
def test_the_job_reads_the_embedded_mlflow(serving: str, start_worker: Start) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        from backend.registry.mlflow_adapter import mirror_champion, mlflow_client

        client = mlflow_client()
        client.create_registered_model("flights")
        for _ in range(3):
            client.create_model_version("flights", source=str(settings().resolved_home()))
        mirror_champion("flights", 3)
    with writing() as session:
        run_id = request_job(session, MIRROR_REGISTRY).id
    start_worker("a")
    wait_for(lambda: run_of(run_id).state in ("succeeded", "failed"), within_s=90)
    assert run_of(run_id).error == ""
    assert moves() == [3]
    with reading() as session:  # what the run took is counted, once, as it ended
        used = {one.kind: one.amount for one in session.scalars(select(UsageDay).where(UsageDay.model == ""))}
    assert 0 < used["job_processor"] <= used["job_clock"] < 90
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backend.registry.mlflow_adapter import champion_alias

        assert champion_alias("flights") == 3  # found, not mended
