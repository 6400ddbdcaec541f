"""Inventory, tiers, roles, policy and findings as they were on a day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Incident
from backend.assurance.as_of import UNKNOWN, HouseThen, house_as_of
from backend.assurance.facts import keep_facts
from backend.assurance.findings import close_finding, open_finding, plan_finding, reopen_finding
from backend.assurance.hands import builders_and_owners
from backend.assurance.tables import Finding
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.audit.texts_then import TextThen, texts_then
from backend.database.session import reading, writing
from backend.deployment.service import start_deployment
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor
from backend.identity.people import disable_person, set_roles
from backend.identity.roles import Role
from backend.registry.service import register_model
from backend.registry.tables import Model
from tests.integration.governance.conftest import UNGATED, put_in_force
from tests.worlds import SPEC, SYSTEM, World, make_world


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


def test_registering_again_loses_no_owner_and_tells_of_another(world: World) -> None:
    def again(owner: str | None) -> None:
        with writing() as session:
            register_model(
                session,
                SYSTEM,
                name="toy",
                title="Toy",
                description="",
                tier="medium",
                spec=SPEC,
                owner_id=owner,
            )

    def barred() -> dict[str, str]:
        with reading() as session:
            return builders_and_owners(session, session.get_one(Model, "toy"), 2)

    again(world.lead.person_id)
    again(None)
    assert seen(world.compliance, clock.now()).models[0].owner == world.lead.person_id
    moment = clock.now()
    again(world.compliance.person_id)
    assert "owned toy" in barred()[world.lead.person_id], "who owned it vouches for it no more than who does"
    then, now = seen(world.compliance, moment), seen(world.compliance, clock.now())
    assert (then.models[0].owner, now.models[0].owner) == (world.lead.person_id, world.compliance.person_id)


def test_a_finding_that_was_opened_again_has_the_day_that_it_had(world: World) -> None:
    day = clock.now() + timedelta(days=5)
    with writing() as session:
        number = open_finding(
            session, world.compliance, model="toy", title="no test", detail="so", severity="low",
            owner_id=world.engineer.person_id, due_at=day,
        ).id  # fmt: skip
    moment = clock.now()
    with writing() as session:
        close_finding(session, world.compliance, number, evidence="seen")
        reopen_finding(session, world.compliance, number, why="it came back", due_at=day + timedelta(days=90))
    (then,) = seen(world.compliance, moment).findings
    (now,) = seen(world.compliance, clock.now()).findings
    assert (then.due, now.due) == (clock.to_iso(day), clock.to_iso(day + timedelta(days=90)))


def test_titles_are_those_of_the_day_and_today_s_are_said_to_be(world: World) -> None:
    with writing() as session:
        finding = open_finding(
            session, world.compliance, model="toy", title="no test", detail="so", severity="low",
            owner_id=world.engineer.person_id, due_at=clock.now() + timedelta(days=5),
        )  # fmt: skip
        number = finding.id
    moment, title = clock.now(), seen(world.compliance, clock.now()).models[0].title
    with writing() as session:
        register_model(
            session, SYSTEM, name="toy", title="Another toy", description="", tier="medium", spec=SPEC
        )
        session.get_one(Finding, number).title = "rewritten"
    then = seen(world.compliance, moment)
    assert (then.models[0].title, then.findings[0].title) == (title, "no test")
    assert seen(world.compliance, clock.now()).models[0].title == "Another toy"
    assert then.notes == ()
    with writing() as session:
        (seq,) = session.scalars(
            select(AuditEntry.seq).where(AuditEntry.action == Action.FINDING_OPENED.value)
        )
        erase_payloads(session, SYSTEM, [seq], why="retention")
    then = seen(world.compliance, moment)
    assert then.findings[0].title == "rewritten"
    assert then.notes == (
        f"title of finding {number}, so today's is shown: entry {seq} would say what it was, and its text was erased",
    )


def test_an_incident_and_a_change_are_called_what_they_were_called_then(world: World) -> None:
    def alert(column: str, title: str, days_ago: int) -> int:
        since = clock.now() - timedelta(days=days_ago)
        with writing() as session:
            found = fire(
                session, SYSTEM, Firing("toy", "production", 2, "realised", "page", title, column, since, {})
            )
            return found.incident_id or 0

    def ask(action: Action, summary: str) -> int:
        with writing() as session:
            return record(
                session, SYSTEM, action, object_kind="change", object_id=7, payload={"summary": summary}
            )

    number, _ = alert("auc", "AUC fell", 0), ask(Action.CHANGE_REQUESTED, "to v1")
    moment = clock.now()
    assert alert("recall", "recall fell", 1) == number
    again = ask(Action.CHANGE_RESUBMITTED, "to v1, at 0.4")
    with writing() as session:
        assert session.get_one(Incident, number).title == "recall fell"
        today = {number: "recall fell"}
        assert texts_then(session, "incident", today, moment) == {number: TextThen("AUC fell")}
        assert texts_then(session, "incident", today, clock.now()) == {number: TextThen("recall fell")}
        assert texts_then(session, "change", {7: "to v1, at 0.4"}, moment) == {7: TextThen("to v1")}
        erase_payloads(session, SYSTEM, [again], why="retention")
        (now,) = texts_then(session, "change", {7: "to v1, at 0.4"}, clock.now()).values()
    assert (now.text, f"entry {again} would say" in now.why_not) == ("to v1, at 0.4", True)


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
