"""Whose the training data of a version are: declared by people, excluded by rules, and held against the log."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance import execution
from backend.governance.asking import preview_change
from backend.governance.data_owners import DECLARED, declare_data_owner
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.registry.recorded import VersionAltered, people_otherwise
from backend.registry.tables import Version
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World

PROMOTE = Asked("promote", "production", "toy", 1)
RULE = "rules: [{name: all, rule: {excluded: [requester, trainer, data_owner]}}]"


@pytest.fixture(autouse=True)
def rule(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, RULE)


def declare(by: Actor, username: str, *, why: str = "they collected it") -> Version:
    with writing() as session:
        return declare_data_owner(session, by, "toy", 1, username=username, why=why)


def test_who_was_declared_to_own_the_data_does_not_decide(world: World) -> None:
    assert declare(world.engineer, " LEAD ").data_owner == world.lead.person_id
    change = ask(world.engineer, PROMOTE)
    assert change.data_owner == world.lead.person_id
    with pytest.raises(NotAllowed, match="own the data"):
        say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"
    with reading() as session:
        (entry,) = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.DATA_OWNER_DECLARED.value)
        )
        assert (entry.object_id, entry.actor) == ("toy/1", world.engineer.person_id)


def test_what_people_decide_on_about_that_version_is_void_and_the_same_again_does_nothing(
    world: World,
) -> None:
    declare(world.engineer, "engineer")
    change = say(world.lead, ask(world.on_call, PROMOTE))
    declare(world.lead, "engineer")
    assert now(change).state == "approved", "nothing was declared that was not known"
    declare(world.other_lead, "lead")
    ended = now(change)
    assert (ended.state, DECLARED in (ended.outcome or "")) == ("void", True)


def test_an_approval_that_was_signed_with_other_people_in_view_is_not_carried_out(world: World) -> None:
    """Where the declaration came between the preview and the request of a change, say."""
    change = say(world.lead, ask(world.on_call, PROMOTE))
    with writing() as session:
        session.get_one(Change, change.id).state = "expired"
    declare(world.engineer, "lead")
    with writing() as session:
        row = session.get_one(Change, change.id)
        row.state = "approved"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "owns its data is somebody else" in (now(change).outcome or "")


def test_nobody_takes_themselves_off_and_only_people_of_the_house_own_data(world: World) -> None:
    declare(world.engineer, "lead")
    with pytest.raises(NotAllowed, match="somebody else has to say"):
        declare(world.lead, "")
    with pytest.raises(NotAllowed, match="registry:version:register"):
        declare(world.on_call, "engineer")
    with pytest.raises(BadInput, match="is nobody here"):
        declare(world.engineer, "nobody-of-that-name")
    with pytest.raises(BadInput, match="why"):
        declare(world.engineer, "engineer", why=" ")
    with pytest.raises(NotFound), writing() as session:
        declare_data_owner(session, world.engineer, "toy", 99, username="lead", why="so")
    assert declare(world.engineer, "").data_owner is None


def test_an_owner_in_the_table_that_nobody_declared_is_told_and_refused(world: World) -> None:
    declare(world.engineer, "lead")
    with writing() as session:
        session.get_one(Version, ("toy", 1)).data_owner = None
    with reading() as session, pytest.raises(VersionAltered, match="which says whose its data are"):
        preview_change(session, world.on_call, PROMOTE)
    with pytest.raises(VersionAltered):
        declare(world.engineer, "engineer")
    with writing() as session:
        session.get_one(Version, ("toy", 1)).data_owner = world.lead.person_id
        assert people_otherwise(session, [session.get_one(Version, ("toy", 1))]) == {}
