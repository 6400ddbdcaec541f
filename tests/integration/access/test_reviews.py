"""A review of access covers everything, is answered by somebody else, and what is revoked is gone at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from backend import clock
from backend.access.reviews import (
    OwnAccess,
    answer_item,
    find_overdue_review,
    items_of,
    list_reviews,
    overdue_reviews,
    start_review,
)
from backend.access.rights import Right, rights_now
from backend.access.tables import AccessItem, AccessReview
from backend.audit.reading import search_entries
from backend.database.session import reading, writing
from backend.errors import Conflict, NotAllowed
from backend.governance.delegations import delegate
from backend.governance.tables import Delegation
from backend.identity.actor import Actor
from backend.identity.people import LastAdministrator, create_person, person_by_id
from backend.identity.roles import Role
from backend.identity.tables import Person, TrustRule
from backend.identity.tokens import create_token, issue, resolve_token
from backend.identity.trust_rules import create_rule
from tests.worlds import SYSTEM, World, make_world, person


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def rights(world: World) -> list[Right]:
    with reading() as session:
        return rights_now(session, world.compliance)


def start(world: World, days: float = 14) -> AccessReview:
    with writing() as session:
        return start_review(
            session, world.compliance, title="third quarter", due_at=clock.now() + timedelta(days=days)
        )


def item(world: World, who: Actor, kind: str = "role") -> int:
    with reading() as session:
        found = session.query(AccessItem).filter_by(person_id=who.person_id, kind=kind).all()
    return found[0].id


def say(world: World, number: int, answer: str, by: Actor | None = None) -> AccessItem:
    with writing() as session:
        return answer_item(
            session, by or world.compliance, number, answer=answer, reason="looked at the rota"
        )


def test_it_shows_roles_tokens_and_loans_with_when_each_was_last_used(world: World) -> None:
    with writing() as session:
        create_token(session, world.engineer, name="pipeline")
        delegate(
            session, world.lead, to_person=world.engineer.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=3), reason="away",
        )  # fmt: skip
    found = [one for one in rights(world) if one.person_id == world.engineer.person_id]
    assert [(one.kind, one.facts.get("name") or one.facts.get("from")) for one in found] == [
        ("role", None), ("token", "pipeline"), ("loan", "Lead"),
    ]  # fmt: skip
    assert "governance:change:request" in found[0].facts["permissions"]
    assert [one.last_used_at for one in found] == [None, None, None]
    with pytest.raises(NotAllowed), reading() as session:
        rights_now(session, world.lead)


def test_nobody_answers_for_themselves(world: World) -> None:
    start(world)
    with pytest.raises(OwnAccess):
        say(world, item(world, world.compliance), "keep")
    with pytest.raises(NotAllowed):
        say(world, item(world, world.viewer), "keep", world.lead)


def test_a_revoked_role_token_and_loan_are_gone_with_the_answer(world: World) -> None:
    with writing() as session:
        _, raw = create_token(session, world.engineer, name="pipeline")
        delegate(
            session, world.lead, to_person=world.engineer.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=3), reason="away",
        )  # fmt: skip
    start(world)
    for kind in ("role", "token", "loan"):
        say(world, item(world, world.engineer, kind), "revoke")
    with reading() as session:
        assert person_by_id(session, world.engineer.person_id).roles == []
        assert resolve_token(session, raw) is None
        assert session.query(Delegation).one().revoked_at is not None
        logged = [one.action for one in search_entries(session, world.compliance, action="identity")]
    assert logged.count("identity:access_review:answer") == 3
    assert "identity:person:set_roles" in logged
    assert "identity:token:revoke" in logged


def test_a_rule_that_lets_pipelines_in_is_a_right_and_its_short_tokens_are_none(world: World) -> None:
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
        robot = create_person(
            session, admin, username="ci", display_name="CI", roles={Role.ML_ENGINEER}, kind="service",
            owner_id=admin.person_id,
        )  # fmt: skip
        rule = create_rule(
            session, admin, name="deliver", issuer="https://ci.example", audience="warrant", person_id=robot.id,
            claims={"repository": ["acme/flights"]}, scopes=["registry:model:read"],
        )  # fmt: skip
        given = issue(
            session, robot, name="job: deliver", expires_at=clock.now() + timedelta(minutes=15),
            scopes=rule.scopes, models=None, trust_rule=rule.id,
        )[1]  # fmt: skip
    found = {one.kind: one for one in rights(world) if one.person_id == robot.id}
    assert set(found) == {"role", "trust_rule"}
    assert found["trust_rule"].facts["claims"] == {"repository": ["acme/flights"]}
    start(world)
    with reading() as session:
        number = session.query(AccessItem).filter_by(kind="trust_rule").one().id
    say(world, number, "revoke")
    with reading() as session:
        assert session.get_one(TrustRule, rule.id).ended_at is not None
        assert resolve_token(session, given) is None


def test_the_last_administrator_stays(world: World) -> None:
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
    start(world)
    with pytest.raises(LastAdministrator):
        say(world, item(world, admin), "revoke")
    with reading() as session:
        assert session.get_one(AccessItem, item(world, admin)).answer is None


def test_it_is_over_when_each_item_has_one_answer(world: World) -> None:
    review = start(world)
    with pytest.raises(Conflict, match="not over"):
        start(world)
    with writing() as session:
        other = person(session, "second", Role.COMPLIANCE)
    with reading() as session:
        items = items_of(session, world.compliance, review.id)
    assert len(items) == 6
    for one in items:
        say(world, one["id"], "keep", other if one["own"] else None)
    with pytest.raises(Conflict, match="answered keep"):
        say(world, items[-1]["id"], "revoke")
    with reading() as session:
        (progress,) = list_reviews(session, world.compliance)
    assert (progress.kept, progress.open, progress.overdue) == (6, 0, False)
    assert progress.review.closed_at is not None
    start(world)


def test_an_overdue_review_is_one_finding_of_who_began_it(world: World) -> None:
    review = start(world)
    with writing() as session:
        session.execute(update(AccessReview).values(due_at=clock.now() - timedelta(days=1)))
    for _ in range(2):
        with writing() as session:
            found = find_overdue_review(session, SYSTEM, review.id)
    assert (found.owner_id, found.model, found.severity) == (world.compliance.person_id, None, "medium")
    with reading() as session:
        assert overdue_reviews(session, clock.now()) == []
        assert list_reviews(session, world.compliance)[0].overdue


def test_the_finding_is_somebody_elses_where_who_began_it_has_left(world: World) -> None:
    review = start(world)
    with writing() as session:
        session.execute(update(AccessReview).values(due_at=clock.now() - timedelta(days=1)))
        session.get_one(Person, world.compliance.person_id).disabled_at = clock.now()
        other = person(session, "another", Role.COMPLIANCE).person_id
    with writing() as session:
        found = find_overdue_review(session, SYSTEM, review.id)
    assert found.owner_id == other
