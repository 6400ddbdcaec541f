"""Campaigns with a scope, a reviewer and an end; what was last done by a right; who joined, moved and left."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.inventory_downloads import export_movements
from backend import clock
from backend.access.movements import Movement, counted, movements_in
from backend.access.reviews import (
    KINDS,
    Scope,
    answer_item,
    end_review,
    is_open,
    items_of,
    list_reviews,
    start_review,
)
from backend.access.rights import rights_now
from backend.access.tables import AccessReview
from backend.access.usage import DONE_BY, ONLY_READ
from backend.audit.population import parse_period
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor
from backend.identity.people import create_person, disable_person, person_by_id, set_roles
from backend.identity.roles import Permission, Role
from backend.identity.sessions import actor_of
from backend.identity.tables import ApiToken, PersonRole
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.identity.tokens import create_token
from backend.monitoring.requests import request_metrics
from tests.worlds import SYSTEM, World, make_world, person


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


@pytest.fixture
def admin(world: World) -> Actor:
    with writing() as session:
        return person(session, "root", Role.ADMIN)


def begin(world: World, **given: object) -> AccessReview:
    with writing() as session:
        return start_review(
            session, world.compliance, title="third quarter", due_at=clock.now() + timedelta(days=7), **given
        )  # type: ignore[arg-type]


def squad(world: World, admin: Actor) -> str:
    """A team with `toy`, in which the viewer is ML lead."""
    with writing() as session:
        team = make_team(session, admin, name="Squad")
        move_model(session, admin, model="toy", team_id=team.id, why="theirs")
        set_team_roles(session, admin, team.id, world.viewer.person_id, {Role.ML_LEAD})
        return team.id


def test_every_permission_has_the_actions_that_need_it_or_is_only_for_reading() -> None:
    only_read = {Permission.READ_JOBS, Permission.READ_AUDIT_PAYLOAD, Permission.READ_DATA_REQUESTS}
    assert only_read == ONLY_READ
    named = [action for actions in DONE_BY.values() for action in actions]
    assert len(named) == len(set(named))


def test_a_role_says_what_was_last_done_by_it(world: World) -> None:
    with writing() as session:
        request_metrics(session, world.engineer, model="toy")
    with reading() as session:
        found = {one.username: one for one in rights_now(session, world.compliance) if one.kind == "role"}
    last = found["engineer"].facts["last_done"]
    assert last["permission"] == "monitoring:metrics:compute"
    assert found["engineer"].facts["done"] == {last["permission"]: last["at"]}
    assert found["viewer"].facts["last_done"] is None


def test_a_scope_takes_the_rights_of_a_role_or_of_a_team(world: World, admin: Actor) -> None:
    team = squad(world, admin)
    review = begin(world, scope=Scope(roles=("ml_lead",)))
    with reading() as session:
        items = items_of(session, world.compliance, review.id)
    assert sorted((one["kind"], one["person"]) for one in items) == [
        ("role", "Lead"), ("role", "Lead2"), ("team_role", "Viewer"),
    ]  # fmt: skip
    assert next(one for one in items if one["kind"] == "team_role")["facts"]["models"] == ["toy"]
    with writing() as session:
        session.execute(update(AccessReview).values(closed_at=clock.now()))
    of_team = begin(world, scope=Scope(teams=(team,)))
    with reading() as session:
        (item,) = items_of(session, world.compliance, of_team.id)
    with writing() as session:
        answer_item(session, world.compliance, item["id"], answer="revoke", reason="moved on")
    with reading() as session:
        assert actor_of(person_by_id(session, world.viewer.person_id), session_id=None).team_roles == ()
        assert not is_open(session, of_team.id)
    for wrong in (Scope(kinds=("right",)), Scope(roles=("boss",)), Scope(teams=("team_none",))):
        with pytest.raises(BadInput):
            begin(world, scope=wrong)
    assert "team_role" in KINDS


def test_who_is_named_answers_alone_but_never_for_themselves(world: World, admin: Actor) -> None:
    with pytest.raises(BadInput, match="may not review access"):
        begin(world, reviewer=world.viewer.person_id)
    review = begin(world, reviewer=admin.person_id)
    with reading() as session:
        items = {one["person_id"]: one["id"] for one in items_of(session, world.compliance, review.id)}
    with pytest.raises(NotAllowed, match="Root answers"), writing() as session:
        answer_item(session, world.compliance, items[world.viewer.person_id], answer="keep", reason="so")
    with pytest.raises(NotAllowed), writing() as session:
        answer_item(session, admin, items[admin.person_id], answer="keep", reason="mine")
    with writing() as session:
        answer_item(session, admin, items[world.viewer.person_id], answer="keep", reason="so")
        answer_item(session, world.compliance, items[admin.person_id], answer="keep", reason="so")


def test_what_nobody_answered_is_taken_where_the_review_says_so_but_for_the_last_administrator(
    world: World, admin: Actor
) -> None:
    squad(world, admin)
    review = begin(world, revokes_unanswered=True)
    with reading() as session:
        items = {
            (one["person_id"], one["kind"]): one["id"]
            for one in items_of(session, world.compliance, review.id)
        }
    with writing() as session:
        answer_item(
            session, world.compliance, items[world.lead.person_id, "role"], answer="keep", reason="so"
        )
        assert end_review(session, SYSTEM, review.id) == 0  # its day has not come
        session.execute(update(AccessReview).values(due_at=clock.now() - timedelta(days=1)))
    with writing() as session:
        session.expire_all()
        assert end_review(session, SYSTEM, review.id) == len(items) - 2
    with reading() as session:
        roles = {who: person_by_id(session, who) for who, _ in items}
        assert [one.role for one in roles[admin.person_id].roles] == ["admin"]
        assert [one.role for one in roles[world.lead.person_id].roles] == ["ml_lead"]
        assert (roles[world.viewer.person_id].roles, roles[world.viewer.person_id].team_roles) == ([], [])
        (progress,) = list_reviews(session, admin)
        assert (progress.open, progress.kept, progress.lapsed) == (1, 1, len(items) - 2)
        assert is_open(session, review.id)
        (left,) = [one for one in items_of(session, admin, review.id) if one["answer"] is None]
        assert left["person_id"] == admin.person_id


def test_a_role_that_a_rule_gives_and_a_token_that_is_gone_hold_up_nothing_else(
    world: World, admin: Actor
) -> None:
    with writing() as session:
        token, _ = create_token(session, world.engineer, name="script")
    review = begin(world, revokes_unanswered=True)
    with writing() as session:
        session.execute(update(AccessReview).values(due_at=clock.now() - timedelta(days=1)))
        session.execute(
            update(PersonRole)
            .where(PersonRole.person_id == world.lead.person_id)
            .values(by_rule=True, by_hand=False)
        )
        session.delete(session.get_one(ApiToken, token.id))
    with writing() as session:
        assert end_review(session, SYSTEM, review.id) > 1
    with reading() as session:
        left = {one["person_id"] for one in items_of(session, admin, review.id) if one["answer"] is None}
        assert left == {admin.person_id, world.lead.person_id}
        assert person_by_id(session, world.engineer.person_id).roles == []
        assert is_open(session, review.id)


def test_a_review_that_does_not_say_so_takes_nothing(world: World) -> None:
    review = begin(world)
    with writing() as session:
        session.execute(update(AccessReview).values(due_at=clock.now() - timedelta(days=1)))
    with writing() as session:
        session.expire_all()
        assert end_review(session, SYSTEM, review.id) == 0


def test_who_joined_moved_and_left_in_a_period(world: World, admin: Actor) -> None:
    with writing() as session:
        who = create_person(
            session, admin, username="joiner", display_name="Joiner", password_hash="x", roles={Role.VIEWER}
        ).id
        set_roles(session, admin, who, {Role.ON_CALL}, why="rota")
    team = squad(world, admin)
    with writing() as session:
        set_team_roles(session, admin, team, who, {Role.VIEWER}, why="helps")
        disable_person(session, admin, who, why="left")
    with reading() as session:
        found = movements_in(session, world.compliance, parse_period(f"{clock.now():%Y-%m}"))
        with pytest.raises(NotAllowed):
            movements_in(session, world.lead, parse_period("2026"))
        assert movements_in(session, world.compliance, parse_period("2001")) == []
    theirs = [one for one in found if one.person_id == who]
    assert [(one.kind, one.gained, one.lost, one.team) for one in theirs] == [
        ("join", ("viewer",), (), None), ("move", ("on_call",), ("viewer",), None),
        ("move", ("viewer",), (), "Squad"), ("leave", (), (), None),
    ]  # fmt: skip
    assert {one.by for one in theirs} == {"Root"}
    assert dict(counted(found))["leave"] == 1


def test_the_file_of_movements_holds_no_formula(world: World, admin: Actor) -> None:
    from starlette.requests import Request

    with writing() as session:
        create_person(
            session, admin, username="joiner", display_name="=HYPERLINK(evil)", password_hash="x", roles={Role.VIEWER}
        )  # fmt: skip
    period = f"{clock.now():%Y-%m}"
    scope = {
        "type": "http",
        "query_string": f"period={period}".encode(),
        "headers": [],
        "path_params": {"form": "csv"},
    }
    said = bytes(export_movements(Request(scope), world.compliance).body).decode()
    assert "HYPERLINK" in said
    assert not any(cell.startswith("=") for line in said.splitlines() for cell in line.split(","))
    assert Movement.__dataclass_fields__.keys() <= set(said.splitlines()[0].split(","))
