"""A model that is retired: the target and MLflow's alias hear it, now or later, and nobody is said to have moved it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.deployment.tables import Telling
from backend.deployment.targets import the_target, wanted_of
from backend.governance.kinds import Asked
from backend.governance.reading import get_change
from backend.governance.tables import Change, RegistryMove
from backend.governance.views import change_detail
from backend.settings import settings
from jobs.execute_change import _apply_record, _check_approval, _tell_withdrawn
from jobs.mirror_registry import compare_alias
from jobs.schedules import targets_unsettled
from jobs.withdrawing import tell_withdrawn
from tests.integration.deployment.receiver import SECRET, Receiver, receiver
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.integration.jobs.test_withdrawing import a_run
from tests.worlds import SYSTEM, World, make_world, register_in_mlflow

PLACE = ("toy", "production")


@pytest.fixture
def told(migrated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
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
    """Version 1 of `toy` was promoted, and the target serves it."""
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
    change = ask(found.engineer, Asked("promote", "production", "toy", 1))
    say(found.lead, change)
    carry_out(change)
    with reading() as session:
        the_target().ensure(wanted_of(session, change.id, *PLACE))
    assert told.serves is not None and len(told.serves["parts"]) == 1
    return found


def retire(world: World) -> tuple[Change, int]:
    """As a worker does, up to where it tells others."""
    change = ask(world.engineer, Asked("retire", "production", "toy"))
    say(world.lead, change)
    say(world.compliance, change)
    with reading() as session:
        run_id = session.get_one(Change, change.id).run_id
    run = replace(a_run(change.id), run_id=run_id or "")
    assert _check_approval(run, change.id) is not None
    ended = _apply_record(run, change.id)
    assert ended is not None
    return change, ended


def due() -> list[str]:
    with reading() as session:
        return [one.subject for one in targets_unsettled(session, clock.now())]


def problems(world: World, change: Change) -> dict[str, str]:
    with reading() as session:
        detail = change_detail(session, world.viewer, get_change(session, world.viewer, change.id))
        return {one["target"]: one["problem"] for one in detail["targets"]}


def test_the_target_hears_that_nothing_serves_any_more(world: World, told: Receiver) -> None:
    change, ended = retire(world)
    assert _tell_withdrawn(a_run(change.id), change.id, ended)
    assert told.serves is not None and (told.serves["parts"], told.serves["change_id"]) == ([], change.id)
    effects = len(told.effects)
    assert _tell_withdrawn(a_run(change.id), change.id, ended), "a worker that was killed repeats it"
    assert (len(told.effects), due(), problems(world, change)) == (effects, [], {})


def test_a_target_that_was_away_hears_it_later_and_the_change_says_so(world: World, told: Receiver) -> None:
    change, ended = retire(world)
    told.answers = [500] * 10
    assert not _tell_withdrawn(a_run(change.id), change.id, ended)
    told.answers = []
    assert "500" in problems(world, change)["webhook"]
    assert due() == []
    with writing() as session:
        session.execute(update(Telling).values(checked_at=clock.now() - timedelta(minutes=6)))
    assert due() == ["toy/production"]
    assert tell_withdrawn(a_run(change.id), *PLACE)
    assert told.serves is not None and told.serves["parts"] == []
    assert (due(), problems(world, change)) == ([], {})


def test_what_serves_again_is_not_taken_away(world: World, told: Receiver) -> None:
    change, ended = retire(world)
    again = ask(world.engineer, Asked("promote", "production", "toy", 2))
    say(world.lead, again)
    carry_out(again)
    assert _tell_withdrawn(a_run(change.id), change.id, ended)
    assert told.serves is not None and len(told.serves["parts"]) == 1


def test_an_alias_that_is_left_is_no_move_and_another_one_is(world: World) -> None:
    retire(world)
    with writing() as session:
        assert not compare_alias(session, SYSTEM, model="toy", alias=1)
        assert session.scalars(select(RegistryMove)).all() == []
        assert compare_alias(session, SYSTEM, model="toy", alias=2)
        assert [one.to_version for one in session.scalars(select(RegistryMove))] == [2]
        assert session.scalars(select(Alert.title).where(Alert.kind == "registry")).all() == [
            "MLflow's alias champion names version 2; the deployment record has no version"
        ]


@pytest.mark.slow
def test_the_alias_is_taken_away(world: World) -> None:
    from backend.registry.mlflow_adapter import champion_alias

    register_in_mlflow("toy", 3, alias=1)
    change, ended = retire(world)
    assert _tell_withdrawn(a_run(change.id), change.id, ended)
    assert champion_alias("toy") is None
