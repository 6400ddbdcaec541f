"""Signing out at the provider: a session that ends here leads there, and one that ends there ends here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import select, update

from backend import clock
from backend.api.security import COOKIE
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.data_rights.people import erase_person
from backend.database.session import reading, writing
from backend.identity.oidc_documents import AGAIN_A_MINUTE, forget_documents
from backend.identity.oidc_logout import forget_id_tokens, obey_logout_token
from backend.identity.roles import Role
from backend.identity.sessions import csrf_of, session_of
from backend.identity.tables import OidcSession, Person, SignInSession
from tests.integration.identity.conftest import PASSWORD, SYSTEM, TestClient, add_person, csrf_in
from tests.integration.identity.providers import CrookedProvider
from tests.integration.identity.test_single_sign_on import CLIENT, configure, open_browser

EVENTS = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.fixture(scope="module")
def _provider() -> Iterator[CrookedProvider]:
    made = CrookedProvider()
    yield made
    made.close()


@pytest.fixture
def provider(_provider: CrookedProvider) -> CrookedProvider:
    _provider.claims, _provider.metadata, _provider.forge = {}, {}, None
    return _provider


@pytest.fixture
def browser(
    migrated_home: object, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    forget_documents()
    configure(monkeypatch, issuer=provider.issuer)
    with open_browser() as client:
        yield client


def sign_on(browser: TestClient, provider: CrookedProvider, **claims: Any) -> str:
    """The token of a new session."""
    provider.claims = claims
    browser.cookies.clear()
    answer = provider.agree(browser.get("/oidc/start").headers["location"])
    assert browser.get("/oidc/callback", params=answer).status_code == 303
    return str(browser.cookies[COOKIE])


def tell(browser: TestClient, token: str, provider: str = "sso") -> Any:
    return browser.post(f"/oidc/backchannel-logout/{provider}", data={"logout_token": token})


def test_who_signs_out_here_is_led_to_sign_out_there(browser: TestClient, provider: CrookedProvider) -> None:
    token = sign_on(browser, provider)
    answer = browser.post("/signout", data={"csrf": csrf_of(token)})
    assert answer.headers["location"] == "/oidc/signout"
    assert session_of(token) is None
    page = browser.get("/oidc/signout")
    assert page.headers["cache-control"] == "no-store"
    address = page.text.split('http-equiv="refresh" content="1; url=')[1].split('"')[0].replace("&amp;", "&")
    assert address.startswith(f"{provider.issuer}/end_session?")
    asked = {name: one[0] for name, one in parse_qs(urlsplit(address).query).items()}
    assert asked["post_logout_redirect_uri"] == "http://localhost:8501/signin"
    assert asked["client_id"] == CLIENT
    assert jwt.decode(asked["id_token_hint"], provider.keys[-1]).claims["sub"] == "ada"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, token)
    assert browser.get("/oidc/signout").headers["location"] == "/signin", "the ID token is handed back once"


def test_a_link_alone_signs_nobody_out(browser: TestClient, provider: CrookedProvider) -> None:
    token = sign_on(browser, provider)
    assert browser.get("/oidc/signout").headers["location"] == "/signin"
    assert session_of(token) is not None
    assert browser.cookies[COOKIE] == token


def test_a_provider_without_sign_out_and_a_local_session_end_here(
    browser: TestClient, provider: CrookedProvider
) -> None:
    token = sign_on(browser, provider)
    provider.metadata = {"end_session_endpoint": None}
    forget_documents()
    browser.post("/signout", data={"csrf": csrf_of(token)})
    assert browser.get("/oidc/signout").headers["location"] == "/signin"
    add_person("local")
    form = {"username": "local", "password": PASSWORD, "csrf": csrf_in(browser.get("/signin").text)}
    browser.post("/signin", data=form)
    answer = browser.post("/signout", data={"csrf": csrf_of(browser.cookies[COOKIE])})
    assert answer.headers["location"] == "/signin"


def test_a_logout_token_ends_the_session_that_it_names(
    browser: TestClient, provider: CrookedProvider
) -> None:
    here, elsewhere = sign_on(browser, provider, sid="s1"), sign_on(browser, provider, sid="s2")
    other = sign_on(browser, provider, sid="s3", sub="grace")
    assert tell(browser, provider.logout_token(sid="s1")).status_code == 200
    assert session_of(here) is None
    assert session_of(elsewhere) is not None
    assert tell(browser, provider.logout_token(sid=None)).status_code == 200
    assert session_of(elsewhere) is None, "a subject alone: every session of theirs"
    assert session_of(other) is not None
    with reading() as session:
        ended = session.scalars(select(AuditEntry).where(AuditEntry.action == Action.SESSION_REVOKED)).all()
    assert len(ended) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"aud": []}, {"iat": None}, {"iat": 1_000_000},
        {"iat": 99_999_999_999}, {"exp": 1_000_000}, {"jti": None}, {"jti": ""}, {"events": None},
        {"events": {"http://schemas.openid.net/event/another": {}}}, {"events": {next(iter(EVENTS)): "yes"}},
        {"nonce": "n"}, {"sub": None, "sid": None}, {"sub": 5}, {"iat": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_logout_token_with_a_wrong_claim_is_refused(
    browser: TestClient, provider: CrookedProvider, changes: dict[str, Any]
) -> None:
    token = sign_on(browser, provider)
    answer = tell(browser, provider.logout_token(**changes))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert answer.headers["cache-control"] == "no-store"
    assert session_of(token) is not None


def test_forged_replayed_and_foreign_logout_tokens_are_refused(
    browser: TestClient, provider: CrookedProvider
) -> None:
    token = provider.logout_token()
    head, body, _ = token.split(".")
    session = sign_on(browser, provider)
    for forged in (f"eyJhbGciOiJub25lIn0.{body}.", f"{head}.{body}.", f"{head}.{body}.AAAA", "", "a.b.c"):
        assert tell(browser, forged).status_code == 400
    with reading() as reader:
        id_token = reader.scalars(select(OidcSession.id_token)).one()
    assert id_token is not None
    assert tell(browser, id_token).status_code == 400, "an ID token is no logout token"
    assert tell(browser, token, "partner").status_code == 400
    assert session_of(session) is not None
    assert tell(browser, token).status_code == 200
    again = sign_on(browser, provider)
    replayed = tell(browser, token)
    assert replayed.status_code == 400
    assert "obeyed already" in replayed.text
    assert session_of(again) is not None


def test_made_up_logout_tokens_leave_sign_ons_their_share_of_fetched_keys(
    browser: TestClient, provider: CrookedProvider
) -> None:
    sign_on(browser, provider)
    stranger = RSAKey.generate_key(2048, {"kid": "made-up"})
    for _ in range(AGAIN_A_MINUTE + 1):
        assert tell(browser, jwt.encode({"alg": "RS256", "kid": "made-up"}, {}, stranger)).status_code == 400
    provider.rotate()
    assert session_of(sign_on(browser, provider)) is not None


def test_an_old_logout_token_is_not_remembered_for_ever(
    browser: TestClient, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.identity.tables import OidcLogout

    tell(browser, provider.logout_token())
    later = clock.now() + timedelta(minutes=12)
    monkeypatch.setattr(clock, "now", lambda: later)
    obey_logout_token(provider="sso", token=provider.logout_token(), address=None, request_id=None)
    with reading() as session:
        assert len(session.scalars(select(OidcLogout)).all()) == 1


def test_id_tokens_go_with_their_session_and_with_their_person(
    browser: TestClient, provider: CrookedProvider
) -> None:
    sign_on(browser, provider)
    with writing() as session:
        assert forget_id_tokens(session) == 0
        session.scalars(select(SignInSession)).one().expires_at = clock.now()
        session.flush()
        assert forget_id_tokens(session) == 1
        person = session.scalars(select(Person)).one()
    add_person("root", Role.ADMIN)
    with writing() as session:
        session.execute(
            update(SignInSession).values(
                last_address="203.0.113.9", last_user_agent="theirs", typed={"values": {"why": "as I wrote"}}
            )
        )
        erase_person(session, SYSTEM, person.id, why="asked", request="1")
        assert session.scalars(select(OidcSession)).all() == []
    with reading() as session:
        left = session.execute(
            select(
                SignInSession.address, SignInSession.user_agent, SignInSession.last_address,
                SignInSession.last_user_agent, SignInSession.typed,
            ).where(SignInSession.person_id == person.id)
        ).all()  # fmt: skip
    assert {one for row in left for one in row} == {None}, (
        "where they were, by what, and what they wrote went"
    )
