"""What weighs much asks for a fresh sign-in: over HTTP, in the plain page and in the service, with its trace."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from app import phone_pages
from app.templates import render
from backend import clock
from backend.api.app import create_api
from backend.api.security import COOKIE, CSRF_HEADER
from backend.api.signin import sign_in_routes
from backend.audit.actions import Action
from backend.audit.change_checks import unrecorded_changes
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.governance.asking import cancel_change, preview_change, request_change
from backend.governance.delegations import delegate
from backend.governance.kinds import Asked
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor
from backend.identity.freshness import NotByToken, SignInAgain, require_fresh
from backend.identity.roles import Permission, Role
from backend.identity.sessions import csrf_of, session_of
from backend.identity.tables import Person, SignInSession
from backend.identity.teams import make_team
from backend.identity.tokens import create_token
from backend.settings import settings
from tests.browser.installation import policy_without_gates, put_in_force
from tests.browser.people import PASSWORD, give_passwords
from tests.integration.identity.conftest import TestClient
from tests.watched import cookie_of
from tests.worlds import World, make_world, person, set_tier


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    put_in_force(policy_without_gates())
    give_passwords()
    return made


@pytest.fixture
def browser(world: World) -> TestClient:
    forms = FastAPI()
    forms.include_router(sign_in_routes(render))
    paths = ("/signin", "/signin/again", "/oidc/{rest:path}")
    site = Starlette(
        routes=[
            *phone_pages.routes(),
            *(Route(path, forms) for path in paths),
            Mount("/api/v1", create_api()),
        ]
    )
    return TestClient(site, base_url="http://warrant", follow_redirects=False)


def enter(browser: TestClient, who: Actor) -> str:
    token = cookie_of(who)
    browser.cookies.clear()
    browser.cookies.set(COOKIE, token, domain="warrant.local", path="/")
    return token


def age(minutes: float) -> None:
    """Everybody signed in so long ago."""
    with writing() as session:
        session.execute(
            update(SignInSession).values(authenticated_at=clock.now() - timedelta(minutes=minutes))
        )


def asked_for(world: World, *, tier: str = "high") -> tuple[int, str]:
    """A change that waits for a decision: its number and digest."""
    with writing() as session:
        set_tier(session, "toy", tier)
        asked = Asked("rollback", model="toy", environment="production", to_version=1)
        preview = preview_change(session, world.engineer, asked)
        change = request_change(session, world.engineer, asked, reason="it fell", seen_digest=preview.digest)
        return change.id, change.digest


def decide(browser: TestClient, number: int, digest: str, verdict: str = "approve") -> httpx.Response:
    token = browser.cookies[COOKIE]
    return browser.post(
        f"/api/v1/changes/{number}/decisions",
        json={"verdict": verdict, "comment": "as agreed", "digest": digest},
        headers={CSRF_HEADER: csrf_of(token)},
    )


def sign_in_again(browser: TestClient, password: str = PASSWORD, path: str = "/c/1") -> httpx.Response:
    form = browser.get(f"/signin/again?next={path}").text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    return browser.post("/signin/again", data=hidden | {"password": password})


def test_a_stale_session_decides_on_high_risk_only_after_signing_in_again(
    world: World, browser: TestClient
) -> None:
    number, digest = asked_for(world)
    stolen = enter(browser, world.lead)
    age(11)
    refused = decide(browser, number, digest)
    assert refused.status_code == 403
    assert (refused.json()["title"], refused.json()["max_age_s"]) == ("Sign in again", 600)
    assert refused.json()["sign_in"] == "/signin/again"

    assert sign_in_again(browser, "not the password").status_code == 403
    assert decide(browser, number, digest).status_code == 403
    back = sign_in_again(browser)
    assert (back.status_code, back.headers["location"]) == (303, "/c/1")
    assert browser.cookies[COOKIE] != stolen, "another token at each step-up"
    assert session_of(stolen) is None, "who held the old one has nothing of it"
    assert decide(browser, number, digest).status_code == 201

    with reading() as session:
        change = session.get_one(Change, number)
        (decision,) = change.decisions
        assert decision.signed_in_at is not None
        actions = session.scalars(select(AuditEntry.action)).all()
        assert Action.SIGNED_IN_AGAIN in actions
        assert not list(unrecorded_changes(session))
    said = browser.get(f"/api/v1/changes/{number}").json()["decisions"][0]
    assert clock.from_iso(said["signed_in_at"]) == decision.signed_in_at
    assert "signed in freshly at" in browser.get(f"/c/{number}").text
    with writing() as session:
        session.execute(update(Decision).values(signed_in_at=clock.now() - timedelta(days=1)))
    with reading() as session:
        assert list(unrecorded_changes(session)), "a moment that the log does not say is found"


@pytest.mark.parametrize(("tier", "verdict"), [("medium", "approve"), ("high", "reject")])
def test_low_risk_and_what_stops_a_change_wait_for_no_sign_in(
    world: World, browser: TestClient, tier: str, verdict: str
) -> None:
    number, digest = asked_for(world, tier=tier)
    enter(browser, world.lead)
    age(300)
    assert decide(browser, number, digest, verdict).status_code == 201


def test_a_token_decides_on_high_risk_only_where_the_rule_says_so(world: World, browser: TestClient) -> None:
    number, digest = asked_for(world)
    with writing() as session:
        raw = create_token(session, world.lead, name="script")[1]
    sent = {"verdict": "approve", "comment": "as agreed", "digest": digest}
    path, headers = f"/api/v1/changes/{number}/decisions", {"Authorization": f"Bearer {raw}"}
    refused = browser.post(path, json=sent, headers=headers)
    assert (refused.status_code, refused.json()["title"]) == (403, "Not by API token")
    assert "console" in refused.json()["detail"]
    document = policy_without_gates()
    for entry in document["rules"]:
        entry["rule"]["tokens"] = True
    put_in_force(document)
    with writing() as session:
        cancel_change(session, world.engineer, number, reason="anew under the other policy")
    number, digest = asked_for(world)
    path, sent = f"/api/v1/changes/{number}/decisions", sent | {"digest": digest}
    assert browser.post(path, json=sent, headers=headers).status_code == 201


def test_a_policy_says_that_tokens_decide() -> None:
    document = read_policy("schema: 1\nrules: [{name: all, rule: {tokens: true}}]")
    assert document.rules[0].rule.tokens
    assert not read_policy("schema: 1\nrules: [{name: all}]").rules[0].rule.tokens


def test_the_plain_page_leads_to_the_sign_in_and_back_to_what_was_written(
    world: World, browser: TestClient
) -> None:
    number, digest = asked_for(world)
    enter(browser, world.lead)
    age(11)
    sent = {"csrf": csrf_of(browser.cookies[COOKIE]), "act": "approve", "digest": digest, "why": "the reason"}
    away = browser.post(f"/c/{number}", data=sent)
    assert (away.status_code, away.headers["location"]) == (303, f"/signin/again?next=/c/{number}")
    back = sign_in_again(browser, path=f"/c/{number}")
    assert back.headers["location"] == f"/c/{number}"
    page = browser.get(f"/c/{number}").text
    assert re.search(r'id="comment-approve"[^>]*>the reason</textarea>', page)
    assert "the reason" not in browser.get(f"/c/{number}").text, "kept once"
    sent["csrf"] = csrf_of(browser.cookies[COOKIE])
    assert browser.post(f"/c/{number}", data=sent).headers["location"] == f"/c/{number}?done=approve"


def test_access_and_erasure_ask_for_a_fresh_sign_in_and_ending_access_does_not(
    world: World, browser: TestClient
) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
    enter(browser, admin)
    headers = {CSRF_HEADER: csrf_of(browser.cookies[COOKIE])}
    age(11)
    roles = f"/api/v1/people/{world.viewer.person_id}/roles"
    for path, document in (
        (roles, {"roles": ["admin"]}),
        ("/api/v1/people", {"username": "eve", "display_name": "Eve", "password": "a long pass phrase", "roles": []}),
    ):  # fmt: skip
        refused = browser.post(path, json=document, headers=headers)
        assert (refused.status_code, refused.json()["title"]) == (403, "Sign in again"), path
    ended = browser.post(
        f"/api/v1/people/{world.viewer.person_id}/disablement", json={"why": "left"}, headers=headers
    )
    assert ended.status_code == 201
    age(1)
    assert browser.post(roles, json={"roles": ["admin"]}, headers=headers).status_code == 201

    enter(browser, world.compliance)
    age(11)
    refused = browser.post(
        f"/api/v1/people/{world.engineer.person_id}/erasure", json={"reason": "asked to"},
        headers={CSRF_HEADER: csrf_of(browser.cookies[COOKIE])},
    )  # fmt: skip
    assert refused.json()["title"] == "Sign in again", refused.text


def test_teams_give_access_after_a_fresh_sign_in_and_take_it_without(
    world: World, browser: TestClient
) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
        team = make_team(session, admin, name="Squad").id
        unscoped = create_token(session, admin, name="script")[1]
    roles, model = f"/api/v1/teams/{team}/members/{world.viewer.person_id}", "/api/v1/models/toy/team"
    given = ((roles, {"roles": ["ml_lead"], "why": "so"}), (model, {"team": team, "why": "so"}))
    ended = ((roles, {"roles": [], "why": "so"}), (model, {"team": None, "why": "so"}))
    for path, document in given:
        answer = browser.post(path, json=document, headers={"Authorization": f"Bearer {unscoped}"})
        assert (answer.status_code, answer.json()["title"]) == (403, "Not by API token"), path
    enter(browser, admin)
    headers = {CSRF_HEADER: csrf_of(browser.cookies[COOKIE])}
    age(11)
    for path, document in given:
        answer = browser.post(path, json=document, headers=headers)
        assert (answer.status_code, answer.json()["title"]) == (403, "Sign in again"), path
    age(1)
    assert [browser.post(path, json=document, headers=headers).status_code for path, document in given] == [
        201
    ] * 2
    age(11)
    assert [browser.post(path, json=document, headers=headers).status_code for path, document in ended] == [
        201
    ] * 2


def test_the_right_to_decide_is_lent_after_a_fresh_sign_in(world: World, browser: TestClient) -> None:
    """Else whoever has somebody's cookie lends it to an accomplice, who signs in freshly and approves."""
    now = clock.now()
    asked = {
        "to_person": world.viewer.person_id, "starts_at": clock.to_iso(now), "reason": "away",
        "ends_at": clock.to_iso(now + timedelta(days=1)),
    }  # fmt: skip
    enter(browser, world.lead)
    headers = {CSRF_HEADER: csrf_of(browser.cookies[COOKIE])}
    age(11)
    refused = browser.post("/api/v1/delegations", json=asked, headers=headers)
    assert (refused.status_code, refused.json()["title"]) == (403, "Sign in again"), refused.text
    age(1)
    assert browser.post("/api/v1/delegations", json=asked, headers=headers).status_code == 201


