"""One's sessions and tokens, and which jobs are let in, on their pages."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from backend import clock
from backend.database.session import reading, writing
from backend.identity.people import create_person
from backend.identity.roles import Permission, Role
from backend.identity.tables import ApiToken, SignInSession, TrustRule
from backend.identity.tokens import create_token
from backend.identity.trust_rules import create_rule
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.watched import cookie_of
from tests.worlds import SYSTEM, World, person

__all__ = ["open_page", "world"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def test_a_session_used_from_elsewhere_and_a_token_that_ends_soon_are_said(
    world: World, open_page: Open
) -> None:
    cookie_of(world.lead)
    with writing() as session:
        session.execute(
            update(SignInSession).values(user_agent=FIREFOX, address="192.0.2.7", last_address="203.0.113.9")
        )
        create_token(session, world.lead, name="nightly", valid_days=3, scopes=[Permission.READ_MODELS])
    page = open_page(world.lead, "account")
    assert not page.exception
    told = text_of(page)
    assert "Firefox on Linux" in told
    assert "last used from 203.0.113.9, not from 192.0.2.7" in told
    assert "nightly ends" in told
    assert "registry:model:read" in told


def test_what_was_typed_waits_while_one_signs_in_again(world: World, open_page: Open) -> None:
    page = open_page(world.lead, "account")
    with writing() as session:
        session.execute(update(SignInSession).values(authenticated_at=clock.now() - timedelta(hours=1)))
    form = f"create-token:{world.lead.person_id}"
    page.text_input(key=f"{form}:name").set_value("the nightly import")
    page.button(key=f"{form}:new").click().run()
    assert "Nothing was done yet" in text_of(page)
    with reading() as session:
        assert session.scalars(select(ApiToken)).all() == []
        typed = [one for one in session.scalars(select(SignInSession.typed)) if one]
    assert typed == [{"form": form, "values": {"name": "the nightly import", "days": 90}}]


def test_administrators_see_and_end_which_jobs_are_let_in(world: World, open_page: Open) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
        robot = create_person(
            session, SYSTEM, username="ci", display_name="CI", roles={Role.VIEWER}, kind="service",
            owner_id=admin.person_id,
        )  # fmt: skip
        rule = create_rule(
            session, SYSTEM, name="deliver flights", issuer="https://gitlab.com", audience="w", person_id=robot.id,
            claims={"project_path": ["acme/flights"]}, scopes=[Permission.READ_MODELS],
        )  # fmt: skip
    page = open_page(world.compliance, "access")
    assert not page.exception
    assert "project_path: acme/flights" in text_of(page)
    assert [one.label for one in page.button if "deliver flights" in one.label] == []
    page = open_page(admin, "access")
    page.text_input(key=f"end-trust:{rule.id}:why").set_value("moved")
    page.button(key=f"end-trust:{rule.id}:{rule.id}").click().run()
    assert not page.exception
    with reading() as session:
        assert session.get_one(TrustRule, rule.id).ended_at is not None
