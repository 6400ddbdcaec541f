"""What `/c/CHANGE` shows and what its forms do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.components.links import href
from app.formats import format_age, format_metric, format_utc
from app.phone_forms import Typed
from app.words import CHANGE_LEVELS, OBJECTIVE_WORDS, approval_words, metric_word, readable
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.governance.deciding import decide
from backend.governance.reading import get_change
from backend.governance.views import change_detail
from backend.identity.sessions import SignedIn
from backend.notifications.messages import clipped
from backend.slo.evidence import left_words

_GATE_LEVELS: Final = {"pass": "ok", "fail": "page", "inconclusive": "inconclusive"}
OFFERED: Final = ("approve", "ask", "reject")
_WORDS: Final = {
    "approve": ("Approve", "Comment to approve"), "ask": ("Ask for changes to", "What has to change"),
    "reject": ("Reject", "Comment to reject"),
}  # fmt: skip
MOST_METRICS: Final = 6
MOST_DECISIONS: Final = 20
LONGEST_COMMENT: Final = 600


def show(found: SignedIn, number: int) -> Mapping[str, Any]:
    with reading() as session:
        return context_of(change_detail(session, found.actor, get_change(session, found.actor, number)))


def act(found: SignedIn, number: int, typed: Typed) -> str:
    if typed.act not in OFFERED:
        raise BadInput(f"{typed.act!r} is nothing that this page can do")
    with writing() as session:
        decide(
            session, found.actor, number, verdict=typed.act, comment=typed.why, seen_digest=typed.get("digest"),
            accept=typed.accept if typed.act == "approve" else (),
        )  # fmt: skip
    return f"/c/{number}?done={typed.act}"


def context_of(change: Mapping[str, Any]) -> dict[str, Any]:
    evidence = change["evidence"]
    tier = (evidence.get("model") or {}).get("tier")
    facts = [("model", f"{change['model'] or 'every model'}{f', tier {tier}' if tier else ''}"),
             ("where", change["environment"]),
             ("asked by", f"{change['requested_by']}, {format_age(change['requested_at'])} ago"),
             ("why", change["reason"])]  # fmt: skip
    if change["state"] in ("draft", "checking", "waiting"):
        facts.append(("expires", format_utc(change["expires_at"])))
    if change["outcome"]:
        facts.append(("outcome", readable(change["outcome"])))
    refused = change["cannot_decide"] or ""
    if change["state"] != "waiting" and not refused:
        refused = f"this change is {change['state_words']}"
    return {
        "ref": change["ref"], "summary": change["summary"], "state": change["state_words"],
        "level": CHANGE_LEVELS.get(change["state"], "unknown"), "approvals": approval_words(change), "facts": facts,
        "incident": change["incident_id"], "gates": _gates(change),
        "no_gates": "The gates are being evaluated; open this page again." if change["policy"]["gates"] else
        "The rule for it names no gate.",
        "evidence": evidence_lines(evidence),
        "decisions": [_decision(one) for one in change["decisions"][-MOST_DECISIONS:]],
        "more_decisions": max(len(change["decisions"]) - MOST_DECISIONS, 0),
        "refused": refused, "can_decide": ", ".join(_deciders(change["can_still_decide"])),
        "short_digest": change["digest"].removeprefix("sha256:")[:12], "digest": change["digest"],
        "verdicts": [_verdict(change, one) for one in OFFERED], "full": href("change", id=str(change["id"])),
    }  # fmt: skip


def evidence_lines(evidence: Mapping[str, Any]) -> list[str]:
    """What changes, why this version, cautions, the alert it answers, and the metrics, a line each."""
    lines = []
    before, after = evidence.get("before"), evidence.get("after")
    if after:
        was = f"v{before['version']}" if before else "nothing"
        lines.append(f"serves {was} now, then v{after['version']}")
    if evidence.get("why_target"):
        lines.append(str(evidence["why_target"]))
    lines += [f"caution: {one}" for one in evidence.get("cautions") or ()]
    if evidence.get("alert"):
        lines.append(f"answers the alert: {readable(evidence['alert']['title'])}")
    lines += [
        f"error budget of {one['title']}: {left_words(one['remaining'])}, {OBJECTIVE_WORDS[one['state']][0]}"
        for one in (evidence.get("objectives") or [])[:MOST_METRICS]
    ]
    for one in (evidence.get("metrics") or [])[:MOST_METRICS]:
        values = [(one.get(side) or {}).get("value") if isinstance(one.get(side), Mapping) else one.get(side)
                  for side in ("before", "after")]  # fmt: skip
        told = " → ".join(
            format_metric(value) if isinstance(value, int | float) else "not known" for value in values
        )
        lines.append(f"held-out {metric_word(str(one.get('metric') or one.get('name')))}: {told}")
    return lines


def _gates(change: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "level": _GATE_LEVELS.get(one["verdict"], "unknown"), "word": one["verdict"], "name": one["title"],
            "told": readable(one["text"]) + ("" if one["required"] else " (for information)"),
        }
        for one in change["gates"]
    ]  # fmt: skip


def _decision(one: Mapping[str, Any]) -> str:
    word = {"approve": "approved", "reject": "rejected", "ask": "asked for changes"}[one["verdict"]]
    said = f": {clipped(one['comment'], LONGEST_COMMENT)}" if one["comment"] else ""
    counts = "" if one["counts"] else " (of an earlier revision)"
    if one["retracted_at"]:
        why = clipped(one["retracted_because"] or "", LONGEST_COMMENT)
        counts = f"; taken back {format_utc(one['retracted_at'])}: {why}"
    fresh = f" (signed in freshly at {format_utc(one['signed_in_at'])})" if one["signed_in_at"] else ""
    return f"{one['person']} {word} {format_utc(one['decided_at'])}{fresh}{said}{counts}"


def _deciders(rows: list[dict[str, Any]]) -> list[str]:
    return [str(one.get("name") or one.get("person") or "") for one in rows][:12]


def _verdict(change: Mapping[str, Any], verdict: str) -> dict[str, Any]:
    word, asks = _WORDS[verdict]
    unclear = list(change["gates_unclear"]) if verdict == "approve" else []
    required = verdict == "ask" or verdict in change["policy"]["comment_required_to"] or bool(unclear)
    failed = ", ".join(one.replace("_", " ") for one in change["gates_failed"])
    return {
        "verdict": verdict, "label": f"{word} {change['ref']}", "asks": asks + ("" if required else " (optional)"),
        "required": required, "accept": unclear,
        "refused": f"{failed} failed: it cannot be approved" if failed and verdict == "approve" else "",
    }  # fmt: skip
