"""Reports of systems outside on a change: kept, and taken into the gate results that people sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import aliased

from backend import clock
from backend.addresses import without_credentials
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance import errors, machine
from backend.governance.asking import (
    GOVERNANCE,
    checked_text,
    keep_snapshot,
    locked,
    refuse_stale,
    reopen,
    shown_digest,
    signed_digest,
)
from backend.governance.authority import excluded_people
from backend.governance.digests import digest_of
from backend.governance.evaluations import evaluated_at_revision
from backend.governance.excepted import with_exceptions
from backend.governance.gates import Asked, evaluate
from backend.governance.policy_document import PolicyDocument
from backend.governance.policy_rules import GateRule
from backend.governance.tables import Change, ExternalCheck
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.monitoring.columns import parse_spec
from backend.registry.tables import Model, Version

EXTERNAL = "external"
LONGEST_URL = 2000


def report_check(
    session: WriteSession, actor: Actor, change_id: int, name: str, *,
    verdict: Literal["pass", "fail", "inconclusive"], text: str, url: str, seen_digest: str, revision: int,
) -> Change:  # fmt: skip
    """Keep what a system outside found of what was asked for; `seen_digest` is the change's `request_digest`,
    `revision` the one that was looked at: what was found before the gates were evaluated anew is not of now.

    A service account reports, and none of a person whom the change's rule excludes: nobody attests their own request.
    Where the rule names the `reporters` of a check only those report it; where it does not, no account of somebody who
    has decided says that it passes. What each account reported is kept, a later report of it in place of its earlier
    one, and the worst of all counts.
    Where the change waits for decisions already the result is taken in at once. Where somebody has decided, only one
    that changes what a check says is: those decisions no longer count, because what they signed has changed, and what
    was approved waits again. Other words for the same verdict are kept in the log. The same again does nothing.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    change = locked(session, actor, change_id)
    if actor.kind != "service":
        raise NotAllowed("a system outside reports through a service account; people decide instead")
    barred = excluded_people(session, change)
    own = next((barred[one] for one in sorted(actor.people) if one in barred), None)
    if own is not None:
        raise NotAllowed(
            f"this account is, or belongs to, the {own.replace('_', ' ')} of CHG-{change_id}; another one reports"
        )
    rules = [GateRule.model_validate(rule) for rule in change.policy["gates"] if rule["gate"] == EXTERNAL]
    asked_for = sorted({one for rule in rules for one in _checks(rule)})
    if name not in asked_for:
        raise BadInput(
            f"the rule {change.policy['name']!r} of CHG-{change_id} asks for "
            f"{', '.join(asked_for) or 'no external check'}, not {name!r}",
            field="name",
        )
    _refuse_reporter(session, actor, change, name, rules, passes=verdict == "pass")
    if change.model is None:
        raise BadInput(f"CHG-{change_id} names no version that a system outside could look at", field="name")
    refuse_stale(change.request_digest, seen_digest, f"CHG-{change_id}")
    _refuse_late(change, revision)
    text, url = checked_text(text, "text", required=False), _checked_url(url)
    now, by = clock.now(), actor.person_id
    known = _reported(session, change, name, by)
    if known is not None and (known.verdict, known.text, known.url) == (verdict, text, url):
        return change
    if known is None:
        known = ExternalCheck(
            change_id=change.id, name=name, revision=change.revision, verdict=verdict, text=text, url=url,
            reported_by=by, reported_at=now,
        )  # fmt: skip
        session.add(known)
    else:
        known.verdict, known.text, known.url, known.reported_at = verdict, text, url, now
    session.flush()
    was = change.state
    taken_in = _take_in(session, change) if was != "checking" else None
    record(
        session, actor, Action.CHECK_REPORTED, object_kind="change", object_id=change.id,
        payload={"name": name, "verdict": verdict, "url": url, "revision": change.revision, "digest": change.digest,
                 "state": [was, change.state]} | ({"taken_in": taken_in} if taken_in is not None else {}),
        why=text,
    )  # fmt: skip
    return change


