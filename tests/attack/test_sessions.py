"""Cookies and tokens that were guessed, altered, planted or stolen, and requests that race each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.identity.sessions import csrf_of, open_session, revoke_all
from backend.identity.tables import Person
from tests.integration.api.conftest import Callers
from tests.integration.api.test_requests import incident


def cookie_of(api: Callers, who: str) -> str:
    with writing() as session:
        return open_session(
            session, session.get_one(Person, api.actors[who].person_id), address=None, user_agent="tests"
        ).token


def with_cookie(api: Callers, method: str, path: str, cookie: str, **more: str) -> httpx.Response:
    return api.client.request(
        method, f"/api/v1{path}", headers={"Cookie": f"warrant_session={cookie}", **more},
        json={} if method == "POST" else None,
    )  # fmt: skip


def test_a_cookie_altered_anywhere_is_nobodys(api: Callers) -> None:
    cookie = cookie_of(api, "lead")
    assert with_cookie(api, "GET", "/me", cookie).status_code == 200
    for place in range(0, len(cookie), 5):
        other = "A" if cookie[place] != "A" else "B"
        altered = cookie[:place] + other + cookie[place + 1 :]
        assert with_cookie(api, "GET", "/me", altered).status_code == 401, place
    for none in (
        "",
        cookie[:-1],
        cookie + "A",
        cookie * 2,
        cookie.swapcase(),
        "x" * 8000,
        "' OR 1=1 --",
        "%00",
    ):
        assert with_cookie(api, "GET", "/me", none).status_code == 401, none[:20]


def test_a_stolen_cookie_ends_with_the_session(api: Callers) -> None:
    stolen = cookie_of(api, "viewer")
    assert with_cookie(api, "GET", "/me", stolen).status_code == 200
    with writing() as session:
        revoke_all(session, api.actors["viewer"], api.actors["viewer"].person_id)
    assert with_cookie(api, "GET", "/me", stolen).status_code == 401


def test_the_csrf_token_of_one_session_opens_no_other(api: Callers) -> None:
    own, other = cookie_of(api, "engineer"), cookie_of(api, "lead")
    number = incident(201)
    path = f"/incidents/{number}/acknowledgement"
    assert with_cookie(api, "POST", path, other, **{"X-CSRF-Token": csrf_of(own)}).status_code == 403
    assert with_cookie(api, "POST", path, other).status_code == 403
    assert with_cookie(api, "POST", path, other, **{"X-CSRF-Token": csrf_of(other)}).status_code < 300


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "bearer wrt_", "Basic YTpi", "Bearer wrt_x\u00e9", "wrt_x", "Bearer " + "x" * 8000,
     "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."],
)  # fmt: skip
def test_a_token_that_is_none_is_401_and_nothing_is_told_of_it(api: Callers, header: str) -> None:
    answer = api.client.get("/api/v1/me", headers={"Authorization": header.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 401
    assert header[10:60] not in answer.text or len(header) < 12


def test_a_wrong_token_is_not_made_good_by_a_cookie(api: Callers) -> None:
    cookie = cookie_of(api, "lead")
    assert with_cookie(api, "GET", "/me", cookie, Authorization="Bearer wrt_wrong").status_code == 401


def test_many_who_do_the_same_at_once_have_one_effect(api: Callers) -> None:
    number = incident(202)

    def acknowledge(who: str) -> Any:
        return api.post(who, f"/incidents/{number}/acknowledgement").status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(acknowledge, ["on_call", "engineer", "lead"] * 4))
    assert set(answers) <= {200, 201, 409}
    with reading() as session:
        entries = select(func.count()).select_from(AuditEntry).where(
            AuditEntry.action == Action.INCIDENT_ACKNOWLEDGED.value, AuditEntry.object_id == str(number)
        )  # fmt: skip
        assert session.scalar(entries) == 1
