"""A target that came back later, or MLflow, hears what it missed: once, in the name of the change that owns it."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.tables import Alert
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.deployment.tables import Deployment, GatewayReport, Telling
from backend.governance import execution, reconciling
from backend.governance.kinds import Asked
from backend.governance.reading import get_change
from backend.governance.tables import Change
from backend.governance.views import change_detail
from backend.queue import RECONCILE_TARGET, JobRun
from backend.settings import settings
from jobs.execute_change import _mirror_alias
from jobs.mirror_registry import compare_alias
from jobs.reconcile_target import tell_alias, tell_target
from jobs.runtime import Run
from jobs.schedules import targets_unsettled
from tests.integration.deployment.receiver import SECRET, Receiver, receiver
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.integration.jobs.conftest import OwnedRun
from tests.worlds import SYSTEM, World, make_world

numbers = itertools.count()


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, world: World) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("WARRANT_TARGET", "webhook")
        monkeypatch.setenv("WARRANT_WEBHOOK_URL", made.url)
        monkeypatch.setenv("WARRANT_WEBHOOK_SECRET", SECRET)
        monkeypatch.setattr("backend.signed_http.PAUSES_S", ())
        settings.cache_clear()
        yield made
    settings.cache_clear()


def promote(world: World, version: int) -> Change:
    change = ask(world.engineer, Asked("promote", "production", "toy", version))
    say(world.lead, change)
    return carry_out(change)


def a_run() -> Run:
    arguments = {"model": "toy", "environment": "production"}
    run_id = f"run-{next(numbers)}"
    return OwnedRun(RECONCILE_TARGET, run_id, "toy/production", arguments, None, "w", 1, "token")


def due() -> list[str]:
    with reading() as session:
        return [one.subject for one in targets_unsettled(session, clock.now())]


def shown(world: World, change: Change) -> list[dict[str, object]]:
    with reading() as session:
        found: list[dict[str, object]] = change_detail(
            session, world.viewer, get_change(session, world.viewer, change.id)
        )["targets"]
        return found


def entries() -> list[str]:
    with reading() as session:
        query = select(AuditEntry.object_id).where(AuditEntry.action == "deployment:target:tell_again")
        return [str(one) for one in session.scalars(query)]


def test_a_target_that_missed_a_change_is_told_again_once(world: World, told: Receiver) -> None:
    change = promote(world, 1)  # the record moved; the target never heard
    assert due() == ["toy/production"]
    assert tell_target(a_run()) == "told again"
    assert told.serves is not None and told.serves["change_id"] == change.id
    assert [part["version"] for part in told.serves["parts"]] == [1]
    assert due() == ["toy/production"], "until it is seen to be so"
    assert tell_target(a_run()) == "settled"
    assert due() == []
    assert (len(told.effects), len(told.told), entries()) == (1, 1, [str(change.id)])
    (row,) = shown(world, change)
    assert (row["target"], row["told_again"], row["problem"]) == ("webhook", 1, "")
    assert row["told_again_at"] is not None and row["settled_at"] is not None


def test_what_a_target_lost_later_is_found_after_some_minutes(world: World, told: Receiver) -> None:
    promote(world, 1)
    tell_target(a_run())
    tell_target(a_run())
    told.serves = None  # restored from a backup, say
    assert due() == []
    with writing() as session:
        session.execute(update(Telling).values(checked_at=clock.now() - timedelta(minutes=6)))
    assert due() == ["toy/production"]
    assert tell_target(a_run()) == "told again"
    assert tell_target(a_run()) == "settled"
    assert told.effects[0] == told.effects[1], "the same key: a receiver that had it does nothing"


def test_a_target_that_hangs_is_unknown_and_goes_on_later_without_a_second_effect(
    world: World, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_GATEWAY_WAIT_S", "0.3")
    settings.cache_clear()
    change = promote(world, 1)
    told.after = told.answering = threading.Event()
    assert "did not answer" in tell_target(a_run()), "not even whether it knows"
    told.answering = None
    assert tell_target(a_run()) == "told again", "it took it, and answers nobody"
    told.answering = told.after
    tell_target(a_run())
    (row,) = shown(world, change)
    assert row["settled_at"] is None
    assert "did not answer" in str(row["problem"])
    told.after.set()
    assert tell_target(a_run()) == "settled"
    assert (len(told.told), len(told.effects), entries()) == (1, 1, [str(change.id)])


@pytest.mark.slow
def test_a_target_that_is_still_away_is_asked_again_and_the_change_says_so(
    world: World, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = promote(world, 1)
    with receiver() as gone:
        url = gone.url
    monkeypatch.setenv("WARRANT_WEBHOOK_URL", url)
    settings.cache_clear()
    assert "did not answer" in tell_target(a_run())
    assert entries() == [] and due() == ["toy/production"]
    (row,) = shown(world, change)
    assert "did not answer" in str(row["problem"]) and row["told_again_at"] is None


def test_after_a_failure_the_target_is_told_what_was_restored(world: World, told: Receiver) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, change)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        execution.write_deployment(session, SYSTEM, change.id)
        execution.restore(session, SYSTEM, change.id, why="the target did not answer")
    assert tell_target(a_run()) == "told again"
    assert told.told[-1]["action"] == "restore"
    assert told.serves is not None and [part["version"] for part in told.serves["parts"]] == [3]
    assert tell_target(a_run()) == "settled"
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None and (serving.version, serving.state) == (3, "serving")


def test_nothing_is_told_while_a_change_is_executed_and_only_the_last_one_owns(
    world: World, told: Receiver
) -> None:
    promote(world, 1)
    later = ask(world.engineer, Asked("promote", "production", "toy", 2))
    say(world.lead, later)
    with writing() as session:
        session.add(
            JobRun(
                id="looking", name=RECONCILE_TARGET.name, queue="metrics", subject="toy/production",
                arguments={}, state="running", requested_at=clock.now(),
            )
        )  # fmt: skip
    with writing() as session:
        plan = execution.begin(session, SYSTEM, later.id, f"change-{later.id}")
        assert plan is not None and plan.after == ["looking"], "the later change waits until nobody tells"
    assert due() == []
    assert tell_target(a_run()) == "a change moves it"
    assert told.told == []
    with writing() as session:
        opened = execution.write_deployment(session, SYSTEM, later.id)
        execution.finish(session, SYSTEM, later.id, opened, outcome="served")
    assert tell_target(a_run()) == "told again"
    assert told.serves is not None and told.serves["change_id"] == later.id


def test_gateways_are_told_nothing_and_a_late_one_is_seen(world: World) -> None:
    change = promote(world, 1)
    assert due() == []
    with writing() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        serving.state = "starting"
        serving_id = serving.id
    assert due() == ["toy/production"]
    assert "no gateway reports" in tell_target(a_run())
    assert shown(world, change)[0]["target"] == "gateway"
    with writing() as session:
        session.add(
            GatewayReport(
                gateway_id="g", model="toy", environment="production", deployment_id=serving_id, version=1,
                reported_at=clock.now(), url="http://g", beside=[],
            )
        )  # fmt: skip
    assert tell_target(a_run()) == "settled"
    assert due() == [] and entries() == []
    with reading() as session:
        assert session.get_one(Deployment, serving_id).state == "serving"


@pytest.fixture
def registry(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backend.registry.mlflow_adapter import mirror_champion, mlflow_client

        client = mlflow_client()
        client.create_registered_model("toy")
        for _ in range(3):
            client.create_model_version("toy", source=str(settings().resolved_home()))
        mirror_champion("toy", 3)


def alias() -> int | None:
    from backend.registry.mlflow_adapter import champion_alias

    return champion_alias("toy")


def late(world: World) -> Change:
    """A promotion of version 1 that found MLflow away."""
    change = promote(world, 1)
    with writing() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        serving.started_at = clock.now() - timedelta(hours=1)
        execution.record_mirrored(session, SYSTEM, serving.id, error="ConnectionError: refused")
    return change


@pytest.mark.usefixtures("registry")
def test_a_late_alias_is_set_later_and_nobody_is_accused_meanwhile(world: World) -> None:
    change = late(world)
    with writing() as session:
        assert not compare_alias(session, SYSTEM, model="toy", alias=3)
        assert session.scalars(select(Alert)).all() == []
    assert due() == ["toy/production"]
    assert tell_alias(a_run()) == "told again"
    assert alias() == 1
    assert due() == [] and entries() == [str(change.id)]
    assert tell_alias(a_run()) == "nothing to tell"
    assert shown(world, change)[0]["target"] == "mlflow"


@pytest.mark.usefixtures("registry")
def test_the_alias_of_another_environment_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late(world)
    monkeypatch.setenv("WARRANT_CHAMPION_ENVIRONMENT", "staging")
    settings.cache_clear()
    with reading() as session:
        serving = champion(session, "toy", "production")
    assert serving is not None
    assert _mirror_alias(a_run(), serving.id) is None
    assert tell_alias(a_run()) == "nothing to tell"
    assert alias() == 3
    monkeypatch.delenv("WARRANT_CHAMPION_ENVIRONMENT")
    settings.cache_clear()
    assert _mirror_alias(a_run(), serving.id) is None
    assert alias() == 1


@pytest.mark.usefixtures("registry")
def test_an_alias_that_somebody_set_since_is_a_finding_and_stays(world: World) -> None:
    from backend.registry.mlflow_adapter import mirror_champion

    late(world)
    mirror_champion("toy", 2)
    assert tell_alias(a_run()) == "it names version 2, which somebody set since"
    assert alias() == 2 and entries() == []
    with writing() as session:
        assert compare_alias(session, SYSTEM, model="toy", alias=2)


@pytest.mark.usefixtures("registry")
def test_an_alias_of_a_change_that_was_followed_by_another_is_left(world: World) -> None:
    late(world)
    promote(world, 2)
    assert tell_alias(a_run()) == "nothing to tell"
    assert alias() == 3
    with reading() as session:
        assert not reconciling.tellings_of(session, 10**6)
