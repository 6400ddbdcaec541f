"""The policy that is in force, its history, and what another one would have said of past changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import literal, select, true
from sqlalchemy.orm import aliased

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import Said, newest_entry, said_by
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import NotFound
from backend.governance.digests import digest_of
from backend.governance.errors import PolicyAltered
from backend.governance.gates import asked_then
from backend.governance.policy_document import Entry, PolicyDocument, read_policy
from backend.governance.policy_rules import TIERS, Rule
from backend.governance.tables import Change, Decision, Policy, WayBack
from backend.identity.actor import Actor
from backend.identity.held_roles import counts
from backend.identity.reach import see
from backend.identity.tables import Person, PersonRole
from backend.registry.tables import Model
from backend.retraining.envelope import Spent, reasons_outside
from backend.retraining.plan import read_plan

BUILT_IN: Final = Path(__file__).with_name("built_in_policy.yaml")
UNDONE_DAYS: Final = (
    14.0  # so much longer than it may stand, what broke the glass can be undone by one person
)


@dataclass(frozen=True)
class ActivePolicy:
    """One revision of the policy."""

    revision: int
    digest: str
    document: PolicyDocument


@cache
def built_in() -> ActivePolicy:
    """What governs until people agree on another one: revision 1, shipped."""
    document = read_policy(BUILT_IN.read_text(encoding="utf-8"))
    return ActivePolicy(1, digest_of(document.as_dict()), document)


@cache
def _read(digest: str, revision: int, source: str, change_id: int | None) -> ActivePolicy:
    """`PolicyAltered` where the document is not the one whose digest is stored with it; asked once of each."""
    found = digest_of(json.loads(source))
    if found != digest:
        asked = f"CHG-{change_id}" if change_id is not None else "its change"
        raise PolicyAltered(
            f"revision {revision} of the policy is not the document that was put in force: its digest is {found}, and "
            f"its row says {digest}. Nothing is asked for, decided or carried out under it; put the document back that "
            f"{asked} asked for, and find out who wrote to the database",
            revision=revision, digest=found,
        )  # fmt: skip
    return ActivePolicy(revision, digest, read_policy(source))


_HIGHEST: Final = aliased(Policy, select(Policy).order_by(Policy.revision.desc()).limit(1).subquery())
_TOLD: Final = newest_entry(Action.POLICY_REPLACED)
# One question, and one row also where there is neither.
_IN_FORCE: Final = (
    select(_HIGHEST, *_TOLD.c)
    .select_from(select(literal(1).label("one")).subquery())
    .outerjoin(_HIGHEST, true())
    .outerjoin(_TOLD, true())
)


def active_policy(session: ReadSession) -> ActivePolicy:
    """The highest revision there is. `PolicyAltered` where its row is not what was put in force by the log, or where
    the log put another revision in force than the highest that is stored."""
    row = session.execute(_IN_FORCE).one()
    found = built_in() if row[0] is None else _parsed(row[0])
    _refuse_unrecorded(found, said_by(row))
    return found


def _refuse_unrecorded(found: ActivePolicy, told: tuple[str, Said] | None) -> None:
    revision = int(told[0]) if told is not None and told[0].isdigit() else 1
    if found.revision > revision:
        wrong = f"revision {found.revision} of the policy is in the table `policies`, and no entry put it in force"
        mend = "take that row away again"
    elif found.revision < revision:
        wrong = f"revision {revision} of the policy was put in force by the log, and its row in `policies` is gone"
        mend = "put the row back"
    elif told is not None and told[1].payload is not None and not told[1].says(digest=found.digest):
        wrong = (
            f"revision {found.revision} of the policy is not the document that was put in force: its digest is "
            f"{found.digest}, and entry {told[1].seq} says {told[1].payload.get('digest')}"
        )
        mend = f"put back the document that {_asked(told[1])} asked for"
    else:
        return
    raise PolicyAltered(
        f"{wrong}. Nothing is asked for, decided or carried out under it; {mend}, and find out who wrote to the "
        "database",
        revision=found.revision, digest=found.digest,
    )  # fmt: skip


def _asked(told: Said) -> str:
    change = told.payload.get("change") if told.payload is not None else None
    return f"CHG-{change}" if change is not None else "its change"


def why_forbidden(session: ReadSession, kind: str, model: Model, environment: str) -> str | None:
    """Why the rule in force allows no such change of this model at all; None where it does. One small question."""
    entry = active_policy(session).document.entry_for(kind, model.tier, environment)
    return None if entry.rule.allowed else f"{entry.rule.because} (rule {entry.name!r})"


def policy_revision(session: ReadSession, viewer: Actor, revision: int) -> ActivePolicy:
    """One revision as it was in force."""
    see(session, viewer)
    if revision == 1:
        return built_in()
    row = session.get(Policy, revision)
    if row is None:
        raise NotFound(f"the policy has no revision {revision}")
    return _parsed(row)


def policy_history(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[Policy]:
    """Every revision that people made, newest first; the built-in one has no row."""
    see(session, viewer)
    return list(session.scalars(select(Policy).order_by(Policy.revision.desc()).limit(limit).offset(offset)))


def _parsed(row: Policy) -> ActivePolicy:
    return _read(row.digest, row.revision, json.dumps(row.document), row.change_id)


def store_policy(
    session: WriteSession, actor: Actor, document: PolicyDocument, *, change_id: int, note: str
) -> int:
    """Put an approved document in force; gives its revision. Only the execution of a policy change calls it."""
    now = active_policy(session)
    row = Policy(
        revision=now.revision + 1, document=document.as_dict(), digest=digest_of(document.as_dict()),
        change_id=change_id, note=note, created_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.POLICY_REPLACED, object_kind="policy", object_id=row.revision,
        payload={"digest": row.digest, "replaces": now.digest, "change": change_id}, why=note,
    )  # fmt: skip
    return row.revision


def stored_rule(policy: ActivePolicy, entry: Entry) -> dict[str, Any]:
    """The rule as a change keeps it: what its approval was given under, readable when the policy has moved on."""
    return {
        "name": entry.name,
        "revision": policy.revision,
        **entry.rule.model_dump(mode="json"),
    }


def rule_digest(rule: dict[str, Any]) -> str:
    """Of a rule without the revision it came from: another revision that leaves this rule alone voids nothing."""
    return digest_of({key: value for key, value in rule.items() if key != "revision"})


@dataclass(frozen=True)
class Replayed:
    """What a draft policy would have said of one past change."""

    change_id: int
    summary: str
    was: str  # how it ended
    would: str  # allowed | refused
    reasons: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return (self.was == "executed") != (self.would == "allowed")


def dry_run(
    session: ReadSession, viewer: Actor, document: PolicyDocument, *, limit: int = 500
) -> list[Replayed]:
    """Hold a draft against the last finished changes: roles, exclusions, lifetime, gates and freezes as they were then.

    A gate that was not evaluated then counts as not passed, unless the evidence holds what it looks at (error budgets):
    what it would have said is not known. One that was
    inconclusive and accepted then, or from which the change was excepted, stands in the way of nothing. Break-glass
    changes are asked whether the draft allows it to a role that their person has today, and agreed returns whether it
    would have agreed on them.
    """
    see(session, viewer)
    finished = session.scalars(
        select(Change)
        .where(Change.state.in_(("executed", "failed", "rejected", "void", "expired")))
        .order_by(Change.id.desc())
        .limit(limit)
    ).all()
    owners = {row.id: row.owner_id for row in session.execute(
        select(Person.id, Person.owner_id).where(Person.owner_id.is_not(None))
    )}  # fmt: skip
    ways = [one.way_back_id for one in finished if one.way_back_id is not None]
    agreed = {way.id: (way, change) for way, change in session.execute(
        select(WayBack, Change).join(Change, Change.id == WayBack.change_id).where(WayBack.id.in_(ways))
    )} if ways else {}  # fmt: skip
    broke = _roles_of(session, {change.requested_by for change in finished if change.break_glass})
    told = []
    for change in finished:
        held: list[str] = []
        if change.way_back_id is not None:
            reasons = _not_agreed(document, change, *agreed[change.way_back_id])
        elif change.break_glass:
            reasons = _not_broken(_entry_then(document, change).rule, change, broke)
        else:
            reasons = _replay(document, change, owners)
            held, frozen = _held_then(document, change)
            reasons += frozen
        told.append(Replayed(change.id, change.summary, change.state, _word(reasons), (*reasons, *held)))
    return told


def _entry_then(document: PolicyDocument, change: Change) -> Entry:
    """The draft's rule for it as it was asked for: by the tier that the model had, and the one that it was to have."""
    tier = str(((change.evidence.get("model") or {}).get("tier")) or "high")
    wanted = change.subject.get("tier") if change.kind == "tier" else None
    return document.entry_for(
        change.kind, tier, change.environment, other_tier=wanted if wanted in TIERS else None
    )