def _refuse_late(change: Change, revision: int) -> None:
    """`ChangeNotWaiting` where a change takes no reports, `ChangedSinceSeen` where this one is of earlier results."""
    takes = change.state in ("checking", "waiting") or (change.state == "approved" and not change.is_urgent)
    if not takes or clock.now() >= change.expires_at:
        state = machine.WORDS[change.state]  # type: ignore[index]
        raise errors.ChangeNotWaiting(f"CHG-{change.id} is {state}; it takes no reports")
    if not evaluated_at_revision(change) <= revision <= change.revision:
        raise ChangedSinceSeen(
            f"you looked at revision {revision} of CHG-{change.id}, and its gates were evaluated anew since: it is "
            f"revision {change.revision} now. Run the check again, and report on that",
            seen=str(revision), current=str(change.revision),
        )  # fmt: skip


def _reported(session: ReadSession, change: Change, name: str, by: str) -> ExternalCheck | None:
    """What this account has reported of a check of this revision before."""
    return session.scalars(
        select(ExternalCheck).where(
            ExternalCheck.change_id == change.id, ExternalCheck.revision == change.revision,
            ExternalCheck.name == name, ExternalCheck.reported_by == by,
        )
    ).one_or_none()  # fmt: skip


def _refuse_reporter(
    session: WriteSession, actor: Actor, change: Change, name: str, rules: Sequence[GateRule], *, passes: bool
) -> None:
    """`NotAllowed` where the rule names other accounts for this check, or names none and this one is a decider's that
    says it passes. What speaks against the change is heard from any."""
    named = reporters_of(rules, name)
    if named:
        if _name_of(session, actor.person_id) not in named:
            raise NotAllowed(
                f"the rule {change.policy['name']!r} of CHG-{change.id} has {name} reported by {', '.join(named)}"
            )
        return
    for decision in change.counted if passes else ():
        if actor.people & {decision.person_id, decision.on_behalf_of}:
            raise NotAllowed(
                f"this account belongs to somebody who decided on CHG-{change.id}; another one reports {name}, or a "
                "rule of the policy names this one as its reporter"
            )


def refuse_reports(session: ReadSession, actor: Actor, on_behalf_of: str | None, change: Change) -> None:
    """`NotAllowed` for approving what rests on a report by an account of one's own that no rule names for it;
    `GateInconclusive` where it rests on one of an account that was disabled since."""
    rules = [GateRule.model_validate(rule) for rule in change.policy["gates"] if rule["gate"] == EXTERNAL]
    if not rules:
        return
    gone = lost_reports(session, change)
    if gone:
        raise errors.GateInconclusive(
            f"CHG-{change.id}: {'; '.join(gone)}. Have the gates evaluated again", gates=[EXTERNAL]
        )
    reports = session.execute(
        select(ExternalCheck.name, ExternalCheck.reported_by, Person.owner_id)
        .join(Person, Person.id == ExternalCheck.reported_by)
        .where(ExternalCheck.change_id == change.id, ExternalCheck.revision == change.revision)
    )
    hands = {*actor.people, on_behalf_of}
    own = sorted({row.name for row in reports if hands & {row.reported_by, row.owner_id or ""}
                  and not reporters_of(rules, row.name)})  # fmt: skip
    if own:
        raise NotAllowed(
            f"an account of yours reported {', '.join(own)} of CHG-{change.id}; somebody else has to approve it"
        )


def lost_reports(session: ReadSession, change: Change) -> list[str]:
    """Each check whose pass is part of the results and rests on accounts of which one was disabled since, in words."""
    passed = {
        one["reported_by"]: name
        for result in change.gates
        if result["gate"] == EXTERNAL
        for name, reports in (result.get("details") or {}).items()
        for one in reports
        if one["verdict"] == "pass" and one["reported_by"]
    }
    owner = aliased(Person)
    rows = session.execute(
        select(Person.id, Person.username)
        .outerjoin(owner, owner.id == Person.owner_id)
        .where(Person.id.in_(passed), Person.disabled_at.is_not(None) | owner.disabled_at.is_not(None))
    ).all() if passed else ()  # fmt: skip
    return sorted(
        f"{passed[row.id]} was reported by {row.username}, which was disabled since" for row in rows
    )


def reporters_of(rules: Sequence[GateRule], name: str) -> tuple[str, ...]:
    """The accounts that a rule names for a check; empty where it names none."""
    from backend.governance.gates.external import Settings

    every = [Settings.model_validate(rule.parameters).reporters.get(name, ()) for rule in rules]
    return tuple(sorted({one for named in every for one in named}))


