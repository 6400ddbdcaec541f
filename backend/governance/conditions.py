"""What an approval promised for as long as its version serves: gates that go on being asked, and when to approve anew.

Conditions are opened when a change has been executed and looked at by a schedule. Each is `holds`, `broken` or
`unknown`; unknown is never taken for holding, and a broken one stays broken until it is seen to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Select, select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.cards.binding import bound_card
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.errors import WarrantError
from backend.governance import machine
from backend.governance.agreed_returns import finished_at
from backend.governance.digests import digest_of
from backend.governance.excepted import exceptions_for
from backend.governance.gates import Asked, evaluate, gates
from backend.governance.policies import active_policy, rule_digest, stored_rule
from backend.governance.policy_rules import GateRule
from backend.governance.tables import Change, Condition, WayBack
from backend.governance.urgent import return_on_breach, taken_with
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.monitoring.columns import parse_spec
from backend.registry.artefacts import file_digest
from backend.registry.service import get_model
from backend.registry.tables import Model, Version

REAPPROVAL: Final = "reapproval"
ALERT: Final = "condition"
State = Literal["holds", "broken", "unknown"]
_STATES: Final[Mapping[str, State]] = {"pass": "holds", "fail": "broken", "inconclusive": "unknown"}
_MOVED: Final = {
    "card": "the model card changed", "reference": "the reference data changed", "tier": "the risk tier changed",
    "spec": "the model's spec changed", "policy": "another rule governs it now",
}  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """How one condition stands."""

    condition_id: int
    state: State
    text: str


def open_conditions(session: WriteSession, change: Change, deployment_id: int) -> list[Condition]:
    """Open what the change's rule says has to go on holding of this deployment. Doing it again adds nothing.

    A version that returns, or goes on with another cut-off, keeps what was promised when it was promoted: nobody
    promised less. What the change's own rule asks of the same gate takes its place.
    """
    if change.model is None or change.to_version is None:
        return []
    known = {
        one.gate for one in session.scalars(select(Condition).where(Condition.deployment_id == deployment_id))
    }
    wanted: dict[str, dict[str, Any]] = {
        rule["gate"]: rule["parameters"] for rule in change.policy.get("conditions") or ()
    }
    days, on = change.policy.get("reapprove_after_days"), change.policy.get("reapprove_on") or []
    if days or on:
        wanted[REAPPROVAL] = {"after_days": days, "on": list(on), "was": _parts(session, change)}
    promised = {gate: (change.id, parameters) for gate, parameters in wanted.items()}
    if change.kind != "promote":
        promised = _promised_before(session, deployment_id) | promised
    opened = [
        Condition(
            change_id=by, deployment_id=deployment_id, gate=gate, parameters=parameters, state="unknown",
            text="not checked yet",
        )
        for gate, (by, parameters) in promised.items()
        if gate not in known
    ]  # fmt: skip
    session.add_all(opened)
    session.flush()
    return opened


def _promised_before(session: ReadSession, deployment_id: int) -> dict[str, tuple[int, dict[str, Any]]]:
    """Gate -> the change that promised it, and its parameters, when this version last served before."""
    now = session.get_one(Deployment, deployment_id)
    before = session.scalars(
        select(Deployment.id)
        .where(
            Deployment.model == now.model, Deployment.environment == now.environment,
            Deployment.version == now.version, Deployment.role == "champion", Deployment.id < now.id,
            Deployment.serving_at.is_not(None), Deployment.state != "failed",
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).first()  # fmt: skip
    rows = session.scalars(select(Condition).where(Condition.deployment_id == before))
    return {one.gate: (one.change_id, one.parameters) for one in rows}


def models_to_check(session: ReadSession) -> list[str]:
    """Models with an open deployment under conditions, or with an alert of one that has ended since."""
    under = (
        select(Deployment.model)
        .join(Condition, Condition.deployment_id == Deployment.id)
        .where(Deployment.ended_at.is_(None))
    )
    alarmed = select(Alert.model).where(Alert.kind == ALERT, Alert.state == "firing")
    return sorted(set(session.scalars(under)) | set(session.scalars(alarmed)))


def evaluate_conditions(session: ReadSession, model_name: str) -> list[Checked]:
    """Ask every condition of what serves now. Changes nothing."""
    found: list[Checked] = []
    for condition, deployment in session.execute(
        select(Condition, Deployment)
        .join(Deployment, Deployment.id == Condition.deployment_id)
        .where(Deployment.model == model_name, Deployment.ended_at.is_(None))
        .order_by(Condition.id)
    ):
        state, text = (
            _reapproval(session, condition)
            if condition.gate == REAPPROVAL
            else _ask(session, condition, deployment)
        )
        found.append(Checked(condition.id, state, text))
    return found


def _ask(session: ReadSession, condition: Condition, deployment: Deployment) -> tuple[State, str]:
    if condition.gate not in gates():
        return "unknown", f"the gate {condition.gate} is no longer installed"
    model = session.get_one(Model, deployment.model)
    asked = Asked(
        session=session, model=model, spec=parse_spec(model.spec), environment=deployment.environment, before=None,
        before_cutoff=None, after=session.get_one(Version, (deployment.model, deployment.version)),
        after_cutoff=deployment.cutoff,
    )  # fmt: skip
    finding = evaluate(GateRule(gate=condition.gate, parameters=condition.parameters), asked).finding
    if finding.verdict == "fail":
        promised = session.get_one(Change, condition.change_id)
        exception = exceptions_for(session, promised).get(condition.gate)
        if exception is not None:
            return (
                "unknown",
                f"EXC-{exception.id} excepts the model from it; else it would be broken: {finding.text}",
            )
    return _STATES[finding.verdict], finding.text


def _reapproval(session: ReadSession, condition: Condition) -> tuple[State, str]:
    """Whether the approval has aged out, or something that it rested on has moved since."""
    change = session.get_one(Change, condition.change_id)
    parameters = condition.parameters
    days, was = parameters["after_days"], parameters["was"]
    since = finished_at(session, change) or change.requested_at
    now = _parts(session, change)
    moved = [part for part in parameters["on"] if now.get(part) != was.get(part)]
    lost = [part for part in moved if now.get(part) is None]
    reasons = [_MOVED[part] for part in moved if part not in lost]
    if days and clock.now() >= since + timedelta(days=days):
        reasons.append(f"it was approved more than {days:g} days ago, at {since:%Y-%m-%d}")
    if reasons:
        return "broken", f"CHG-{change.id} has to be approved anew: {'; '.join(reasons)}"
    if lost:
        return "unknown", f"the {', '.join(lost)} that CHG-{change.id} rested on cannot be read"
    until = f" until {since + timedelta(days=days):%Y-%m-%d}" if days else ""
    return "holds", f"the approval of CHG-{change.id} stands{until}"


def _parts(session: ReadSession, change: Change) -> dict[str, str | None]:
    """Digests of what an approval rests on, as it is now; None for a file that is gone."""
    model = session.get_one(Model, change.model)
    version = session.get_one(Version, (change.model, change.to_version))
    policy = active_policy(session)
    entry = policy.document.entry_for(change.kind, model.tier, change.environment)
    return {
        "card": bound_card(session, version), "reference": _file(version.reference_path), "tier": model.tier,
        "spec": digest_of(model.spec), "policy": rule_digest(stored_rule(policy, entry)),
    }  # fmt: skip


def _file(path: str) -> str | None:
    return file_digest(Path(path)) if Path(path).is_file() else None


def note_conditions(session: WriteSession, actor: Actor, model: str, found: list[Checked]) -> list[Change]:
    """Write down how the conditions stand, alert on a breach, and take the agreed way back where the rule says so.

    Gives the returns that were taken. A breach is acted on once; checking it again refreshes its alert.
    """
    taken: list[Change] = []
    for one in found:
        condition = session.scalars(
            select(Condition).where(Condition.id == one.condition_id).with_for_update()
        ).one()
        deployment = session.get_one(Deployment, condition.deployment_id)
        if deployment.ended_at is not None:
            continue
        newly_broken = one.state == "broken" and condition.broken_at is None
        mended = one.state == "holds" and condition.broken_at is not None
        if one.state != "unknown" or condition.broken_at is None:
            condition.state = one.state
        # What was broken and cannot be told now stays broken; the text says that it cannot be told.
        condition.text, condition.checked_at = one.text, clock.now()
        if newly_broken:
            condition.broken_at = clock.now()
        elif mended:
            condition.broken_at = None
        session.flush()
        if newly_broken or mended:
            record(
                session, actor, Action.CONDITION_BROKEN if newly_broken else Action.CONDITION_HOLDS,
                object_kind="deployment", object_id=deployment.id,
                payload={"condition": condition.id, "gate": condition.gate, "change": condition.change_id},
                why=one.text,
            )  # fmt: skip
        if mended:
            for alert in session.scalars(_firing(deployment, condition.gate)).all():
                resolve(session, actor, alert, why=one.text)
        if condition.state == "broken":
            change = _breach(session, actor, condition, deployment)
            taken += [change] if change is not None else []
    _resolve_ended(session, actor, model)
    return taken


def _breach(
    session: WriteSession, actor: Actor, condition: Condition, deployment: Deployment
) -> Change | None:
    change = session.get_one(Change, condition.change_id)
    on_breach = change.policy.get("on_breach", "ticket") if condition.gate != REAPPROVAL else "ticket"
    known = session.scalars(_firing(deployment, condition.gate)).one_or_none()
    details: dict[str, Any] = {
        "gate": condition.gate, "change": condition.change_id, "deployment": deployment.id, "on_breach": on_breach,
    }  # fmt: skip
    if known is not None and "return" in known.details:
        details["return"] = known.details["return"]
    name = "Reapproval is due" if condition.gate == REAPPROVAL else "Conditions broken"
    alert = fire(
        session, actor,
        Firing(
            deployment.model, deployment.environment, deployment.version, ALERT,
            "ticket" if on_breach == "ticket" else "page", f"{name}: {condition.text}", condition.gate,
            condition.broken_at or clock.now(), details,
        ),
    )  # fmt: skip
    if on_breach != "return":
        return None
    # After the alert, so that the return is asked under its incident and closes it.
    returned, said = _return(session, actor, condition, deployment, alert)
    if said:
        alert.details = {**details, "return": said}
        session.flush()
    return returned


def _firing(deployment: Deployment, gate: str) -> Select[Alert]:
    wanted = fingerprint(deployment.model, deployment.environment, ALERT, gate)
    return select(Alert).where(Alert.fingerprint == wanted, Alert.state == "firing").with_for_update()


def _return(
    session: WriteSession, actor: Actor, condition: Condition, deployment: Deployment, alert: Alert
) -> tuple[Change | None, str]:
    """Take the return that was agreed with the promotion; else why it could not be. "": it is being taken. What comes
    by itself is tried once, and people can take it again."""
    way = session.scalars(select(WayBack).where(WayBack.deployment_id == deployment.id)).one_or_none()
    if way is None:
        return None, "no return was agreed"
    if way.used_by is not None:
        return None, _came_to_nothing(session, way)
    try:
        with session.begin_nested():
            change = return_on_breach(
                session, actor, way.id,
                reason=f"condition {condition.gate} of CHG-{condition.change_id} broke: {condition.text}"[:4000],
                alert_id=alert.id,
            )  # fmt: skip
    except WarrantError as error:
        return None, f"the agreed return could not be taken: {error.message}"
    return change, f"CHG-{change.id} returns to version {way.to_version}"


def _came_to_nothing(session: ReadSession, way: WayBack) -> str:
    """What became of the change that took the return, where that is nothing; "" while it may come."""
    tried = session.get_one(Change, way.used_by)
    if taken_with(session, way) is not None:
        return ""
    return (
        f"CHG-{tried.id}, which was to return to version {way.to_version}, is {machine.WORDS[tried.state]}: "  # type: ignore[index]
        "somebody has to take the agreed return again, or ask for a rollback"
    )


def _resolve_ended(session: WriteSession, actor: Actor, model: str) -> None:
    """Alerts of conditions whose deployment no longer serves have nobody to be about."""
    for alert in session.scalars(
        select(Alert)
        .where(Alert.model == model, Alert.kind == ALERT, Alert.state == "firing")
        .with_for_update()
    ).all():
        deployment = session.get(Deployment, int(alert.details.get("deployment", 0)))
        if deployment is None or deployment.ended_at is not None:
            resolve(session, actor, alert, why="the deployment that promised it has ended")


def conditions_of(
    session: ReadSession, viewer: Actor, model: str, *, environment: str | None = None
) -> list[dict[str, Any]]:
    """Every condition of what serves now, the broken ones first."""
    see(session, viewer)
    get_model(session, viewer, model)
    query = (
        select(Condition, Deployment)
        .join(Deployment, Deployment.id == Condition.deployment_id)
        .where(Deployment.model == model, Deployment.ended_at.is_(None))
        .order_by(Condition.id)
    )
    if environment is not None:
        query = query.where(Deployment.environment == environment)
    titles = {name: gate.title for name, gate in gates().items()} | {REAPPROVAL: "Reapproval"}
    order: dict[str, int] = {"broken": 0, "unknown": 1, "holds": 2}
    rows = [
        {
            "id": condition.id, "gate": condition.gate, "title": titles.get(condition.gate, condition.gate),
            "state": condition.state, "text": condition.text, "checked_at": condition.checked_at,
            "broken_at": condition.broken_at, "change": f"CHG-{condition.change_id}", "deployment": deployment.id,
            "version": deployment.version, "environment": deployment.environment,
        }
        for condition, deployment in session.execute(query)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: order[str(row["state"])])
