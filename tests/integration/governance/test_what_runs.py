"""What runs is what was signed, from the first stage to the last, and nothing else goes on serving."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from backend import clock
from backend.alerting.mitigation import tend_mitigated
from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert, Incident
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance import errors, execution
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.governance.urgent import open_way_back, take_way_back, way_back_digest
from backend.monitoring.monitors_service import create_monitor
from backend.monitoring.tables import WindowState
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model

FIRST = Asked("promote", "production", "new", 1)


def nothing_serves(world: World) -> None:
    """A model with versions none of which serves."""
    add_model(world, "new")
    with writing() as session:
        session.execute(
            update(Deployment).where(Deployment.model == "new").values(ended_at=clock.now(), state="ended")
        )


def begin(change: Change) -> execution.Plan | None:
    with writing() as session:
        return execution.begin(session, SYSTEM, change.id, f"change-{change.id}")


def fail(change: Change, why: str = "no gateway followed") -> int | None:
    with writing() as session:
        return execution.restore(session, SYSTEM, change.id, why=why)


def test_a_first_version_that_fails_does_not_go_on_serving(world: World) -> None:
    nothing_serves(world)
    change = ask(world.engineer, FIRST)
    say(world.lead, change)
    assert begin(change) is not None
    with writing() as session:
        opened = execution.write_deployment(session, SYSTEM, change.id)
    assert fail(change) is None
    assert fail(change) is None, "a worker that was killed repeats it"
    with reading() as session:
        assert champion(session, "new", "production") is None
        ended = session.get_one(Deployment, opened)
        assert (ended.state, ended.ended_at is not None) == ("failed", True)
        assert execution.withdrawn_by(session, change.id) == opened
        assert execution.champion_after(session, change.id) is None
    assert now(change).state == "failed"
    assert "version 1 left service again, and nothing serves, as before" in now(change).outcome

    again = ask(world.engineer, FIRST)
    say(world.lead, again)
    assert carry_out(again).state == "executed", "it can be asked for again"


def served_with(world: World, cutoff: float) -> Change:
    """What serves goes on with another cut-off, as an ordinary change of it leaves it."""
    change = ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=cutoff))
    say(world.lead, change)
    return carry_out(change)


def returning(world: World, version: int, cutoff: float | None = None) -> tuple[int | None, float | None]:
    with reading() as session:
        found = preview_change(
            session, world.on_call, Asked("rollback", "production", "toy", version, cutoff)
        ).proposal
    return found.to_version, found.to_cutoff


@pytest.mark.parametrize("version", [3, 2])
def test_a_return_does_not_carry_a_cut_off_the_version_never_served_with(world: World, version: int) -> None:
    with pytest.raises((BadInput, errors.NothingToChange), match="cut-off"):
        returning(world, version, 0.02)
    assert returning(world, 2) == returning(world, 2, 0.5) == (2, 0.5)


def test_of_the_version_that_serves_the_cut_off_before_comes_back(world: World) -> None:
    with pytest.raises(errors.NothingToChange, match="never served there with another cut-off"):
        returning(world, 3)
    served_with(world, 0.3)
    assert returning(world, 3) == returning(world, 3, 0.5) == (3, 0.5)
    with pytest.raises(BadInput, match=r"it served with, 0\.5"):
        returning(world, 3, 0.4)
    back = ask(world.on_call, Asked("rollback", "production", "toy", 3))
    say(world.lead, back)
    assert carry_out(back).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
    assert serving is not None
    assert (serving.version, serving.cutoff) == (3, 0.5)


def test_an_earlier_version_returns_with_its_last_cut_off_not_with_its_own(world: World) -> None:
    served_with(world, 0.3)
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, change)
    carry_out(change)
    assert returning(world, 3) == (3, 0.3)


BY_PLACE = """
rules:
  - name: staging
    for: {environments: [staging], kinds: [tier, policy]}
    rule: {}
  - name: production
    for: {environments: [production], kinds: [tier, policy]}
    rule: {roles: {ml_lead: 2, compliance: 1}}
  - name: everything else
    rule: {}