def _valid(change: Change, rule: Rule, barred: set[str], owners: Mapping[str, str]) -> list[Decision]:
    """Approvals that the draft would have taken: in time, with the comment that it asks for, and by hands that are not
    barred (the person's own, of whom they acted for, and of an account's owner), nor an account's unless it lets them.
    """
    end, found = _end_under(rule, change), []
    for decision in change.counted:
        hands = {decision.person_id, decision.on_behalf_of or ""}
        hands |= {owners.get(one, "") for one in hands}
        taken = decision.decided_at < end and not hands & barred
        taken = taken and (rule.accounts or decision.person_id not in owners)
        taken = taken and bool(decision.comment or "approve" not in rule.comment_required_to)
        if taken and decision.verdict == "approve":
            found.append(decision)
    return found


def _end_under(rule: Rule, change: Change) -> datetime:
    """When it would have expired: its time began when it was sent (again)."""
    lasted_h = float(change.policy.get("lifetime_h", rule.lifetime_h))
    return change.expires_at + timedelta(hours=rule.lifetime_h - lasted_h)


def _held_then(document: PolicyDocument, change: Change) -> tuple[list[str], list[str]]:
    """(that a freeze would have held it for a while, that one would have held it until it expired), in words: what is
    approved in a freeze begins when the freeze is over."""
    when = max((one.decided_at for one in change.counted), default=change.requested_at)
    frozen = document.frozen_until(change.kind, change.environment, when)
    if frozen is None:
        return [], []
    freeze, until = frozen
    if until >= _end_under(_entry_then(document, change).rule, change):
        return [], [f"the freeze {freeze.name} would have held it until its time was over"]
    return [f"the freeze {freeze.name} would have held it until {until:%Y-%m-%d %H:%M:%S UTC}"], []


