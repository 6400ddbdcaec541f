"""A first version that failed: the target and MLflow's alias hear that nothing serves any more."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.tables import Deployment
from backend.deployment.targets import the_target, wanted_of
from backend.governance import execution
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.queue import EXECUTE_CHANGE
from backend.settings import settings
from jobs.execute_change import _restore, _tell_withdrawn
from jobs.runtime import Run
from tests.integration.deployment.receiver import SECRET, Receiver, receiver
from tests.integration.governance.conftest import UNGATED, ask, put_in_force, say
from tests.integration.jobs.conftest import OwnedRun
from tests.worlds import SYSTEM, World, add_model, make_world, register_in_mlflow

numbers = itertools.count()


@pytest.fixture
def told(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("WARRANT_TARGET", "webhook")
        monkeypatch.setenv("WARRANT_WEBHOOK_URL", made.url)
        monkeypatch.setenv("WARRANT_WEBHOOK_SECRET", SECRET)
        monkeypatch.setattr("backend.signed_http.PAUSES_S", ())
        settings.cache_clear()
        yield made
    settings.cache_clear()


@pytest.fixture
def world(told: Receiver, tmp_path: Path) -> World:
    """`new` has two versions, and none of them serves."""
    found = make_world(tmp_path / "files")
    add_model(found, "new")
    with writing() as session:
        put_in_force(session, found, UNGATED)
        session.execute(
            update(Deployment).where(Deployment.model == "new").values(ended_at=clock.now(), state="ended")
        )
    return found


def a_run(change_id: int) -> Run:
    arguments = {"change_id": change_id}
    return OwnedRun(EXECUTE_CHANGE, f"run-{next(numbers)}", "CHG", arguments, None, "w", 1, "token")


def failed_first(world: World) -> tuple[Run, Change, int]:
    """Version 1 of `new` was told to the target and failed; the run, its change, and what was withdrawn."""
    change = ask(world.engineer, Asked("promote", "production", "new", 1))
    say(world.lead, change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
        opened = execution.write_deployment(session, SYSTEM, change.id)
    with reading() as session:
        the_target().ensure(wanted_of(session, change.id, "new", "production"))
    run = a_run(change.id)
    restored = _restore(run, change.id, "no gateway followed")
    assert restored == {"champion": None, "moved_back": False, "withdrawn": opened}
    return run, change, opened


def alias(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        register_in_mlflow("new", 2, alias=version)


def alias_now() -> int | None:
    from backend.registry.mlflow_adapter import champion_alias

    return champion_alias("new")


@pytest.mark.slow
def test_the_target_and_the_alias_follow_and_are_told_once(
    world: World, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, change, opened = failed_first(world)
    alias(monkeypatch, 1)
    assert told.serves is not None and [one["version"] for one in told.serves["parts"]] == [1]
    assert _tell_withdrawn(run, change.id, opened)
    assert (told.serves["parts"], alias_now()) == ([], None)
    effects = len(told.effects)
    assert _tell_withdrawn(run, change.id, opened), "a worker that was killed repeats it"
    assert (len(told.effects), alias_now()) == (effects, None)


@pytest.mark.slow
def test_an_alias_that_names_another_version_or_environment_stays(
    world: World, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, change, opened = failed_first(world)
    alias(monkeypatch, 2)
    assert _tell_withdrawn(run, change.id, opened)
    assert alias_now() == 2, "somebody else set it"
    from backend.registry.mlflow_adapter import mirror_champion

    mirror_champion("new", 1)
    monkeypatch.setenv("WARRANT_CHAMPION_ENVIRONMENT", "elsewhere")
    settings.cache_clear()
    assert _tell_withdrawn(run, change.id, opened)
    assert alias_now() == 1, "it is the mirror of another environment"


@pytest.mark.slow
def test_a_target_that_is_away_is_logged_and_stops_nothing(
    world: World, told: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    run, change, opened = failed_first(world)
    told.answers = [500] * 10
    with caplog.at_level(logging.ERROR, logger="warrant.jobs"):
        assert not _tell_withdrawn(run, change.id, opened)
    assert len(told.answers) < 10, "it was tried"
    assert f"deployment {opened} was withdrawn, and not everybody was told" in caplog.text