"""


@pytest.mark.parametrize("place", ["staging", "production", "anything", "*", ""])
def test_who_asks_does_not_choose_the_rule_by_naming_an_environment(world: World, place: str) -> None:
    with writing() as session:
        put_in_force(session, world, BY_PLACE)
    document = BY_PLACE.replace("ml_lead: 2", "ml_lead: 1")
    tier, policy = (
        Asked("tier", place, "toy", subject={"tier": "low"}),
        Asked("policy", place, subject={"document": document}),
    )
    for asked in (tier, policy):
        with reading() as session:
            assert preview_change(session, world.engineer, asked).entry.name == "production"
    change = ask(world.engineer, tier)
    assert change.environment == "*"
    assert say(world.lead, change).state == say(world.other_lead, change).state == "waiting"
    assert say(world.compliance, change).state == "approved"
    assert carry_out(change).state == "executed"


@pytest.mark.parametrize("place", ["Production", "production ", "", "*", "elsewhere", "a\0b", "x" * 5000])
def test_an_environment_that_nobody_knows_is_refused(world: World, place: str) -> None:
    for asked in (Asked("promote", place, "toy", 1), Asked("retire", place, "toy")):
        with reading() as session, pytest.raises(BadInput, match="environment"):
            preview_change(session, world.engineer, asked)


def test_a_name_in_a_monitor_or_a_window_is_no_environment(world: World) -> None:
    threshold = {"kind": "constant", "side": "above", "value": 0.2}
    figure = {"kind": "drift", "column": "distance", "statistic": "psi", "threshold": threshold}
    begin, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
    with writing() as session:
        create_monitor(
            session, world.engineer, model="toy", environment="anything",
            definition={"name": "moves", "level": "ticket", "when": figure},
        )  # fmt: skip
        session.add(
            WindowState(
                model="toy", environment="anything", size="1d", start=begin, end=end, version=1, rows=1,
                labels_known=0, state="complete",
            )
        )  # fmt: skip
    with reading() as session, pytest.raises(BadInput, match="there is no environment 'anything'"):
        preview_change(session, world.engineer, Asked("promote", "anything", "toy", 1))


def test_an_environment_that_the_policy_names_gets_its_first_version(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, BY_PLACE)
    change = ask(world.engineer, Asked("promote", "staging", "toy", 1))
    say(world.lead, change)
    assert carry_out(change).state == "executed"


def paged(model: str = "toy") -> tuple[int, int]:
    """A page about what serves; gives the alert and its incident."""
    with writing() as session:
        alert = fire(
            session,
            SYSTEM,
            Firing(model, "production", 3, "realised", "page", "AUC fell", "auc", clock.now(), {}),
        )
        assert alert.incident_id is not None
        return alert.id, alert.incident_id


def incident_state(incident_id: int) -> str:
    with reading() as session:
        return session.get_one(Incident, incident_id).state


def phase_then_settled(alert_id: int, incident_id: int) -> tuple[str, str]:
    """The incident's phase after the change, and after what fired is resolved and the clock has looked."""
    with reading() as session:
        phase = session.get_one(Incident, incident_id).phase
    with writing() as session:
        resolve(session, SYSTEM, session.get_one(Alert, alert_id), why="fine again")
        tend_mitigated(session, SYSTEM)
    return phase, incident_state(incident_id)


@pytest.mark.parametrize(
    "asked",
    [
        Asked("tier", "production", "toy", subject={"tier": "low"}),
        Asked("promote", "production", "toy", 1),
        Asked("cutoff", "production", "toy", to_cutoff=0.4),
        Asked("rollback", "production", "toy", 1),
        Asked("retire", "production", "toy"),
    ],
    ids=lambda asked: asked.kind,
)
def test_a_change_that_was_not_asked_for_from_an_incident_does_not_close_it(
    world: World, asked: Asked
) -> None:
    alert_id, incident_id = paged()
    change = ask(world.engineer, asked)
    say(world.lead, change)
    if change.policy["roles"].get("compliance"):
        say(world.compliance, change)
    assert carry_out(change).state == "executed"
    assert incident_state(incident_id) == "open"
    with reading() as session:
        assert session.get_one(Alert, alert_id).state == "firing"


@pytest.mark.parametrize(
    "asked",
    [
        Asked("promote", "production", "toy", 1),
        Asked("cutoff", "production", "toy", to_cutoff=0.4),
        Asked("rollback", "production", "toy", 1),
    ],
    ids=lambda asked: asked.kind,
)
def test_what_moves_what_serves_mitigates_the_incident_that_it_answers_until_nothing_fires(
    world: World, asked: Asked
) -> None:
    alert_id, incident_id = paged()
    change = ask(world.engineer, replace(asked, alert_id=alert_id))
    say(world.lead, change)
    assert carry_out(change).state == "executed"
    assert phase_then_settled(alert_id, incident_id) == ("mitigated", "closed")


def test_an_agreed_return_settles_the_incident_only_when_it_is_taken_from_there(world: World) -> None:
    for answers in (False, True):
        change = ask(world.engineer, Asked("promote", "production", "toy", 1))
        say(world.lead, change)
        carry_out(change)
        alert_id, incident_id = paged()
        with writing() as session:
            way = open_way_back(session, world.on_call, "toy", "production")
            assert way is not None
            returned = take_way_back(
                session, world.on_call, way.id, reason="AUC fell", seen_digest=way_back_digest(way),
                alert_id=alert_id if answers else None,
            )  # fmt: skip
        carry_out(returned)
        settled = ("mitigated", "closed") if answers else ("new", "open")
        assert phase_then_settled(alert_id, incident_id) == settled
