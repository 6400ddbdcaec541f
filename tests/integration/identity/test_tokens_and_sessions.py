"""API tokens with scopes, models, replacement and an end that is seen coming; sessions that are listed and ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.routing import Mount

from backend import clock
from backend.api.app import create_api
from backend.api.security import COOKIE, CSRF_HEADER
from backend.assurance.exceptions import ask_exception, end_exception
from backend.assurance.findings import answer_finding, open_finding
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import WriteSession, reading, writing
from backend.doctor import (
    CHECKS,
    services,  # noqa: F401 - registers its checks
)
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.governance.delegations import delegate, end_delegation
from backend.identity.actor import Actor
from backend.identity.devices import device_words
from backend.identity.freshness import SignInAgain
from backend.identity.people import set_roles
from backend.identity.roles import Permission, Role
from backend.identity.sessions import csrf_of, revoke, revoke_all
from backend.identity.tables import ApiToken, Person, SignInSession
from backend.identity.token_text import PATTERN, is_token_text, make_token_text
from backend.identity.tokens import (
    create_token,
    ends_soon,
    list_tokens,
    resolve_token,
    revoke_token,
    rotate_token,
)
from tests.integration.identity.conftest import SYSTEM, TestClient
from tests.watched import cookie_of
from tests.worlds import World, add_model, make_world, person

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    console = Starlette(routes=[Mount("/api/v1", create_api())])
    with TestClient(console, raise_server_exceptions=False, base_url="http://warrant") as client:
        yield client


def bearer(raw: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {raw}"}


def enter(client: TestClient, who: Actor) -> dict[str, str]:
    """Signed in as somebody; the headers of what changes something."""
    token = cookie_of(who)
    client.cookies.clear()
    client.cookies.set(COOKIE, token, domain="warrant.local", path="/")
    return {CSRF_HEADER: csrf_of(token)}


def test_a_token_is_found_by_scanners_and_told_from_what_looks_like_one(world: World) -> None:
    raw = make_token_text()
    assert re.fullmatch(r"wrt_[0-9A-Za-z]{49}", raw)
    assert PATTERN.search(f"TOKEN={raw}\n")
    assert is_token_text(raw)
    assert len({make_token_text() for _ in range(50)}) == 50
    changed = raw[:10] + ("a" if raw[10] != "a" else "b") + raw[11:]
    for other in (changed, raw + "a", raw[:-1], "wrt_", "", raw.replace("wrt_", "ghp_")):
        assert not is_token_text(other)


def test_a_token_does_what_it_was_made_for_and_nothing_else(world: World, client: TestClient) -> None:
    with writing() as session:
        _, raw = create_token(session, world.lead, name="reader", scopes=[Permission.READ_MODELS])
        with pytest.raises(BadInput, match="identity:person:manage"):
            create_token(session, world.lead, name="more", scopes=[Permission.MANAGE_PEOPLE])
        with pytest.raises(BadInput, match="at least one"):
            create_token(session, world.lead, name="none", scopes=[])
    assert client.get("/api/v1/models", headers=bearer(raw)).status_code == 200
    refused = client.get("/api/v1/jobs", headers=bearer(raw))
    assert (refused.status_code, "not made for jobs:run:read" in refused.json()["detail"]) == (403, True)
    with writing() as session:
        set_roles(session, SYSTEM, world.lead.person_id, set())
    assert client.get("/api/v1/models", headers=bearer(raw)).status_code == 403, "a lost role is lost at once"


def test_what_is_ones_own_needs_the_scope_too_but_for_the_token_itself(
    world: World, client: TestClient
) -> None:
    with writing() as session:
        reader, raw = create_token(session, world.lead, name="reader", scopes=[Permission.READ_MODELS])
        other, _ = create_token(session, world.lead, name="other")
        _, keys = create_token(session, world.lead, name="keeper", scopes=[Permission.MANAGE_OWN_TOKENS])
    with reading() as session:
        acting = resolve_token(session, raw)
    assert acting is not None
    soon = clock.now() + timedelta(days=9)
    with writing() as session:
        finding = open_finding(
            session, world.compliance, model="toy", title="t", detail="d", severity="low",
            owner_id=world.lead.person_id, due_at=soon,
        )  # fmt: skip
        exception = ask_exception(
            session,
            world.lead,
            model="toy",
            gate="card_complete",
            reason="until it is written",
            expires_at=soon,
        )
        lent = delegate(
            session, world.lead, to_person=world.compliance.person_id, starts_at=clock.now(), ends_at=soon,
            reason="away",
        )  # fmt: skip
    acts: list[Callable[[WriteSession], object]] = [
        lambda session: answer_finding(session, acting, finding.id, answer="done"),
        lambda session: end_exception(session, acting, exception.id, why="w"),
        lambda session: end_delegation(session, acting, lent.id),
        lambda session: revoke(session, acting, "ses_any"),
        lambda session: revoke_all(session, acting, acting.person_id),
        lambda session: revoke_token(session, acting, other.id),
    ]
    for act in acts:
        with pytest.raises(NotAllowed, match="not made for"), writing() as session:
            act(session)
    for key, by, answer in ((other.id, raw, 403), (reader.id, raw, 201), (other.id, keys, 201)):
        ended = client.post(f"/api/v1/tokens/{key}/revocation", json={"why": "over"}, headers=bearer(by))
        assert ended.status_code == answer, ended.text


def test_a_token_of_some_models_knows_of_no_other(world: World, client: TestClient) -> None:
    add_model(world, "other")
    with writing() as session:
        _, raw = create_token(session, world.engineer, name="of toy", models=["toy"])
        with pytest.raises(BadInput, match="absent"):
            create_token(session, world.engineer, name="x", models=["absent"])
    seen = client.get("/api/v1/models", headers=bearer(raw)).json()["models"]
    assert [one["name"] for one in seen] == ["toy"]
    assert client.get("/api/v1/models/other", headers=bearer(raw)).status_code == 404
    asked = {"kind": "rollback", "model": "other", "reason": "x", "digest": "sha256:x"}
    changed = client.post("/api/v1/changes", json=asked, headers=bearer(raw))
    assert changed.status_code == 404, "nor does it change anything of another one"


def test_a_replaced_token_stays_valid_until_the_stated_end(world: World, client: TestClient) -> None:
    with writing() as session:
        old, raw = create_token(
            session, world.engineer, name="nightly", scopes=[Permission.READ_MODELS], models=["toy"]
        )
    with writing() as session:
        new, following = rotate_token(session, world.engineer, old.id, overlap_h=2)
        with pytest.raises(Conflict, match="replaced already"):
            rotate_token(session, world.engineer, old.id)
        with pytest.raises(NotFound):
            rotate_token(session, world.lead, new.id)
        with pytest.raises(BadInput, match="hours"):
            rotate_token(session, world.engineer, new.id, overlap_h=10_000)
    assert (new.scopes, new.models, new.name) == (["registry:model:read"], ["toy"], "nightly")
    for valid in (raw, following):
        assert client.get("/api/v1/models", headers=bearer(valid)).status_code == 200
    with reading() as session:
        kept = session.get_one(ApiToken, old.id)
        assert kept.expires_at <= clock.now() + timedelta(hours=2)
        assert Action.TOKEN_ROTATED in session.scalars(select(AuditEntry.action)).all()
    with writing() as session:
        session.execute(update(ApiToken).where(ApiToken.id == old.id).values(expires_at=clock.now()))
    assert client.get("/api/v1/models", headers=bearer(raw)).status_code == 401
    assert client.get("/api/v1/models", headers=bearer(following)).status_code == 200


def test_the_secret_is_in_one_answer_and_never_remembered(world: World, client: TestClient) -> None:
    headers = enter(client, world.engineer)
    kept = client.post("/api/v1/tokens", json={"name": "x"}, headers=headers | {"Idempotency-Key": "k"})
    assert kept.status_code == 422, "an idempotency key would keep the secret"
    made = client.post(
        "/api/v1/tokens", json={"name": "x", "scopes": ["registry:model:read"]}, headers=headers
    )
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    raw = made.json()["token"]
    used = client.get("/api/v1/models", headers=bearer(raw))
    assert used.status_code == 200
    (row,) = client.get("/api/v1/tokens").json()["tokens"]
    assert (row["hint"], row["last_address"]) == (raw[:8], "testclient")
    assert row["last_used_at"]
    assert raw not in str(row)
    turned = client.post(f"/api/v1/tokens/{row['id']}/rotation", json={}, headers=headers)
    assert turned.status_code == 201
    ended = client.post(f"/api/v1/tokens/{row['id']}/revocation", json={"why": "leaked"}, headers=headers)
    assert (ended.status_code, client.get("/api/v1/models", headers=bearer(raw)).status_code) == (201, 401)
    with writing() as session:
        session.execute(update(SignInSession).values(authenticated_at=clock.now() - timedelta(hours=1)))
    stale = client.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
    assert stale.json()["title"] == "Sign in again"


def test_when_and_from_where_it_was_used_is_written_once_a_minute(world: World, client: TestClient) -> None:
    with writing() as session:
        row, raw = create_token(session, world.engineer, name="x")
    client.get("/api/v1/models", headers=bearer(raw))
    with reading() as session:
        first = session.get_one(ApiToken, row.id).last_used_at
    client.get("/api/v1/models", headers=bearer(raw))
    with reading() as session:
        assert session.get_one(ApiToken, row.id).last_used_at == first


def test_a_token_that_ends_soon_is_said_until_another_takes_over(world: World) -> None:
    with writing() as session:
        row, _ = create_token(session, world.engineer, name="nightly", valid_days=5)
        create_token(session, world.engineer, name="far", valid_days=90)
    with reading() as session:
        assert [one.name for one in list_tokens(session, world.engineer) if ends_soon(one)] == ["nightly"]
    found = CHECKS["API tokens"].ask()
    assert (found.state, "nightly of engineer" in found.said) == ("trouble", True)
    with writing() as session:
        rotate_token(session, world.engineer, row.id)
    assert CHECKS["API tokens"].ask().state == "ok"


def test_a_service_account_is_made_over_the_api_and_acts_for_its_owner(
    world: World, client: TestClient
) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
    made = client.post(
        "/api/v1/service-accounts", headers=enter(client, admin),
        json={"username": "ci", "display_name": "CI", "roles": ["ml_engineer"], "owner_id": world.engineer.person_id},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    token = client.post(
        "/api/v1/tokens", headers=enter(client, world.engineer), json={"name": "ci", "person_id": made.json()["id"]}
    )  # fmt: skip
    assert token.status_code == 201, token.text
    with reading() as session:
        actor = resolve_token(session, token.json()["token"])
        assert session.get_one(Person, made.json()["id"]).owner_id == world.engineer.person_id
    assert actor is not None
    assert actor.people == {made.json()["id"], world.engineer.person_id}


def test_sessions_are_listed_in_words_and_ended_one_by_one_or_all(world: World, client: TestClient) -> None:
    cookie_of(world.lead)
    headers = enter(client, world.lead)
    with writing() as session:
        session.execute(update(SignInSession).values(user_agent=FIREFOX, last_user_agent=FIREFOX))
    rows = client.get("/api/v1/sessions", headers={"User-Agent": EDGE}).json()["sessions"]
    assert [one["this"] for one in rows] == [True, False]
    assert rows[0]["device"] == "Firefox on Linux"
    moved = client.get("/api/v1/sessions", headers={"User-Agent": EDGE}).json()["sessions"][0]
    assert (moved["device"], moved["last_device"]) == ("Firefox on Linux", "Edge on Windows"), (
        "a stolen cookie shows"
    )
    assert (moved["address"], moved["last_address"]) == ("127.0.0.1", "testclient")
    ended = client.post(f"/api/v1/sessions/{rows[1]['id']}/revocation", json={}, headers=headers)
    assert (ended.status_code, len(client.get("/api/v1/sessions").json()["sessions"])) == (201, 1)
    cookie_of(world.lead)
    assert client.post("/api/v1/sessions/revocation", json={}, headers=headers).json() == {"ended": 1}
    out = client.post("/api/v1/sessions/revocation", json={"keep_this": False}, headers=headers)
    assert (out.json(), client.get("/api/v1/sessions").status_code) == ({"ended": 1}, 401)


def test_administrators_end_anybodys_sessions_and_others_only_their_own(
    world: World, client: TestClient
) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
    cookie_of(world.lead)
    path = f"/api/v1/people/{world.lead.person_id}/sessions"
    headers = enter(client, world.engineer)
    assert client.get(path).status_code == 403
    assert client.post(f"{path}/revocation", json={}, headers=headers).status_code == 403
    with reading() as session:
        theirs = session.scalars(
            select(SignInSession.id).where(SignInSession.person_id == world.lead.person_id)
        ).one()
    assert client.post(f"/api/v1/sessions/{theirs}/revocation", json={}, headers=headers).status_code == 404
    headers = enter(client, admin)
    assert len(client.get(path).json()["sessions"]) == 1
    assert client.post(f"{path}/revocation", json={"why": "lost phone"}, headers=headers).json() == {
        "ended": 1
    }
    assert client.get(path).json()["sessions"] == []


def test_a_role_that_is_given_or_taken_holds_in_an_open_session_at_once(
    world: World, client: TestClient
) -> None:
    enter(client, world.viewer)
    assert client.get("/api/v1/audit/entries").status_code == 403
    with writing() as session:
        set_roles(session, SYSTEM, world.viewer.person_id, {Role.COMPLIANCE})
    assert client.get("/api/v1/audit/entries").status_code == 200
    with writing() as session:
        set_roles(session, SYSTEM, world.viewer.person_id, {Role.VIEWER})
    assert client.get("/api/v1/audit/entries").status_code == 403


def test_words_for_browsers() -> None:
    assert device_words(None) == "an unknown browser"
    assert device_words("curl/8.1") == "curl"
    assert device_words("Mozilla/5.0 (iPhone; like Mac OS X) Version/17 Safari/604.1") == "Safari on iPhone"
    assert device_words("x" * 500) == "x" * 60


def test_only_somebody_signed_in_freshly_makes_tokens(world: World) -> None:
    old = Actor(
        world.lead.person_id, "person", world.lead.roles, session_id="ses_1",
        signed_in_at=clock.now() - timedelta(minutes=11),
    )  # fmt: skip
    with writing() as session, pytest.raises(SignInAgain):
        create_token(session, old, name="x")
    with writing() as session, pytest.raises(NotAllowed, match="cannot create tokens"):
        create_token(
            session, Actor(world.lead.person_id, "person", world.lead.roles, session_id="tok_1"), name="x"
        )