def _not_agreed(document: PolicyDocument, change: Change, way: WayBack, undone: Change) -> list[str]:
    """Why the draft would not have let one person take a return: nobody decides on it, its promotion agreed on it."""
    reasons = []
    returning, undone_by = _entry_then(document, change).rule, _entry_then(document, undone).rule
    if not returning.allowed:
        reasons.append(returning.because)
    days = days_to_return(undone.kind, undone_by, broke_glass=undone.break_glass)
    if not days:
        reasons.append(f"the rule of CHG-{undone.id}, which it undoes, agrees on no return")
    elif way.opened_at is not None and change.requested_at >= way.opened_at + timedelta(days=days):
        reasons.append(f"it was taken after the {days:g} days for which a return is agreed")
    return reasons + _frozen_then(document, change, change.requested_at)


def days_to_return(kind: str, rule: Rule, *, broke_glass: bool) -> float:
    """For how many days the return from what was executed is agreed; 0: none is."""
    if broke_glass:
        return rule.break_glass.lasts_h / 24 + UNDONE_DAYS if rule.break_glass is not None else 0.0
    return rule.way_back_days if kind == "promote" else 0.0


def _roles_of(session: ReadSession, people: set[str]) -> dict[str, set[str]]:
    """Person -> their roles, as they are today."""
    found: dict[str, set[str]] = {}
    held = select(PersonRole).where(PersonRole.person_id.in_(people), counts())
    for one in session.scalars(held) if people else ():
        found.setdefault(one.person_id, set()).add(one.role)
    return found


