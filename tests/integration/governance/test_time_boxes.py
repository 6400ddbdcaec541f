"""What was done by breaking the glass has an end: an alert until it is justified or gone, and the way back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.governance import execution
from backend.governance.agreed_returns import finished_times
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.reviews import review_change
from backend.governance.tables import Change, Review
from backend.governance.time_boxes import boxes_due, note_time_box, stands_until
from backend.governance.urgent import break_glass, open_way_back
from backend.governance.views import change_detail
from jobs.schedules import changes_to_tend
from tests.integration.governance.conftest import ask, carry_out, pass_hours, put_in_force, say
from tests.worlds import SYSTEM, World

pytestmark = pytest.mark.usefixtures("moving_clock")
BOX = """
rules:
  - name: back
    for: {{kinds: [rollback]}}
    rule: {{break_glass: {{roles: [on_call], lasts_h: 24, when_over: {then}}}}}
  - name: forth
    rule: {{}}
"""


@pytest.fixture
def broken(world: World) -> Change:
    """Version 2 by break-glass, in place of version 3."""
    return smash(world, "page")


def smash(world: World, then: str) -> Change:
    asked = Asked("rollback", "production", "toy", 2)
    with writing() as session:
        put_in_force(session, world, BOX.format(then=then))
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        change = break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    return carry_out(change)


def tend() -> list[Change]:
    with reading() as session:
        due = boxes_due(session, clock.now())
        assert bool(due) == bool(changes_to_tend(session, clock.now())), (
            "the schedule asks when there is something"
        )
    with writing() as session:
        return [one for number in due if (one := note_time_box(session, SYSTEM, number)) is not None]


def alerts() -> list[tuple[str, str]]:
    with reading() as session:
        rows = session.scalars(select(Alert).where(Alert.kind == "break_glass").order_by(Alert.id))
        return [(one.level, one.state) for one in rows]


def review(world: World, change: Change, verdict: str) -> None:
    with writing() as session:
        review_change(session, world.lead, change.id, verdict=verdict, comment="so it was")


def test_after_its_time_without_review_somebody_is_called_until_it_is_justified(
    world: World, broken: Change
) -> None:
    pass_hours(23)
    assert (tend(), alerts()) == ([], [])
    pass_hours(25)
    assert (tend(), alerts()) == ([], [("page", "firing")])
    assert (tend(), alerts()) == ([], [("page", "firing")]), "once"
    review(world, broken, "justified")
    assert alerts() == [("page", "resolved")]
    assert tend() == []


def test_an_ordinary_change_ends_it(world: World, broken: Change) -> None:
    pass_hours(25)
    tend()
    back = ask(world.on_call, Asked("rollback", "production", "toy", 1))
    say(world.lead, back)
    carry_out(back)
    tend()
    assert alerts() == [("page", "resolved")]


def test_a_review_that_says_not_justified_raises_a_ticket_and_offers_the_return(
    world: World, broken: Change
) -> None:
    review(world, broken, "not_justified")
    assert alerts() == [("ticket", "firing")]
    with reading() as session:
        way = open_way_back(session, world.on_call, "toy", "production")
        assert way is not None
        assert (way.change_id, way.to_version, way.to_cutoff) == (broken.id, 3, 0.5)
    pass_hours(25)
    tend()
    assert alerts() == [("page", "firing")]


@pytest.mark.parametrize("reviewed", [None, "not_justified"])
def test_where_the_policy_says_so_what_served_before_comes_back(world: World, reviewed: str | None) -> None:
    broken = smash(world, "return")
    if reviewed:
        review(world, broken, reviewed)
    pass_hours(25)
    (returned,) = tend()
    assert carry_out(returned).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        assert (serving.version, serving.cutoff) == (3, 0.5)
    assert tend() == []
    assert all(state == "resolved" for _, state in alerts())


def test_a_cut_off_that_was_moved_by_break_glass_comes_back_too(world: World) -> None:
    asked = Asked("cutoff", "production", "toy", to_cutoff=0.4)
    rule = "{break_glass: {roles: [on_call], kinds: [cutoff], lasts_h: 24, when_over: return}}"
    with writing() as session:
        put_in_force(session, world, f"rules: [{{name: all, rule: {rule}}}]")
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        broken = break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    carry_out(broken)
    pass_hours(25)
    (returned,) = tend()
    assert carry_out(returned).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
    assert serving is not None and (serving.version, serving.cutoff) == (3, 0.5)


def test_a_return_that_a_rollout_stood_in_the_way_of_is_taken_when_that_failed(world: World) -> None:
    broken = smash(world, "return")
    review(world, broken, "not_justified")
    other = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, other)
    with writing() as session:
        assert execution.begin(session, SYSTEM, other.id, f"change-{other.id}") is not None
    pass_hours(25)
    assert (tend(), alerts()) == ([], [("page", "firing")])
    assert tend() == []
    with reading() as session:
        assert boxes_due(session, clock.now()) == [], "nothing to say until the rollout is over"
        details = session.scalars(select(Alert).where(Alert.kind == "break_glass")).one().details
        assert f"CHG-{other.id}" in details["return"]
    with writing() as session:
        execution.restore(session, SYSTEM, other.id, why="the version did not load")
    (returned,) = tend()
    assert (returned.to_version, carry_out(returned).state) == (3, "executed")
    assert tend() == []
    assert alerts() == [("page", "resolved")]


def test_a_return_by_itself_waits_until_a_freeze_that_excepts_none_is_over(world: World) -> None:
    smash(world, "return")
    begin, end = ((clock.now() + timedelta(days=days)).date().isoformat() for days in (-9, 9))
    still = f"{{name: still, dates: [{begin}T00:00:00, {end}T00:00:00], except_kinds: [policy]}}"
    with writing() as session:
        put_in_force(session, world, f"freezes: [{still}]{BOX.format(then='return')}")
    pass_hours(25)
    assert (tend(), alerts()) == ([], [("page", "firing")])
    with reading() as session:
        assert boxes_due(session, clock.now()) == [], "nothing to say until the freeze is over"
        alert = session.scalars(select(Alert).where(Alert.kind == "break_glass")).one()
    assert "the freeze still excepts no return until" in alert.details["return"]
    assert clock.from_iso(alert.details["waits_until"]).date().isoformat() == end
    with writing() as session:
        put_in_force(session, world, BOX.format(then="return"))
        over = {"waits_until": clock.to_iso(clock.now())}
        session.get_one(Alert, alert.id).details = {**alert.details, **over}
    (returned,) = tend()
    assert (returned.to_version, carry_out(returned).state) == (3, "executed")


def test_until_when_it_stands_is_told_with_its_review(world: World, broken: Change) -> None:
    def told() -> object:
        with reading() as session:
            return change_detail(session, world.viewer, session.get_one(Change, broken.id))["review"][
                "stands_until"
            ]

    with reading() as session:
        end = finished_times(session, [broken.id])[broken.id] + timedelta(hours=24)
    assert told() == end
    review(world, broken, "not_justified")
    assert told() == end
    back = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, back)
    carry_out(back)
    assert told() is None, "something else serves"


@pytest.mark.parametrize("written", ["justified", "turned", "gone"])
def test_a_verdict_in_the_table_that_the_log_does_not_give_ends_nothing(
    world: World, broken: Change, written: str
) -> None:
    """Planted without a review, turned after one that said otherwise, or taken away after one that justified it."""
    if written != "justified":
        review(world, broken, "not_justified" if written == "turned" else "justified")
    with writing() as session:
        row = session.get_one(Review, broken.id)
        row.verdict = None if written == "gone" else "justified"
        row.reviewed_by = None if written == "gone" else world.lead.person_id
    pass_hours(25)
    tend()
    with reading() as session:
        stands = stands_until(session, session.get_one(Change, broken.id), session.get_one(Review, broken.id))
        titles = session.scalars(select(Alert.title).where(Alert.kind == "break_glass")).all()
    if written == "gone":
        assert (alerts(), stands) == ([], None), "by the log it was justified"
        return
    assert alerts()[-1] == ("page", "firing")
    assert stands is not None
    assert "the table says justified, and no entry of the log does" in titles[-1]


def test_when_it_was_done_is_asked_of_the_log(world: World, broken: Change) -> None:
    with writing() as session:
        far = clock.now() + timedelta(days=900)
        session.execute(update(Change).where(Change.id == broken.id).values(finished_at=far))
    pass_hours(25)
    tend()
    assert alerts() == [("page", "firing")]
