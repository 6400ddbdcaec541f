"""Whether a document that is kept under a digest is what was signed under it.

Whoever owns the database can alter a row, also so that whole parts of it are gone.
"""

from __future__ import annotations

from typing import Any

from backend.governance.digests import digest_of
from backend.governance.policies import rule_digest

NOT_SIGNED = "is not what was signed"


def signed_otherwise(digest: str, document: Any) -> str:
    """Why it is not; empty where it is, and then it has what a signature covers: what was asked for with the rule,
    evidence, gates and people."""
    if not isinstance(document, dict):
        return NOT_SIGNED
    bound, rule = document.get("bound"), document.get("policy")
    people = {part: document.get(part) for part in ("requested_by", "trained_by", "data_owner")}
    request = digest_of({name: document.get(name) for name in ("kind", "model", "environment", "bound")})
    signed = digest_of(
        {"request": request, "revision": document.get("revision"), "people": people,
         "evidence": digest_of(document.get("evidence")), "gates": digest_of(document.get("gates"))}
    )  # fmt: skip
    if signed != digest or document.get("request_digest") != request:
        return NOT_SIGNED
    if not isinstance(bound, dict) or not isinstance(rule, dict) or bound.get("policy") != rule_digest(rule):
        return f"{NOT_SIGNED}: it names another rule"
    return ""