def test_a_token_that_only_reads_decides_by_no_lent_right_and_retracts_nothing(
    world: World, browser: TestClient
) -> None:
    number, digest = asked_for(world, tier="low")
    now = clock.now()
    with writing() as session:
        delegate(
            session, world.lead, to_person=world.viewer.person_id, starts_at=now,
            ends_at=now + timedelta(days=1), reason="away",
        )  # fmt: skip
        reads = create_token(session, world.viewer, name="dashboard", scopes=[Permission.READ_MODELS])[1]
        whole = create_token(session, world.viewer, name="script")[1]

    def send(raw: str, verdict: str) -> httpx.Response:
        sent = {"verdict": verdict, "comment": "as agreed", "digest": digest}
        path = f"/api/v1/changes/{number}/decisions"
        return browser.post(path, json=sent, headers={"Authorization": f"Bearer {raw}"})

    for verdict in ("approve", "reject", "ask"):
        refused = send(reads, verdict)
        assert (refused.status_code, "was not made for" in refused.json()["detail"]) == (403, True), (
            refused.text
        )
    assert send(whole, "approve").status_code == 201
    refused = send(reads, "retract")
    assert (refused.status_code, "was not made for" in refused.json()["detail"]) == (403, True), refused.text


def test_a_token_does_it_only_where_it_was_made_for_it() -> None:
    token = Actor("per_1", "person", frozenset({Role.ADMIN}), session_id="tok_1")
    with pytest.raises(NotByToken, match="identity:person:manage"):
        require_fresh(token, "change who has access", permission=Permission.MANAGE_PEOPLE)
    with pytest.raises(SignInAgain):
        require_fresh(Actor("per_1", "person", frozenset(), session_id="ses_1"), "break the glass")


