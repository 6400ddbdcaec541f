"""Jobs of CI systems come in with the token that their issuer signed, and by nothing else."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import delete, select
from starlette.applications import Starlette
from starlette.routing import Mount

from backend import clock
from backend.api.app import create_api
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity import job_tokens
from backend.identity.job_tokens import GRANT, TYPES
from backend.identity.people import create_person, disable_person
from backend.identity.roles import Permission, Role
from backend.identity.tables import SignInAttempt, TrustRule
from backend.identity.throttle import (
    FREE_PER_ADDRESS,
    SignInThrottled,
    count_attempt,
    count_refused_job,
    require_no_wait_of_job,
)
from backend.identity.trust_rules import checked_claims, create_rule, end_rule
from backend.settings import settings
from tests.integration.identity.conftest import SYSTEM, TestClient, add_person
from tests.worlds import person

AUDIENCE = "https://warrant.example"
KEY, NEXT_KEY, STRANGERS = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("k1", "k2", "k1"))


@dataclass
class Issuer:
    """An issuer that answers over HTTP: its address, and the keys that it publishes."""

    address: str
    keys: list[RSAKey] = field(default_factory=lambda: [KEY])
    asked: int = 0
    named: str = ""

    def document(self, path: str) -> dict[str, Any] | None:
        self.asked += 1
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.named or self.address, "jwks_uri": f"{self.address}/keys"}
        return {"keys": [one.as_dict(private=False) for one in self.keys]} if path == "/keys" else None


@pytest.fixture(scope="module")
def serving() -> Iterator[Issuer]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = issuer.document(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield issuer
    server.shutdown()
    server.server_close()


@pytest.fixture
def issuer(serving: Issuer) -> Issuer:
    job_tokens._KEYS.forget()
    serving.keys, serving.asked, serving.named = [KEY], 0, ""
    return serving


@pytest.fixture
def client(migrated_home: Path) -> Iterator[TestClient]:
    console = Starlette(routes=[Mount("/api/v1", create_api())])
    with TestClient(console, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def rule(client: TestClient, issuer: Issuer) -> TrustRule:
    """Jobs of one repository, on main, act as `ci` for ten minutes, and read."""
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
        robot = create_person(
            session, SYSTEM, username="ci", display_name="CI", roles={Role.ML_ENGINEER}, kind="service",
            owner_id=admin.person_id,
        )  # fmt: skip
        return create_rule(
            session, admin, name="deliver", issuer=issuer.address, audience=AUDIENCE, person_id=robot.id,
            claims={"repository": ["acme/flights"], "ref": ["refs/heads/main", "refs/tags/v*"]}, minutes=10,
            scopes=[Permission.READ_MODELS, Permission.MANAGE_OWN_TOKENS],
        )  # fmt: skip


def claims(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    now = int(clock.now().timestamp())
    whole = {
        "iss": issuer.address, "aud": AUDIENCE, "sub": "repo:acme/flights:ref:refs/heads/main", "jti": "job-1",
        "exp": now + 300, "nbf": now - 5, "iat": now - 5, "repository": "acme/flights", "ref": "refs/heads/main",
        "run_id": "4711", "actor": "ada",
    }  # fmt: skip
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def signed(payload: dict[str, Any], key: RSAKey = KEY) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, payload, key)


def coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def send(client: TestClient, token: str, **fields: str) -> httpx.Response:
    form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": TYPES[0]} | fields
    return client.post("/api/v1/token-exchange", data=form)


def reasons() -> list[str]:
    """Why jobs were refused, as the log has it."""
    with reading() as session:
        found = session.execute(
            select(AuditPayload.payload)
            .join(AuditEntry, AuditEntry.seq == AuditPayload.seq)
            .where(AuditEntry.action == Action.JOB_TOKEN_REFUSED)
        )
        return [
            json.loads(row[0])["reason"] if isinstance(row[0], str) else row[0]["reason"] for row in found
        ]


def test_a_job_gets_a_short_token_of_the_account_and_its_use_is_on_the_record(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    answer = send(client, signed(claims(issuer)))
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 600)
    assert given["scope"] == "identity:token:manage registry:model:read"
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    assert client.get("/api/v1/models", headers=headers).status_code == 200
    refused = client.get("/api/v1/jobs", headers=headers)
    assert refused.status_code == 403, "the account may, the rule does not give it"
    with reading() as session:
        (entry,) = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.JOB_TOKEN_EXCHANGED)
        ).all()
        payload = session.get_one(AuditPayload, entry.seq)
        assert session.get_one(TrustRule, rule.id).last_used_at is not None
    assert "acme/flights" in str(payload.payload)
    assert "ada" not in str(payload.payload), "who started the job is not kept"


def test_the_tags_of_a_rule_and_a_narrower_scope(client: TestClient, issuer: Issuer, rule: TrustRule) -> None:
    tagged = send(client, signed(claims(issuer, ref="refs/tags/v7")), scope="registry:model:read")
    assert tagged.json()["scope"] == "registry:model:read"
    wider = send(client, signed(claims(issuer, jti="job-2")), scope="governance:change:decide")
    assert (wider.status_code, wider.json()["error"]) == (422, "invalid_scope")


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"aud": "https://another.example"}, "audience"), ({"aud": ["a", "b"]}, "audience"), ({"aud": None}, "audience"),
     ({"repository": "evil/flights"}, "no rule matches"), ({"repository": "acme/flights2"}, "no rule matches"),
     ({"repository": None}, "no rule matches"), ({"ref": "refs/heads/feature"}, "no rule matches"),
     ({"ref": "x/refs/heads/main"}, "no rule matches"), ({"exp": 1}, "over"), ({"exp": None}, "no end"),
     ({"exp": "soon"}, "no time"), ({"exp": True}, "no time"), ({"nbf": 2**32}, "not valid yet"),
     ({"iat": 2**32}, "not valid yet"), ({"jti": None}, "jti"), ({"jti": 5}, "jti")],
    ids=str,
)  # fmt: skip
def test_a_wrong_claim_lets_nobody_in(
    client: TestClient, issuer: Issuer, rule: TrustRule, changes: dict[str, Any], why: str
) -> None:
    answer = send(client, signed(claims(issuer, **changes)))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")
    assert why not in answer.json()["detail"], "whoever is refused learns nothing"
    (reason,) = reasons()
    assert why in reason


def test_another_issuer_or_signature_or_algorithm_lets_nobody_in(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    good = signed(claims(issuer))
    head, body, signature = good.split(".")
    unsigned = coded(b'{"alg":"none"}')
    header = coded(b'{"alg":"HS256","kid":"k1"}')
    by_secret = f"{header}.{body}"
    mac = hmac.digest(KEY.as_pem(private=False), by_secret.encode(), "sha256")
    asked = issuer.asked
    elsewhere = signed(claims(issuer, iss="https://evil.example"))
    assert send(client, elsewhere).status_code == 401
    assert issuer.asked == asked, "nobody is asked for the keys of an issuer that no rule names"
    for token in (
        signed(claims(issuer), STRANGERS), f"{unsigned}.{body}.", f"{head}.{body}.",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{by_secret}.{coded(mac)}", "a.b.c", "x", "é.é.é", "[" * 9000 + "." + "." * 2,
    ):  # fmt: skip
        job_tokens._KEYS.forget()
        with writing() as session:  # the wait after some failures is the business of another test
            session.execute(delete(SignInAttempt))
        assert send(client, token).status_code == 401, token[:40]
    assert send(client, good).status_code == 200


def test_a_token_works_once(client: TestClient, issuer: Issuer, rule: TrustRule) -> None:
    good = signed(claims(issuer))
    assert send(client, good).status_code == 200
    assert send(client, good).status_code == 401
    again = signed(claims(issuer, sha="abc"))  # signed anew under the same jti
    assert send(client, again).status_code == 401
    assert all("used before" in one for one in reasons())
    assert send(client, signed(claims(issuer, jti="job-2"))).status_code == 200


def test_a_rule_that_was_ended_lets_nobody_in_and_its_tokens_end_with_it(
    client: TestClient, issuer: Issuer, rule: TrustRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = send(client, signed(claims(issuer))).json()["access_token"]
    headers = {"Authorization": f"Bearer {raw}"}
    assert client.get("/api/v1/models", headers=headers).status_code == 200
    checked = job_tokens._checked

    def ended_meanwhile(token: str) -> Any:
        found = checked(token)
        with writing() as session:
            end_rule(session, SYSTEM, rule.id, why="the repository moved")
        return found

    monkeypatch.setattr(job_tokens, "_checked", ended_meanwhile)
    assert send(client, signed(claims(issuer, jti="job-2"))).status_code == 401
    assert reasons() == ["the rule that matched was ended meanwhile"]
    assert client.get("/api/v1/models", headers=headers).status_code == 401
    monkeypatch.setattr(job_tokens, "_checked", checked)
    assert send(client, signed(claims(issuer, jti="job-3"))).status_code == 401


def test_the_keys_of_an_issuer_change_while_rules_stand(
    client: TestClient, issuer: Issuer, rule: TrustRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client, signed(claims(issuer))).status_code == 200
    monkeypatch.setattr(job_tokens, "KEYS_ASKED_AGAIN_S", 0)
    issuer.keys = [NEXT_KEY]
    assert send(client, signed(claims(issuer, jti="job-2"), NEXT_KEY)).status_code == 200
    assert send(client, signed(claims(issuer, jti="job-3"), KEY)).status_code == 401, "the old key is gone"
    job_tokens._KEYS.forget()
    issuer.named = "https://evil.example"
    away = send(client, signed(claims(issuer, jti="job-4"), NEXT_KEY))
    assert (away.status_code, "another issuer" in away.json()["detail"]) == (503, True)


def test_an_issuer_in_a_network_that_may_not_be_reached_is_asked_for_nothing(
    client: TestClient, issuer: Issuer, rule: TrustRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARRANT_REACHABLE_NETWORKS")
    settings.cache_clear()
    away = send(client, signed(claims(issuer)))
    assert (away.status_code, issuer.asked) == (503, 0)
    assert "WARRANT_REACHABLE_NETWORKS" in away.json()["detail"]


def test_a_closed_account_or_owner_lets_no_job_in(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    with writing() as session:
        disable_person(session, SYSTEM, rule.person_id)
    assert send(client, signed(claims(issuer))).status_code == 401
    assert "closed" in reasons()[0]


def test_jobs_of_one_pipeline_that_come_at_once_do_not_wait_for_each_other(
    client: TestClient, issuer: Issuer, rule: TrustRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [signed(claims(issuer, jti=f"matrix-{number}")) for number in range(FREE_PER_ADDRESS + 5)]
    checked = job_tokens._checked
    let_in: list[job_tokens.Exchanged] = []

    def meanwhile(token: str) -> Any:
        if others:
            let_in.append(job_tokens.exchange(subject_token=others.pop(), address="testclient"))
        return checked(token)

    monkeypatch.setattr(job_tokens, "_checked", meanwhile)
    assert send(client, signed(claims(issuer))).status_code == 200
    assert len(let_in) == FREE_PER_ADDRESS + 5


def test_an_issuer_that_was_away_makes_no_job_wait_and_is_not_asked_by_each(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    good = signed(claims(issuer))
    issuer.named = "https://evil.example"
    for number in range(FREE_PER_ADDRESS + 5):
        assert send(client, good).status_code == 503
        assert send(client, signed(claims(issuer, jti=f"other-{number}"))).status_code == 503
    assert issuer.asked == 1
    job_tokens._KEYS.forget()
    issuer.named = ""
    assert send(client, good).status_code == 200


def test_a_wrong_scope_makes_no_job_wait_and_uses_nothing_up(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    good = signed(claims(issuer))
    for _ in range(FREE_PER_ADDRESS + 5):
        assert send(client, good, scope="governance:change:decide").status_code == 422
    assert send(client, good).status_code == 200


def test_refused_jobs_make_those_wait_that_come_after_them(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    for number in range(FREE_PER_ADDRESS):
        assert send(client, f"a.b.{number}").status_code == 401
    assert send(client, signed(claims(issuer))).status_code == 429
    with reading() as session:
        counted = len(session.scalars(select(SignInAttempt)).all())
    assert counted == FREE_PER_ADDRESS, "one that waits is not counted: waiting must end"


def test_jobs_that_are_refused_at_once_are_all_counted(
    client: TestClient, issuer: Issuer, rule: TrustRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [f"a.b.{number}" for number in range(FREE_PER_ADDRESS + 5)]
    checked = job_tokens._checked

    def meanwhile(token: str) -> Any:
        if others:
            with pytest.raises(job_tokens.JobRefused):
                job_tokens.exchange(subject_token=others.pop(), address="testclient")
        return checked(token)

    monkeypatch.setattr(job_tokens, "_checked", meanwhile)
    assert send(client, "a.b.c").status_code == 401
    with reading() as session:
        assert len(session.scalars(select(SignInAttempt)).all()) == FREE_PER_ADDRESS + 6
    assert send(client, signed(claims(issuer))).status_code == 429


def test_refused_jobs_make_nobody_wait_who_signs_in_from_their_address(migrated_home: Path) -> None:
    for number in range(FREE_PER_ADDRESS):
        with writing() as session:
            count_refused_job(session, token=f"{number}", address="10.0.0.1")
    with reading() as session, pytest.raises(SignInThrottled):
        require_no_wait_of_job(session, token="another", address="10.0.0.1")
    with writing() as session:
        assert count_attempt(session, username="ada", address="10.0.0.1").recordable


def test_what_is_no_token_exchange_is_refused(client: TestClient, issuer: Issuer, rule: TrustRule) -> None:
    assert client.post("/api/v1/token-exchange").status_code == 401
    other = send(client, signed(claims(issuer)), grant_type="password")
    assert (other.status_code, other.json()["error"]) == (422, "invalid_request")
    for _ in range(6):
        last = send(client, "a.b.c")
    assert (last.status_code, "retry-after" in last.headers) == (429, True)


def test_rules_are_made_by_administrators_for_service_accounts_and_name_whose_jobs(
    client: TestClient, issuer: Issuer, rule: TrustRule
) -> None:
    ada = add_person("ada", Role.ML_LEAD)
    with writing() as session:
        admin, lead = person(session, "admin2", Role.ADMIN), person(session, "lead", Role.ML_LEAD)
    good: dict[str, Any] = {
        "name": "x", "issuer": issuer.address, "audience": AUDIENCE, "claims": {"repository": ["a/b"]},
        "person_id": rule.person_id, "scopes": ["registry:model:read"],
    }  # fmt: skip
    for changes, why in (
        ({"claims": {"ref": ["main"]}}, "whose jobs"), ({"claims": {"repository": ["*"]}}, "begin with"),
        ({"claims": {"repository": ["*/b"]}}, "begin with"),
        ({"claims": {"repository": ["acme*"]}}, "others, too"), ({"claims": {"project_id": ["12*"]}}, "others, too"),
        ({"claims": {"sub": ["repo:acme*"]}}, "others, too"), ({"claims": {"repository": []}}, "values"),
        ({"person_id": ada.id}, "service account"), ({"scopes": ["identity:person:manage"]}, "does not change"),
        ({"scopes": ["governance:change:decide"]}, "some of the permissions"), ({"scopes": []}, "at least one"),
        ({"issuer": "http://ci.example"}, "https"), ({"issuer": "ftp://x"}, "https"), ({"minutes": 61}, "60"),
        ({"audience": ""}, "audience"), ({"models": ["none"]}, "models"),
    ):  # fmt: skip
        with writing() as session, pytest.raises(BadInput, match=why):
            create_rule(session, admin, **{**good, **changes})
    with writing() as session, pytest.raises(NotAllowed):
        create_rule(session, lead, **good)
    with writing() as session, pytest.raises(NotAllowed):
        end_rule(session, lead, rule.id)
    assert checked_claims({"project_path": ["group/*"]}) == {"project_path": ["group/*"]}
