"""Who agreed to what serves, what the gates said, and whether there is a way back."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from backend.assurance.as_of import UNKNOWN
from backend.audit.change_checks import lacking_approvals
from backend.audit.change_entries import told_of
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import (
    aged,
    change_link,
    count,
    is_older,
    missing,
    model_link,
    no_version,
    not_shown,
    utc,
)
from backend.controls.queries.registry import query
from backend.controls.queries.versions import model_then, not_entered
from backend.deployment.tables import Deployment
from backend.governance.deciding import quorum_reached
from backend.governance.health import earlier_versions, last_healthy
from backend.governance.policies import active_policy, built_in, policy_revision
from backend.governance.tables import Change, Condition, Policy, RegistryMove, Review, RolloutStep


def serving(asked: Question) -> Deployment | None:
    """The champion that served at the moment asked about."""
    return asked.session.scalars(
        select(Deployment)
        .where(
            Deployment.model == asked.name, Deployment.environment == asked.environment,
            Deployment.role == "champion", Deployment.started_at <= asked.at, Deployment.state != "failed",
            (Deployment.ended_at.is_(None)) | (Deployment.ended_at > asked.at),
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).first()  # fmt: skip


def _brought(asked: Question) -> Change | Evidence:
    """The change that brought the version into service, the last one by then; else why there is none."""
    if asked.version is None:
        return no_version(asked)
    opened = asked.session.scalars(
        select(Deployment)
        .where(
            Deployment.model == asked.name, Deployment.environment == asked.environment,
            Deployment.version == asked.version, Deployment.role == "champion",
            Deployment.started_at <= asked.at,
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).first()  # fmt: skip
    if opened is None:
        return missing(
            f"version {asked.version} has not served in {asked.environment}", model_link(asked.name)
        )
    change = asked.session.get(Change, opened.change_id) if opened.change_id is not None else None
    if change is None:
        told = f"version {asked.version} came into service on {utc(opened.started_at)} without a change on record"
        return missing(told, Link("deployment", str(opened.id), f"deployment {opened.id}"))
    return change


@query("approved_change", "People agreed before it served")
def approved_change(asked: Question) -> Evidence:
    """The change that brought the version into service: approved by others than who asked and who trained it, or
    executed without a decision and reviewed afterwards."""
    found = _brought(asked)
    if isinstance(found, Evidence):
        return found
    link, at, mark = change_link(found.id), found.finished_at or found.requested_at, found.digest
    if found.break_glass:
        review = asked.session.get(Review, found.id)
        if review is None or review.reviewed_at is None or review.reviewed_at > asked.at:
            return missing(
                f"CHG-{found.id} was executed without a decision, and nobody has reviewed it", link
            )
        verdict = (review.verdict or "").replace("_", " ")
        told = f"CHG-{found.id} was executed without a decision; reviewed afterwards: {verdict}"
        state = "present" if review.verdict == "justified" else "contradicted"
        return Evidence(state, told, review.reviewed_at, (link,), f"{mark} {review.verdict}")  # type: ignore[arg-type]
    approvals = [one for one in found.counted if one.verdict == "approve"]
    if not approvals:
        if found.way_back_id is not None:
            return Evidence("present", f"CHG-{found.id} is a return agreed in advance", at, (link,), mark)
        return missing(f"CHG-{found.id} was executed, and no approval of it is on record", link)
    barred = {found.requested_by, found.trained_by} - {None}
    if any({one.person_id, one.on_behalf_of} & barred for one in approvals):
        told = f"CHG-{found.id} was approved by who asked for it or trained it"
        return Evidence("contradicted", told, at, (link,), mark)
    lacks = lacking_approvals(found, told_of(asked.session, [found.id]).get(found.id, []))
    if lacks or not quorum_reached(found):
        told = f"CHG-{found.id} was executed, and {lacks or 'its rule asks for more approvals than it has'}"
        return Evidence("contradicted", told, at, (link,), mark)
    told = f"CHG-{found.id}, {count(len(approvals), 'approval')} by others than who asked or trained it"
    return Evidence("present", told, at, (link,), mark)


@query("gates_passed", "Automated checks before it served")
def gates_passed(asked: Question) -> Evidence:
    """Every gate of the change that brought the version into service."""
    found = _brought(asked)
    if isinstance(found, Evidence):
        return found
    link = change_link(found.id)
    if not found.gates:
        return missing(f"CHG-{found.id} had to pass no gate", link)
    at, mark = found.gates_at or found.requested_at, found.digest
    failed = [one["title"] for one in found.gates if one["verdict"] == "fail"]
    if failed:
        told = f"CHG-{found.id} was executed although these failed: {', '.join(failed)}"
        return Evidence("contradicted", told, at, (link,), mark)
    unclear = [one["title"] for one in found.gates if one["verdict"] != "pass"]
    if unclear:
        told = f"of {count(len(found.gates), 'gate')} of CHG-{found.id} inconclusive: {', '.join(unclear)}"
        return Evidence("missing", told, at, (link,), mark)
    return Evidence(
        "present", f"{count(len(found.gates), 'gate')} of CHG-{found.id} passed", at, (link,), mark
    )


@query("gate", "Gate: {gate}")
def gate(asked: Question, *, gate: str) -> Evidence:
    """One gate of the change that brought the version into service."""
    found = _brought(asked)
    if isinstance(found, Evidence):
        return found
    link = change_link(found.id)
    result = next((one for one in found.gates if one["gate"] == gate), None)
    words = gate.replace("_", " ")
    if result is None:
        return missing(f"{words} was not asked of CHG-{found.id}", link)
    states = {"pass": "present", "fail": "contradicted"}
    return Evidence(
        states.get(result["verdict"], "missing"), f"{words}: {result['text']}",  # type: ignore[arg-type]
        found.gates_at, (link,), found.digest,
    )  # fmt: skip


@query("conditions_hold", "What was promised still holds", moment="now")
def conditions_hold(asked: Question, *, max_age_days: float = 7) -> Evidence:
    """Conditions of the approval that have to go on holding while the version serves, as they were last checked."""
    opened = serving(asked)
    if opened is None:
        return missing(f"nothing of {asked.name} serves in {asked.environment}", model_link(asked.name))
    rows = asked.session.scalars(select(Condition).where(Condition.deployment_id == opened.id)).all()
    if not rows:
        return missing("the approval of what serves set no condition that goes on", model_link(asked.name))
    links = tuple(change_link(number) for number in sorted({one.change_id for one in rows}))
    mark = ",".join(f"{one.gate}:{one.state}" for one in rows)
    broken = [one for one in rows if one.state == "broken"]
    if broken:
        return Evidence("contradicted", broken[0].text or broken[0].gate, broken[0].broken_at, links, mark)
    unknown = [one for one in rows if one.state != "holds" or one.checked_at is None]
    if unknown:
        names = ", ".join(one.gate.replace("_", " ") for one in unknown)
        return Evidence("missing", f"whether these hold is not known: {names}", None, links, mark)
    oldest = min(one.checked_at for one in rows if one.checked_at is not None)
    return aged(
        asked, oldest, max_age_days, f"{count(len(rows), 'condition')} checked, all hold", links=links, mark=mark
    )  # fmt: skip


@query("decisions_apart", "Nobody decided on their own request", about="either")
def decisions_apart(asked: Question, *, days: float = 365) -> Evidence:
    """Decisions on executed changes of the last days: whether anybody decided on what they had asked for or trained."""
    wanted = select(Change).where(
        Change.state == "executed", Change.finished_at <= asked.at,
        Change.finished_at > asked.at - timedelta(days=days),
    )  # fmt: skip
    if asked.model is not None:
        wanted = wanted.where(Change.model == asked.name)
    changes = asked.session.scalars(wanted.order_by(Change.id.desc()).limit(500)).all()
    decided = [one for one in changes if any(d.verdict == "approve" for d in one.counted)]
    if not decided:
        return missing(
            f"no change of {asked.subject} was decided on and executed in the {days:g} days before"
        )
    own = [
        one
        for one in decided
        if any(
            d.verdict == "approve"
            and {d.person_id, d.on_behalf_of} & ({one.requested_by, one.trained_by} - {None})
            for d in one.counted
        )
    ]
    newest = decided[0].finished_at
    if own:
        told = f"CHG-{own[0].id} was approved by who asked for it or trained the version"
        return Evidence(
            "contradicted", told, newest, tuple(change_link(one.id) for one in own[:10]), str(own[0].id)
        )
    told = f"{count(len(decided), 'decided change')}, none approved by who asked or trained"
    return Evidence("present", told, newest, tuple(change_link(one.id) for one in decided[:5]))


@query("urgent_reviewed", "Changes without a decision are reviewed", about="either")
def urgent_reviewed(asked: Question, *, days: float = 365) -> Evidence:
    """Changes that were executed without a decision: whether somebody else reviewed each in time."""
    wanted = (
        select(Review, Change)
        .join(Change, Change.id == Review.change_id)
        .where(Change.requested_at <= asked.at, Change.requested_at > asked.at - timedelta(days=days))
    )
    if asked.model is not None:
        wanted = wanted.where(Change.model == asked.name)
    rows = asked.session.execute(wanted.order_by(Review.due_at)).all()
    if not rows:
        return not_shown(f"nothing was changed without a decision in the {days:g} days before")
    owed = [
        (review, change)
        for review, change in rows
        if review.due_at <= asked.at and (review.reviewed_at is None or review.reviewed_at > asked.at)
    ]
    if owed:
        told = f"the review of CHG-{owed[0][1].id} was due {utc(owed[0][0].due_at)} and is not done"
        links = tuple(change_link(change.id) for _, change in owed[:10])
        return Evidence("contradicted", told, owed[0][0].due_at, links, str(owed[0][1].id))
    links = tuple(change_link(change.id) for _, change in rows[:10])
    told = f"{count(len(rows), 'change')} without a decision, none with an overdue review"
    return Evidence("present", told, max(change.requested_at for _, change in rows), links)


@query("way_back", "An earlier version to return to", moment="now")
def way_back(asked: Question) -> Evidence:
    """A version that served before and is known to have done so healthily."""
    if asked.model is None or not asked.model.described:
        return missing(f"{asked.name} is not described here, and nothing of it serves from here")
    found = earlier_versions(asked.session, asked.viewer, asked.name, asked.environment)
    healthy = last_healthy(found)
    if healthy is None:
        told = found[0].because if found else "no other version has served"
        return missing(
            f"no earlier version is known to have served healthily: {told}", model_link(asked.name)
        )
    return Evidence(
        "present", f"version {healthy.version}: {healthy.because}", None, (model_link(asked.name),),
        f"version {healthy.version}",
    )  # fmt: skip


@query("moves_outside", "Nothing was moved outside the record")
def moves_outside(asked: Question, *, max_age_days: float = 2) -> Evidence:
    """Aliases in MLflow that were moved past the record and are not answered for, as they were last looked at."""
    first, last = (
        (asked.model.aliases_seen_at, asked.model.aliases_looked_at) if asked.model else (None, None)
    )
    if first is None or last is None or first > asked.at:
        return not_shown("nobody had looked at the aliases of its registry yet", model_link(asked.name))
    moves = asked.session.scalars(
        select(RegistryMove)
        .where(RegistryMove.model == asked.name, RegistryMove.found_at <= asked.at)
        .order_by(RegistryMove.id.desc())
    ).all()
    if not asked.is_now and moves:
        return not_shown("when each move was answered for stands only in the log", model_link(asked.name))
    still = [one for one in moves if one.state == "open"]
    if still:
        told = f"{still[0].alias} was moved past the record on {utc(still[0].found_at)}, and nobody has answered for it"
        return Evidence("contradicted", told, still[0].found_at, (model_link(asked.name),), str(still[0].id))
    told = (
        f"{count(len(moves), 'move')} found outside, each answered for"
        if moves
        else "no move was found outside"
    )
    seen = min(last, asked.at)
    told = f"{told}, last looked at {seen:%Y-%m-%d %H:%M:%S UTC}"
    return aged(asked, seen, max_age_days, told, links=(model_link(asked.name),))


@query("rollout_in_steps", "Brought into service step by step")
def rollout_in_steps(asked: Question) -> Evidence:
    """Whether the version that serves was first tried on a share of the traffic, and what was seen."""
    found = _brought(asked)
    if isinstance(found, Evidence):
        return found
    link = change_link(found.id)
    steps = asked.session.scalars(
        select(RolloutStep).where(RolloutStep.change_id == found.id).order_by(RolloutStep.number)
    ).all()
    watched = [one for one in steps if one.verdict in ("success", "inconclusive", "failure")]
    if not watched:
        return missing(f"CHG-{found.id} brought it into service at once", link)
    unclear = [one for one in watched if one.verdict != "success"]
    if unclear:
        told = f"step {unclear[0].number} of CHG-{found.id} was {unclear[0].verdict}"
        state = "contradicted" if unclear[0].verdict == "failure" else "missing"
        return Evidence(state, told, unclear[0].finished_at, (link,), found.digest)  # type: ignore[arg-type]
    told = f"{count(len(watched), 'step')} of CHG-{found.id} were watched and went well"
    return Evidence("present", told, watched[-1].finished_at, (link,), found.digest)


@query("policy_in_force", "A policy says who has to agree", about="house")
def policy_in_force(asked: Question, *, max_age_days: float = 730) -> Evidence:
    """The policy of changes that was in force. The built-in one governs where nobody agreed on another."""
    row = asked.session.scalars(
        select(Policy).where(Policy.created_at <= asked.at).order_by(Policy.revision.desc()).limit(1)
    ).first()
    if row is None:
        return missing(
            "the built-in policy governs; nobody here has agreed on one of the house's own",
            Link("policy", "1", "policy revision 1"),
        )
    link = Link("policy", str(row.revision), f"policy revision {row.revision}")
    told = f"revision {row.revision}, in force since {utc(row.created_at)}"
    return aged(asked, row.created_at, max_age_days, told, links=(link,), mark=row.digest)


@query("rule_for_tier", "The policy has a rule for its tier")
def rule_for_tier(asked: Question) -> Evidence:
    """What the policy that was in force asks of a change of this model into service."""
    tier = asked.model.tier if asked.model is not None else ""
    if not asked.is_now:
        then = model_then(asked)
        if then is None:
            return not_entered(asked)
        tier = then.tier
        if tier == UNKNOWN:
            return not_shown(f"its tier on {utc(asked.at)} was erased from the log", model_link(asked.name))
        row = asked.session.scalars(
            select(Policy.revision)
            .where(Policy.created_at <= asked.at)
            .order_by(Policy.revision.desc())
            .limit(1)
        ).first()
        policy = policy_revision(asked.session, asked.viewer, row) if row is not None else built_in()
    else:
        policy = active_policy(asked.session)
    entry = policy.document.entry_for("promote", tier, asked.environment)
    rule = entry.rule
    link = Link("policy", str(policy.revision), f"policy revision {policy.revision}")
    asks = (
        ", ".join(f"{number} {role}" for role, number in rule.roles.items()) if rule.roles else "nobody named"
    )
    gates = count(len(rule.gates), "gate")
    if not rule.allowed:
        told = f"“{entry.name}” lets no version of tier {tier} serve"
        return Evidence("present", told, None, (link,), policy.digest)
    if not rule.gates:
        return missing(f"“{entry.name}” asks {asks} and no gate of a change of tier {tier}", link)
    return Evidence("present", f"“{entry.name}”: {asks}, {gates}", None, (link,), policy.digest)


def newest_executed(asked: Question) -> Change | None:
    """The newest change of the model that was executed by then."""
    return asked.session.scalars(
        select(Change)
        .where(Change.model == asked.name, Change.state == "executed", Change.finished_at <= asked.at)
        .order_by(Change.finished_at.desc())
        .limit(1)
    ).first()


@query("changes_recorded", "Changes through the lifecycle are on record")
def changes_recorded(asked: Question) -> Evidence:
    """Changes of the model with who asked, why, what the gates said and who decided."""
    newest = newest_executed(asked)
    opened = serving(asked)
    if newest is None:
        return missing("no change of it has been executed through the record", model_link(asked.name))
    if opened is not None and opened.change_id is None:
        told = f"what serves since {utc(opened.started_at)} came without a change"
        return Evidence("contradicted", told, opened.started_at, (model_link(asked.name),), str(opened.id))
    old = ", none in the last year" if is_older(asked, newest.finished_at or asked.at, 365) else ""
    return Evidence(
        "present", f"the last is CHG-{newest.id} ({newest.kind}){old}", newest.finished_at, (change_link(newest.id),)
    )  # fmt: skip
