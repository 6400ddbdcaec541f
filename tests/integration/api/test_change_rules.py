"""The rules of decisions over HTTP: the same refusals as the service's."""

from __future__ import annotations

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.governance.tables import Change, Decision
from backend.identity.roles import Role
from backend.identity.tables import PersonRole
from backend.queue import JobRun
from tests.integration.api.conftest import Callers


def ask(callers: Callers, who: str) -> tuple[int, str]:
    preview = callers.get(who, "/changes/preview", kind="rollback", model="toy").json()
    assert (preview["from_version"], preview["to_version"]) == (2, 1)
    asked = callers.post(
        who, "/changes",
        {"kind": "rollback", "model": "toy", "reason": "it degraded", "digest": preview["digest"]},
    )  # fmt: skip
    assert asked.status_code == 201, asked.text
    return asked.json()["id"], asked.json()["digest"]


def decide(callers: Callers, who: str, change: int, digest: str, verdict: str = "approve") -> tuple[int, str]:
    answer = callers.post(
        who, f"/changes/{change}/decisions", {"verdict": verdict, "comment": "seen", "digest": digest}
    )
    document = answer.json()
    return answer.status_code, document.get("state") or document["title"]


def nothing_decided(change: int) -> bool:
    with reading() as session:
        none = session.scalars(select(Decision)).all() == [] and session.scalars(select(JobRun)).all() == []
        return none and session.get_one(Change, change).state == "waiting"


def test_the_requester_cannot_decide(callers: Callers) -> None:
    change, digest = ask(callers, "lead")
    assert decide(callers, "lead", change, digest)[0] == 403
    assert nothing_decided(change)
    assert decide(callers, "other_lead", change, digest) == (201, "approved")


def test_the_trainer_cannot_decide(callers: Callers) -> None:
    with writing() as session:
        session.add(PersonRole(person_id=callers.world.engineer.person_id, role=Role.ML_LEAD.value))
    change, digest = ask(callers, "on_call")
    assert decide(callers, "engineer", change, digest)[0] == 403
    assert nothing_decided(change)


def test_a_stale_digest_decides_nothing(callers: Callers) -> None:
    change, _ = ask(callers, "on_call")
    assert decide(callers, "lead", change, "sha256:other") == (409, "Changed since you looked")
    assert nothing_decided(change)


def test_a_request_on_another_digest_than_the_previews_is_refused(callers: Callers) -> None:
    answer = callers.post(
        "on_call", "/changes", {"kind": "rollback", "model": "toy", "reason": "r", "digest": "sha256:other"}
    )
    assert (answer.status_code, answer.json()["title"]) == (409, "Changed since you looked")
    with reading() as session:
        assert session.scalars(select(Change)).all() == []


def test_a_decision_sent_twice_is_one_and_another_is_refused(callers: Callers) -> None:
    change, digest = ask(callers, "on_call")
    assert decide(callers, "lead", change, digest) == (201, "approved")
    assert decide(callers, "lead", change, digest) == (201, "approved")
    assert decide(callers, "lead", change, digest, "reject")[0] == 409
    assert decide(callers, "other_lead", change, digest)[0] == 409
    with reading() as session:
        assert len(session.scalars(select(Decision)).all()) == 1
        assert [run.id for run in session.scalars(select(JobRun))] == [f"change-{change}"]
        actions = session.scalars(select(AuditEntry.action)).all()
    assert actions.count(Action.CHANGE_APPROVED.value) == 1


def test_the_inbox_holds_what_this_person_may_decide(callers: Callers) -> None:
    change, _ = ask(callers, "lead")
    inbox = {
        who: [one["id"] for one in callers.get(who, "/changes", waiting_for_me=True).json()["changes"]]
        for who in ("lead", "other_lead", "compliance", "on_call")
    }
    assert inbox == {"lead": [], "other_lead": [change], "compliance": [], "on_call": []}


def test_a_rejection_needs_words(callers: Callers) -> None:
    change, digest = ask(callers, "on_call")
    answer = callers.post(
        "lead", f"/changes/{change}/decisions", {"verdict": "reject", "comment": "  ", "digest": digest}
    )
    assert answer.status_code == 422
    assert nothing_decided(change)
    assert decide(callers, "lead", change, digest, "reject") == (201, "rejected")


def test_a_data_request_that_was_sent_back_is_sent_again_rejected_and_withdrawn(callers: Callers) -> None:
    def sent_back() -> int:
        asked = callers.post(
            "compliance", "/data-requests",
            {"kind": "erase", "model": "toy", "prediction_ids": ["p1"], "reason": "they wrote"},
        )  # fmt: skip
        change: int = asked.json()["change_id"]
        digest = callers.get("lead", f"/changes/{change}").json()["digest"]
        assert decide(callers, "lead", change, digest, "ask") == (201, "draft")
        return change

    change = sent_back()
    assert callers.get("lead", f"/changes/{change}/resubmission").status_code == 403
    again = callers.get("compliance", f"/changes/{change}/resubmission").json()
    sent = callers.post(
        "compliance", f"/changes/{change}/resubmission", {"reason": "of 3 May", "digest": again["digest"]}
    )
    assert (sent.status_code, sent.json()["state"], sent.json()["revision"]) == (201, "waiting", 2)
    assert callers.get("compliance", f"/changes/{change}/resubmission").status_code == 409
    assert decide(callers, "lead", change, sent.json()["digest"], "ask") == (201, "draft")
    assert decide(callers, "lead", change, sent.json()["digest"], "reject") == (201, "rejected")
    other = sent_back()
    withdrawn = callers.post("compliance", f"/changes/{other}/cancellation", {"reason": "asked twice"})
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (201, "cancelled")
