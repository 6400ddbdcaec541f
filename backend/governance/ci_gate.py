"""May this version go into an environment? What a pipeline asks before it goes on, and why it must not."""

from __future__ import annotations

from typing import Any, Final, Literal

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.deployment.service import champion
from backend.governance import machine
from backend.governance.deciding import refused_gates
from backend.governance.excepted import bound_exceptions
from backend.governance.places import require_environment
from backend.governance.policies import active_policy
from backend.governance.policy_rules import Rule
from backend.governance.reviews import owed_before
from backend.governance.standing import what_differs, what_differs_now
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.registry.inventory import require_known
from backend.registry.recorded import enforcement_otherwise
from backend.registry.service import get_model

Answer = Literal["allowed", "refused", "waiting"]
KINDS: Final = ("promote", "rollback", "retrain")


def gate_answer(
    session: ReadSession, viewer: Actor, model_name: str, version: int, environment: str
) -> dict[str, Any]:
    """`answer` is allowed, refused or waiting, with each reason in words.

    Allowed: it serves there, or the newest change to it is approved, or being executed, and everything signed still
    holds. Where no change asks for it: what the policy would need. A model that is only observed is never held up;
    `would_be` says what the rules say.
    """
    see(session, viewer)
    model = get_model(session, viewer, model_name)
    require_known(session, viewer, model_name, version)
    require_environment(session, environment)
    policy = active_policy(session)
    entry = policy.document.entry_for("promote", model.tier, environment)
    change = session.scalars(
        select(Change)
        .where(
            Change.model == model_name, Change.environment == environment, Change.to_version == version,
            Change.kind.in_(KINDS),
        )
        .order_by(Change.id.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    serving = champion(session, model_name, environment)
    shown: Change | None = change
    answer: Answer
    executing = change is not None and change.state == "executing"  # then what serves may have to leave again
    if serving is not None and serving.version == version and serving.state == "serving" and not executing:
        since = serving.serving_at or serving.started_at
        answer, reasons = "allowed", [f"it serves in {environment} since {since:%Y-%m-%d %H:%M:%S UTC}"]
        if not entry.rule.allowed:
            answer = "refused"
            reasons.insert(0, f"{entry.rule.because} (rule {entry.name!r}); retire it")
    elif change is not None and change.state != "executed":
        answer, reasons = _of_change(session, change)
    else:
        answer, reasons = _without_change(entry.rule, entry.name, version, environment)
        if change is not None:
            reasons.insert(0, f"CHG-{change.id} brought it into service, and something else serves there now")
        shown = None
    would_be: Answer = answer
    otherwise = enforcement_otherwise(session, [model]).get(model.name)
    if otherwise is not None:
        reasons.append(f"{otherwise}: its rules are taken as enforced")
    elif model.enforcement == "observe" and answer != "allowed":
        answer = "allowed"
        reasons.insert(0, f"{model_name} is only observed: its rules report and hold nothing up")
    return {
        "model": model_name, "version": version, "environment": environment, "answer": answer, "would_be": would_be,
        "reasons": reasons, "rule": entry.name if shown is None else shown.policy["name"],
        "change": None if shown is None else {
            "id": shown.id, "ref": f"CHG-{shown.id}", "state": shown.state, "digest": shown.digest,
            "request_digest": shown.request_digest, "revision": shown.revision,
        },
        "gates": [
            {key: result[key] for key in ("gate", "required", "verdict", "text")}
            for result in (shown.gates if shown is not None else [])
        ],
    }  # fmt: skip


def _of_change(session: ReadSession, change: Change) -> tuple[Answer, list[str]]:
    ref, state = f"CHG-{change.id}", change.state
    if machine.can(state, "expire") and clock.now() >= change.expires_at:
        return "refused", [f"{ref} expired at {change.expires_at:%Y-%m-%d %H:%M:%S UTC}; ask again"]
    if state == "executing":
        return _executing(session, change)
    if state == "approved":
        return _approved(session, change)
    if state in ("rejected", "failed", "void", "expired", "cancelled"):
        said = [d.comment for d in change.decisions if d.verdict == "reject" and d.comment]
        why = "; ".join([change.outcome, *said] if change.outcome else said)
        return "refused", [f"{ref} is {machine.WORDS[state]}{f': {why}' if why else ''}"]  # type: ignore[index]
    if state == "draft":
        asked = [d.comment for d in change.decisions if d.verdict == "ask" and d.comment]
        return "waiting", [f"{ref} is a draft: {asked[-1] if asked else 'it has not been sent'}"]
    if state == "checking":
        return "waiting", [f"the gates of {ref} are being evaluated"]
    accepted = {gate for d in change.counted if d.verdict == "approve" for gate in d.accepted}
    failed, unclear = refused_gates(change, accepted, bound_exceptions(session, change))
    texts = {result["gate"]: result["text"] for result in change.gates}
    if failed:
        return "refused", [f"gate {gate} failed: {texts[gate]}" for gate in failed]
    reasons = [f"gate {gate} could not tell: {texts.get(gate, 'it was not asked')}" for gate in unclear]
    for role, wanted in change.policy["roles"].items():
        given = sum(d.verdict == "approve" and d.role == role for d in change.counted)
        if given < wanted:
            reasons.append(f"{given} of {wanted} approvals by {role.replace('_', ' ')}")
    owed = owed_before(session, change)
    return "waiting", [f"{ref} waits for decisions", *reasons, *([owed] if owed is not None else [])]


def _executing(session: ReadSession, change: Change) -> tuple[Answer, list[str]]:
    differs = what_differs_now(session, change)
    if differs:
        return "refused", [
            f"CHG-{change.id} is being executed, and its approval no longer covers what would run: {one}"
            for one in differs
        ]
    return "allowed", [f"CHG-{change.id} is approved and being executed"]


def _approved(session: ReadSession, change: Change) -> tuple[Answer, list[str]]:
    frozen = active_policy(session).document.frozen_until(change.kind, change.environment, clock.now())
    if frozen is not None and not change.break_glass:
        freeze, until = frozen
        return "waiting", [
            f"CHG-{change.id} is approved; the freeze {freeze.name} holds until {until:%Y-%m-%d %H:%M:%S UTC}"
        ]
    owed = owed_before(session, change)
    if owed is not None:
        return "waiting", [f"CHG-{change.id} is approved; {owed}; it starts once somebody has"]
    differs = what_differs(session, change)
    if differs:
        return "refused", [
            f"the approval of CHG-{change.id} no longer covers what would run: {one}" for one in differs
        ]
    return "allowed", [f"CHG-{change.id} is approved"]


def _without_change(rule: Rule, name: str, version: int, environment: str) -> tuple[Answer, list[str]]:
    if not rule.allowed:
        return "refused", [f"{rule.because} (rule {name!r})"]
    needed = [f"{count} approval{'s' if count > 1 else ''} by {role.replace('_', ' ')}"
              for role, count in rule.roles.items()]  # fmt: skip
    gates = [gate.gate for gate in rule.gates if gate.required]
    return "waiting", [
        f"no change asks to bring version {version} into {environment}",
        f"the rule {name!r} needs {', '.join(needed)}" + (f"; gates: {', '.join(gates)}" if gates else ""),
    ]
