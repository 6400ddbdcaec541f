"""Role rules over REST: who may read, try and ask for them."""

from __future__ import annotations

from tests.integration.api.conftest import Callers

DRAFT = {"document": "rules: [{provider: corp, claim: groups, value: leads, role: ml_lead}]"}


def test_role_rules_are_read_tried_and_asked_for(callers: Callers) -> None:
    found = callers.get("admin", "/role-rules").json()
    assert (found["revision"], found["document"]["rules"]) == (1, [])
    assert callers.post("compliance", "/role-rules/dry-run", DRAFT).json() == {"people": []}
    for who in ("viewer", "engineer", "lead"):
        assert callers.get(who, "/role-rules").status_code == 403
        assert callers.post(who, "/role-rules/dry-run", DRAFT).status_code == 403
    asked = {**DRAFT, "reason": "the leads have a group now"}
    assert callers.post("compliance", "/role-rules/changes", asked).status_code == 403
    assert callers.post("admin", "/role-rules/changes", {**asked, "document": "rules: []"}).status_code == 422
    preview = callers.post(
        "admin", "/changes/preview", {"kind": "roles", "environment": "*", "subject": DRAFT}
    ).json()
    made = callers.post("admin", "/role-rules/changes", {**asked, "digest": preview["digest"]})
    assert made.status_code == 201, made.text
    assert (made.json()["state"], made.json()["digest"]) == ("waiting", preview["digest"])
