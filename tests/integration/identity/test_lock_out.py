"""Local accounts can be switched off, and by no path is everybody who could administer locked out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.server import refuse_lock_out
from backend import clock
from backend.database.session import reading, writing
from backend.doctor import examine
from backend.errors import BadInput
from backend.identity.people import (
    LastAdministrator,
    create_person,
    disable_person,
    person_by_id,
    set_roles,
    take_role,
)
from backend.identity.roles import Role
from backend.identity.sessions import actor_of, session_of, sign_in
from backend.identity.setup import AlreadySetUp, create_set_up_link
from backend.identity.tables import Person
from backend.identity.ways_in import (
    LocalAccountsOff,
    LockedOut,
    administrators_with_a_way_in,
    require_a_way_in,
)
from backend.settings import settings
from tests.integration.identity.conftest import PASSWORD, SYSTEM, TestClient, add_person, csrf_in
from tests.integration.identity.test_single_sign_on import configure, open_browser

ISSUER = "https://sso.example"


@pytest.fixture
def browser(migrated_home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    configure(monkeypatch, issuer=ISSUER)
    with open_browser() as client:
        yield client


def switch_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_LOCAL_ACCOUNTS", "false")
    settings.cache_clear()


def add_signed_on(username: str, *roles: Role, issuer: str = ISSUER) -> Person:
    with writing() as session:
        return create_person(
            session, SYSTEM, username=username, display_name=username.title(), roles=roles,
            oidc=(issuer, username),
        )  # fmt: skip


def test_without_local_accounts_passwords_open_nothing(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = add_person("root", Role.ADMIN)
    add_signed_on("ada", Role.ADMIN)
    page = browser.get("/signin").text
    token = sign_in(username="root", password=PASSWORD).token
    switch_off(monkeypatch)
    with pytest.raises(LocalAccountsOff):
        sign_in(username="root", password=PASSWORD)
    form = {"username": "root", "password": PASSWORD, "csrf": csrf_in(page)}
    assert browser.post("/signin", data=form).status_code == 403
    shown = browser.get("/signin").text
    assert 'name="password"' not in shown
    assert "Continue with single sign-on" in shown
    with writing() as session, pytest.raises(LocalAccountsOff):
        me = actor_of(person_by_id(session, admin.id), session_id=None)
        create_person(session, me, username="new", display_name="New", password=PASSWORD, roles=())
    assert session_of(token) is not None
    refuse_lock_out()
    assert session_of(token) is None, "the console ends what passwords opened when it starts"


def test_the_console_does_not_start_where_nobody_could_administer(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person("root", Role.ADMIN)
    add_signed_on("viewer", Role.VIEWER)
    add_signed_on("gone", Role.ADMIN, issuer="https://other.example")
    refuse_lock_out()
    switch_off(monkeypatch)
    with pytest.raises(SystemExit, match="no administrator can sign on"):
        refuse_lock_out()
    found = next(one.found for one in examine() if one.name == "administrators")
    assert (found.state, "no administrator can sign on" in found.said) == ("trouble", True)
    ada = add_signed_on("ada", Role.ADMIN)
    refuse_lock_out()
    with reading() as session:
        assert administrators_with_a_way_in(session) == {ada.id}
    monkeypatch.setenv("WARRANT_OIDC_ISSUER", "")
    settings.cache_clear()
    with reading() as session, pytest.raises(LockedOut, match="no sign-on provider is set up"):
        require_a_way_in(session)


def test_the_last_administrator_is_the_last_who_can_sign_in(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person("root", Role.ADMIN)
    add_person("demo", Role.ADMIN, is_demo=True)
    ada = add_signed_on("ada", Role.ADMIN)
    switch_off(monkeypatch)
    for act in (
        lambda session: disable_person(session, SYSTEM, ada.id),
        lambda session: set_roles(session, SYSTEM, ada.id, {Role.VIEWER}),
        lambda session: take_role(session, SYSTEM, ada.id, Role.ADMIN, why="reviewed"),
    ):
        with pytest.raises(LastAdministrator, match="who can sign in"), writing() as session:
            act(session)
    grace = add_signed_on("grace", Role.ADMIN)
    with writing() as session:
        disable_person(session, SYSTEM, ada.id)
    with pytest.raises(LastAdministrator), writing() as session:
        disable_person(session, SYSTEM, grace.id)


def test_breaking_the_glass_makes_an_administrator_for_a_day(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is away: whoever has the machine lets somebody in, although there are administrators."""
    ada = add_signed_on("ada", Role.ADMIN)
    switch_off(monkeypatch)
    with pytest.raises(AlreadySetUp, match="--break-glass"), writing() as session:
        create_set_up_link(session, SYSTEM)
    with writing() as session:
        link = create_set_up_link(session, SYSTEM, break_glass=True)
    page = browser.get(f"/setup/{link}")
    form = {
        "token": link, "username": "rescue", "display_name": "Rescue", "password": PASSWORD,
        "password_again": PASSWORD, "csrf": csrf_in(page.text),
    }  # fmt: skip
    assert browser.post("/setup", data=form).status_code == 303
    found = session_of(browser.cookies["warrant_session"])
    assert found is not None
    assert Role.ADMIN in found.actor.roles
    assert browser.get(f"/setup/{link}").status_code == 404, "once"
    with pytest.raises(LastAdministrator), writing() as session:
        disable_person(session, found.actor, ada.id)  # who is here for a day is nobody to rely on
    later = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert session_of(browser.cookies["warrant_session"]) is None


def test_a_broken_file_of_providers_is_no_way_in(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_signed_on("ada", Role.ADMIN)
    monkeypatch.setenv("WARRANT_OIDC_PROVIDERS", "/nowhere/providers.yaml")
    switch_off(monkeypatch)
    with reading() as session:
        assert administrators_with_a_way_in(session) == set()
        with pytest.raises(BadInput, match="cannot be read"):
            require_a_way_in(session)
