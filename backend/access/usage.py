"""When somebody last did what a permission lets them do, by the audit log.

What is only read leaves no entry, so a permission that is only for reading has no action here. What people keep of what
they read, a search or a view of a list, counts as the permission to read it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.identity.roles import Permission

DONE_BY: Final[dict[Permission, tuple[Action, ...]]] = {
    Permission.READ_MODELS: (Action.VIEW_SAVED, Action.VIEW_REMOVED),
    Permission.REGISTER_VERSIONS: (
        Action.MODEL_REGISTERED, Action.VERSION_REGISTERED, Action.DATA_OWNER_DECLARED, Action.REGISTRY_IMPORTED,
        Action.LINEAGE_ATTACHED,
    ),
    Permission.WRITE_CARDS: (Action.CARD_WRITTEN, Action.CARD_IMPORTED, Action.CARD_SUBMITTED),
    Permission.REVIEW_CARDS: (Action.CARD_APPROVED, Action.CARD_RETURNED),
    Permission.INGEST: (
        Action.BATCH_INGESTED, Action.KPIS_INGESTED, Action.KPIS_REPLACED, Action.HISTORY_REQUESTED,
    ),
    Permission.COMPUTE_METRICS: (Action.METRICS_REQUESTED, Action.ANALYSIS_REQUESTED),
    Permission.WRITE_REPORT: (Action.REPORT_REQUESTED,),
    Permission.WRITE_MONITORS: (
        Action.MONITOR_CREATED, Action.MONITOR_CHANGED, Action.MONITOR_PAUSED, Action.MONITOR_RESUMED,
        Action.MONITOR_DELETED,
    ),
    Permission.WRITE_OBJECTIVES: (
        Action.OBJECTIVE_DEFINED, Action.OBJECTIVE_REVISED, Action.OBJECTIVE_RETIRED, Action.MAINTENANCE_DECLARED,
        Action.MAINTENANCE_ENDED,
    ),
    Permission.ACKNOWLEDGE: (
        Action.INCIDENT_ACKNOWLEDGED, Action.INCIDENT_ASSIGNED, Action.INCIDENT_NOTED, Action.INCIDENT_STEP_MARKED,
        Action.INCIDENT_MERGED, Action.INCIDENT_MITIGATED, Action.INCIDENT_SEVERITY_SET, Action.ALERTS_FALSE,
        Action.SILENCE_SET, Action.SILENCE_ENDED, Action.NOTICE_RETRIED, Action.CHANNEL_TESTED,
    ),
    Permission.SET_ROTAS: (Action.SHIFT_SET, Action.SHIFT_REMOVED),
    Permission.REQUEST_CHANGE: (
        Action.CHANGE_REQUESTED, Action.CHANGE_RESUBMITTED, Action.GLASS_BROKEN, Action.RETURN_TAKEN,
        Action.GATES_REQUESTED, Action.CHECK_REPORTED, Action.EXCEPTION_ASKED, Action.RESTORE_REQUESTED,
        Action.ROLLOUT_TOLD, Action.RETRAINING_STARTED, Action.RETRAINING_RESUMED, Action.RETRAINING_CANCELLED,
    ),
    Permission.CANCEL_CHANGE: (Action.CHANGE_CANCELLED,),
    Permission.DECIDE_CHANGE: (
        Action.CHANGE_APPROVED, Action.CHANGE_REJECTED, Action.APPROVAL_RETRACTED, Action.CHANGES_ASKED_FOR,
        Action.CHANGE_REVIEWED, Action.DELEGATION_CREATED, Action.EXCEPTION_GRANTED, Action.EXCEPTION_REFUSED,
        Action.EXCEPTION_ENDED,
    ),
    Permission.READ_AUDIT: (
        Action.AUDIT_EXPORTED, Action.SEARCH_SAVED, Action.SEARCH_DELETED, Action.SAMPLE_DRAWN,
    ),
    Permission.ERASE_PAYLOADS: (Action.PAYLOADS_ERASED, Action.PERSON_ERASED),
    Permission.RETRY_JOBS: (Action.JOB_RETRIED,),
    Permission.MANAGE_PEOPLE: (
        Action.PERSON_CREATED, Action.PERSON_DISABLED, Action.ROLES_CHANGED, Action.TEAM_MADE, Action.TEAM_RENAMED,
        Action.TEAM_ROLES_CHANGED, Action.AUDITOR_INVITED, Action.AUDITOR_LIMITED, Action.TRUST_RULE_CREATED,
        Action.TRUST_RULE_ENDED, Action.PASSWORD_GIVEN,
    ),
    Permission.REVIEW_ACCESS: (Action.ACCESS_REVIEW_STARTED, Action.ACCESS_ANSWERED),
    Permission.MOVE_MODELS: (Action.MODEL_MOVED,),
    Permission.MANAGE_OWN_TOKENS: (Action.TOKEN_CREATED, Action.TOKEN_ROTATED, Action.TOKEN_REVOKED),
    Permission.VALIDATE: (Action.VALIDATION_RECORDED, Action.CONDITION_MET),
    Permission.HANDLE_FINDINGS: (
        Action.FINDING_OPENED, Action.FINDING_PLANNED, Action.FINDING_ANSWERED, Action.FINDING_CLOSED,
        Action.FINDING_REOPENED, Action.AUDIT_FINDING_OWNED,
    ),
    Permission.HOLD: (Action.HOLD_PLACED, Action.HOLD_RELEASED),
    Permission.KEEP_INVENTORY: (
        Action.VENDOR_MODEL_REGISTERED, Action.FACTS_KEPT, Action.TIER_PROPOSED, Action.MODEL_TAGGED,
    ),
    Permission.MARK_SERIOUS: (Action.INCIDENT_SERIOUS,),
    Permission.SET_ASSURANCE_RULES: (
        Action.QUESTIONNAIRE_REPLACED, Action.SERIOUS_RULES_REPLACED, Action.CLOCK_SET, Action.CLOCK_MET,
    ),
    Permission.MAKE_PACKS: (Action.PACK_REQUESTED, Action.PACK_TAKEN),
    Permission.REQUEST_DATA: (Action.DATA_HANDED_OUT, Action.OPTED_OUT, Action.OPTED_IN),
    Permission.SET_DATA_RULES: (Action.DATA_RULE_SET,),
    Permission.EXPLAIN_PREDICTION: (Action.PREDICTION_EXPLAINED,),
    Permission.SET_BUDGETS: (Action.BUDGET_SET,),
    Permission.JUDGE_CONTROLS: (Action.CONTROL_JUDGED,),
    Permission.INJECT_FAULTS: (Action.FAULT_INJECTED, Action.FAULT_CLEARED),
    Permission.REPORT_ALERTS: (Action.ALERT_FIRED,),
}  # fmt: skip
ONLY_READ: Final = frozenset(set(Permission) - DONE_BY.keys())


def last_done(session: ReadSession, people: Collection[str]) -> dict[str, dict[Permission, datetime]]:
    """Person -> permission -> when they last did something that needs it."""
    named = {action.value: permission for permission, actions in DONE_BY.items() for action in actions}
    listed = sorted(people)
    found: dict[str, dict[Permission, datetime]] = {}
    for start in range(0, len(listed), 500):
        newest = (
            select(AuditEntry.actor, AuditEntry.action, func.max(AuditEntry.at).label("at"))
            .where(AuditEntry.actor.in_(listed[start : start + 500]))
            .group_by(AuditEntry.actor, AuditEntry.action)
        )
        for row in session.execute(newest):
            permission = named.get(row.action)
            if permission is not None:
                known, at = found.setdefault(row.actor, {}), clock.from_iso(row.at)
                known[permission] = max(at, known.get(permission, at))
    return found
