"""Single sign-on under attack: what a dishonest provider, browser or network sends opens no session."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import func, select

from backend import clock
from backend.api.security import COOKIE
from backend.database.session import reading
from backend.identity import json_documents, oidc, oidc_documents, oidc_flows
from backend.identity.oidc_documents import (
    AGAIN_A_MINUTE,
    ProviderUnavailable,
    forget_documents,
    keys_of,
    without_secrets,
)
from backend.identity.tables import OidcFlow, Person
from backend.settings import settings
from tests.integration.identity.conftest import PASSWORD, TestClient, add_person, csrf_in
from tests.integration.identity.providers import CrookedProvider
from tests.integration.identity.test_single_sign_on import CLIENT, configure, open_browser


@pytest.fixture(scope="module")
def _provider() -> Iterator[CrookedProvider]:
    made = CrookedProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def _partner() -> Iterator[CrookedProvider]:
    made = CrookedProvider()
    yield made
    made.close()


@pytest.fixture
def provider(_provider: CrookedProvider) -> CrookedProvider:
    return honest(_provider)


@pytest.fixture
def partner(_partner: CrookedProvider) -> CrookedProvider:
    return honest(_partner)


def honest(provider: CrookedProvider) -> CrookedProvider:
    provider.claims, provider.metadata, provider.userinfo, provider.forge = {}, {}, {}, None
    provider.published, provider.key_fetches = provider.keys[-1:], 0
    return provider


@pytest.fixture
def browser(
    migrated_home: object, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    forget_documents()
    configure(monkeypatch, issuer=provider.issuer)
    with open_browser() as client:
        yield client


@pytest.fixture
def two(
    browser: TestClient, partner: CrookedProvider, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """The same console with a second provider, from a file."""
    (tmp_path / "secret").write_text("a secret of the partner\n")
    file = tmp_path / "providers.yaml"
    file.write_text(
        f"providers:\n  partner:\n    name: Partner account\n    issuer: {partner.issuer}\n    client_id: {CLIENT}\n"
        f"    client_secret: {{file: {tmp_path / 'secret'}}}\n    scopes: [openid, groups]\n    userinfo: true\n"
    )
    monkeypatch.setenv("WARRANT_OIDC_PROVIDERS", str(file))
    settings.cache_clear()
    partner.userinfo = {"sub": "ada"}
    return browser


def start(browser: TestClient, provider: CrookedProvider, *, query: str = "") -> dict[str, str]:
    answer = browser.get(f"/oidc/start{query}")
    assert answer.status_code == 303, answer.text
    return provider.agree(answer.headers["location"])


def sign_on(browser: TestClient, provider: CrookedProvider) -> Any:
    browser.cookies.clear()
    return browser.get("/oidc/callback", params=start(browser, provider))


def people() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(Person)) or 0


def refused(answer: Any, browser: TestClient) -> None:
    assert answer.status_code == 401, answer.text
    assert COOKIE not in browser.cookies
    assert people() == 0


def test_an_honest_answer_opens_a_session(browser: TestClient, provider: CrookedProvider) -> None:
    assert sign_on(browser, provider).status_code == 303
    assert COOKIE in browser.cookies


def test_the_code_and_the_secret_follow_no_redirect_of_the_token_endpoint(
    browser: TestClient, provider: CrookedProvider
) -> None:
    provider.metadata = {"token_endpoint": f"{provider.issuer}/moved"}
    answer = sign_on(browser, provider)
    assert answer.status_code in (401, 503), answer.text
    assert COOKIE not in browser.cookies
    assert people() == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"aud": "another-client"}, {"aud": [CLIENT, "b"], "azp": "b"},
        {"aud": [CLIENT, "b"]}, {"azp": "b"}, {"nonce": "another"}, {"nonce": None}, {"exp": 1_000_000},
        {"exp": None}, {"nbf": 99_999_999_999}, {"iat": 99_999_999_999}, {"iat": None}, {"sub": None},
        {"sub": ""}, {"at_hash": "bm90IGl0"},
    ],
    ids=str,
)  # fmt: skip
def test_a_signed_token_with_a_wrong_claim_is_refused(
    browser: TestClient, provider: CrookedProvider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    refused(sign_on(browser, provider), browser)


def _public(provider: CrookedProvider, said: dict[str, Any], pem: bool) -> str:
    key = provider.keys[-1]
    secret = key.as_pem(private=False) if pem else str(key.as_dict(private=False)["n"]).encode()
    body = provider.sign(said).split(".")[1]
    signed = f"{_encoded(json.dumps({'alg': 'HS256', 'kid': key.kid}).encode())}.{body}"
    return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unsigned(provider: CrookedProvider, said: dict[str, Any]) -> str:
    body = provider.sign(said).split(".")[1]
    return f"eyJhbGciOiJub25lIn0.{body}."


def _own_key_in_header(provider: CrookedProvider, said: dict[str, Any]) -> str:
    key = RSAKey.generate_key(2048, {"kid": "mine"})
    return jwt.encode({"alg": "RS256", "kid": "mine", "jwk": key.as_dict(private=False)}, said, key)


def _unknown_key(provider: CrookedProvider, said: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "mine"}, said, RSAKey.generate_key(2048))


def _same_kid(provider: CrookedProvider, said: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": provider.keys[-1].kid}, said, RSAKey.generate_key(2048))


FORGERIES: dict[str, Callable[[CrookedProvider, dict[str, Any]], str]] = {
    "hmac with the public key": lambda provider, said: _public(provider, said, True),
    "hmac with the modulus": lambda provider, said: _public(provider, said, False),
    "unsigned": _unsigned,
    "a key in the header": _own_key_in_header,
    "a key that is not published": _unknown_key,
    "another key of the same name": _same_kid,
    "no token at all": lambda provider, said: "not.a.token",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_signature_is_refused(browser: TestClient, provider: CrookedProvider, name: str) -> None:
    provider.forge = lambda said: FORGERIES[name](provider, said)
    refused(sign_on(browser, provider), browser)


@pytest.mark.parametrize("algorithms", [["HS256"], ["none"], ["HS256", "HS512"]], ids=str)
def test_a_provider_that_offers_no_asymmetric_algorithm_signs_nobody_on(
    browser: TestClient, provider: CrookedProvider, algorithms: list[str]
) -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    provider.metadata = {"id_token_signing_alg_values_supported": algorithms}
    provider.published = [*provider.published, shared]
    for sign in (
        lambda said: jwt.encode({"alg": "HS256", "kid": "shared"}, said, shared), provider.sign,
    ):  # fmt: skip
        provider.forge = sign
        answer = sign_on(browser, provider)
        assert answer.status_code == 503, answer.text
        assert "no asymmetric algorithm" in answer.text
        assert COOKIE not in browser.cookies
    assert people() == 0
    with pytest.raises(ProviderUnavailable, match="no asymmetric algorithm"):
        keys_of({"jwks_uri": f"{provider.issuer}/jwks"} | provider.metadata)


def test_a_symmetric_key_among_the_published_ones_is_none(
    browser: TestClient, provider: CrookedProvider
) -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    metadata = {"jwks_uri": f"{provider.issuer}/jwks"}
    provider.published = [*provider.published, shared]
    assert keys_of(metadata) == 1
    assert sign_on(browser, provider).status_code == 303
    assert [one["kid"] for one in without_secrets(provider.get("/jwks")[1])["keys"]] == [
        provider.keys[-1].kid
    ]
    provider.published = [shared]
    assert keys_of(metadata) == 0


def test_a_replayed_code_and_a_replayed_state_are_refused(
    browser: TestClient, provider: CrookedProvider
) -> None:
    used = start(browser, provider)
    cookie = browser.cookies["warrant_oidc"]
    assert browser.get("/oidc/callback", params=used).status_code == 303
    browser.cookies.clear()
    fresh = start(browser, provider)
    assert browser.get("/oidc/callback", params={**fresh, "code": used["code"]}).status_code == 401
    browser.cookies.clear()
    browser.cookies.set("warrant_oidc", cookie, domain="localhost.local", path="/oidc")
    assert browser.get("/oidc/callback", params={**used, "code": "another"}).status_code == 401
    assert COOKIE not in browser.cookies


def test_keys_rotate_while_people_are_signed_in(browser: TestClient, provider: CrookedProvider) -> None:
    sign_on(browser, provider)
    assert provider.key_fetches == 1
    sign_on(browser, provider)
    assert provider.key_fetches == 1, "a known key is not fetched again"
    first = browser.cookies[COOKIE]
    provider.rotate()
    assert sign_on(browser, provider).status_code == 303
    assert provider.key_fetches == 2
    browser.cookies.clear()
    browser.cookies.set(COOKIE, first)
    assert browser.get("/api/v1/me").status_code == 200, "what was signed in before goes on"


def test_made_up_keys_are_fetched_a_few_times_a_minute_only(
    browser: TestClient, provider: CrookedProvider
) -> None:
    sign_on(browser, provider)
    provider.forge = lambda said: _unknown_key(provider, said)
    for _ in range(AGAIN_A_MINUTE + 3):
        assert sign_on(browser, provider).status_code == 401
    assert provider.key_fetches == 1 + AGAIN_A_MINUTE


def test_a_key_that_was_withdrawn_signs_nobody_in(browser: TestClient, provider: CrookedProvider) -> None:
    stolen = provider.keys[-1]
    provider.rotate()
    provider.forge = lambda said: jwt.encode({"alg": "RS256", "kid": stolen.kid}, said, stolen)
    refused(sign_on(browser, provider), browser)


def test_each_provider_has_its_button_its_people_and_its_address(
    two: TestClient, provider: CrookedProvider, partner: CrookedProvider
) -> None:
    page = two.get("/signin?next=/audit").text
    assert "Continue with single sign-on" in page
    assert "Continue with Partner account" in page
    assert 'href="/oidc/start?next=%2Faudit&amp;provider=partner"' in page
    sign_on(two, provider)
    two.cookies.clear()
    begun = two.get("/oidc/start?provider=partner")
    assert (
        "redirect_uri=http%3A%2F%2Flocalhost%3A8501%2Foidc%2Fcallback%2Fpartner" in begun.headers["location"]
    )
    assert "scope=openid+groups" in begun.headers["location"]
    answer = two.get("/oidc/callback/partner", params=partner.agree(begun.headers["location"]))
    assert answer.status_code == 303, answer.text
    with reading() as session:
        found = {one.oidc_issuer: one.oidc_subject for one in session.scalars(select(Person))}
    assert found == {provider.issuer: "ada", partner.issuer: "ada"}, (
        "one subject at two issuers is two people"
    )
    assert two.get("/oidc/start?provider=nobody").status_code == 404


def test_an_answer_of_one_provider_does_not_count_for_another(
    two: TestClient, provider: CrookedProvider, partner: CrookedProvider
) -> None:
    mixed = start(two, provider, query="?provider=partner")
    refused(two.get("/oidc/callback", params=mixed), two)
    mixed = start(two, partner)
    refused(two.get("/oidc/callback/partner", params=mixed), two)
    refused(two.get("/oidc/callback", params={**start(two, provider), "iss": partner.issuer}), two)
    provider.claims = {"iss": partner.issuer}
    refused(sign_on(two, provider), two)
    partner.forge = lambda said: provider.sign({**said, "iss": partner.issuer})
    two.cookies.clear()
    refused(two.get("/oidc/callback/partner", params=start(two, partner, query="?provider=partner")), two)


def test_a_provider_that_promises_to_name_itself_has_to(
    browser: TestClient, provider: CrookedProvider
) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    refused(browser.get("/oidc/callback", params=start(browser, provider)), browser)
    named = start(browser, provider) | {"iss": provider.issuer}
    assert browser.get("/oidc/callback", params=named).status_code == 303


def test_userinfo_about_somebody_else_is_refused(two: TestClient, partner: CrookedProvider) -> None:
    partner.userinfo = {"sub": "another", "groups": ["admins"]}
    refused(two.get("/oidc/callback/partner", params=start(two, partner, query="?provider=partner")), two)


def test_the_answer_to_somebody_elses_sign_on_signs_nobody_in(
    browser: TestClient, provider: CrookedProvider
) -> None:
    """Login CSRF: an attacker has a browser finish the sign-on that the attacker began."""
    with open_browser() as attacker:
        theirs = start(attacker, provider)
    start(browser, provider)
    refused(browser.get("/oidc/callback", params=theirs), browser)


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "/%5Cevil.example/..//", "/signout"]
)
def test_a_sign_on_never_ends_at_another_site(
    browser: TestClient, provider: CrookedProvider, path: str
) -> None:
    begun = browser.get("/oidc/start", params={"next": path})
    answer = browser.get("/oidc/callback", params=provider.agree(begun.headers["location"]))
    assert answer.status_code == 303
    target = answer.headers["location"]
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))


def test_a_file_that_cannot_be_read_leaves_passwords(
    browser: TestClient, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(
        "providers: {sso: {name: a, issuer: https://a.example, client_id: c, client_secret: plain}}"
    )
    monkeypatch.setenv("WARRANT_OIDC_PROVIDERS", str(file))
    settings.cache_clear()
    page = browser.get("/signin")
    assert page.status_code == 200
    assert "Continue with" not in page.text
    add_person("ada")
    form = {"username": "ada", "password": PASSWORD, "csrf": csrf_in(page.text), "next": "/"}
    assert browser.post("/signin", data=form).status_code == 303


def test_the_clock_of_a_token_has_a_minute_of_slack(browser: TestClient, provider: CrookedProvider) -> None:
    now = int(clock.now().timestamp())
    provider.claims = {"exp": now - 30}
    assert sign_on(browser, provider).status_code == 303
    provider.claims = {"exp": now - 90}
    assert sign_on(browser, provider).status_code == 401


class Dripping(BaseHTTPRequestHandler):
    """A token endpoint that says spaces for seconds before it refuses the code."""

    def do_POST(self) -> None:
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with suppress(OSError):
            for _ in range(60):
                self.wfile.write(b" ")
                time.sleep(0.05)
            self.wfile.write(b'{"error": "invalid_grant"}')

    def log_message(self, format: str, *args: Any) -> None:
        return


def test_a_token_endpoint_that_answers_in_drops_is_cut_off(
    browser: TestClient, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        provider.metadata = {"token_endpoint": f"http://127.0.0.1:{server.server_port}/token"}
        asked = start(browser, provider)
        assert browser.get("/oidc/callback", params=asked).status_code == 401, "refused, where there is time"
        asked = start(browser, provider)
        monkeypatch.setattr(json_documents, "DEADLINE_S", 0.3)
        assert browser.get("/oidc/callback", params=asked).status_code == 503
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def test_a_provider_that_failed_is_asked_again_only_after_a_while(
    browser: TestClient, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    real = oidc_documents.get_json

    def away(url: str) -> dict[str, Any]:
        fetched.append(url)
        raise oidc_documents.ProviderUnavailable("the sign-on provider cannot be used: it is away")

    monkeypatch.setattr(oidc_documents, "get_json", away)
    assert [browser.get("/oidc/start").status_code for _ in range(5)] == [503] * 5
    assert len(fetched) == 1
    monkeypatch.setattr(oidc_documents, "get_json", real)
    assert browser.get("/oidc/start").status_code == 503, "it is back, which nobody knows yet"
    moment = clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment + timedelta(seconds=oidc_documents.FAILURE_KEPT_S))
    assert browser.get("/oidc/start").status_code == 303


def test_one_address_does_not_take_the_sign_ons_of_all(
    browser: TestClient, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_flows, "FLOWS_OF_AN_ADDRESS", 3)
    monkeypatch.setattr(oidc_flows, "FLOWS_AT_ONCE", 5)
    asked = start(browser, provider)
    flows = [oidc.begin_sign_on(next_path="/", address=f"2001:db8::{number:x}") for number in range(1, 20)]
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(OidcFlow)) == 4

    def finish(begun: oidc.Begun) -> int:
        browser.cookies.set("warrant_oidc", begun.browser, path="/oidc")
        answer = browser.get("/oidc/callback", params=provider.agree(begun.url))
        browser.cookies.clear()
        return int(answer.status_code)

    assert browser.get("/oidc/callback", params=asked).status_code == 303, "begun before them, elsewhere"
    browser.cookies.clear()
    assert [finish(one) for one in flows[-4:]] == [401, 303, 303, 303]