def test_another_persons_csrf_or_none_renews_nothing(world: World, browser: TestClient) -> None:
    enter(browser, world.lead)
    for csrf in ("", csrf_of("another")):
        answer = browser.post("/signin/again", data={"password": PASSWORD, "csrf": csrf, "next": "/"})
        assert answer.status_code == 403
    browser.cookies.clear()
    assert browser.get("/signin/again?next=/x").headers["location"] == "/signin?next=%2Fx"


@pytest.mark.parametrize("issuer", ["", "https://sso.example"])
def test_an_account_without_a_password_is_sent_to_the_provider(
    world: World, browser: TestClient, monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("WARRANT_OIDC_ISSUER", issuer)
    monkeypatch.setenv("WARRANT_OIDC_CLIENT_ID", "warrant")
    settings.cache_clear()
    with writing() as session:
        session.get_one(Person, world.lead.person_id).password_hash = None
    enter(browser, world.lead)
    page = browser.get("/signin/again?next=/c/1").text
    assert ("/oidc/start?again=true" in page) == bool(issuer)
    assert ("not set up any more" in page) == (not issuer)
    assert 'name="password"' not in page
    token = browser.cookies[COOKIE]
    answer = browser.post("/signin/again", data={"password": "", "csrf": csrf_of(token), "next": "/"})
    assert answer.status_code == 403
