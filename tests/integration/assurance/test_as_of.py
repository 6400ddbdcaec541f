"""Inventory, tiers, roles, policy and findings as they were on a day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.assurance.as_of import UNKNOWN, HouseThen, house_as_of
from backend.assurance.facts import keep_facts
from backend.assurance.findings import open_finding, plan_finding
from backend.assurance.tables import Finding
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.log import record
from backend.database.session import reading, writing
from backend.deployment.service import start_deployment
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor
from backend.identity.people import disable_person, set_roles
from backend.identity.roles import Role
from backend.registry.tables import Model
from tests.integration.governance.conftest import UNGATED, put_in_force
from tests.worlds import SYSTEM, World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files", versions=2)


def seen(by: Actor, moment: object) -> HouseThen:
    with reading() as session:
        return house_as_of(session, by, moment)  # type: ignore[arg-type]


def test_a_later_change_is_taken_back(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, UNGATED)
        keep_facts(session, world.compliance, model="toy", why="first", purpose="tells delays",
                   owner_id=world.engineer.person_id)  # fmt: skip
        finding = open_finding(
            session, world.compliance, model="toy", title="no test", detail="so", severity="low",
            owner_id=world.engineer.person_id, due_at=clock.now() + timedelta(days=5),
        )  # fmt: skip
        finding_id = finding.id
    moment = clock.now()
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.tier = "high"
        record(session, SYSTEM, Action.TIER_CHANGED, object_kind="model", object_id="toy",
               payload={"before": "medium", "after": "high", "change": 1})  # fmt: skip
        put_in_force(session, world, UNGATED + "# again")
        keep_facts(session, world.compliance, model="toy", why="second", purpose="tells more",
                   owner_id=world.lead.person_id)  # fmt: skip
        set_roles(session, SYSTEM, world.lead.person_id, {Role.VIEWER})
        disable_person(session, SYSTEM, world.engineer.person_id)
        plan_finding(session, world.compliance, finding_id, why="graver", severity="high")
        open_finding(
            session, world.compliance, model="toy", title="later", detail="so", severity="low",
            owner_id=world.lead.person_id, due_at=clock.now() + timedelta(days=5),
        )  # fmt: skip
        start_deployment(
            session, SYSTEM, model="toy", environment="production", version=1, change_id=None, reason="back"
        )
    then, now = seen(world.compliance, moment), seen(world.compliance, clock.now())
    assert [(one.tier, one.owner, one.purpose) for one in then.models] == [
        ("medium", world.engineer.person_id, "tells delays")
    ]
    assert [(one.tier, one.owner, one.purpose) for one in now.models] == [
        ("high", world.lead.person_id, "tells more")
    ]
    assert then.models[0].serving == ("v2 champion in production",)
    assert now.models[0].serving == ("v1 champion in production",)
    assert (then.policy, now.policy) == (then.policy, (then.policy or 0) + 1)
    assert then.people is not None
    assert now.people is not None
    roles = {one.person_id: (one.roles, one.disabled) for one in then.people}
    later = {one.person_id: (one.roles, one.disabled) for one in now.people}
    assert roles[world.lead.person_id] == (("ml_lead",), False)
    assert later[world.lead.person_id] == (("viewer",), False)
    assert (roles[world.engineer.person_id][1], later[world.engineer.person_id][1]) == (False, True)
    assert [(one.title, one.severity, one.state) for one in then.findings] == [("no test", "low", "open")]
    assert [one.severity for one in now.findings] == ["high", "low"]
    assert (then.models[0].open_findings, now.models[0].open_findings) == (1, 2)
    assert then.notes == ()


def test_a_finding_closed_later_was_open_then(world: World) -> None:
    with writing() as session:
        finding = open_finding(
            session, world.compliance, model="toy", title="no test", detail="so", severity="low",
            owner_id=world.engineer.person_id, due_at=clock.now() + timedelta(days=5),
        )  # fmt: skip
        number = finding.id
    first = clock.now()
    with writing() as session:
        record(session, world.engineer, Action.FINDING_ANSWERED, object_kind="finding", object_id=number)
    second = clock.now()
    with writing() as session:
        session.get_one(Finding, number).state = "closed"
        record(session, world.compliance, Action.FINDING_CLOSED, object_kind="finding", object_id=number)
    assert [one.state for one in seen(world.compliance, first).findings] == ["open"]
    assert [one.state for one in seen(world.compliance, second).findings] == ["answered"]
    assert seen(world.compliance, clock.now()).findings == ()


def test_what_an_erased_payload_would_say_is_not_known(world: World) -> None:
    moment = clock.now()
    with writing() as session:
        session.get_one(Model, "toy").tier = "high"
        seq = record(session, SYSTEM, Action.TIER_CHANGED, object_kind="model", object_id="toy",
                     payload={"before": "medium", "after": "high"})  # fmt: skip
        erase_payloads(session, SYSTEM, [seq], why="retention")
    then = seen(world.compliance, moment)
    assert then.models[0].tier == UNKNOWN
    assert f"entry {seq}" in then.notes[0]


def test_before_the_house_there_is_nothing(world: World) -> None:
    then = seen(world.compliance, clock.now() - timedelta(days=400 * 10))
    assert (then.models, then.people, then.policy, then.findings) == ((), (), None, ())


def test_roles_are_shown_to_those_who_may_read_payloads(world: World) -> None:
    assert seen(world.on_call, clock.now()).people is None
    with pytest.raises(NotAllowed):
        seen(world.viewer, clock.now())
    with pytest.raises(BadInput):
        seen(world.compliance, clock.now() + timedelta(hours=1))
