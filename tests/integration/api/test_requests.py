"""The manners of the API: errors, request ids, keys, cookies, pages, and requests that are wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Incident
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditVerification
from backend.database.session import reading, writing
from backend.identity.sessions import open_session
from backend.identity.tables import Person
from backend.queue import JobRun
from tests.integration.api.conftest import Callers
from tests.worlds import SYSTEM

REQUEST_ID = "req_0123456789abcdef0123"


def audited(action: Action) -> int:
    with reading() as session:
        return session.scalar(
            select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action.value)
        )  # type: ignore[return-value]


def runs() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(JobRun))  # type: ignore[return-value]


def incident(number: int) -> int:
    """One more incident; those before are closed, for a model has one open at a time."""
    with writing() as session:
        for one in session.scalars(select(Incident).where(Incident.state == "open")):
            one.state = "closed"
        session.flush()
        alert = fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "quality", "page", f"broken {number}", str(number), clock.now(), {}),
        )  # fmt: skip
        assert alert.incident_id is not None
        return alert.incident_id


def test_an_error_says_what_where_and_under_which_request(callers: Callers) -> None:
    answer = callers.send("viewer", "GET", "/models/none", headers={"X-Request-ID": REQUEST_ID})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == REQUEST_ID
    assert answer.json() == {
        "type": "about:blank", "title": "Not found", "status": 404, "request_id": REQUEST_ID, "model": "none",
        "detail": "there is no model named 'none' that you may see",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/models/none", "/models/none/deployments", "/models/none/points", "/served?model=none",
             "/changes/preview?kind=rollback&model=none", "/changes/99", "/audit/entries/9999", "/nothing/here"],
)  # fmt: skip
def test_what_is_not_there_is_404(callers: Callers, path: str) -> None:
    answer = callers.get("lead", path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404), answer.json()


@pytest.mark.parametrize(
    ("path", "document"),
    [("/models/none/metrics", {}), ("/models/none/report?window_start=2026-01-01T00:00:00Z", {}),
     ("/models/none/predictions", {"predictions": []}), ("/incidents/99/acknowledgement", {}),
     ("/changes/99/decisions", {"verdict": "approve", "digest": "x"}), ("/changes/99/cancellation", {}),
     ("/jobs/none/retry", {})],
)  # fmt: skip
def test_nothing_is_done_to_what_is_not_there(callers: Callers, path: str, document: Any) -> None:
    answer = callers.post("lead", path, document)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "path", ["/models/toy/deployments?at=2026-03-01T00:00:00", "/served?model=toy&at=2026-03-01T00:00:00",
             "/audit/entries?since=2026-03-01T00:00:00", "/audit/entries?until=2026-03-01"],
)  # fmt: skip
def test_a_time_without_zone_is_refused(callers: Callers, path: str) -> None:
    answer = callers.get("lead", path)
    assert answer.status_code == 422
    assert "with its zone" in answer.json()["detail"]
    posted = callers.post("lead", "/models/toy/report?window_start=2026-03-02T00:00:00")
    assert posted.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("GET", f"/changes/{2**70}", None),
        ("GET", "/changes/-1", None),
        ("GET", f"/changes?before={2**70}", None),
        ("GET", f"/audit/entries/{2**70}", None),
        ("GET", f"/changes/preview?kind=rollback&model=toy&to_version={2**70}", None),
        ("GET", "/models/toy/points?limit=0", None),
        ("GET", "/audit/entries?until=0001-01-01T00:00:00%2B14:00", None),
        ("GET", "/audit/export?since=9999-12-31T23:59:59-12:00", None),
        ("GET", "/audit/as-of?at=0001-01-01T00:00:00%2B14:00", None),
        ("GET", "/audit/population?period=2026&as_of=0001-01-01T00:00:00%2B14:00", None),
        ("GET", "/served?model=toy&at=0001-01-01T00:00:00%2B14:00", None),
        ("POST", f"/incidents/{2**70}/acknowledgement", {}),
        ("POST", "/changes", {"kind": "rollback", "model": "toy", "reason": "x" * 4001, "digest": "d"}),
        ("POST", "/changes", {"kind": "rollback", "model": "toy", "reason": "no digest"}),
        ("POST", "/changes", {"kind": "rollback", "model": "toy", "reason": "r", "digest": "d", "to_version": 0}),
        ("POST", "/changes", [1]),
        ("POST", "/changes/1/decisions", {"verdict": "maybe", "digest": "d"}),
    ],
)  # fmt: skip
def test_a_wrong_request_is_422_and_says_where(
    callers: Callers, method: str, path: str, document: Any
) -> None:
    answer = callers.send("lead", method, path, json=document)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_an_erasure_that_names_no_request_is_422_to_whoever_may_ask_for_one(callers: Callers) -> None:
    answer = callers.get("compliance", "/changes/preview?kind=erase&model=toy")
    assert (answer.status_code, "names its request" in answer.json()["detail"]) == (422, True)
    assert callers.get("lead", "/changes/preview?kind=erase&model=toy").status_code == 403


@pytest.mark.parametrize("path", ["/serious-rules", "/questionnaire"])
@pytest.mark.parametrize(
    "document", ["clocks: " + "{a: " * 2000, "[" * 5000, "a: &a [1]\nb: *a", "clocks: 2026-13-99"]
)
def test_a_document_nested_beyond_reading_or_no_yaml_is_422(
    callers: Callers, path: str, document: str
) -> None:
    answer = callers.post("compliance", path, {"document": document, "note": "x"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_text_that_cannot_be_stored_is_no_error_of_ours(callers: Callers) -> None:
    for path in ("/models/a%00b", "/audit/entries?text=%00", "/changes?model=a%00b"):
        assert callers.get("lead", path).status_code in (200, 404, 422), path
    digest = callers.get("lead", "/changes/preview?kind=rollback&model=toy").json()["digest"]
    for reason in ("a\x00b", "half a pair \ud83d"):
        body = json.dumps({"kind": "rollback", "model": "toy", "reason": reason, "digest": digest})
        answer = callers.send(
            "lead", "POST", "/changes", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, answer.text


def test_a_large_body_is_refused_before_anybody_is_asked_who_sent_it(callers: Callers) -> None:
    large = b"x" * (1024 * 1024 + 1)
    declared = callers.send(None, "POST", "/changes", content=large)
    chunked = callers.send(None, "POST", "/changes", content=iter([large[:600_000], large[600_000:]]))
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_the_same_key_gives_the_same_answer_and_one_effect(callers: Callers) -> None:
    key = {"Idempotency-Key": "once"}
    first = callers.post("lead", "/models/toy/metrics", headers=key)
    second = callers.post("lead", "/models/toy/metrics", headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert ("idempotent-replay" in first.headers, second.headers["idempotent-replay"]) == (False, "true")
    assert (runs(), audited(Action.METRICS_REQUESTED)) == (1, 1)


def test_what_is_sent_and_what_is_read_write_times_alike(callers: Callers) -> None:
    preview = callers.get("other_lead", "/changes/preview", kind="rollback", model="toy").json()
    asked = {"kind": "rollback", "model": "toy", "reason": "AUC fell", "digest": preview["digest"]}
    sent = callers.post("other_lead", "/changes", asked)
    read = callers.get("other_lead", f"/changes/{sent.json()['id']}")
    assert sent.json()["requested_at"] == read.json()["requested_at"]
    assert "+00:00" not in sent.text + read.text


def test_a_key_belongs_to_one_request_of_one_person(callers: Callers) -> None:
    key = {"Idempotency-Key": "mine"}
    assert callers.post("lead", "/models/toy/metrics", headers=key).status_code == 202
    other_body = callers.post("lead", "/models/toy/metrics", {"other": 1}, headers=key)
    other_path = callers.post("lead", "/jobs/x/retry", headers=key)
    assert (other_body.status_code, other_path.status_code) == (409, 409)
    assert callers.post("engineer", "/models/toy/metrics", headers=key).status_code == 202
    assert runs() == 2
    assert (
        callers.post("lead", "/models/toy/metrics", headers={"Idempotency-Key": "k" * 201}).status_code == 422
    )


def test_a_key_is_bound_to_the_query_too(callers: Callers) -> None:
    key = {"Idempotency-Key": "report"}
    path = "/models/toy/report?window_start=2026-0{}-{:02}T00:00:00Z"
    assert callers.post("lead", path.format(3, 2), headers=key).status_code == 202
    assert callers.post("lead", path.format(1, 31), headers=key).status_code == 409


def test_an_error_leaves_the_key_free(callers: Callers) -> None:
    key = {"Idempotency-Key": "again"}
    assert callers.post("lead", "/models/none/metrics", headers=key).status_code == 404
    assert callers.post("lead", "/models/toy/metrics", headers=key).status_code == 202


def test_requests_under_one_key_at_the_same_time_have_one_effect(callers: Callers) -> None:
    def send(_: int) -> tuple[int, Any]:
        answer = callers.post("lead", "/models/toy/metrics", headers={"Idempotency-Key": "race"})
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {status for status, _ in answers} == {202}
    assert len({answer["run_id"] for _, answer in answers}) == 1
    assert (runs(), audited(Action.METRICS_REQUESTED)) == (1, 1)


def test_a_cookie_changes_something_only_with_the_csrf_token(callers: Callers) -> None:
    with writing() as session:
        lead = session.get_one(Person, callers.world.lead.person_id)
        opened = open_session(session, lead, address=None, user_agent=None)
    cookie = {"Cookie": f"warrant_session={opened.token}"}
    assert callers.send(None, "GET", "/me", headers=cookie).json()["name"] == "Lead"
    for token in (None, "", "0" * 64):
        sent = cookie if token is None else {**cookie, "X-CSRF-Token": token}
        assert callers.post(None, "/models/toy/metrics", headers=sent).status_code == 403
    assert runs() == 0
    good = {**cookie, "X-CSRF-Token": opened.csrf}
    assert callers.send(None, "GET", "/me", headers=cookie).json()["csrf_token"] == opened.csrf
    assert callers.get("lead", "/me").json()["csrf_token"] is None, "a bearer token needs none"
    assert callers.post(None, "/models/toy/metrics", headers=good).status_code == 202
    assert callers.send(None, "GET", "/me", headers={"Cookie": "warrant_session=other"}).status_code == 401


def test_pages_follow_each_other_without_gap_or_overlap(callers: Callers) -> None:
    whole = [entry["seq"] for entry in callers.get("lead", "/audit/entries", limit=500).json()["entries"]]
    walked: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = callers.get("lead", "/audit/entries", limit=3, **before).json()
        walked += [entry["seq"] for entry in page["entries"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert walked == whole == sorted(whole, reverse=True)
    assert len(whole) > 6

    points = callers.get("lead", "/models/toy/points", limit=1).json()
    following = callers.get("lead", "/models/toy/points", limit=50, before=points["next"]).json()
    every = callers.get("lead", "/models/toy/points", limit=50).json()["points"]
    assert points["points"] + following["points"] == every
    assert len(every) == 6  # three windows of each version
    assert following["next"] is None


def test_what_served_at_a_moment(callers: Callers) -> None:
    def versions(**query: Any) -> list[int]:
        return [
            d["version"] for d in callers.get("viewer", "/served", model="toy", **query).json()["deployments"]
        ]

    assert versions() == [2]
    assert versions(at="2026-02-01T00:00:00Z") == [1]
    assert versions(at="2026-02-01T00:00:00+14:00") == [1]
    assert versions(at="2025-02-01T00:00:00Z") == []


def test_acknowledging_keeps_the_first_name_and_a_closed_incident_is_a_conflict(callers: Callers) -> None:
    first, second = incident(1), incident(2)
    one = callers.post("on_call", f"/incidents/{second}/acknowledgement").json()
    two = callers.post("lead", f"/incidents/{second}/acknowledgement").json()
    assert one == two
    assert callers.post("lead", f"/incidents/{first}/acknowledgement").status_code == 409
    assert audited(Action.INCIDENT_ACKNOWLEDGED) == 1


def test_the_stored_verification_is_answered_and_nothing_is_recomputed(callers: Callers) -> None:
    none = callers.get("compliance", "/audit/verification").json()
    assert (none["ok"], none["at"]) == (None, None)
    at = clock.now()
    with writing() as session:
        session.add(AuditVerification(at=at, ok=False, size=1, root="ab", problem="entry 0 was altered"))
    found = callers.get("compliance", "/audit/verification").json()
    assert (found["ok"], found["problem"]) == (False, "entry 0 was altered")
    assert clock.from_iso(found["at"]) == at
    assert found["since"] == none["since"] - 1


def test_what_fires_comes_in_pages_the_worst_first_without_gap_or_overlap(callers: Callers) -> None:
    began = clock.now()
    with writing() as session:
        for number, level in enumerate(("ticket", "page", "info", "page", "ticket")):
            fire(
                session, SYSTEM,
                Firing("toy", "production", 2, "quality", level, f"{number}", f"{number}", began, {}),
            )  # fmt: skip
    found, offset = [], 0
    while offset is not None:
        answer = callers.get("viewer", f"/alerts?limit=2&offset={offset}").json()
        assert len(answer["alerts"]) <= 2
        found += [(one["level"], one["title"]) for one in answer["alerts"]]
        offset = answer["next"]
    assert found == [("page", "1"), ("page", "3"), ("ticket", "0"), ("ticket", "4"), ("info", "2")]
    assert callers.get("viewer", "/alerts?model=none").json() == {"alerts": [], "next": None}