def require_reporters(session: ReadSession, document: PolicyDocument) -> None:
    """`BadInput` where the policy names a reporter who is no service account here: whoever made one of that name would
    be trusted by it."""
    named: dict[str, str] = {}  # account -> the first rule that names it
    for entry in document.rules:
        rules = [rule for rule in entry.rule.gates if rule.gate == EXTERNAL]
        for name in sorted(
            {one for rule in rules for check in _checks(rule) for one in reporters_of(rules, check)}
        ):
            named.setdefault(name, entry.name)
    known = set(
        session.scalars(
            select(Person.username).where(
                Person.username.in_(named), Person.kind == "service", Person.disabled_at.is_(None)
            )
        )
    )
    told = [f"{name} (rule {rule!r})" for name, rule in named.items() if name not in known]
    if told:
        raise BadInput(
            f"this policy is refused: its reporters {', '.join(told)} are no service accounts that are in use; create "
            "them first, or correct the names",
            field="document",
        )


def _name_of(session: ReadSession, person_id: str) -> str:
    return session.get_one(Person, person_id).username


def _checks(rule: GateRule) -> tuple[str, ...]:
    from backend.governance.gates.external import Settings

    return Settings.model_validate(rule.parameters).checks


def _checked_url(url: str) -> str:
    url = url.strip()
    if len(url) > LONGEST_URL or (url and not url.startswith(("https://", "http://"))):
        raise BadInput(f"the url is a web address of at most {LONGEST_URL} characters", field="url")
    return without_credentials(url)


def with_reports(
    session: WriteSession, change: Change, results: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The results, with that of the external gate as the reports are now."""
    rules = [GateRule.model_validate(rule) for rule in change.policy["gates"] if rule["gate"] == EXTERNAL]
    if not rules or change.model is None or change.to_version is None:
        return results
    model = session.get_one(Model, change.model)
    after = session.get_one(Version, (change.model, change.to_version))
    asked = Asked(
        session=session, model=model, spec=parse_spec(model.spec), environment=change.environment, before=None,
        before_cutoff=change.from_cutoff, after=after,
        after_cutoff=after.cutoff if change.to_cutoff is None else change.to_cutoff, change_id=change.id,
        revision=change.revision,
    )  # fmt: skip
    fresh = evaluate(rules[0], asked).as_dict()
    return [fresh if result["gate"] == EXTERNAL else result for result in results]


def _says(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the external gate says, and each of its checks."""
    from backend.governance.gates.external import worst

    found: dict[str, Any] = {}
    for result in results:
        if result["gate"] == EXTERNAL:
            found[""] = result["verdict"]
            for name, reports in (result.get("details") or {}).items():
                found[name] = worst(one["verdict"] for one in reports)
    return found


def _take_in(session: WriteSession, change: Change) -> bool:
    """Replace the result of the external gate. Where somebody has decided, that is another revision; False where it
    would say the same: nobody takes a decision away by reporting the same in other words."""
    if change.counted:
        if _says(with_reports(session, change, change.gates)) == _says(change.gates):
            return False
        reopen(change, "recheck")
        reports = session.scalars(
            select(ExternalCheck)
            .where(ExternalCheck.change_id == change.id, ExternalCheck.revision == change.revision)
            .order_by(ExternalCheck.id)
        ).all()
        change.revision += 1
        for one in reports:  # what was asked for is the same, and so is what was found of it
            session.add(
                ExternalCheck(
                    change_id=change.id, name=one.name, revision=change.revision, verdict=one.verdict, text=one.text,
                    url=one.url, reported_by=one.reported_by, reported_at=one.reported_at,
                )
            )  # fmt: skip
        session.flush()
        change.state = machine.after(change.state, "gates_settled", what=f"CHG-{change.id}")
    change.gates = with_exceptions(session, change, with_reports(session, change, change.gates))
    change.gates_at = clock.now()
    change.digest = signed_digest(change)
    session.flush()
    keep_snapshot(session, change)
    record(
        session, GOVERNANCE, Action.GATES_EVALUATED, object_kind="change", object_id=change.id,
        payload={"digest": change.digest, "gates": digest_of(change.gates), "revision": change.revision,
                 "shown": shown_digest(change),
                 "verdicts": {result["gate"]: result["verdict"] for result in change.gates}},
    )  # fmt: skip
    return True
