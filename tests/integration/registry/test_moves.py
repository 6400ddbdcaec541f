"""Moves made elsewhere: told from first looks and from our own, judged by the rules, answered by people."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.governance.errors import NotAllowedByPolicy, NothingToChange
from backend.governance.kinds import Asked
from backend.governance.move_answers import (
    MoveSettled,
    preview_regularisation,
    regularise,
    request_restore,
    set_enforcement,
)
from backend.governance.registry_moves import list_moves, note_aliases
from backend.governance.tables import RegistryMove
from backend.identity.roles import Role
from backend.identity.tables import Person
from backend.registry.inventory import FoundModel, FoundVersion, OnlyImported, import_registry
from backend.registry.tables import Model
from jobs.mirror_registry import compare_alias, imported_elsewhere
from tests.integration.governance.conftest import UNGATED, ask, carry_out, now, put_in_force, say
from tests.integration.jobs.conftest import Start, run_of, wait_for
from tests.integration.jobs.test_workers import entries
from tests.worlds import SYSTEM, World, make_world, person

if TYPE_CHECKING:
    from mlflow import MlflowClient

FROZEN = """
freezes:
  - {name: all week, weekly: ["mon 00:00", "sun 23:59"]}
  - {name: the rest, weekly: ["sun 23:59", "mon 00:00"]}
rules:
  - name: everything
"""


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    """`toy`, version 3 serving and observed; `taxis` known from an import alone."""
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
        session.get_one(Model, "toy").enforcement = "observe"
        versions = tuple(FoundVersion(number, "", "s3://m", "READY", "", {}, None) for number in (1, 2))
        import_registry(
            session, SYSTEM, registry="there", found=[FoundModel("taxis", "", {}, {}, None, None, versions)]
        )
    return found


def look(model: str = "toy", **aliases: int) -> list[RegistryMove]:
    with writing() as session:
        return note_aliases(session, SYSTEM, {model: aliases})


def compare(alias: int | None, model: str = "toy") -> bool:
    with writing() as session:
        return compare_alias(session, SYSTEM, model=model, alias=alias)


def moves(model: str | None = None) -> list[RegistryMove]:
    with reading() as session:
        return list(reversed(list_moves(session, SYSTEM, model=model).moves))


def enforce(world: World, model: str = "toy") -> None:
    with writing() as session:
        set_enforcement(session, world.lead, model, enforcement="enforce", why="we go live")


def checks(move: RegistryMove) -> dict[str, str]:
    return {reason["check"]: reason["says"] for reason in move.reasons}


def test_the_first_look_is_no_move_and_every_later_one_is_recorded_once(world: World) -> None:
    assert look("taxis", champion=1) == []
    assert look("taxis", champion=1) == []
    assert [(one.from_version, one.to_version) for one in look("taxis", champion=2)] == [(1, 2)]
    assert look("taxis", champion=2) == []
    assert [(one.from_version, one.to_version) for one in look("taxis")] == [(2, None)]
    assert [(one.alias, one.from_version) for one in look("taxis", production=1)] == [("production", None)]
    assert [one.state for one in moves()] == ["observed"] * 3
    assert len(entries(Action.ALIAS_MOVED_ELSEWHERE)) == 3
    with reading() as session:
        assert session.scalars(select(Alert)).all() == []  # nobody is called


def test_our_own_mirroring_is_no_move(world: World) -> None:
    look(champion=2)
    assert look(champion=3) == []  # it names what serves
    assert [one.to_version for one in look(champion=1)] == [1]


def test_a_move_without_approval_would_have_been_refused(world: World) -> None:
    look("taxis", champion=1)
    (move,) = look("taxis", champion=2)
    assert (move.would_be, move.rule) == ("refused", "forth")
    assert checks(move) == {"approval": "refused", "same person": "unknown"}
    (other,) = look("taxis", champion=2, challenger=1)
    assert (other.would_be, checks(other)) == ("unknown", {"environment": "unknown"})


def test_a_move_that_a_change_was_approved_for_would_have_been_allowed(world: World) -> None:
    look(champion=3)
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    (early,) = look(champion=2)
    assert early.would_be == "refused"  # asked for, and not decided
    say(world.lead, change)
    look(champion=3)
    (move,) = look(champion=2)
    assert (move.would_be, move.reasons) == ("allowed", [])
    world.card(2).write_text("another card")
    look(champion=3)
    (voided,) = look(champion=2)
    assert voided.would_be == "refused"
    assert "no longer covers" in voided.reasons[0]["text"]


def test_a_freeze_and_a_prohibited_tier_refuse(world: World) -> None:
    look(champion=3)
    with writing() as session:
        put_in_force(session, world, FROZEN)
    (frozen,) = look(champion=1)
    assert checks(frozen)["freeze"] == "refused"
    with writing() as session:
        put_in_force(session, world, """
