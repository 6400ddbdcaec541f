"""Roles and permissions. A permission is one row here, named `scope:resource:action`."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    ON_CALL = "on_call"
    ML_ENGINEER = "ml_engineer"
    ML_LEAD = "ml_lead"
    COMPLIANCE = "compliance"
    ADMIN = "admin"
    AUDITOR = "auditor"  # from outside: reads, for a time, what concerns named models; has no other role
    SYSTEM = "system"  # Warrant's own processes; never given to a person


class Permission(StrEnum):
    READ_MODELS = "registry:model:read"
    REGISTER_VERSIONS = "registry:version:register"
    WRITE_CARDS = "cards:version:write"
    REVIEW_CARDS = "cards:version:review"
    INGEST = "observations:batch:ingest"
    COMPUTE_METRICS = "monitoring:metrics:compute"
    WRITE_REPORT = "monitoring:report:write"
    WRITE_MONITORS = "monitoring:monitor:write"
    WRITE_OBJECTIVES = "slo:objective:write"
    ACKNOWLEDGE = "alerting:incident:acknowledge"
    SET_ROTAS = "alerting:rota:set"
    REPORT_ALERTS = "alerting:alert:report"
    REQUEST_CHANGE = "governance:change:request"
    CANCEL_CHANGE = "governance:change:cancel"
    DECIDE_CHANGE = "governance:change:decide"
    READ_AUDIT = "audit:entry:read"
    READ_AUDIT_PAYLOAD = "audit:payload:read"
    ERASE_PAYLOADS = "audit:payload:erase"
    READ_JOBS = "jobs:run:read"
    RETRY_JOBS = "jobs:run:retry"
    MANAGE_PEOPLE = "identity:person:manage"
    REVIEW_ACCESS = "identity:access:review"
    MOVE_MODELS = "identity:team:move_model"
    MANAGE_OWN_TOKENS = "identity:token:manage"
    VALIDATE = "assurance:validation:record"
    HANDLE_FINDINGS = "assurance:finding:handle"
    HOLD = "assurance:hold:place"
    KEEP_INVENTORY = "assurance:inventory:keep"
    MARK_SERIOUS = "assurance:incident:mark_serious"
    SET_ASSURANCE_RULES = "assurance:rules:set"
    MAKE_PACKS = "assurance:pack:make"
    REQUEST_DATA = "data:request:make"
    READ_DATA_REQUESTS = "data:request:read"
    SET_DATA_RULES = "data:rule:set"
    EXPLAIN_PREDICTION = "data:prediction:explain"
    SET_BUDGETS = "costs:budget:set"
    JUDGE_CONTROLS = "controls:judgement:sign"
    INJECT_FAULTS = "demo:fault:inject"


_READ = {Permission.READ_MODELS, Permission.READ_JOBS, Permission.MANAGE_OWN_TOKENS}
_ON_CALL = _READ | {
    Permission.ACKNOWLEDGE, Permission.REQUEST_CHANGE, Permission.CANCEL_CHANGE, Permission.COMPUTE_METRICS,
    Permission.WRITE_REPORT, Permission.WRITE_MONITORS, Permission.RETRY_JOBS, Permission.READ_AUDIT,
    Permission.MARK_SERIOUS, Permission.WRITE_OBJECTIVES, Permission.SET_ROTAS,
}  # fmt: skip
_ASSURE = {Permission.VALIDATE, Permission.HANDLE_FINDINGS, Permission.KEEP_INVENTORY}
_ENGINEER = _ON_CALL | _ASSURE | {
    Permission.INGEST, Permission.REGISTER_VERSIONS, Permission.WRITE_CARDS, Permission.INJECT_FAULTS,
    Permission.REPORT_ALERTS,
}  # fmt: skip
_CARDS = {Permission.WRITE_CARDS, Permission.REVIEW_CARDS}

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(_READ),
    Role.ON_CALL: frozenset(_ON_CALL),
    Role.ML_ENGINEER: frozenset(_ENGINEER),
    Role.ML_LEAD: frozenset(
        _ENGINEER | _CARDS | {Permission.DECIDE_CHANGE, Permission.READ_DATA_REQUESTS, Permission.EXPLAIN_PREDICTION,
                              Permission.MAKE_PACKS, Permission.SET_BUDGETS,
                              Permission.MOVE_MODELS}
    ),
    Role.COMPLIANCE: frozenset(
        _READ | _ASSURE | _CARDS
        | {
            Permission.READ_AUDIT, Permission.READ_AUDIT_PAYLOAD, Permission.DECIDE_CHANGE, Permission.HOLD,
            Permission.SET_ASSURANCE_RULES, Permission.MARK_SERIOUS, Permission.MAKE_PACKS,
            Permission.REVIEW_ACCESS, Permission.REQUEST_DATA, Permission.READ_DATA_REQUESTS,
            Permission.SET_DATA_RULES, Permission.EXPLAIN_PREDICTION, Permission.JUDGE_CONTROLS,
        }
    ),
    Role.ADMIN: frozenset(
        _READ | {Permission.MANAGE_PEOPLE, Permission.READ_AUDIT, Permission.RETRY_JOBS, Permission.INJECT_FAULTS,
                 Permission.REVIEW_ACCESS, Permission.SET_ROTAS, Permission.SET_BUDGETS,
                              Permission.MOVE_MODELS}
    ),
    Role.AUDITOR: frozenset(
        {Permission.READ_MODELS, Permission.READ_AUDIT, Permission.MANAGE_OWN_TOKENS, Permission.MAKE_PACKS}
    ),
    Role.SYSTEM: frozenset(Permission),
}  # fmt: skip

# What an administrator gives a person who is there already; an auditor is invited (backend.identity.auditors).
GIVEN: tuple[Role, ...] = tuple(role for role in Role if role not in (Role.SYSTEM, Role.AUDITOR))

# Roles that may be limited to a team, and what no role gives so: it concerns more than one team at a time.
GIVEN_IN_TEAMS: tuple[Role, ...] = tuple(role for role in GIVEN if role is not Role.ADMIN)
OF_THE_HOUSE = frozenset({
    Permission.REPORT_ALERTS, Permission.SET_ROTAS, Permission.READ_AUDIT_PAYLOAD, Permission.ERASE_PAYLOADS,
    Permission.MANAGE_PEOPLE, Permission.REVIEW_ACCESS, Permission.HOLD, Permission.SET_ASSURANCE_RULES,
    Permission.REQUEST_DATA, Permission.READ_DATA_REQUESTS, Permission.SET_DATA_RULES, Permission.JUDGE_CONTROLS,
    Permission.INJECT_FAULTS,
})  # fmt: skip


def permissions_in_team(role: Role) -> frozenset[Permission]:
    """What a role that is limited to a team gives, for the models of the team."""
    return GRANTS[role] - OF_THE_HOUSE


def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    return frozenset().union(*(GRANTS[role] for role in roles)) if roles else frozenset()
