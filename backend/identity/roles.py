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
    SYSTEM = "system"  # Warrant's own processes; never given to a person


class Permission(StrEnum):
    READ_MODELS = "registry:model:read"
    REGISTER_VERSIONS = "registry:version:register"
    INGEST = "observations:batch:ingest"
    COMPUTE_METRICS = "monitoring:metrics:compute"
    WRITE_REPORT = "monitoring:report:write"
    WRITE_MONITORS = "monitoring:monitor:write"
    ACKNOWLEDGE = "alerting:incident:acknowledge"
    REQUEST_CHANGE = "governance:change:request"
    CANCEL_CHANGE = "governance:change:cancel"
    DECIDE_CHANGE = "governance:change:decide"
    READ_AUDIT = "audit:entry:read"
    READ_AUDIT_PAYLOAD = "audit:payload:read"
    READ_JOBS = "jobs:run:read"
    RETRY_JOBS = "jobs:run:retry"
    MANAGE_PEOPLE = "identity:person:manage"
    MANAGE_OWN_TOKENS = "identity:token:manage"
    INJECT_FAULTS = "demo:fault:inject"


_READ = {Permission.READ_MODELS, Permission.READ_JOBS, Permission.MANAGE_OWN_TOKENS}
_ON_CALL = _READ | {
    Permission.ACKNOWLEDGE, Permission.REQUEST_CHANGE, Permission.CANCEL_CHANGE, Permission.COMPUTE_METRICS,
    Permission.WRITE_REPORT, Permission.WRITE_MONITORS, Permission.RETRY_JOBS, Permission.READ_AUDIT,
}  # fmt: skip
_ENGINEER = _ON_CALL | {Permission.INGEST, Permission.REGISTER_VERSIONS, Permission.INJECT_FAULTS}

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(_READ),
    Role.ON_CALL: frozenset(_ON_CALL),
    Role.ML_ENGINEER: frozenset(_ENGINEER),
    Role.ML_LEAD: frozenset(_ENGINEER | {Permission.DECIDE_CHANGE}),
    Role.COMPLIANCE: frozenset(_READ | {Permission.READ_AUDIT, Permission.READ_AUDIT_PAYLOAD}),
    Role.ADMIN: frozenset(
        _READ | {Permission.MANAGE_PEOPLE, Permission.READ_AUDIT, Permission.RETRY_JOBS, Permission.INJECT_FAULTS}
    ),
    Role.SYSTEM: frozenset(Permission),
}  # fmt: skip


def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    return frozenset().union(*(GRANTS[role] for role in roles)) if roles else frozenset()
