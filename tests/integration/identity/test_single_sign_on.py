"""Single sign-on against a real OpenID provider in its own process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import select, update

from backend import clock
from backend.api.security import COOKIE
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.identity import oidc, oidc_documents
from backend.identity.freshness import is_fresh
from backend.identity.oidc import ProviderUnavailable, SingleSignOnRefused
from backend.identity.people import disable_person
from backend.identity.providers import provider_named
from backend.identity.roles import Role
from backend.identity.sessions import session_of
from backend.identity.tables import OidcFlow, Person
from backend.registry.service import list_models
from backend.settings import settings
from tests.integration.identity.conftest import SYSTEM, TestClient, add_person, make_console
from tests.integration.identity.providers import mock_provider

CLIENT = "warrant-console"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a provider process. It answers on loopback only."""
    with mock_provider() as address:
        httpx.put(
            f"{address}/users/ada-subject",
            json={"preferred_username": "Ada", "name": "Ada Lindqvist", "email": "ada@example.com"},
        ).raise_for_status()
        yield address


@pytest.fixture
def browser(database: str, provider: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    configure(monkeypatch, issuer=provider)
    with open_browser() as client:
        yield client


def configure(monkeypatch: pytest.MonkeyPatch, *, issuer: str, client_id: str = CLIENT) -> None:
    monkeypatch.setenv("WARRANT_OIDC_ISSUER", issuer)
    monkeypatch.setenv("WARRANT_OIDC_CLIENT_ID", client_id)
    monkeypatch.setenv("WARRANT_OIDC_CLIENT_SECRET", "a secret")
    settings.cache_clear()


@contextmanager
def open_browser() -> Iterator[TestClient]:
    with TestClient(make_console(), base_url="http://localhost:8501", follow_redirects=False) as client:
        yield client


def consent(browser: TestClient, *, subject: str = "ada-subject", path: str = "/audit") -> dict[str, str]:
    """Start a flow, agree at the provider, and give what it sends back."""
    start = browser.get(f"/oidc/start?next={path}")
    assert start.status_code == 303, start.text
    asked = parse_qs(urlsplit(start.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://localhost:8501/oidc/callback"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    answer = httpx.post(start.headers["location"], data={"sub": subject})
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def people() -> list[Person]:
    with reading() as session:
        return list(session.scalars(select(Person).where(Person.oidc_subject.is_not(None))))


def test_the_first_sign_on_makes_a_person_without_role_and_the_second_finds_them(browser: TestClient) -> None:
    response = browser.get("/oidc/callback", params=consent(browser))
    assert response.status_code == 303, response.text
    assert response.headers["location"] == "/audit"
    found = session_of(browser.cookies[COOKIE])
    assert found is not None
    assert (found.actor.every_role, found.actor.models) == (frozenset(), frozenset())
    with reading() as session, pytest.raises(NotAllowed):
        list_models(session, found.actor)
    assert found.actor.display_name == "Ada Lindqvist"
    browser.cookies.clear()
    assert browser.get("/oidc/callback", params=consent(browser)).status_code == 303
    assert [person.username for person in people()] == ["ada"]
    with reading() as session:
        entries = session.scalars(select(AuditEntry)).all()
    assert [entry.action for entry in entries] == [
        Action.PERSON_CREATED, Action.PERSON_LINKED, Action.SIGNED_IN, Action.SIGNED_IN,
    ]  # fmt: skip
    assert not any("ada-subject" in entry.leaf or "Lindqvist" in entry.leaf for entry in entries)


def test_in_an_open_house_the_first_sign_on_may_look(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_SIGN_ON_ROLE", "viewer")
    settings.cache_clear()
    browser.get("/oidc/callback", params=consent(browser))
    found = session_of(browser.cookies[COOKIE])
    assert found is not None
    assert found.actor.roles == {Role.VIEWER}


def test_a_local_account_of_the_same_name_is_not_taken_over(browser: TestClient) -> None:
    local = add_person("ada", Role.ADMIN)
    browser.get("/oidc/callback", params=consent(browser))
    found = session_of(browser.cookies[COOKIE])
    assert found is not None
    assert found.actor.person_id != local.id
    assert found.actor.roles == frozenset()
    assert people()[0].username.startswith("ada-")


def test_a_wrong_or_foreign_state_is_refused(browser: TestClient) -> None:
    answer = consent(browser)
    assert browser.get("/oidc/callback", params={**answer, "state": "another"}).status_code == 401
    with open_browser() as other:
        assert other.get("/oidc/callback", params=consent(browser)).status_code == 401
    assert COOKIE not in browser.cookies
    assert people() == []


def test_an_answer_works_once(browser: TestClient) -> None:
    answer = consent(browser)
    cookie = browser.cookies["warrant_oidc"]
    assert browser.get("/oidc/callback", params=answer).status_code == 303
    browser.cookies.clear()
    browser.cookies.set("warrant_oidc", cookie, domain="localhost.local", path="/oidc")
    assert browser.get("/oidc/callback", params=answer).status_code == 401


def test_a_replayed_code_is_refused_by_a_new_flow(browser: TestClient) -> None:
    used = consent(browser)
    browser.get("/oidc/callback", params=used)
    browser.cookies.clear()
    fresh = consent(browser)
    response = browser.get("/oidc/callback", params={**fresh, "code": used["code"]})
    assert response.status_code == 401
    assert "refused the code" in response.text
    assert COOKIE not in browser.cookies


def test_a_token_for_another_nonce_is_refused(browser: TestClient) -> None:
    answer = consent(browser)
    with writing() as session:
        session.execute(update(OidcFlow).values(nonce="another"))
    response = browser.get("/oidc/callback", params=answer)
    assert response.status_code == 401
    assert "nonce" in response.text


def test_a_flow_expires(browser: TestClient) -> None:
    answer = consent(browser)
    with writing() as session:
        session.execute(update(OidcFlow).values(expires_at=clock.now()))
    assert browser.get("/oidc/callback", params=answer).status_code == 401


def test_a_refusal_at_the_provider_is_shown(browser: TestClient) -> None:
    start = browser.get("/oidc/start")
    state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
    response = browser.get("/oidc/callback", params={"state": state, "error": "access_denied"})
    assert response.status_code == 401
    assert "did not sign you in" in response.text


def test_an_answer_of_another_issuer_is_refused(browser: TestClient) -> None:
    answer = {**consent(browser), "iss": "https://evil.example"}
    assert browser.get("/oidc/callback", params=answer).status_code == 401


def test_a_disabled_person_does_not_come_in(browser: TestClient) -> None:
    browser.get("/oidc/callback", params=consent(browser))
    with writing() as session:
        disable_person(session, SYSTEM, people()[0].id)
    browser.cookies.clear()
    assert browser.get("/oidc/callback", params=consent(browser)).status_code == 401


def test_the_sign_in_page_offers_it_only_when_set_up(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'href="/oidc/start?next=%2Faudit"' in browser.get("/signin?next=/audit").text
    monkeypatch.delenv("WARRANT_OIDC_ISSUER")
    settings.cache_clear()
    assert "/oidc/start" not in browser.get("/signin").text
    assert browser.get("/oidc/start").status_code == 404


def test_a_provider_that_is_away_or_another_issuer_is_said(
    home: object, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, issuer="http://localhost:9")
    with pytest.raises(ProviderUnavailable, match="did not answer"):
        oidc.begin_sign_on(next_path="/")
    configure(monkeypatch, issuer=provider.replace("localhost", "127.0.0.1") + "/other")
    with pytest.raises(ProviderUnavailable):
        oidc.begin_sign_on(next_path="/")
    configure(monkeypatch, issuer="http://provider.example")
    with pytest.raises(ProviderUnavailable, match="not https"):
        oidc.begin_sign_on(next_path="/")


def again(browser: TestClient, *, subject: str = "ada-subject") -> dict[str, str]:
    """Go through the provider once more, and give what it sends back."""
    start = browser.get("/oidc/start?again=true&next=/c/1")
    assert start.status_code == 303, start.text
    asked = parse_qs(urlsplit(start.headers["location"]).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    answer = httpx.post(start.headers["location"], data={"sub": subject})
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def told_auth_time(monkeypatch: pytest.MonkeyPatch, seconds_ago: float | None) -> None:
    """The provider of these tests says no auth_time: put one among the claims that were checked, or none."""
    checked = oidc.checked_claims

    def with_time(*args: Any, **kwargs: Any) -> dict[str, Any]:
        claims = {k: v for k, v in checked(*args, **kwargs).items() if k != "auth_time"}
        at = None if seconds_ago is None else clock.now().timestamp() - seconds_ago
        return claims | ({} if at is None else {"auth_time": at})

    monkeypatch.setattr(oidc, "checked_claims", with_time)


def test_signing_in_again_goes_through_the_provider_and_its_auth_time_counts(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_auth_time(monkeypatch, 7200)
    browser.get("/oidc/callback", params=consent(browser))
    first = browser.cookies[COOKIE]
    found = session_of(first)
    assert found is not None
    assert not is_fresh(found.actor.signed_in_at), "the provider remembered them: nobody typed anything now"
    for seconds in (7200, None):
        with monkeypatch.context() as once:
            told_auth_time(once, seconds)
            refused = browser.get("/oidc/callback", params=again(browser))
            assert (refused.status_code, "did not ask" in refused.text) == (401, True)
    httpx.put(f"{settings().oidc_issuer}/users/eve-subject", json={"name": "Eve"}).raise_for_status()
    with monkeypatch.context() as once:
        told_auth_time(once, 1)
        other = browser.get("/oidc/callback", params=again(browser, subject="eve-subject"))
        assert (other.status_code, "omebody else" in other.text) == (401, True)
        back = browser.get("/oidc/callback", params=again(browser))
    assert (back.status_code, back.headers["location"]) == (303, "/c/1")
    now = session_of(browser.cookies[COOKIE])
    assert now is not None
    assert is_fresh(now.actor.signed_in_at)
    assert now.row.id == found.row.id, "the same session"
    assert session_of(first) is None, "under another token"


def test_a_session_that_nobody_holds_is_not_renewed(browser: TestClient) -> None:
    assert browser.get("/oidc/start?again=true").status_code == 401


KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
METADATA: dict[str, Any] = {
    "issuer": "https://sso.example",
    "jwks_uri": "https://sso.example/jwks",
    "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
}


def claims(**changes: object) -> dict[str, object]:
    moment = int(clock.now().timestamp())
    valid = {
        "iss": "https://sso.example", "sub": "s", "aud": CLIENT, "exp": moment + 300, "iat": moment, "nonce": "n",
    }  # fmt: skip
    return {name: value for name, value in {**valid, **changes}.items() if value is not None}


def check(token: str) -> dict[str, object]:
    keys = {"keys": [KEY.as_dict(private=False)]}
    oidc_documents._KEPT.documents[METADATA["jwks_uri"]] = (clock.now().timestamp(), keys)
    oidc_documents._KEPT.early[METADATA["jwks_uri"], "sign-on"] = deque(
        [clock.now().timestamp()] * 5, maxlen=5
    )
    return oidc.checked_claims(provider_named("sso"), METADATA, {"id_token": token}, nonce="n")


def signed(payload: dict[str, object], key: RSAKey = KEY) -> str:
    return jwt.encode({"alg": "RS256", "kid": "k1"}, payload, key)


def test_a_whole_id_token_is_accepted(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, issuer="https://sso.example")
    assert check(signed(claims()))["sub"] == "s"
    assert check(signed(claims(aud=[CLIENT])))["sub"] == "s"


@pytest.mark.parametrize(
    "changes",
    [{"iss": "https://evil.example"}, {"iss": None}, {"aud": "another-client"}, {"aud": None}, {"aud": []},
     {"aud": ["another", "third"]}, {"aud": [CLIENT, "another"], "azp": "another"}, {"exp": 1}, {"exp": None},
     {"exp": "soon"}, {"iat": None}, {"iat": 99999999999}, {"nonce": "m"}, {"nonce": None}, {"sub": None},
     {"sub": ""}, {"sub": 5}],
    ids=str,
)  # fmt: skip
def test_a_wrong_claim_is_refused(
    home: object, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    configure(monkeypatch, issuer="https://sso.example")
    with pytest.raises(SingleSignOnRefused):
        check(signed(claims(**changes)))


def test_a_wrong_signature_or_algorithm_is_refused(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, issuer="https://sso.example")
    good = signed(claims())
    head, body, signature = good.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{body}."
    from joserfc.jwk import OctKey

    with_secret = jwt.encode(
        {"alg": "HS256"}, claims(), OctKey.import_key("a secret of the client, long enough")
    )
    for token in (
        signed(claims(), OTHER_KEY), unsigned, with_secret, f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA",
        "not.a.token", "", "a",
    ):  # fmt: skip
        with pytest.raises(SingleSignOnRefused):
            check(token)