rules:
  - {name: never, for: {tiers: [prohibited]}, rule: {allowed: false, because: it may not serve}}
  - {name: rest}
""")  # fmt: skip
        session.get_one(Model, "toy").tier = "prohibited"
    (move,) = look(champion=2)
    assert (move.would_be, checks(move)) == ("refused", {"prohibited tier": "refused"})


def test_gates_are_asked_where_the_record_can_answer_and_are_unknown_elsewhere(world: World) -> None:
    look("taxis", champion=1)
    look(champion=3)
    with writing() as session:
        put_in_force(session, world, """
rules:
  - {name: gated, rule: {gates: [{gate: drift_under_bound}, {gate: metric_not_worse}]}}
""")  # fmt: skip
    (imported,) = look("taxis", champion=2)
    gates = ("gate drift_under_bound", "gate metric_not_worse")
    assert [checks(imported)[gate] for gate in gates] == ["unknown", "unknown"]
    assert "not registered with Warrant" in imported.reasons[-1]["text"]
    (registered,) = look(champion=1)
    assert {checks(registered).get(gate) for gate in gates} <= {"unknown", "refused", None}
    assert checks(registered)["gate metric_not_worse"] == "unknown"  # rows would have to be scored


def test_the_report_counts_a_period(world: World) -> None:
    start = clock.now()
    look("taxis", champion=1)
    for number in (2, 1, 2):
        look("taxis", champion=number)
    look("taxis", champion=2, challenger=1)
    with reading() as session:
        report = list_moves(session, world.viewer, since=start, limit=2)
        assert report.summary == (
            "3 of 4 moves would have been refused, by these rules: forth 3 (approval 3); of 1 it is not known"
        )
        assert (len(report.moves), report.truncated) == (2, True)
        assert list_moves(session, world.viewer, since=clock.now()).summary == "no move was found"
        assert list_moves(session, world.viewer, until=start).total == 0


def test_who_decides_enforces_and_it_is_on_record(world: World) -> None:
    for actor in (world.viewer, world.engineer):
        with pytest.raises(NotAllowed, match="ml_lead"), writing() as session:
            set_enforcement(session, actor, "toy", enforcement="enforce", why="")
    enforce(world)
    enforce(world)
    (entry,) = entries(Action.ENFORCEMENT_CHANGED)
    assert (entry["from"], entry["to"], entry["why"]) == ("observe", "enforce", "we go live")
    assert look(champion=1) == []  # from now on it is compared with the record
    assert compare(1)
    (move,) = moves()
    assert (move.from_version, move.to_version, move.state) == (3, 1, "open")


def test_one_person_never_lifts_enforcement_and_two_do(world: World) -> None:
    enforce(world)
    assert compare(1)
    with pytest.raises(NotAllowedByPolicy, match="change of kind observe"), writing() as session:
        set_enforcement(session, world.lead, "toy", enforcement="observe", why="so")
    with writing() as session:
        row = session.get_one(Person, person(session, "bot", Role.ML_LEAD).person_id)
        row.kind, row.owner_id = "service", world.other_lead.person_id
        bot = replace(
            world.other_lead, person_id=row.id, kind="service", acting_for=world.other_lead.person_id
        )
    asked = Asked("observe", "production", "toy")
    with pytest.raises(NotAllowed, match="people ask for"):
        ask(bot, asked)
    change = ask(world.lead, asked)
    with pytest.raises(NotAllowed):
        say(world.lead, change)
    with pytest.raises(NotAllowed, match="people decide on"):
        say(bot, change)
    say(world.compliance, change)
    assert (now(change).state, [one.state for one in moves()]) == ("waiting", ["open"])
    say(world.other_lead, change)
    carry_out(change)
    assert [one.state for one in moves()] == ["observed"]
    with reading() as session:
        assert session.get_one(Model, "toy").enforcement == "observe"
        assert [one.state for one in session.scalars(select(Alert))] == ["resolved"]
    assert look(champion=1) == []
    with pytest.raises(NothingToChange):
        ask(world.lead, asked)


def test_an_open_move_is_overtaken_by_the_next_and_ends_when_the_alias_is_back(world: World) -> None:
    enforce(world)
    compare(3)
    assert compare(1)
    assert compare(1)
    assert compare(2)
    assert not compare(3)
    assert [(one.to_version, one.state) for one in moves()] == [(1, "overtaken"), (2, "restored")]


def test_regularising_asks_for_the_promotion_and_its_execution_closes_the_move(world: World) -> None:
    enforce(world)
    compare(1)
    (move,) = moves()
    with reading() as session:
        seen = preview_regularisation(session, world.engineer, move.id).digest
    with pytest.raises(NotAllowed), writing() as session:
        regularise(session, world.viewer, move.id, reason="it serves", seen_digest=seen)
    with writing() as session:
        change = regularise(session, world.engineer, move.id, reason="it serves", seen_digest=seen)
    assert (change.kind, change.to_version, change.state) == ("promote", 1, "waiting")
    assert moves()[0].state == "open"
    carry_out(say(world.lead, change))
    assert not compare(1)
    assert (moves()[0].state, moves()[0].change_id) == ("regularised", change.id)
    with pytest.raises(MoveSettled, match="regularised"), writing() as session:
        request_restore(session, world.on_call, move.id)


def test_what_is_only_imported_cannot_be_regularised(world: World) -> None:
    enforce(world, "taxis")
    assert compare(2, "taxis")
    (move,) = moves("taxis")
    with pytest.raises(OnlyImported, match="nothing to bind to"), reading() as session:
        preview_regularisation(session, world.engineer, move.id)


@pytest.mark.slow
def test_restoring_puts_a_real_alias_back_to_what_serves(
    world: World, mlflow: MlflowClient, start_worker: Start
) -> None:
    mlflow.create_registered_model("toy")
    for _ in range(3):
        mlflow.create_model_version("toy", "s3://toy")
    mlflow.set_registered_model_alias("toy", "champion", "1")
    enforce(world)
    assert compare(1)
    (move,) = moves()
    with pytest.raises(NotAllowed), writing() as session:
        request_restore(session, world.viewer, move.id)
    with writing() as session:
        first = request_restore(session, world.on_call, move.id, why="it was a mistake")
        assert request_restore(session, world.on_call, move.id).id == first.id
    assert len(entries(Action.RESTORE_REQUESTED)) == 1

    start_worker("a")
    wait_for(lambda: run_of(first.id).state in ("succeeded", "failed"), within_s=90)
    assert run_of(first.id).error == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mlflow.get_registered_model("toy").aliases == {"champion": 3}
    assert moves()[0].state == "restored"
    wait_for(lambda: [one.state for one in alerts()] == ["resolved"], within_s=60)  # the next look


def test_the_look_leaves_models_of_another_registry_and_absent_ones_alone(
    world: World, mlflow: MlflowClient
) -> None:
    look("taxis", champion=1)  # imported from a registry that is not the watched one
    mlflow.create_registered_model("taxis")
    with reading() as session:
        assert imported_elsewhere(session) == {"taxis"}


def alerts() -> list[Alert]:
    with reading() as session:
        return list(session.scalars(select(Alert)))
