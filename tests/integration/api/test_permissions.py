"""Who may do what over HTTP: every route for every role, and for nobody."""

from __future__ import annotations

from typing import Any

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.api.app import create_api
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.identity.roles import Role
from backend.monitoring.monitors_service import create_monitor
from backend.queue import PRUNE, request_job
from jobs.analyse_window import analyse_one
from tests.integration.api.conftest import ROLES, Callers
from tests.worlds import SYSTEM, person

ALL = frozenset(ROLES)
ACTORS = frozenset({"on_call", "engineer", "lead"})
SENDERS = frozenset({"engineer", "lead"})
AUDITORS = ACTORS | {"compliance", "admin"}
RETRIERS = ACTORS | {"admin"}

STALE = {"digest": "sha256:stale"}
WINDOW = "2026-03-02T00:00:00Z"
MONITOR = {
    "name": "traffic", "level": "ticket",
    "when": {"kind": "volume", "statistic": "rows", "threshold": {"kind": "constant", "side": "below", "value": 10}},
}  # fmt: skip
# (method, path as the API declares it): who may, what they get, query, JSON body. A stale digest and a request of
# somebody else's show a right without changing anything, so that each role can be asked.
TABLE: dict[tuple[str, str], tuple[frozenset[str], int, dict[str, Any], Any]] = {
    ("GET", "/me"): (ALL, 200, {}, None),
    ("GET", "/models"): (ALL, 200, {}, None),
    ("GET", "/models/{model}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/deployments"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/points"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/monitors"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/monitors/{key}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/kpis"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/windows/{start}/analysis"): (ALL, 200, {}, None),
    ("GET", "/served"): (ALL, 200, {"model": "toy"}, None),
    ("GET", "/alerts"): (ALL, 200, {}, None),
    ("GET", "/incidents"): (ALL, 200, {}, None),
    ("GET", "/jobs"): (ALL, 200, {}, None),
    ("GET", "/changes"): (ALL, 200, {}, None),
    ("GET", "/changes/preview"): (ALL, 200, {"kind": "rollback", "model": "toy"}, None),
    ("GET", "/changes/{change_id}"): (ALL, 200, {}, None),
    ("GET", "/audit/entries"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/entries/{seq}"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/verification"): (AUDITORS, 200, {}, None),
    ("POST", "/models/{model}/predictions"): (SENDERS, 202, {}, {"predictions": []}),
    ("POST", "/models/{model}/labels"): (SENDERS, 202, {}, {"labels": []}),
    ("POST", "/models/{model}/kpis"): (SENDERS, 202, {}, {"kpis": []}),
    ("POST", "/models/{model}/monitors"): (ACTORS, 422, {}, {"definition": {}}),
    ("POST", "/models/{model}/monitors/replay"): (ALL, 200, {}, {"definition": MONITOR}),
    ("PUT", "/models/{model}/monitors/{key}"): (ACTORS, 409, {}, {"definition": MONITOR, "seen": 7}),
    ("DELETE", "/models/{model}/monitors/{key}"): (ACTORS, 409, {"seen": 7}, None),
    ("POST", "/models/{model}/metrics"): (ACTORS, 202, {}, {}),
    ("POST", "/models/{model}/windows/{start}/analysis"): (ACTORS, 202, {}, {}),
    ("POST", "/models/{model}/report"): (ACTORS, 202, {"window_start": WINDOW}, {}),
    ("POST", "/changes"): (
        ACTORS, 409, {}, {"kind": "rollback", "model": "toy", "reason": "it degraded", **STALE},
    ),
    ("POST", "/changes/{change_id}/decisions"): (
        frozenset({"lead"}), 409, {}, {"verdict": "approve", **STALE},
    ),
    ("POST", "/changes/{change_id}/cancellation"): (frozenset(), 201, {}, {}),
    ("POST", "/incidents/{incident_id}/acknowledgement"): (ACTORS, 201, {}, {}),
    ("POST", "/incidents/{incident_id}/closure"): (ACTORS, 409, {}, {"why": "it is over"}),
    ("POST", "/jobs/{run_id}/retry"): (RETRIERS, 202, {}, {}),
    ("GET", "/people"): (frozenset({"admin"}), 200, {}, None),
    ("POST", "/people"): (
        frozenset({"admin"}), 201, {},
        {"username": "new", "display_name": "New", "password": "a long first password", "roles": ["viewer"]},
    ),
    ("POST", "/people/{person_id}/roles"): (frozenset({"admin"}), 201, {}, {"roles": ["on_call"], "why": "rota"}),
    ("POST", "/people/{person_id}/disablement"): (frozenset({"admin"}), 201, {}, {"why": "left"}),
}  # fmt: skip


