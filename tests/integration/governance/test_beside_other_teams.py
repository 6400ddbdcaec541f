"""Who sees some models only: changes of others are not there for them, and what others owe counts all the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from backend import clock
from backend.assurance.exceptions import ask_exception, end_exception
from backend.assurance.tables import PolicyException
from backend.audit.erasure import erase_payloads
from backend.audit.finding_hands import close_by_hand
from backend.audit.findings import CLOCK_JUMPED
from backend.audit.findings import open_finding as open_log_finding
from backend.audit.retention import erase_old_payloads
from backend.audit.standing_checks import unset_standing
from backend.audit.tables import AuditEntry, AuditFinding, AuditPayload
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance import errors
from backend.governance.asking import cancel_change, preview_change
from backend.governance.authority import who_can_decide
from backend.governance.delegations import delegate
from backend.governance.kinds import Asked
from backend.governance.reading import ids_waiting_for
from backend.governance.sending_again import resubmit_change
from backend.governance.settling import recheck_gates
from backend.governance.tables import Change
from backend.governance.urgent import break_glass
from backend.identity.actor import Actor
from backend.identity.people import person_by_id, set_roles
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.monitoring.budget_service import change_budget, spec_digest
from backend.registry.service import get_model
from backend.registry.tables import Model
from tests.integration.governance.conftest import ask, say
from tests.worlds import SYSTEM, World, add_model, person

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PROMOTE = Asked("promote", "production", "toy", 1)
ACTS: list[Callable[[WriteSession, Actor, int], object]] = [
    lambda session, who, number: recheck_gates(session, who, number, reason="so"),
    lambda session, who, number: cancel_change(session, who, number, reason="so"),
    lambda session, who, number: resubmit_change(session, who, number, reason="so", seen_digest="x"),
]


def in_team(who: Actor, *models: str, role: Role = Role.ML_LEAD) -> Actor:
    """As they are from now on: with a role in a team that has these models, and with nothing else."""
    with writing() as session:
        team = make_team(session, SYSTEM, name=f"of {models[0]}")
        for model in models:
            move_model(session, SYSTEM, model=model, team_id=team.id, why="theirs")
        set_team_roles(session, SYSTEM, team.id, who.person_id, {role})
        set_roles(session, SYSTEM, who.person_id, set(), why="of a team now")
    with reading() as session:
        return actor_of(person_by_id(session, who.person_id), session_id=None)


def lend(giver: Actor, taker: Actor) -> None:
    with writing() as session:
        delegate(
            session, giver, to_person=taker.person_id, starts_at=clock.now(), reason="on leave",
            ends_at=clock.now() + timedelta(days=1),
        )  # fmt: skip


def test_a_lent_right_is_none_to_what_its_taker_may_not_see(world: World) -> None:
    add_model(world, "other")
    change = ask(world.engineer, PROMOTE)
    with writing() as session:
        taker = person(session, "outsider", Role.VIEWER)
    lend(world.lead, taker)
    with reading() as session:
        assert ids_waiting_for(session, taker) == [change.id]
    taker = in_team(taker, "other", role=Role.VIEWER)
    with reading() as session:
        assert ids_waiting_for(session, taker) == []
        could = {one["name"] for one in who_can_decide(session, session.get_one(Change, change.id))}
        assert could == {"Lead", "Lead2"}
    for act in ACTS:
        with writing() as session, pytest.raises(errors.ChangeNotFound):
            act(session, taker, change.id)
    lend(world.lead, taker)  # who decides on every model lends the right to those of the taker's
    ours = in_team(world.other_lead, "toy")
    with pytest.raises(BadInput, match="they see none of the models"):
        lend(ours, taker)


@pytest.mark.parametrize("erased", [False, True])
def test_a_role_in_a_team_counts_however_old_its_entry_is(world: World, erased: bool) -> None:
    """Its text stays where texts go by their age; where it is gone all the same, it speaks against nobody."""
    lead = in_team(world.other_lead, "toy")
    change = ask(world.engineer, PROMOTE)
    of_teams = select(AuditEntry.seq).where(
        AuditEntry.action.in_(("identity:team:set_roles", "identity:team:move_model"))
    )
    with writing() as session:
        erase_old_payloads(session, SYSTEM, before=clock.now() + timedelta(days=1))
        seqs = list(session.scalars(of_teams))
        kept = select(func.count()).where(AuditPayload.seq.in_(seqs))
        assert session.scalar(kept) == len(seqs) == 2
        if erased:
            erase_payloads(session, SYSTEM, seqs, why="as before they stayed")
    assert say(lead, change).state == "approved"
    with reading() as session:
        assert not [one for one in unset_standing(session) if lead.person_id in one.title]


def test_what_another_team_owes_of_the_same_owner_is_told_before_the_approval(world: World) -> None:
    add_model(world, "other")
    with writing() as session:
        session.execute(update(Model).values(owner_id=world.engineer.person_id))
    lead = in_team(world.other_lead, "other")
    back = Asked("rollback", "production", "toy", 2)
    with reading() as session:
        seen = preview_change(session, world.on_call, back).digest
    with writing() as session:
        glass = break_glass(session, world.on_call, back, reason="it burns", seen_digest=seen)
    change = ask(world.engineer, Asked("promote", "production", "other", 1))
    with pytest.raises(errors.ReviewOutstanding, match=f"CHG-{glass.id} broke the glass"):
        say(lead, change)


def test_who_reads_the_whole_house_changes_by_a_role_in_a_team_nothing_of_another(world: World) -> None:
    """What was read by the wider right is still in the session when the narrower one is asked for."""
    add_model(world, "other")
    later = clock.now() + timedelta(days=9)
    with writing() as session:
        asked = ask_exception(
            session, world.engineer, model="toy", gate="findings_settled", reason="so", expires_at=later
        )
        told = open_log_finding(session, SYSTEM, CLOCK_JUMPED, subject="a clock", title="it jumped")
    lead = in_team(world.other_lead, "other")
    with writing() as session:
        set_roles(
            session, SYSTEM, lead.person_id, {Role.VIEWER, Role.ADMIN}, why="reads and administers the house"
        )
    with reading() as session:
        both = actor_of(person_by_id(session, lead.person_id), session_id=None)
        seen = spec_digest(get_model(session, both, "toy"))
    with pytest.raises((NotAllowed, NotFound)), writing() as session:
        end_exception(session, both, asked.id, why="so")
    with pytest.raises((NotAllowed, NotFound)), writing() as session:
        change_budget(
            session, both, model="toy", pages_per_quarter=1.0, rota="", rota_pages_per_shift=2.0, seen_digest=seen,
            why="so",
        )  # fmt: skip
    with pytest.raises((NotAllowed, NotFound)), writing() as session:
        close_by_hand(session, both, told.id, why="so")
    with reading() as session:
        assert spec_digest(get_model(session, both, "toy")) == seen
        assert session.get_one(PolicyException, asked.id).state == "asked"
        assert session.get_one(AuditFinding, told.id).state == "open"
