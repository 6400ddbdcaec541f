"""Passwords that only their person knows: what another one set opens nothing until they have chosen their own."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.api.security import COOKIE
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.identity.own_password import give_password
from backend.identity.passwords import hash_password
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import session_of
from backend.identity.sessions import sign_in as open_by_password
from backend.identity.tables import Person
from tests.integration.identity.conftest import PASSWORD, TestClient, add_person, csrf_in

GIVEN = "told on the telephone"
OWN = "what only ada knows"


def sign_in(browser: TestClient, password: str, **more: str) -> object:
    csrf = csrf_in(browser.get("/signin").text)
    return browser.post("/signin", data={"username": "ada", "password": password, "csrf": csrf, **more})


def choose(
    browser: TestClient, password: str, new: str, again: str | None = None, name: str = "ada"
) -> object:
    csrf = csrf_in(browser.get("/signin/password").text)
    return browser.post(
        "/signin/password",
        data={"username": name, "password": password, "new": new, "new_again": again or new, "csrf": csrf,
              "next": "/account"},
    )  # fmt: skip


def admin() -> object:
    add_person("root", Role.ADMIN)
    found = session_of(open_by_password(username="root", password=PASSWORD).token)
    assert found is not None
    return found.actor


def entries(action: Action) -> list[AuditEntry]:
    with reading() as session:
        return list(session.scalars(select(AuditEntry).where(AuditEntry.action == action)))


def test_a_first_password_from_an_administrator_opens_nothing_until_another_is_chosen(
    browser: TestClient,
) -> None:
    me = admin()
    with writing() as session:
        made = create_person(
            session, me, username="ada", display_name="Ada", password_hash=hash_password(GIVEN),
            roles={Role.ML_LEAD},
        )  # fmt: skip
    answer = sign_in(browser, GIVEN)
    assert answer.status_code == 200
    assert "it opens nothing yet" in answer.text
    assert COOKIE not in browser.cookies
    assert choose(browser, GIVEN, OWN).headers["location"] == "/account"
    assert browser.get("/api/v1/me").json()["person"] == made.id
    browser.cookies.clear()
    assert sign_in(browser, GIVEN).status_code == 401, "what the administrator knows opens nothing any more"
    assert sign_in(browser, OWN).status_code == 303
    assert [one.object_id for one in entries(Action.PASSWORD_CHOSEN)] == [made.id]


def test_choosing_another_password_ends_every_other_session(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    elsewhere = open_by_password(username="ada", password=PASSWORD)
    sign_in(browser, PASSWORD)
    before = browser.cookies[COOKIE]
    assert 'value="ada"' in browser.get("/signin/password").text
    assert choose(browser, PASSWORD, OWN).status_code == 303
    assert session_of(elsewhere.token) is None
    assert session_of(before) is None
    assert session_of(browser.cookies[COOKIE]) is not None


@pytest.mark.parametrize(
    ("password", "new", "again", "name", "status", "said"),
    [
        ("not the one", OWN, OWN, "ada", 401, "The user name or the password is not right."),
        (PASSWORD, OWN, OWN, "nobody", 401, "The user name or the password is not right."),
        (PASSWORD, "short", "short", "ada", 422, "use at least 12"),
        (PASSWORD, OWN, OWN + "!", "ada", 422, "differ"),
        (PASSWORD, PASSWORD, PASSWORD, "ada", 422, "the one you have"),
    ],
)
def test_a_choice_that_is_refused_changes_nothing(
    browser: TestClient, password: str, new: str, again: str, name: str, status: int, said: str
) -> None:
    add_person("ada", Role.VIEWER)
    elsewhere = open_by_password(username="ada", password=PASSWORD)
    answer = choose(browser, password, new, again, name)
    assert answer.status_code == status
    assert said.lower() in answer.text.lower()
    assert session_of(elsewhere.token) is not None
    assert sign_in(browser, PASSWORD).status_code == 303


def test_guesses_count_with_those_at_the_sign_in(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    for _ in range(5):
        assert choose(browser, "a wrong password", OWN).status_code == 401
    assert choose(browser, PASSWORD, OWN).status_code == 429
    assert sign_in(browser, PASSWORD).status_code == 429


def test_a_form_from_elsewhere_changes_no_password(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    form = {"username": "ada", "password": PASSWORD, "new": OWN, "new_again": OWN}
    assert browser.post("/signin/password", data=form).status_code == 403
    assert sign_in(browser, PASSWORD).status_code == 303


def test_a_password_that_was_forgotten_is_given_anew(browser: TestClient) -> None:
    me, ada = admin(), add_person("ada", Role.VIEWER)
    open_one = open_by_password(username="ada", password=PASSWORD)
    with pytest.raises(BadInput, match="write why"), writing() as session:
        give_password(session, me, ada.id, password_hash=hash_password(GIVEN), why=" ")
    with writing() as session:
        give_password(session, me, ada.id, password_hash=hash_password(GIVEN), why="forgot it")
    assert session_of(open_one.token) is None
    assert sign_in(browser, PASSWORD).status_code == 401
    assert "it opens nothing yet" in sign_in(browser, GIVEN).text
    assert choose(browser, GIVEN, OWN).status_code == 303
    assert len(entries(Action.PASSWORD_GIVEN)) == 1


def test_nobody_gives_a_password_to_themselves_or_to_who_has_none(browser: TestClient) -> None:
    me = admin()
    with writing() as session:
        made = create_person(
            session, me, username="sso", display_name="S", roles=set(), oidc=("https://idp.example", "s")
        )
    for person in (me.person_id, made.id):
        with pytest.raises(BadInput), writing() as session:
            give_password(session, me, person, password_hash=hash_password(GIVEN), why="so")
    with reading() as session:
        assert session.get_one(Person, made.id).password_hash is None


def test_an_account_of_the_demo_keeps_the_password_that_the_page_shows(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.settings import settings

    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    add_person("ada", Role.VIEWER, is_demo=True)
    answer = choose(browser, PASSWORD, OWN)
    assert answer.status_code == 403
    assert "share the password" in answer.text
    assert sign_in(browser, PASSWORD).status_code == 303
