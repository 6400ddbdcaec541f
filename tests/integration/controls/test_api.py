"""Judgements over REST: signed with one's own name, once per key, and refused in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.controls.tables import ControlJudgement
from backend.database.session import reading, writing
from backend.identity.passwords import hash_password
from backend.identity.tables import IdempotencyKey, Person
from tests.integration.api.conftest import Callers, callers
from tests.integration.assurance.conftest import hand_in

__all__ = ["callers"]
PATH = "/catalogues/eu-ai-act-annex-iv/controls/annex-iv.7/judgements"


def body(callers: Callers, **more: Any) -> dict[str, Any]:
    found = callers.get("compliance", "/catalogues/eu-ai-act-annex-iv/assessment", model="toy").json()
    digest = next(one["digest"] for one in found["controls"] if one["control"] == "annex-iv.7")
    return {
        "model": "toy", "outcome": "met", "text": "the list is attached", "seen_digest": digest,
        "valid_until": (clock.now() + timedelta(days=90)).isoformat(), "username": "compliance", **more,
    }  # fmt: skip


def test_a_judgement_is_signed_once_per_key_with_its_attachment(callers: Callers) -> None:
    paper = hand_in(callers.world.compliance)
    given = body(callers, attachment=paper)
    answers = [
        callers.send("compliance", "POST", PATH, json=given, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["attachment_name"] == "report.md"
    with reading() as session:
        assert len(session.scalars(select(ControlJudgement)).all()) == 1
    listed = callers.get("on_call", PATH, model="toy").json()["judgements"]
    assert [(one["number"], one["outcome"], one["altered"]) for one in listed] == [(1, "met", False)]


def test_a_password_is_asked_for_and_stored_nowhere(callers: Callers) -> None:
    with writing() as session:
        row = session.get_one(Person, callers.world.compliance.person_id)
        row.password_hash = hash_password("a long pass phrase")
    assert callers.send("compliance", "POST", PATH, json=body(callers)).status_code == 403
    right = body(callers, password="a long pass phrase")
    keys = {"Idempotency-Key": "k"}
    first = callers.send("compliance", "POST", PATH, json=right, headers=keys)
    assert first.status_code == 201
    with reading() as session:
        kept = session.scalars(select(IdempotencyKey)).one()
    assert "pass phrase" not in kept.body
    # The key is bound to the request without its password, whose fast digest would be stored otherwise.
    again = callers.send("compliance", "POST", PATH, json=right, headers=keys)
    assert again.json() == first.json()
    wrong = callers.send("compliance", "POST", PATH, json={**right, "password": "no"}, headers=keys)
    assert wrong.status_code == 403


def test_what_is_wrong_is_refused_in_words(callers: Callers) -> None:
    for more, status, said in (
        ({"username": "lead"}, 403, "own user name"),
        ({"seen_digest": f"sha256:{'0' * 64}"}, 409, "read it again"),
        ({"attachment": f"sha256:{'0' * 64}"}, 422, "nobody handed in"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 422, "day to come"),
        ({"outcome": "fine"}, 422, ""),
        ({"text": ""}, 422, "write the judgement"),
        ({"model": None}, 422, "about one model"),
    ):
        answer = callers.send("compliance", "POST", PATH, json=body(callers, **more))
        assert answer.status_code == status, more
        assert said in answer.json()["detail"]
    missing = callers.get("compliance", "/catalogues/none/assessment", model="toy")
    assert (missing.status_code, "there are" in missing.json()["detail"]) == (404, True)
    early = callers.get(
        "compliance", "/catalogues/gdpr/assessment", model="toy", as_of="2100-01-01T00:00:00Z"
    )
    assert early.status_code == 422