def _not_broken(rule: Rule, change: Change, held: Mapping[str, set[str]]) -> list[str]:
    """Why the draft would not have let them break the glass."""
    if not rule.allowed:
        return [rule.because]
    if rule.break_glass is None or change.kind not in rule.break_glass.kinds:
        return ["break-glass is not allowed"]
    if held.get(change.requested_by, set()) & set(rule.break_glass.roles):
        return []
    roles = ", ".join(role.replace("_", " ") for role in rule.break_glass.roles)
    return [f"breaking the glass is allowed to: {roles}; who broke it has no such role today"]


def _frozen_then(document: PolicyDocument, change: Change, at: datetime) -> list[str]:
    frozen = document.frozen_until(change.kind, change.environment, at)
    return [f"frozen then: {frozen[0].name}"] if frozen is not None else []


def _replay(document: PolicyDocument, change: Change, owners: Mapping[str, str]) -> list[str]:
    """Why the draft would have refused a change that others decided on, or that lay within an envelope."""
    rule = _entry_then(document, change).rule
    reasons: list[str] = []
    if not rule.allowed:
        reasons.append(rule.because)
    if change.within_envelope:  # how much of a week was used then is not known
        return reasons + reasons_outside(rule.envelope, read_plan(change.subject), Spent(0, 0.0))
    if any(decision.verdict == "reject" for decision in change.counted):
        reasons.append("somebody rejected it")
    barred = {change.requested_by, change.trained_by or change.requested_by}
    if "data_owner" in rule.excluded and change.data_owner is not None:
        barred.add(change.data_owner)
    barred |= {owners[one] for one in barred if one in owners}
    valid = _valid(change, rule, barred, owners)
    for role, wanted in rule.roles.items():
        given = sum(one.role == role for one in valid)
        if given < wanted:
            reasons.append(
                f"{given} of {wanted} approvals by {role.replace('_', ' ')}{_why_fewer(change, rule, owners)}"
            )
    results = {result["gate"]: result for result in change.gates}
    accepted = {gate for one in change.counted if one.verdict == "approve" for gate in one.accepted}
    for gate in rule.gates:
        found = results.get(gate.gate, {})
        verdict = asked_then(gate, found, change.evidence, change.requested_at)
        waved = found.get("exception") or (verdict == "inconclusive" and gate.gate in accepted)
        if gate.required and verdict != "pass" and not waved:
            reasons.append(f"gate {gate.gate}: {verdict or 'was not asked then'}")
    return reasons


def _why_fewer(change: Change, rule: Rule, owners: Mapping[str, str]) -> str:
    """What the draft asks of approvals that those given may lack, in words, where it asks for more than was asked."""
    told = []
    if rule.lifetime_h < float(change.policy.get("lifetime_h", rule.lifetime_h)):
        told.append(f"within {rule.lifetime_h:g} h")
    if "approve" in rule.comment_required_to and not all(one.comment for one in change.counted):
        told.append("with a comment")
    if not rule.accounts and any(one.person_id in owners for one in change.counted):
        told.append("of people")
    return f" {' and '.join(told)}" if told else ""


def _word(reasons: list[str]) -> str:
    return "refused" if reasons else "allowed"
