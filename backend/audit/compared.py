"""Which columns are held against the log, by which of its actions, and when: the list that docs/audit.md shows.

All of it is compared by reconciliation, every quarter of an hour; `at_use` says where a row is asked as well before it
counts for something. Every other table and column is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Compared:
    """at_use: empty where only reconciliation looks. check: the module that compares."""

    table: str
    columns: tuple[str, ...]
    action: str
    at_use: str
    check: str


_DECISION: Final = "each approval and request for changes, before it is sent again, before each stage"
_STAGE: Final = "before execution, and before each stage"

COMPARED: Final = (
    Compared(
        "changes",
        ("kind", "model", "environment", "bound", "policy", "request_digest", "requested_by", "trained_by",
         "data_owner", "expires_at"),
        "`governance:change:request`, `:resubmit`", _DECISION, "`request_record.py`, `change_checks.py`",
    ),
    Compared(
        "changes", ("from_version", "to_version", "summary", "reason", "gates", "evidence", "digest", "state"),
        "`governance:change:*`, `gates:evaluate`, `execution:*`", _STAGE, "`change_checks.py`, `standing.py`",
    ),
    Compared("changes", ("break_glass",), "`governance:change:break_glass`", "", "`rights_checks.py`"),
    Compared(
        "decisions",
        ("id", "person_id", "on_behalf_of", "verdict", "comment", "seen_digest", "accepted", "role", "decided_at",
         "signed_in_at", "retracted_at"),
        "`governance:change:approve`, `:reject`, `:ask_for_changes`, `:retract`", _STAGE, "`change_checks.py`",
    ),
    Compared(
        "policies", ("revision", "document", "digest"), "`governance:policy:replace`",
        "whenever the policy is asked: preview, request, decision that completes, execution, gate for pipelines",
        "`policies.py`, `standing_checks.py`",
    ),
    Compared(
        "delegations", ("from_person", "to_person", "starts_at", "ends_at", "revoked_at"),
        "`governance:delegation:create`, `:end`", "whenever a lent right is asked", "`delegations.py`",
    ),
    Compared(
        "policy_exceptions", ("model", "gate", "asked_by", "decided_by", "state", "expires_at"),
        "`assurance:exception:ask`, `:grant`, `:refuse`, `:end`", "whenever an exception would count for a change",
        "`assurance/exceptions.py`",
    ),
    Compared(
        "reviews", ("change_id", "verdict", "reviewed_by"), "`governance:change:review`",
        "whether a review is owed: before approval and execution of the team's releases (that there is an entry by "
        "the reviewer); the verdict whenever it is asked how long a broken glass stands",
        "`reviews.py`, `time_boxes.py`, `rights_checks.py`",
    ),
    Compared(
        "ways_back",
        ("model", "environment", "from_version", "to_version", "to_cutoff", "bound", "expires_at"),
        "`governance:execution:finish`, with the signed evidence", "when it is taken, and before its execution",
        "`agreed_returns.py`",
    ),
    Compared(
        "versions", ("trained_by", "data_owner"), "`registry:version:register`, `:declare_data_owner`",
        "preview, request and execution of a change to the version", "`registry/recorded.py`",
    ),
    Compared(
        "models", ("tier",), "`registry:model:register`, `:set_tier`, `assurance:vendor_model:register`",
        "preview, request and execution of a change of the model", "`registry/recorded.py`",
    ),
    Compared(
        "models", ("enforcement",), "`registry:model:register`, `:set_enforcement`",
        "the gate for pipelines", "`registry/recorded.py`",
    ),
    Compared(
        "person_roles", ("person_id", "role"), "`identity:person:create`, `:set_roles`",
        "the role by which a decision counts: when it is given, and before execution; by which the glass is broken",
        "`account_record.py`, `standing_checks.py`",
    ),
    Compared(
        "team_members", ("team_id", "person_id", "role"), "`identity:team:set_roles`",
        "the role by which a decision counts, as `person_roles`", "`account_record.py`, `standing_checks.py`",
    ),
    Compared(
        "team_models", ("model", "team_id"), "`identity:team:move_model`",
        "the team whose roles count for a decision", "`account_record.py`, `standing_checks.py`",
    ),
    Compared(
        "persons", ("disabled_at",), "`identity:person:disable`",
        "who decides, or breaks the glass: then, and before execution", "`account_record.py`",
    ),
    Compared("persons", ("kind", "owner_id"), "`identity:person:create`", "", "`rights_checks.py`"),
    Compared(
        "deployments", ("model", "environment", "version", "change_id", "segments"),
        "`deployment:deployment:start`, `governance:execution:start`", "", "`deployment_checks.py`",
    ),
    Compared(
        "control_judgements",
        ("id", "catalogue", "control", "model", "version", "number", "outcome", "text", "attachment", "valid_until",
         "wording_digest", "evidence_digest", "evidence", "digest", "confirmed_by", "signed_by", "signed_at", "entry"),
        "`controls:judgement:sign`", "whenever a judgement is shown as one", "`controls/recorded.py`",
    ),
    Compared(
        "audit_findings", ("id", "kind", "subject", "state"), "`audit:finding:open`, `:close`",
        "before a finding counts as told", "`findings.py`",
    ),
)  # fmt: skip
