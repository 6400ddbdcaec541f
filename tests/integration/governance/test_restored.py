"""What held the version that serves holds it again after a promotion beside it failed: nothing of it is washed off."""

from __future__ import annotations

import pytest
import yaml
from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.deployment.service import began_as, champion
from backend.deployment.tables import Deployment
from backend.governance import execution
from backend.governance.asking import preview_change
from backend.governance.conditions import conditions_of, evaluate_conditions, models_to_check, note_conditions
from backend.governance.kinds import Asked
from backend.governance.reviews import review_change
from backend.governance.tables import Change
from backend.governance.time_boxes import boxes_due, note_time_box
from backend.governance.urgent import break_glass, open_way_back, take_way_back, way_back_digest
from tests.integration.governance.conftest import ask, carry_out, now, pass_hours, put_in_force, say
from tests.worlds import SYSTEM, World

pytestmark = pytest.mark.usefixtures("moving_clock")
BOX = """
rules:
  - name: back
    for: {kinds: [rollback]}
    rule: {break_glass: {roles: [on_call], lasts_h: 24}}
  - name: forth
    rule: {}
"""


def promoted(world: World, asked: Asked) -> Change:
    change = ask(world.engineer, asked)
    say(world.lead, change)
    return carry_out(now(change))


def serving() -> Deployment:
    with reading() as session:
        found = champion(session, "toy", "production")
        assert found is not None
        return found


def begun(world: World, version: int) -> Change:
    """A promotion that moved the record and has not been confirmed."""
    change = ask(world.engineer, Asked("promote", "production", "toy", version))
    say(world.lead, change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
        execution.write_deployment(session, SYSTEM, change.id)
    return change


def fail(change: Change) -> None:
    with writing() as session:
        restored = execution.restore(session, SYSTEM, change.id, why="no gateway followed")
    with writing() as session:
        assert execution.restore(session, SYSTEM, change.id, why="again") == restored
    assert now(change).state == "failed"
    assert serving().id == restored


def check() -> None:
    """What the job does with conditions."""
    with reading() as session:
        found = evaluate_conditions(session, "toy")
    with writing() as session:
        note_conditions(session, SYSTEM, "toy", found)


def tend() -> None:
    """What the job does with time boxes."""
    with reading() as session:
        due = boxes_due(session, clock.now())
    with writing() as session:
        for number in due:
            note_time_box(session, SYSTEM, number)


def firing() -> list[tuple[str, str]]:
    with reading() as session:
        rows = session.scalars(select(Alert).where(Alert.state == "firing").order_by(Alert.id))
        return [(one.kind, one.level) for one in rows]


@pytest.mark.parametrize("failures", [1, 2])
def test_conditions_are_still_asked(world: World, failures: int) -> None:
    with writing() as session:
        rule = {"reapprove_after_days": 30}
        put_in_force(session, world, yaml.safe_dump({"rules": [{"name": "test", "rule": rule}]}))
    change = promoted(world, Asked("promote", "production", "toy", 1))
    pass_hours(31 * 24)
    check()
    assert firing() == [("condition", "ticket")]

    for _ in range(failures):
        failed = begun(world, 2)
        check()
        assert firing() == [], "what promised it does not serve"
        fail(failed)
    with reading() as session:
        assert models_to_check(session) == ["toy"]
        (row,) = conditions_of(session, world.viewer, "toy")
        assert (row["change"], row["version"], row["deployment"]) == (f"CHG-{change.id}", 1, serving().id)
    check()
    assert firing() == [("condition", "ticket")]


@pytest.mark.parametrize("failures", [1, 2])
def test_the_agreed_way_back_is_still_open_and_can_be_taken(world: World, failures: int) -> None:
    change = promoted(world, Asked("promote", "production", "toy", 1))
    for _ in range(failures):
        failed = begun(world, 2)
        with reading() as session:
            assert open_way_back(session, world.on_call, "toy", "production") is None
        fail(failed)
    with writing() as session:
        way = open_way_back(session, world.on_call, "toy", "production")
        assert way is not None
        assert (way.change_id, way.from_version, way.to_version) == (change.id, 1, 3)
        seen = way_back_digest(way)
        back = take_way_back(session, world.on_call, way.id, reason="it is bad", seen_digest=seen)
    assert carry_out(back).state == "executed"
    assert serving().version == 3
    with reading() as session:
        assert open_way_back(session, world.on_call, "toy", "production") is None


def smashed(world: World) -> Change:
    """Version 2 in place of version 3, without approval; its review says that this was not justified."""
    asked = Asked("rollback", "production", "toy", 2)
    with writing() as session:
        put_in_force(session, world, BOX)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        change = break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    broken = carry_out(change)
    with writing() as session:
        review_change(session, world.lead, broken.id, verdict="not_justified", comment="so it was")
    return broken


@pytest.mark.parametrize("failures", [1, 2])
def test_what_was_done_by_breaking_the_glass_still_has_its_end(world: World, failures: int) -> None:
    smashed(world)
    assert firing() == [("break_glass", "ticket")]
    for _ in range(failures):
        failed = begun(world, 1)
        tend()
        assert firing() == [], "another version serves"
        fail(failed)
    tend()
    assert firing() == [("break_glass", "ticket")]
    pass_hours(25)
    tend()
    assert firing() == [("break_glass", "page")]
    with reading() as session:
        way = open_way_back(session, world.on_call, "toy", "production")
        assert way is not None
        assert way.to_version == 3


def test_an_ordinary_change_to_the_same_version_is_not_what_served_before(world: World) -> None:
    smashed(world)
    fail(begun(world, 1))
    promoted(world, Asked("promote", "production", "toy", 1))
    again = promoted(world, Asked("promote", "production", "toy", 2))
    pass_hours(25)
    with reading() as session:
        open_one = champion(session, "toy", "production")
        assert open_one is not None
        assert began_as(session, open_one).change_id == again.id
    tend()
    assert firing() == []