def prepare(callers: Callers) -> dict[str, str]:
    """A change that waits, an open incident and a failed job run: what the paths' placeholders stand for."""
    preview = callers.get("other_lead", "/changes/preview", kind="rollback", model="toy").json()
    asked = callers.post(
        "other_lead", "/changes",
        {"kind": "rollback", "model": "toy", "reason": "it degraded", "digest": preview["digest"]},
    )  # fmt: skip
    assert asked.status_code == 201, asked.text
    with writing() as session:
        alert = fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "realised", "page", "AUC fell", "roc_auc", clock.now(), {}),
        )  # fmt: skip
        run = request_job(session, PRUNE)
        run.state, run.error = "failed", "no"
        monitor = create_monitor(
            session, callers.world.lead, model="toy", environment="production", definition=MONITOR
        )
    analyse_one("toy", {"environment": "production", "size": "1d", "start": WINDOW})
    with writing() as session:
        return {
            "key": monitor.key, "model": "toy", "start": WINDOW,
            "change_id": str(asked.json()["id"]), "incident_id": str(alert.incident_id),
            "run_id": run.id, "seq": "0", "person_id": person(session, "leaver", Role.VIEWER).person_id,
        }  # fmt: skip


def test_every_route_answers_every_role_as_the_table_says(callers: Callers) -> None:
    declared = {
        (method.upper(), path) for path, methods in create_api().openapi()["paths"].items() for method in methods
    }  # fmt: skip
    assert declared == set(TABLE)
    names = prepare(callers)
    expected: dict[tuple[str, str, str | None], int] = {}
    found: dict[tuple[str, str, str | None], int] = {}
    for (method, path), (may, status, query, body) in TABLE.items():
        for who in (None, *ROLES):
            answer = callers.send(who, method, path.format(**names), params=query or None, json=body)
            case = (method, path, who)
            expected[case] = 401 if who is None else status if who in may else 403
            found[case] = answer.status_code
            if answer.is_error:
                assert answer.headers["content-type"] == "application/problem+json", case
                assert answer.json()["status"] == answer.status_code
    assert {c: (s, expected[c]) for c, s in found.items() if s != expected[c]} == {}


def test_only_who_asked_withdraws_a_change(callers: Callers) -> None:
    names = prepare(callers)
    path = f"/changes/{names['change_id']}/cancellation"
    assert callers.post("lead", path, {"reason": "no"}).status_code == 403
    answer = callers.post("other_lead", path, {"reason": "no longer needed"})
    assert (answer.status_code, answer.json()["state"]) == (201, "cancelled")


def test_a_refused_request_changes_nothing(callers: Callers) -> None:
    names = prepare(callers)

    def state() -> tuple[int, list[str]]:
        with reading() as session:
            return session.query(AuditEntry).count(), [one.state for one in session.query(Alert)]

    before = state()
    for (method, path), (may, _, query, body) in TABLE.items():
        for who in (None, *(set(ROLES) - may)):
            if method != "GET":
                callers.send(who, method, path.format(**names), params=query or None, json=body)
    assert state() == before
