"""What the rules in force say of a move of an alias that was made elsewhere. They are asked, and block nothing here.

Refused: one thing at least that the rules ask for is known to be missing. Unknown: nothing is known to be missing, and
something could not be known. Allowed: an approved change asks for exactly this, and still covers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.deployment.service import champion
from backend.governance.gates import Asked, Finding, evaluate, gates
from backend.governance.policies import active_policy
from backend.governance.policy_rules import GateRule, Rule
from backend.governance.standing import what_differs_now
from backend.governance.tables import Change
from backend.monitoring.columns import parse_spec
from backend.registry.inventory import STAGE, VersionEntry
from backend.registry.tables import ImportedVersion, Model, Version
from backend.settings import settings

Says = Literal["refused", "unknown"]
Verdict = Literal["allowed", "refused", "unknown"]


@dataclass(frozen=True)
class Reason:
    """One thing that speaks against a move. `check` is what reports count by: approval, freeze, gate ..."""

    check: str
    says: Says
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.check, "says": self.says, "text": self.text}


@dataclass(frozen=True)
class Judgement:
    """What the rule `rule` of policy revision `revision` says."""

    rule: str
    revision: int
    reasons: tuple[Reason, ...]

    @property
    def would_be(self) -> Verdict:
        if any(reason.says == "refused" for reason in self.reasons):
            return "refused"
        return "unknown" if self.reasons else "allowed"


def environment_of(alias: str) -> str | None:
    """Into which environment an alias or stage brings a version; None where nothing says so.

    `champion` mirrors one environment (`WARRANT_CHAMPION_ENVIRONMENT`). The name of this installation's environment,
    `production` and `staging` stand for those; other names are anybody's.
    """
    name = alias.removeprefix(STAGE).lower()
    if name == "champion":
        return settings().mirrored_environment
    if name == settings().environment.lower():
        return settings().environment
    return name if name in ("production", "staging") else None


def judge_move(
    session: ReadSession, model: Model, *, alias: str, to_version: int | None, at: datetime
) -> Judgement:
    """Ask the rule for a promotion (for a retirement, where the alias was taken away) in the alias's environment."""
    policy = active_policy(session)
    environment = environment_of(alias)
    if environment is None:
        unsaid = Reason(
            "environment",
            "unknown",
            f"which environment the alias {alias} brings a version into is not known",
        )
        return Judgement("", policy.revision, (unsaid,))
    kind = "retire" if to_version is None else "promote"
    entry = policy.document.entry_for(kind, model.tier, environment)
    if not entry.rule.allowed:
        check = "prohibited tier" if model.tier == "prohibited" else "not allowed"
        return Judgement(entry.name, policy.revision, (Reason(check, "refused", entry.rule.because),))
    reasons: list[Reason] = []
    frozen = policy.document.frozen_until(kind, environment, at)
    if frozen is not None:
        reasons.append(
            Reason("freeze", "refused", f"the freeze {frozen[0].name} held until {frozen[1]:%Y-%m-%d %H:%M:%S UTC}")
        )  # fmt: skip
    change = _approved_change(session, model.name, environment, kind, to_version)
    if change is None:
        reasons += _without_approval(entry.rule)
        if to_version is not None:
            reasons += _of_gates(session, model, environment, to_version, entry.rule)
    else:
        reasons += [Reason("approval", "refused", f"CHG-{change.id} was approved, and no longer covers it: {one}")
                    for one in what_differs_now(session, change)]  # fmt: skip
    return Judgement(entry.name, policy.revision, tuple(reasons))


def _approved_change(
    session: ReadSession, model: str, environment: str, kind: str, to_version: int | None
) -> Change | None:
    """The newest change that asks for just this, if it is approved and has not been carried out yet."""
    kinds = ("retire",) if kind == "retire" else ("promote", "rollback")
    newest = session.scalars(
        select(Change)
        .where(
            Change.model == model, Change.environment == environment, Change.kind.in_(kinds),
            Change.to_version.is_(None) if to_version is None else Change.to_version == to_version,
        )
        .order_by(Change.id.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    return newest if newest is not None and newest.state in ("approved", "executing") else None


def _without_approval(rule: Rule) -> list[Reason]:
    needed = ", ".join(f"{count} by {role.replace('_', ' ')}" for role, count in rule.roles.items())
    return [
        Reason("approval", "refused", f"no approval is recorded; it needs {needed}"),
        Reason("same person", "unknown",
               "MLflow does not say who moved it, so it is not known whether who trained it did"),
    ]  # fmt: skip


def _of_gates(
    session: ReadSession, model: Model, environment: str, to_version: int, rule: Rule
) -> list[Reason]:
    """Required gates, those that the record can answer asked now: none of their files is read, nothing is loaded."""
    required = [gate for gate in rule.gates if gate.required]
    if not required:
        return []
    version = session.get(Version, (model.name, to_version))
    if version is None:
        imported = session.get(ImportedVersion, (model.name, to_version))
        gaps = VersionEntry(to_version, imported, None, ()).gaps[:3]
        why = f"version {to_version} is not registered with Warrant ({'; '.join(gaps)})"
        return [Reason(f"gate {gate.gate}", "unknown", f"it cannot be asked: {why}") for gate in required]
    serving = champion(session, model.name, environment)
    before = session.get(Version, (model.name, serving.version)) if serving is not None else None
    asked = Asked(
        session=session, model=model, spec=parse_spec(model.spec), environment=environment, before=before,
        before_cutoff=serving.cutoff if serving is not None else None, after=version, after_cutoff=version.cutoff,
    )  # fmt: skip
    found = [(gate, _answer(gate, asked)) for gate in required]
    return [
        Reason(f"gate {gate.gate}", "refused" if finding.verdict == "fail" else "unknown", finding.text)
        for gate, finding in found
        if finding.verdict != "pass"
    ]


def _answer(rule: GateRule, asked: Asked) -> Finding:
    if gates()[rule.gate].needs != "record":
        return Finding("inconclusive", "its files would have to be read, which only a change asks for")
    return evaluate(rule, asked).finding
