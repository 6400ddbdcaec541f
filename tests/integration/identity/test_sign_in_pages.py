"""The sign-in, sign-out and set-up forms as a browser meets them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.api.security import COOKIE
from backend.api.signin import safe_next
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.identity.actor import system_actor
from backend.identity.roles import Role
from backend.identity.sessions import csrf_of, session_of
from backend.identity.setup import create_set_up_link
from backend.identity.tokens import create_token
from backend.settings import settings
from tests.integration.identity.conftest import PASSWORD, TestClient, add_person, csrf_in, make_console


def sign_in(browser: TestClient, username: str, password: str = PASSWORD, **more: str) -> object:
    csrf = csrf_in(browser.get("/signin").text)
    return browser.post("/signin", data={"username": username, "password": password, "csrf": csrf, **more})


def actions() -> list[str]:
    with reading() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.seq)))


def test_signing_in_and_out(browser: TestClient) -> None:
    person = add_person("ada", Role.ML_LEAD)
    response = sign_in(browser, " Ada ", next="/model?name=flight-delay")
    assert response.status_code == 303
    assert response.headers["location"] == "/model?name=flight-delay"
    assert browser.get("/api/v1/me").json()["person"] == person.id
    assert browser.get("/signin?next=/audit").headers["location"] == "/audit"
    token = browser.cookies[COOKIE]
    assert browser.post("/signout", data={"csrf": "wrong"}).status_code == 403
    assert session_of(token) is not None
    assert browser.post("/signout", data={"csrf": csrf_of(token)}).headers["location"] == "/signin"
    assert session_of(token) is None
    assert COOKIE not in browser.cookies
    assert browser.get("/api/v1/me").status_code == 401
    assert actions()[-2:] == [Action.SIGNED_IN, Action.SIGNED_OUT]


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person("ada", Role.VIEWER)
    cookies = sign_in(browser, "ada").headers.get_list("set-cookie")
    flags = next(cookie for cookie in cookies if cookie.startswith(f"{COOKIE}=")).lower()
    assert "httponly" in flags
    assert "samesite=lax" in flags
    assert "path=/" in flags
    assert "secure" not in flags
    monkeypatch.setenv("WARRANT_PUBLIC_URL", "https://warrant.example")
    settings.cache_clear()
    with TestClient(make_console(), base_url="https://warrant.example", follow_redirects=False) as https:
        cookies = sign_in(https, "ada").headers.get_list("set-cookie")
        assert "secure" in next(one for one in cookies if one.startswith(f"{COOKIE}=")).lower()


def test_a_refused_sign_in_says_the_same_for_known_and_unknown_names(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    wrong, unknown = sign_in(browser, "ada", "wrong password"), sign_in(browser, "bob", "wrong password")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.text == unknown.text
    assert "The user name or the password is not right." in wrong.text
    assert COOKIE not in browser.cookies


def test_a_form_without_this_browsers_token_is_refused(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    form = {"username": "ada", "password": PASSWORD}
    browser.get("/signin")
    assert browser.post("/signin", data=form).status_code == 403
    assert browser.post("/signin", data={**form, "csrf": "0" * 64}).status_code == 403
    with TestClient(make_console(), follow_redirects=False) as other:
        theirs = csrf_in(other.get("/signin").text)
    assert browser.post("/signin", data={**form, "csrf": theirs}).status_code == 403
    ours = csrf_in(browser.get("/signin").text)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.post("/signin", data={**form, "csrf": ours}, headers=headers).status_code == 403
    assert COOKIE not in browser.cookies
    assert browser.post("/signin", data={**form, "csrf": ours}).status_code == 303


def test_signing_in_again_gives_a_new_token_and_ends_the_earlier_session(browser: TestClient) -> None:
    """Session fixation: a token planted before sign-in is never the one that is signed in."""
    add_person("ada", Role.VIEWER)
    browser.cookies.set(COOKIE, "planted-by-an-attacker", domain="testserver.local", path="/")
    csrf = csrf_in(browser.get("/signin").text)
    form = {"username": "ada", "password": PASSWORD, "csrf": csrf}
    browser.post("/signin", data=form)
    first = browser.cookies[COOKIE]
    assert first != "planted-by-an-attacker"
    browser.cookies.set("warrant_presession", "of another tab", domain="testserver.local", path="/")
    assert browser.post("/signin", data={**form, "csrf": csrf_of("of another tab")}).status_code == 303
    assert browser.cookies[COOKIE] != first
    assert session_of(first) is None


def test_after_too_many_failures_the_form_says_when_to_try_again(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    for _ in range(5):
        assert sign_in(browser, "ada", "wrong password").status_code == 401
    response = sign_in(browser, "ada")
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    assert "Too many attempts to sign in" in response.text


def test_every_page_forbids_framing_caching_and_scripts(browser: TestClient) -> None:
    headers = browser.get("/signin").headers
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "<script" not in browser.get("/signin").text


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)",
     "/\t/evil.example", "/\n/evil.example", "///evil.example", "", "evil", "/signin?next=/", "/signout",
     "/oidc/start", "/" + "a" * 3000, " //evil.example", "/ /evil.example"],
)  # fmt: skip
def test_next_never_leads_to_another_site(path: str) -> None:
    assert safe_next(path) == "/"


@pytest.mark.parametrize(
    "path", ["/", "/model?name=flight-delay&v=2", "/audit#entry-3", "/a//b", "/x?u=https://y"]
)
def test_next_keeps_pages_of_this_site(path: str) -> None:
    assert safe_next(path) == path


def test_the_set_up_link_makes_the_first_administrator_once(browser: TestClient) -> None:
    with writing() as session:
        token = create_set_up_link(session, system_actor("cli"))
    page = browser.get(f"/setup/{token}")
    assert page.status_code == 200
    form = {
        "token": token, "csrf": csrf_in(page.text), "username": "root", "display_name": "Ada Lindqvist",
        "password": PASSWORD, "password_again": PASSWORD,
    }  # fmt: skip
    assert browser.post("/setup", data={**form, "password_again": "another"}).status_code == 422
    assert (
        browser.post("/setup", data={**form, "password": "short", "password_again": "short"}).status_code
        == 422
    )
    assert browser.post("/setup", data={**form, "csrf": ""}).status_code == 403
    assert browser.post("/setup", data=form).status_code == 303
    found = session_of(browser.cookies[COOKIE])
    assert found is not None
    assert found.actor.roles == {Role.ADMIN}
    assert browser.get(f"/setup/{token}").status_code == 404
    assert browser.post("/setup", data={**form, "username": "second"}).status_code == 404
    assert Action.SET_UP_USED in actions()


def test_rest_with_the_cookie_needs_the_csrf_header_to_change_something(browser: TestClient) -> None:
    add_person("ada", Role.VIEWER)
    sign_in(browser, "ada")
    assert browser.get("/api/v1/me").status_code == 200
    assert browser.post("/api/v1/me").status_code == 403
    assert browser.post("/api/v1/me", headers={"X-CSRF-Token": "0" * 64}).status_code == 403
    csrf = csrf_of(browser.cookies[COOKIE])
    assert browser.post("/api/v1/me", headers={"X-CSRF-Token": csrf}).status_code == 200


def test_the_request_id_is_the_callers_only_when_it_is_opaque(browser: TestClient) -> None:
    """It goes into audit leaves, which hold no personal data and are never erased."""
    add_person("ada", Role.VIEWER)
    sign_in(browser, "ada")
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    assert browser.get("/api/v1/me", headers={"X-Request-ID": uuid}).json()["request"] == uuid
    sent = browser.get("/api/v1/me", headers={"X-Request-ID": "ada.lindqvist@example.com"}).json()["request"]
    assert sent.startswith("req_")


def test_forwarded_addresses_count_only_from_trusted_proxies(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person("ada", Role.VIEWER)
    sign_in(browser, "ada")
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.4"}
    assert browser.get("/api/v1/me", headers=forwarded).json()["address"] == "192.0.2.7"
    monkeypatch.setenv("WARRANT_TRUSTED_PROXIES", "192.0.2.0/24")
    settings.cache_clear()
    assert browser.get("/api/v1/me", headers=forwarded).json()["address"] == "198.51.100.4"
    assert browser.get("/api/v1/me", headers={"X-Forwarded-For": "nonsense"}).json()["address"] == "192.0.2.7"
    mapped = {"X-Forwarded-For": "::ffff:198.51.100.4"}
    assert browser.get("/api/v1/me", headers=mapped).json()["address"] == "198.51.100.4"


def test_a_trusted_proxy_on_a_socket_for_both_kinds_of_addresses_is_trusted(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_TRUSTED_PROXIES", "10.0.0.0/8")
    settings.cache_clear()
    add_person("ada", Role.VIEWER)
    with TestClient(make_console(), follow_redirects=False, client=("::ffff:10.1.2.3", 4711)) as browser:
        sign_in(browser, "ada")
        assert browser.get("/api/v1/me").json()["address"] == "10.1.2.3"
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        assert browser.get("/api/v1/me", headers=forwarded).json()["address"] == "203.0.113.9"


def test_a_bearer_token_needs_no_csrf_token_and_a_wrong_one_is_not_replaced_by_the_cookie(
    browser: TestClient,
) -> None:
    person = add_person("ada", Role.VIEWER)
    sign_in(browser, "ada")
    found = session_of(browser.cookies[COOKIE])
    assert found is not None
    with writing() as session:
        row, raw = create_token(session, found.actor, name="script")
    for method in ("GET", "POST"):
        answer = browser.request(method, "/api/v1/me", headers={"Authorization": f"Bearer {raw}"})
        assert (answer.json()["person"], answer.json()["session"]) == (person.id, row.id)
    for wrong in ("Bearer wrt_wrong", f"Basic {raw}", f"Bearer {found.row.token_hash}", "Bearer", ""):
        assert browser.get("/api/v1/me", headers={"Authorization": wrong}).status_code == 401
