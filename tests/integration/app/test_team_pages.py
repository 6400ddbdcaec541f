"""What somebody with a role in a team finds on any page, and how an administrator keeps teams."""

from __future__ import annotations

from datetime import timedelta

from app.nav import PAGES
from backend import clock
from backend.assurance.findings import open_finding
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.people import person_by_id, set_roles
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import list_teams, make_team, move_model, set_team_roles
from tests.integration.app.test_pages import QUERIES, Open, ask_rollback, open_page, text_of, world
from tests.watched import watch
from tests.worlds import SYSTEM, World, add_model, person

__all__ = ["open_page", "world"]
HIDDEN, RIVALS = "hush-hush", "Rival squad"
OF_ONE_MODEL = {"model", "inventory_model", "card", "timeline"}


def in_a_team(world: World, *roles: Role) -> Actor:
    """Somebody with roles in the team that has `toy`; another team has as much of another model."""
    add_model(world, HIDDEN)
    with writing() as session:
        open_finding(
            session, world.compliance, model=HIDDEN, title=f"{HIDDEN} leaks", detail="so", severity="high",
            owner_id=world.engineer.person_id, due_at=clock.now() + timedelta(days=3),
        )  # fmt: skip
        admin, who = person(session, "root", Role.ADMIN), person(session, "member").person_id
        for name, model in (("Our squad", "toy"), (RIVALS, HIDDEN)):
            team = make_team(session, admin, name=name)
            move_model(session, admin, model=model, team_id=team.id, why="theirs")
            if model == "toy":
                set_team_roles(session, admin, team.id, who, set(roles))
    with reading() as session:
        return actor_of(person_by_id(session, who), session_id=None)


def test_no_page_tells_a_member_of_another_teams_model(world: World, open_page: Open) -> None:
    watch(world)
    member = in_a_team(world, Role.ML_LEAD, Role.COMPLIANCE)
    ask_rollback(world)
    for row in PAGES:
        asked = {"model": HIDDEN, "about": HIDDEN}
        for query in (QUERIES.get(row.path, {}), *([asked] if row.path in OF_ONE_MODEL else [])):
            test = open_page(member, row.path, **query)
            said = (row.path, query, text_of(test)[:400])
            assert not test.exception, said
            assert RIVALS not in text_of(test), said
            assert (f"{HIDDEN} leaks" if query is asked else HIDDEN) not in text_of(test), said
            assert HIDDEN.title() not in text_of(test), said
            assert HIDDEN not in str([one.options for one in test.selectbox]), said
        if row.path in ("overview", "inventory"):
            assert "toy" in text_of(open_page(member, row.path)), row.path


def test_an_administrator_makes_a_team_and_the_model_page_names_it(world: World, open_page: Open) -> None:
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
    test = open_page(admin, "teams")
    assert "There is no team yet" in text_of(test)
    next(one for one in test.text_input if one.label == "Name").set_value("Pricing")
    next(one for one in test.button if one.label == "Make team").click().run()
    assert not test.exception
    with reading() as session:
        made = list_teams(session, admin)
    assert [one.name for one in made] == ["Pricing"]
    with writing() as session:
        move_model(session, admin, model="toy", team_id=made[0].id, why="theirs")
    assert "team Pricing" in text_of(open_page(world.lead, "model", model="toy"))
    assert "toy" in text_of(open_page(admin, "teams"))
    assert "toy" in text_of(open_page(world.lead, "inventory", team="Pricing"))


def test_somebody_without_a_role_reads_whom_to_ask_and_nothing_else(world: World, open_page: Open) -> None:
    with writing() as session:
        newcomer = person(session, "newcomer")
        root = person_by_id(session, person(session, "root", Role.ADMIN).person_id)
        root.display_name, root.password_hash = "Rafael Ortiz", "of a password"
    test = open_page(newcomer, "overview")
    assert not test.exception
    assert "Ask Rafael Ortiz for a role" in text_of(test)
    assert "toy" not in text_of(test)
    assert [one.label for one in test.button] == ["Look again", "Sign out"]
    with writing() as session:
        set_roles(session, SYSTEM, newcomer.person_id, {Role.VIEWER}, why="let in")
    test.button[0].click().run()
    assert "You have no role yet" not in text_of(test)
