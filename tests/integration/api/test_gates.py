"""What pipelines ask and report over HTTP: may a version go on, and what an outside check found."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.governance.move_answers import lift_enforcement
from backend.governance.policies import store_policy
from backend.governance.policy_document import read_policy
from backend.governance.settling import settle_gates
from backend.governance.tables import Change, ExternalCheck, Snapshot
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.tokens import create_token
from tests.integration.api.conftest import Callers
from tests.worlds import SYSTEM

GATE = "/gates/toy/1"
PROMOTE = {"kind": "promote", "model": "toy", "to_version": 1}


def govern(rule: dict[str, Any], callers: Callers) -> None:
    document = read_policy({"rules": [{"name": "test", "rule": rule}]})
    with writing() as session:
        change = Change(
            kind="policy", model=None, environment="production", subject={}, summary="", state="executed",
            requested_by=callers.world.lead.person_id, requested_at=clock.now(), reason="", policy={}, bound={},
            gates=[], evidence={}, request_digest="", digest="", expires_at=clock.now(),
        )  # fmt: skip
        session.add(change)
        session.flush()
        store_policy(session, SYSTEM, document, change_id=change.id, note="test")


def ask(callers: Callers, who: str = "engineer") -> dict[str, Any]:
    seen = callers.get(who, "/changes/preview", **PROMOTE).json()
    asked = callers.post(who, "/changes", {**PROMOTE, "reason": "better", "digest": seen["digest"]})
    assert asked.status_code == 201, asked.text
    found: dict[str, Any] = asked.json()
    return found


def settle(change: dict[str, Any], **verdicts: str) -> None:
    """What the job would have found."""
    with writing() as session:
        results = [
            {
                "gate": gate,
                "required": True,
                "verdict": verdict,
                "text": f"{gate} says {verdict}",
                "value": None,
            }
            for gate, verdict in verdicts.items()
        ]
        settle_gates(session, SYSTEM, change["id"], revision=change["revision"], results=results, flips=None)


def answer(callers: Callers, who: str = "viewer") -> tuple[str, str]:
    found = callers.get(who, GATE, environment="production").json()
    return found["answer"], "; ".join(found["reasons"])


def test_without_a_change_the_policy_says_what_is_needed(callers: Callers) -> None:
    govern({"roles": {"ml_lead": 2}, "gates": [{"gate": "external"}]}, callers)
    said, why = answer(callers)
    assert said == "waiting"
    assert "2 approvals by ml lead; gates: external" in why


def test_the_version_that_serves_is_allowed(callers: Callers) -> None:
    found = callers.get("viewer", "/gates/toy/2", environment="production").json()
    assert (found["answer"], found["change"]) == ("allowed", None)
    assert "it serves in production since" in found["reasons"][0]


def test_a_version_or_model_that_is_not_there_is_not_found(callers: Callers) -> None:
    assert callers.get("viewer", "/gates/toy/9").status_code == 404
    assert callers.get("viewer", "/gates/none/1").status_code == 404
    assert callers.get("viewer", "/gates/toy/0").status_code == 422
    assert callers.get(None, GATE).status_code == 401


def test_a_rule_that_forbids_it_refuses(callers: Callers) -> None:
    govern({"allowed": False, "because": "no releases this year"}, callers)
    assert answer(callers) == ("refused", "no releases this year (rule 'test')")


def test_a_model_that_is_only_observed_is_not_held_up_and_told_what_would_be(callers: Callers) -> None:
    govern({"allowed": False, "because": "no"}, callers)
    with writing() as session:
        lift_enforcement(session, SYSTEM, "toy", change_id=1, why="for a test")
    found = callers.get("viewer", GATE).json()
    assert (found["answer"], found["would_be"]) == ("allowed", "refused")


def test_the_answer_follows_the_change_to_its_approval_and_is_void_with_it(callers: Callers) -> None:
    govern({"gates": [{"gate": "artefact_scanned"}]}, callers)
    change = ask(callers)
    assert answer(callers) == ("waiting", f"the gates of {change['ref']} are being evaluated")
    settle(change, artefact_scanned="pass")
    said, why = answer(callers)
    assert (said, "0 of 1 approvals by ml lead" in why) == ("waiting", True)
    seen = callers.get("lead", f"/changes/{change['id']}").json()
    callers.post(
        "lead", f"/changes/{change['id']}/decisions", {"verdict": "approve", "digest": seen["digest"]}
    )
    assert answer(callers) == ("allowed", f"{change['ref']} is approved")
    callers.world.card(1).write_text("# Rewritten\n")
    said, why = answer(callers)
    assert (said, "the model card changed" in why) == ("refused", True)


def test_a_failed_gate_refuses_and_one_that_could_not_tell_waits(callers: Callers) -> None:
    govern({"gates": [{"gate": "artefact_scanned"}, {"gate": "metric_not_worse"}]}, callers)
    settle(ask(callers), artefact_scanned="fail", metric_not_worse="pass")
    assert answer(callers) == ("refused", "gate artefact_scanned failed: artefact_scanned says fail")


def test_a_gate_that_could_not_tell_waits(callers: Callers) -> None:
    govern({"gates": [{"gate": "metric_not_worse"}]}, callers)
    settle(ask(callers), metric_not_worse="inconclusive")
    said, why = answer(callers)
    assert said == "waiting"
    assert "gate metric_not_worse could not tell: metric_not_worse says inconclusive" in why


def test_a_rejected_change_refuses_with_the_comment(callers: Callers) -> None:
    govern({}, callers)
    change = ask(callers)
    callers.post(
        "lead", f"/changes/{change['id']}/decisions",
        {"verdict": "reject", "comment": "not before the audit", "digest": change["digest"]},
    )  # fmt: skip
    said, why = answer(callers)
    assert (said, "not before the audit" in why) == ("refused", True)


# Outside checks.


@pytest.fixture
def robot(callers: Callers) -> str:
    """The service account of the other lead, as a caller."""
    with writing() as session:
        account = create_person(
            session, callers.actors["admin"], username="ci", display_name="CI", kind="service",
            roles=[Role.ON_CALL], owner_id=callers.world.other_lead.person_id,
        )  # fmt: skip
        callers.tokens["ci"] = create_token(
            session, callers.world.other_lead, name="ci", person_id=account.id
        )[1]
    return "ci"


EXTERNAL = {"gates": [{"gate": "external", "parameters": {"checks": ["tests", "fairness"]}}]}


def report(callers: Callers, who: str, change: dict[str, Any], name: str = "tests", **more: Any) -> Any:
    document = {"verdict": "pass", "digest": change["request_digest"], "revision": 1, **more}
    return callers.post(who, f"/changes/{change['id']}/checks/{name}", document)


def gate_of(callers: Callers, change: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = callers.get("viewer", f"/changes/{change['id']}").json()
    return found


def settled(callers: Callers) -> dict[str, Any]:
    govern(EXTERNAL, callers)
    change = ask(callers)
    settle(change, external="inconclusive")
    return change


def test_a_check_passes_only_when_every_system_has_reported(callers: Callers, robot: str) -> None:
    change = settled(callers)
    first = report(callers, robot, change, text="212 tests", url="https://ci.example/1")
    assert first.status_code == 201, first.text
    assert first.json()["gates"][0]["verdict"] == "inconclusive"
    assert "fairness has not reported" in first.json()["gates"][0]["text"]
    second = report(callers, robot, change, "fairness").json()
    assert second["gates"][0]["verdict"] == "pass"
    assert second["revision"] == 1
    approved = callers.post(
        "lead", f"/changes/{change['id']}/decisions", {"verdict": "approve", "digest": second["digest"]}
    )
    assert approved.json()["state"] == "approved", approved.text
    with reading() as session:  # what was signed can be shown again
        assert session.get(Snapshot, second["digest"]) is not None


def test_a_report_of_failure_stands_in_the_way(callers: Callers, robot: str) -> None:
    change = settled(callers)
    found = report(callers, robot, change, verdict="fail", text="3 tests fail").json()
    assert found["gates_failed"] == ["external"]
    assert callers.post(
        "lead", f"/changes/{change['id']}/decisions", {"verdict": "approve", "digest": found["digest"]}
    ).status_code == 409  # fmt: skip


def test_a_report_after_a_decision_makes_that_decision_void(callers: Callers, robot: str) -> None:
    govern({**EXTERNAL, "roles": {"ml_lead": 2}}, callers)
    change = ask(callers)
    settle(change, external="inconclusive")
    report(callers, robot, change)
    seen = report(callers, robot, change, "fairness").json()
    decided = callers.post(
        "lead", f"/changes/{change['id']}/decisions", {"verdict": "approve", "digest": seen["digest"]}
    )
    assert decided.json()["approvals"] == 1, decided.text
    late = report(callers, robot, change, verdict="fail", text="flaky after all").json()
    assert (late["revision"], late["approvals"], late["state"]) == (2, 0, "waiting")
    assert late["gates_failed"] == ["external"]
    with reading() as session:
        rows = session.scalars(select(ExternalCheck).where(ExternalCheck.revision == 2)).all()
        assert {row.name: row.verdict for row in rows} == {"tests": "fail", "fairness": "pass"}


def test_reporting_the_same_again_changes_nothing(callers: Callers, robot: str) -> None:
    change = settled(callers)
    assert report(callers, robot, change).json()["digest"] == report(callers, robot, change).json()["digest"]


def test_people_and_the_account_of_who_asked_cannot_report(callers: Callers, robot: str) -> None:
    change = settled(callers)
    assert report(callers, "lead", change).status_code == 403
    with writing() as session:
        account = create_person(
            session, callers.actors["admin"], username="own", display_name="Own", kind="service",
            roles=[Role.ML_ENGINEER], owner_id=callers.world.engineer.person_id,
        )  # fmt: skip
        callers.tokens["own"] = create_token(
            session, callers.world.engineer, name="own", person_id=account.id
        )[1]
    refused = report(callers, "own", change)
    assert (refused.status_code, "requester" in refused.json()["detail"]) == (403, True)


def test_a_report_on_something_else_or_under_another_name_is_refused(callers: Callers, robot: str) -> None:
    change = settled(callers)
    assert report(callers, robot, change, digest="sha256:old").status_code == 409
    assert report(callers, robot, change, revision=2).status_code == 409
    assert report(callers, robot, change, "lint").status_code == 422
    assert report(callers, robot, change, url="javascript:alert(1)").status_code == 422
    assert report(callers, robot, {"id": 999, "request_digest": "x"}).status_code == 404
