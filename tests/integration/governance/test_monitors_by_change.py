"""Where the policy says so, a monitor is changed by an approved change and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import update

from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.kinds import Asked
from backend.governance.policies import built_in
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import change_budget, false_alarms
from backend.monitoring.columns import parse_spec
from backend.monitoring.monitor_tables import MonitorVersion
from backend.registry.tables import Model
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import ask, carry_out, put_in_force, say
from tests.worlds import World

__all__ = ["open_page"]
ONLY = (
    "rules: [{name: guarded, for: {kinds: [monitor]}, rule: {only_by_change: true}}, {name: all, rule: {}}]"
)


def definition(limit: float = 10) -> dict[str, Any]:
    threshold = {"kind": "constant", "side": "below", "value": limit}
    return {
        "name": "traffic",
        "level": "page",
        "when": {"kind": "volume", "statistic": "rows", "threshold": threshold},
    }


def create(session: WriteSession, actor: Actor) -> MonitorVersion:
    return service.create_monitor(
        session, actor, model="toy", environment="production", definition=definition()
    )


@pytest.fixture
def monitor(world: World) -> MonitorVersion:
    """One that was made before the rule was in force."""
    with writing() as session:
        made = create(session, world.lead)
    with writing() as session:
        put_in_force(session, world, ONLY)
    return made


def test_the_built_in_policy_asks_it_for_the_tier_high_alone() -> None:
    document = built_in().document
    found = {
        tier: document.entry_for("monitor", tier, "production").rule.only_by_change
        for tier in ("low", "medium", "high", "prohibited")
    }
    assert found == {"low": False, "medium": False, "high": True, "prohibited": False}


def test_the_built_in_policy_lets_monitors_of_a_medium_model_be_edited(world: World) -> None:
    with writing() as session:
        create(session, world.lead)
    with writing() as session:
        put_in_force(session, world, built_in().document.as_yaml())
        session.execute(update(Model).values(tier="high"))
    with writing() as session, pytest.raises(errors.OnlyByChange, match=r"monitors of toy .* \(tier high\)"):
        create(session, world.lead)


EDITS: dict[str, Callable[[WriteSession, Actor, MonitorVersion], object]] = {
    "create": lambda session, actor, _: create(session, actor),
    "change": lambda session, actor, one: service.change_monitor(
        session, actor, one.key, definition=definition(20), seen=1
    ),
    "restore": lambda session, actor, one: service.restore_monitor(session, actor, one.key, number=1, seen=1),
    "pause": lambda session, actor, one: service.pause_monitor(session, actor, one.key, paused=True, seen=1),
    "delete": lambda session, actor, one: service.delete_monitor(session, actor, one.key, seen=1),
}


@pytest.mark.parametrize("edit", EDITS)
def test_no_direct_edit_goes_past_the_rule(world: World, monitor: MonitorVersion, edit: str) -> None:
    with writing() as session, pytest.raises(errors.OnlyByChange, match="Ask for one: on the page Monitors"):
        EDITS[edit](session, world.lead, monitor)
    with reading() as session:
        (row,) = service.list_monitors(session, world.viewer, "toy", "production")
        assert (row.number, row.state) == (1, "active")


def by_change(world: World, subject: dict[str, Any]) -> Change:
    change = ask(world.engineer, Asked("monitor", "production", "toy", subject=subject))
    assert say(world.lead, change).state == "approved"
    done = carry_out(change)
    assert done.state == "executed", done.outcome
    return done


def test_an_approved_change_edits_pauses_resumes_and_deletes(world: World, monitor: MonitorVersion) -> None:
    def row() -> MonitorVersion:
        with reading() as session:
            return service.get_monitor(session, world.viewer, monitor.key)

    by_change(world, {"key": monitor.key, "definition": definition(20)})
    assert row().definition["when"]["threshold"]["value"] == 20
    for state in ("paused", "active", "deleted"):
        change = by_change(world, {"key": monitor.key, "state": state})
        assert (row().state, row().why) == (state, f"CHG-{change.id}")


def test_a_state_that_cannot_be_is_refused_when_it_is_asked_for(
    world: World, monitor: MonitorVersion
) -> None:
    for subject in ({"state": "paused"}, {"key": monitor.key, "state": "asleep"},
                    {"key": monitor.key, "state": "paused", "definition": definition()}):  # fmt: skip
        with pytest.raises(BadInput, match="the state of a monitor is"):
            ask(world.engineer, Asked("monitor", "production", "toy", subject=subject))
    with pytest.raises(errors.NothingToChange):
        ask(
            world.engineer,
            Asked("monitor", "production", "toy", subject={"key": monitor.key, "state": "active"}),
        )


BUDGET = {"pages_per_quarter": 6.0, "rota": "night", "rota_pages_per_shift": 0.5}


def change_directly(session: WriteSession, actor: Actor) -> None:
    seen = false_alarms(session, actor, "toy", "production").digest
    change_budget(session, actor, model="toy", seen_digest=seen, why="so", **BUDGET)


@pytest.mark.parametrize("where", ["{kinds: [monitor]}", "{kinds: [monitor], environments: [staging]}"])
def test_the_false_alarm_budget_is_guarded_as_monitors_are(world: World, where: str) -> None:
    with writing() as session:
        put_in_force(session, world, ONLY.replace("{kinds: [monitor]}", where))
    with writing() as session, pytest.raises(errors.OnlyByChange, match="the false-alarm budget of toy"):
        change_directly(session, world.engineer)
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {}}]")
        change_directly(session, world.engineer)


def test_an_approved_change_sets_the_budget(world: World, monitor: MonitorVersion) -> None:
    change = by_change(world, {"budget": BUDGET})
    assert change.summary == "the false-alarm budget of toy changes"
    with reading() as session:
        assert asdict(parse_spec(session.get_one(Model, "toy").spec).budget) == BUDGET
    with pytest.raises(errors.NothingToChange):
        ask(world.engineer, Asked("monitor", "production", "toy", subject={"budget": BUDGET}))


@pytest.mark.parametrize(
    "subject",
    [{"budget": {}}, {"budget": BUDGET | {"rota": 3}}, {"budget": BUDGET | {"pages_per_quarter": -1}},
     {"budget": BUDGET | {"more": 1}}, {"budget": BUDGET, "key": "x"}, {"budget": BUDGET | {"pages_per_quarter": True}},
     {"budget": BUDGET | {"rota_pages_per_shift": float("nan")}}],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_when_it_is_asked_for(
    world: World, subject: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        ask(world.engineer, Asked("monitor", "production", "toy", subject=subject))


def test_the_page_asks_for_the_change_instead(world: World, monitor: MonitorVersion, open_page: Open) -> None:
    page = text_of(open_page(world.engineer, "monitors", model="toy", monitor=monitor.key))
    assert "changed only by an approved change" in page
    assert "Ask for a change that stores" in page


def test_the_page_asks_for_the_change_of_the_budget(
    world: World, monitor: MonitorVersion, open_page: Open
) -> None:
    page = open_page(world.engineer, "monitors", model="toy")
    page.number_input(key=next(one.key for one in page.number_input if one.key.endswith(":pages"))).set_value(
        9
    ).run()
    text = text_of(page)
    assert "Ask for a change of the budget of toy" in text
    assert "the false-alarm budget of toy (tier medium) is changed only by an approved change" in text.lower()
