"""Who may do what over HTTP: every route for every role, and for nobody."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.api.app import create_api
from backend.audit.tables import AuditEntry
from backend.cards.service import write_card
from backend.database.session import reading, writing
from backend.governance.registry_moves import add_move
from backend.identity.roles import Role
from backend.monitoring.monitors_service import create_monitor
from backend.queue import PRUNE, request_job
from backend.registry.tables import Model
from backend.slo.objectives import Availability, Objective
from backend.slo.objectives_service import define_objective
from backend.slo.openslo_writing import write_openslo
from backend.slo.windows import Rolling
from jobs.analyse_window import analyse_one
from tests.integration.api.conftest import ROLES, Callers
from tests.worlds import SYSTEM, person

ALL = frozenset(ROLES)
ACTORS = frozenset({"on_call", "engineer", "lead"})
SENDERS = frozenset({"engineer", "lead"})
AUDITORS = ACTORS | {"compliance", "admin"}
RETRIERS = ACTORS | {"admin"}

DECIDERS = frozenset({"lead", "compliance"})
CARD_WRITERS = DECIDERS | {"engineer"}
LOAN = {
    "to_person": "nobody", "starts_at": "2026-03-02T00:00:00Z", "ends_at": "2026-03-03T00:00:00Z", "reason": "away",
}  # fmt: skip

RETRAINING = {"model": "toy", "trainer": "sklearn_boosting"}
STALE = {"digest": "sha256:stale"}
REVIEWERS = frozenset({"compliance", "admin"})
COMPLIANCE = frozenset({"compliance"})
VOUCHERS = frozenset({"engineer", "lead", "compliance"})
DIGEST = f"sha256:{'0' * 64}"
LATER = "2100-01-01T00:00:00Z"
VALIDATION = {"version": 2, "scope": "all", "outcome": "fit", "summary": "so", "report": DIGEST}
FINDING = {
    "model": "toy",
    "title": "so",
    "detail": "so",
    "severity": "low",
    "owner_id": "nobody",
    "due_at": LATER,
}
VENDOR = {
    "name": "scores", "title": "Scores", "vendor": "Acme", "purpose": "so", "data": "so", "contact": "a@acme.example",
    "owner_id": "nobody",
}  # fmt: skip
CONTROL = "/catalogues/{catalogue}/controls/{control}/judgements"
JUDGEMENT = {
    "model": "toy", "outcome": "met", "text": "so", "valid_until": LATER, "seen_digest": DIGEST,
    "username": "compliance",
}  # fmt: skip
DOCUMENT = """
apiVersion: warrant/v1
kind: Model
model: {name: toy, title: Toy, tier: medium}
spec: {task: binary, window: 1d, timezone: UTC, features: {distance: numeric, carrier: categorical}}
"""
CARD = "/models/{model}/versions/{version}/card"
WINDOW = "2026-03-02T00:00:00Z"
MONITOR = {
    "name": "traffic", "level": "ticket",
    "when": {"kind": "volume", "statistic": "rows", "threshold": {"kind": "constant", "side": "below", "value": 10}},
}  # fmt: skip
OBJECTIVE = Objective(
    name="answers",
    model="toy",
    sli=Availability(),
    target=Decimal("0.99"),
    window=Rolling(720),
    minimum_events=20,
)
# (method, path as the API declares it): who may, what they get, query, JSON body. A stale digest and a request of
# somebody else's show a right without changing anything, so that each role can be asked.
TABLE: dict[tuple[str, str], tuple[frozenset[str], int, dict[str, Any], Any]] = {
    ("GET", "/me"): (ALL, 200, {}, None),
    ("GET", "/search"): (ALL, 200, {"q": "toy"}, None),
    ("GET", "/models"): (ALL, 200, {}, None),
    ("GET", "/models/{model}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/deployments"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/points"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/monitors"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/monitors/{key}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/kpis"): (ALL, 200, {}, None),
    ("GET", "/objectives"): (ALL, 200, {}, None),
    ("GET", "/objectives/{objective}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/maintenance"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/windows/{start}/analysis"): (ALL, 200, {}, None),
    ("GET", CARD): (ALL, 200, {}, None),
    ("GET", CARD + "/versions"): (ALL, 200, {}, None),
    ("GET", CARD + "/diff"): (ALL, 200, {"before": 1, "after": 1}, None),
    ("GET", CARD + "/export"): (ALL, 200, {"form": "html"}, None),
    ("POST", CARD): (CARD_WRITERS, 409, {}, {"text": "# Toy", "based_on": 7}),
    ("POST", CARD + "/imports"): (CARD_WRITERS, 404, {}, {"source": "mlflow"}),
    ("POST", CARD + "/versions/{number}/submission"): (CARD_WRITERS, 201, {}, {}),
    ("POST", CARD + "/versions/{number}/reviews"): (DECIDERS, 409, {}, {"verdict": "approve", **STALE}),
    ("GET", "/served"): (ALL, 200, {"model": "toy"}, None),
    ("GET", "/alerts"): (ALL, 200, {}, None),
    ("GET", "/incidents"): (ALL, 200, {}, None),
    ("GET", "/incidents/{incident_id}"): (ALL, 200, {}, None),
    ("GET", "/incidents/{incident_id}/timeline"): (ALL, 200, {}, None),
    ("GET", "/incidents/{incident_id}/report"): (ALL, 200, {}, None),
    ("GET", "/silences"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/false-alarms"): (ALL, 200, {}, None),
    ("GET", "/jobs"): (ALL, 200, {}, None),
    ("GET", "/changes"): (ALL, 200, {}, None),
    ("GET", "/changes/preview"): (ACTORS, 200, {"kind": "rollback", "model": "toy"}, None),
    ("GET", "/changes/{change_id}"): (ALL, 200, {}, None),
    ("GET", "/changes/{change_id}/rollout"): (ALL, 200, {}, None),
    ("GET", "/changes/{change_id}/shown/{digest}"): (ALL, 200, {}, None),
    ("GET", "/ways-back"): (ALL, 200, {"model": "toy"}, None),
    ("GET", "/policy"): (ALL, 200, {}, None),
    ("GET", "/policy/revisions"): (ALL, 200, {}, None),
    ("GET", "/policy/revisions/{revision}"): (ALL, 200, {}, None),
    ("GET", "/delegations"): (ALL, 200, {}, None),
    ("GET", "/gates/{model}/{version}"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/conditions"): (ALL, 200, {}, None),
    ("GET", "/registry/inventory"): (ALL, 200, {}, None),
    ("GET", "/registry/moves"): (ALL, 200, {}, None),
    ("GET", "/registry/moves/{move_id}"): (ALL, 200, {}, None),
    ("GET", "/registry/moves/{move_id}/regularisation"): (ALL, 409, {}, None),  # it is observed: nothing to answer
    ("GET", "/models/{model}/timeline"): (ALL, 200, {}, None),
    ("GET", "/documents/{digest}"): (ALL, 404, {}, None),
    ("GET", "/models/{model}/assurance"): (ALL, 200, {}, None),
    ("GET", "/findings"): (ALL, 200, {}, None),
    ("GET", "/findings/{finding_id}"): (ALL, 404, {}, None),
    ("GET", "/holds"): (ALL, 200, {}, None),
    ("POST", "/documents"): (VOUCHERS, 422, {"name": "report.exe"}, {}),
    ("POST", "/models/{model}/validations"): (VOUCHERS - {"engineer"}, 422, {}, VALIDATION),  # the engineer trained it
    ("POST", "/conditions/{condition_id}/acceptance"): (VOUCHERS, 404, {}, {"evidence": "seen"}),
    ("POST", "/findings"): (VOUCHERS, 404, {}, FINDING),
    ("POST", "/findings/{finding_id}/plan"): (VOUCHERS, 404, {}, {"why": "so"}),
    ("POST", "/findings/{finding_id}/answer"): (VOUCHERS, 404, {}, {"answer": "done"}),
    ("POST", "/findings/{finding_id}/closure"): (VOUCHERS, 404, {}, {"evidence": "seen"}),
    ("POST", "/findings/{finding_id}/reopening"): (VOUCHERS, 404, {}, {"why": "so", "due_at": LATER}),
    ("GET", "/inventory"): (ALL, 200, {}, None),
    ("GET", "/inventory/{model}"): (ALL, 200, {}, None),
    ("POST", "/inventory"): (VOUCHERS, 404, {}, VENDOR),
    ("POST", "/inventory/{model}/facts"): (VOUCHERS, 422, {}, {"why": "so", "vendor": "ours"}),
    ("GET", "/questionnaire"): (ALL, 200, {}, None),
    ("POST", "/questionnaire"): (frozenset({"compliance"}), 422, {}, {"document": "axes: {}", "note": "so"}),
    ("GET", "/models/{model}/tier-answers"): (ALL, 200, {}, None),
    ("POST", "/models/{model}/tier-answers"): (VOUCHERS, 409, {}, {"answers": {}, **STALE}),
    ("GET", "/catalogues"): (AUDITORS, 200, {}, None),
    ("GET", "/catalogues/{catalogue}"): (AUDITORS, 200, {}, None),
    ("GET", "/catalogues/{catalogue}/assessment"): (AUDITORS, 200, {"model": "toy"}, None),
    ("GET", CONTROL): (AUDITORS, 200, {"model": "toy"}, None),
    ("POST", CONTROL): (COMPLIANCE, 409, {}, JUDGEMENT),
    ("GET", "/models/{model}/versions/{version}/lineage"): (ALL, 200, {}, None),
    ("POST", "/models/{model}/versions/{version}/lineage"): (SENDERS, 422, {}, {"file": "dvc.lock", "text": "no"}),
    ("GET", "/costs"): (ALL, 200, {}, None),
    ("POST", "/models/{model}/budgets"): (frozenset({"lead", "admin"}), 422, {}, {"kind": "gpu"}),
    ("GET", "/access"): (REVIEWERS, 200, {}, None),
    ("GET", "/access-reviews"): (REVIEWERS, 200, {}, None),
    ("POST", "/access-reviews"): (REVIEWERS, 422, {}, {"title": "so", "due_at": WINDOW}),
    ("GET", "/access-reviews/{review_id}/items"): (REVIEWERS, 404, {}, None),
    ("POST", "/access-items/{item_id}/answer"): (REVIEWERS, 404, {}, {"answer": "keep", "reason": "so"}),
    ("GET", "/packs"): (DECIDERS, 200, {}, None),
    ("GET", "/packs/{pack_id}"): (DECIDERS, 404, {}, None),
    ("GET", "/packs/{pack_id}/file"): (DECIDERS, 404, {}, None),
    ("GET", "/packs/{pack_id}/making"): (DECIDERS, 404, {}, None),
    ("POST", "/packs"): (DECIDERS, 422, {}, {"kind": "model", "reason": "so"}),
    ("GET", "/data-requests"): (DECIDERS, 200, {}, None),
    ("GET", "/data-requests/{request_id}"): (DECIDERS, 404, {}, None),
    ("GET", "/data-requests/{request_id}/document"): (COMPLIANCE, 404, {}, None),
    ("POST", "/data-requests"): (COMPLIANCE, 422, {}, {"kind": "erase", "model": "toy", "reason": "so"}),
    ("POST", "/audit/entries/erasure"): (COMPLIANCE, 422, {}, {"entries": [999_999], "reason": "so"}),
    ("POST", "/people/{person_id}/erasure"): (COMPLIANCE, 201, {}, {"reason": "so"}),
    ("GET", "/models/{model}/explanation"): (DECIDERS, 404, {"prediction_id": "none"}, None),
    ("POST", "/models/{model}/explanation"): (DECIDERS, 202, {}, {"prediction_id": "none"}),
    ("GET", "/predictions/{prediction_id}/explanation"): (DECIDERS, 404, {"model": "toy"}, None),
    ("GET", "/models/{model}/attributions"): (ALL, 200, {}, None),
    ("GET", "/models/{model}/data-rule"): (ALL, 200, {}, None),
    ("POST", "/models/{model}/data-rule"): (COMPLIANCE, 422, {}, {"purposes": ["selling"], "why": "so"}),
    ("POST", "/models/{model}/opt-outs"): (COMPLIANCE, 422, {}, {"value": "somebody"}),
    ("GET", "/serious-rules"): (ALL, 200, {}, None),
    ("POST", "/serious-rules"): (frozenset({"compliance"}), 422, {}, {"document": "{}", "note": "so"}),
    ("GET", "/incidents/{incident_id}/serious"): (ALL, 200, {}, None),
    ("GET", "/incidents/{incident_id}/report-draft"): (ALL, 404, {}, None),
    ("GET", "/incidents/{incident_id}/snapshots/{snapshot_id}"): (ALL, 404, {}, None),
    ("POST", "/incidents/{incident_id}/serious"): (
        ACTORS | {"compliance"}, 422, {}, {"why": "so", "aware_at": WINDOW, "clocks": ["none"]},
    ),
    ("POST", "/serious-clocks/{clock_id}/start"): (
        frozenset({"compliance"}), 404, {}, {"starts_at": WINDOW, "why": "so"},
    ),
    ("POST", "/serious-clocks/{clock_id}/meeting"): (frozenset({"compliance"}), 404, {}, {"evidence": "so"}),
    ("GET", "/exceptions"): (ALL, 200, {}, None),
    ("POST", "/models/{model}/exceptions"): (ACTORS, 422, {}, {"gate": "no", "reason": "so", "expires_at": LATER}),
    ("POST", "/exceptions/{exception_id}/decision"): (DECIDERS, 404, {}, {"verdict": "grant", "comment": "so"}),
    ("POST", "/exceptions/{exception_id}/end"): (ALL, 404, {}, {"why": "so"}),
    ("POST", "/holds"): (
        frozenset({"compliance"}), 422, {}, {"kind": "planet", "object_id": "earth", "reason": "so"},
    ),
    ("POST", "/holds/{hold_id}/release"): (frozenset({"compliance"}), 404, {}, {"why": "so"}),
    ("POST", "/models/{model}/versions/{version}/data-owner"): (SENDERS, 201, {}, {"username": "lead", "why": "so"}),
    ("POST", "/models/{model}/enforcement"): (
        DECIDERS | {"admin"}, 201, {}, {"enforcement": "enforce", "why": "we go live"},
    ),
    ("POST", "/registry/moves/{move_id}/restoration"): (ACTORS, 409, {}, {}),
    ("POST", "/registry/moves/{move_id}/regularisation"): (ACTORS, 409, {}, {"reason": "it serves", **STALE}),
    ("GET", "/audit/entries"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/entries/{seq}"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/entries/{seq}/receipt"): (AUDITORS, 409, {}, None),  # no head is signed in this world
    ("GET", "/audit/verification"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/export"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/searches"): (AUDITORS, 200, {}, None),
    ("POST", "/audit/searches"): (AUDITORS, 422, {}, {"name": " ", "search": {}}),
    ("DELETE", "/audit/searches/{name}"): (AUDITORS, 404, {}, None),
    ("GET", "/audit/findings"): (AUDITORS, 200, {}, None),
    ("POST", "/audit/findings/{finding_id}/owner"): (VOUCHERS, 404, {}, {"owner_id": "nobody"}),
    ("POST", "/audit/findings/{finding_id}/closing"): (VOUCHERS, 404, {}, {"why": "so"}),
    ("GET", "/audit/streams"): (AUDITORS, 200, {}, None),
    ("GET", "/audit/population"): (AUDITORS, 200, {"period": "2026Q3"}, None),
    ("POST", "/audit/samples"): (AUDITORS, 422, {}, {"period": "no", "n": 1, "seed": 1}),
    ("GET", "/audit/as-of"): (AUDITORS, 200, {"at": "2026-03-02T00:00:00Z"}, None),
    ("POST", "/models/{model}/predictions"): (SENDERS, 202, {}, {"predictions": []}),
    ("POST", "/models/{model}/labels"): (SENDERS, 202, {}, {"labels": []}),
    ("POST", "/models/{model}/kpis"): (SENDERS, 202, {}, {"kpis": []}),
    ("POST", "/models/{model}/monitors"): (ACTORS, 422, {}, {"definition": {}}),
    ("POST", "/models/{model}/monitors/replay"): (ALL, 200, {}, {"definition": MONITOR}),
    ("PUT", "/models/{model}/monitors/{key}"): (ACTORS, 409, {}, {"definition": MONITOR, "seen": 7}),
    ("DELETE", "/models/{model}/monitors/{key}"): (ACTORS, 409, {"seen": 7}, None),
    ("POST", "/objectives"): (ACTORS, 422, {}, {"document": ""}),
    ("POST", "/objectives/check"): (ALL, 200, {}, {"document": ""}),
    ("PUT", "/objectives/{objective}"): (ACTORS, 409, {}, {"document": write_openslo([OBJECTIVE]), "seen": 7}),
    ("DELETE", "/objectives/{objective}"): (ACTORS, 409, {"seen": 7, "why": "so"}, None),
    ("POST", "/models/{model}/maintenance"): (
        ACTORS, 422, {}, {"starts_at": LATER, "ends_at": LATER, "reason": "so"},
    ),
    ("POST", "/maintenance/{maintenance_id}/end"): (ACTORS, 404, {}, None),
    ("POST", "/models/{model}/metrics"): (ACTORS, 202, {}, {}),
    ("POST", "/models/{model}/windows/{start}/analysis"): (ACTORS, 202, {}, {}),
    ("POST", "/models/{model}/report"): (ACTORS, 202, {"window_start": WINDOW}, {}),
    ("POST", "/changes"): (
        ACTORS, 409, {}, {"kind": "rollback", "model": "toy", "reason": "it degraded", **STALE},
    ),
    ("POST", "/changes/{change_id}/decisions"): (
        frozenset({"lead"}), 409, {}, {"verdict": "approve", **STALE},
    ),
    ("POST", "/changes/preview"): (ACTORS, 200, {}, {"kind": "tier", "model": "toy", "subject": {"tier": "low"}}),
    ("POST", "/changes/break-glass"): (
        # no token does it, but where the rule says `tokens: true`
        frozenset(), 409, {}, {"kind": "rollback", "model": "toy", "reason": "it burns", **STALE},
    ),
    ("POST", "/changes/{change_id}/look"): (ALL, 200, {}, {}),
    ("POST", "/changes/{change_id}/gates"): (frozenset({"lead"}), 422, {}, {}),
    ("GET", "/changes/{change_id}/resubmission"): (frozenset(), 200, {}, None),
    ("POST", "/changes/{change_id}/resubmission"): (frozenset(), 201, {}, {"reason": "again", **STALE}),
    ("POST", "/changes/{change_id}/review"): (DECIDERS, 404, {}, {"verdict": "justified", "comment": "it burned"}),
    ("POST", "/ways-back/{way_back_id}/return"): (ACTORS, 409, {}, {"reason": "it degraded", **STALE}),
    ("POST", "/policy/dry-run"): (ALL, 200, {}, {"document": "rules: [{name: all}]"}),
    ("POST", "/delegations"): (DECIDERS, 404, {}, LOAN),
    ("POST", "/delegations/{delegation_id}/end"): (DECIDERS, 404, {}, {}),
    ("POST", "/changes/{change_id}/rollout"): (ACTORS, 409, {}, {"command": "pause"}),
    ("POST", "/changes/{change_id}/cancellation"): (frozenset(), 201, {}, {}),
    # People never report for a system outside; its service account does.
    ("POST", "/changes/{change_id}/checks/{name}"): (
        frozenset(), 201, {}, {"verdict": "pass", "revision": 1, **STALE},
    ),
    ("POST", "/incidents/{incident_id}/acknowledgement"): (ACTORS, 201, {}, {}),
    ("POST", "/incidents/{incident_id}/closure"): (ACTORS, 409, {}, {"why": "it is over"}),
    ("GET", "/retraining"): (ALL, 200, {}, None),
    ("GET", "/retraining/trainers"): (ALL, 200, {}, None),
    ("GET", "/retraining/{run_id}"): (ALL, 404, {}, None),
    ("GET", "/models/{model}/retraining"): (ALL, 200, {}, None),
    ("POST", "/retraining/preview"): (ACTORS, 200, {}, RETRAINING),
    ("POST", "/retraining"): (ACTORS, 409, {}, {**RETRAINING, "reason": "it is old", **STALE}),
    ("POST", "/retraining/{run_id}/cancellation"): (ACTORS, 404, {}, {}),
    ("POST", "/retraining/{run_id}/resumption"): (ACTORS, 404, {}, {}),
    ("GET", "/notifications"): (ALL, 200, {}, None),
    ("POST", "/notices/{notice_id}/retry"): (ACTORS, 404, {}, {}),
    ("POST", "/channels/{channel}/test"): (ACTORS, 404, {}, {}),
    ("POST", "/alerts/alertmanager"): (SENDERS, 202, {}, {"version": "4", "alerts": []}),
    ("POST", "/incidents"): (ACTORS, 201, {}, {"model": "toy", "title": "users complain"}),
    ("POST", "/incidents/{incident_id}/assignment"): (ACTORS, 201, {}, {"username": "oncall"}),
    ("POST", "/incidents/{incident_id}/notes"): (ACTORS, 201, {}, {"text": "so"}),
    ("GET", "/rotas"): (ALL, 200, {}, None),
    ("POST", "/rotas/shifts"): (ACTORS | {"admin"}, 422, {}, {"rota": "p", "who": "Ada", "channel": "none"}),
    ("POST", "/rotas/shifts/{shift_id}/removal"): (ACTORS | {"admin"}, 404, {}, {}),
    ("POST", "/rotas/import"): (ACTORS | {"admin"}, 422, {}, {"document": {}}),
    ("POST", "/incidents/{incident_id}/steps"): (ACTORS, 422, {}, {"step": "nothing of the kind"}),
    ("POST", "/incidents/{incident_id}/severity"): (ACTORS, 201, {}, {"severity": 2, "why": "so"}),
    ("POST", "/incidents/{incident_id}/mitigation"): (ACTORS, 201, {}, {"why": "so"}),
    ("POST", "/incidents/{incident_id}/false-alarm"): (ACTORS, 422, {}, {"why": " "}),
    ("POST", "/incidents/{incident_id}/merge"): (ACTORS, 404, {}, {"into": 777}),
    ("POST", "/silences"): (ACTORS, 422, {}, {"comment": "so"}),
    ("POST", "/silences/{silence_id}/end"): (ACTORS, 404, {}, {"why": "so"}),
    ("POST", "/jobs/{run_id}/retry"): (RETRIERS, 202, {}, {}),
    ("GET", "/people"): (frozenset({"admin"}), 200, {}, None),
    ("POST", "/people"): (
        frozenset({"admin"}), 201, {},
        {"username": "new", "display_name": "New", "password": "a long first password", "roles": ["viewer"]},
    ),
    ("POST", "/people/{person_id}/roles"): (frozenset({"admin"}), 201, {}, {"roles": ["on_call"], "why": "rota"}),
    ("POST", "/people/{person_id}/password"): (
        frozenset({"admin"}), 422, {}, {"password": "a password to pass on", "why": "forgot it"},
    ),
    ("GET", "/role-rules"): (frozenset({"admin", "compliance"}), 200, {}, None),
    ("POST", "/role-rules/dry-run"): (
        frozenset({"admin", "compliance"}), 200, {}, {"document": "rules: []"},
    ),
    ("POST", "/role-rules/changes"): (
        frozenset({"admin"}), 422, {}, {"document": "rules: []", "reason": "so"},
    ),
    ("POST", "/auditors"): (
        frozenset({"admin"}), 422, {},
        {"username": "ext", "display_name": "Ext", "password": "a long first password", "models": ["none"],
         "expires_at": LATER, "why": "so"},
    ),
    ("POST", "/auditors/{person_id}/limits"): (
        frozenset({"admin"}), 404, {}, {"models": ["toy"], "expires_at": LATER, "why": "so"},
    ),
    ("GET", "/access-movements"): (REVIEWERS, 200, {"period": "2026"}, None),
    ("POST", "/specs/proposals"): (SENDERS, 422, {}, {"path": "gone.csv"}),
    ("POST", "/specs/diff"): (SENDERS, 200, {}, {"document": DOCUMENT}),
    ("POST", "/specs/apply"): (SENDERS, 422, {}, {"document": "apiVersion: warrant/v0"}),
    ("GET", "/fleet"): (ALL, 200, {"health": "ok"}, None),
    ("POST", "/models/{model}/tags"): (VOUCHERS, 422, {}, {"add": ["no tag"]}),
    ("POST", "/fleet/acts/preview"): (ACTORS, 200, {}, {"act": "silence", "models": ["toy"], "hours": 1}),
    ("POST", "/fleet/acts"): (ACTORS, 409, {}, {"act": "silence", "models": ["toy"], "hours": 1, **STALE}),
    ("GET", "/views"): (ALL, 200, {}, None),
    ("POST", "/views"): (ALL, 422, {}, {"name": "Mine", "sort": "colour"}),
    ("POST", "/views/{view_id}/removal"): (ALL, 404, {}, {}),
    ("GET", "/teams"): (ALL, 200, {}, None),
    ("GET", "/teams/{team_id}"): (ALL, 404, {}, None),
    ("POST", "/teams"): (frozenset({"admin"}), 201, {}, {"name": "Pricing"}),
    ("POST", "/teams/{team_id}/name"): (frozenset({"admin"}), 404, {}, {"name": "Other"}),
    ("POST", "/teams/{team_id}/members/{person_id}"): (
        frozenset({"admin"}), 404, {}, {"roles": ["viewer"], "why": "so"},
    ),
    ("POST", "/models/{model}/team"): (frozenset({"admin", "lead"}), 404, {}, {"team": "team_none", "why": "so"}),
    ("POST", "/people/{person_id}/disablement"): (frozenset({"admin"}), 201, {}, {"why": "left"}),
    ("GET", "/sessions"): (ALL, 200, {}, None),
    ("POST", "/sessions/revocation"): (ALL, 201, {}, {}),
    ("POST", "/sessions/{session_id}/revocation"): (ALL, 404, {}, {}),
    ("GET", "/people/{person_id}/sessions"): (frozenset({"admin"}), 200, {}, None),
    ("POST", "/people/{person_id}/sessions/revocation"): (frozenset({"admin"}), 201, {}, {}),
    ("GET", "/tokens"): (ALL, 200, {}, None),
    ("POST", "/tokens"): (frozenset(), 201, {}, {"name": "a token makes no tokens"}),
    ("POST", "/tokens/{token_id}/rotation"): (frozenset(), 201, {}, {}),
    ("POST", "/tokens/{token_id}/revocation"): (ALL, 404, {}, {}),
    ("POST", "/service-accounts"): (
        frozenset({"admin"}), 404, {},
        {"username": "robot", "display_name": "Robot", "roles": ["viewer"], "owner_id": "per_none"},
    ),
    ("POST", "/token-exchange"): (ALL, 401, {}, {}),
    ("GET", "/ci-trust"): (REVIEWERS, 200, {}, None),
    ("POST", "/ci-trust"): (
        frozenset({"admin"}), 404, {},
        {"name": "x", "issuer": "https://ci.example", "audience": "w", "claims": {"repository": ["a/b"]},
         "person_id": "per_none", "scopes": ["registry:model:read"]},
    ),
    ("POST", "/ci-trust/{rule_id}/end"): (frozenset({"admin"}), 404, {}, {}),
}  # fmt: skip


def prepare(callers: Callers) -> dict[str, str]:
    """A change that waits, an open incident and a failed job run: what the paths' placeholders stand for."""
    preview = callers.get("other_lead", "/changes/preview", kind="rollback", model="toy").json()
    asked = callers.post(
        "other_lead", "/changes",
        {"kind": "rollback", "model": "toy", "reason": "it degraded", "digest": preview["digest"]},
    )  # fmt: skip
    assert asked.status_code == 201, asked.text
    with writing() as session:
        move = add_move(
            session,
            SYSTEM,
            session.get_one(Model, "toy"),
            alias="champion",
            before=2,
            after=1,
            state="observed",
        )
        alert = fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "realised", "page", "AUC fell", "roc_auc", clock.now(), {}),
        )  # fmt: skip
        run = request_job(session, PRUNE)
        run.state, run.error = "failed", "no"
        monitor = create_monitor(
            session, callers.world.lead, model="toy", environment="production", definition=MONITOR
        )
        objective = define_objective(session, callers.world.lead, objective=OBJECTIVE)
        write_card(session, callers.world.lead, model="toy", version=1, text="# A card", based_on=0)
    analyse_one("toy", {"environment": "production", "size": "1d", "start": WINDOW})
    with writing() as session:
        return {
            "catalogue": "eu-ai-act-annex-iv", "control": "annex-iv.7",
            "digest": asked.json()["digest"], "revision": "1", "way_back_id": "7", "delegation_id": "7",
            "finding_id": "7", "snapshot_id": "7", "silence_id": "7", "review_id": "7", "item_id": "7", "clock_id": "7",
            "exception_id": "7", "condition_id": "7", "notice_id": "7", "shift_id": "7", "hold_id": "7",
            "channel": "none", "session_id": "ses_none", "token_id": "tok_none", "rule_id": "trust_none",
            "team_id": "team_none", "view_id": "7",
            "prediction_id": "absent",
            "key": monitor.key, "number": "1", "objective": objective.key, "maintenance_id": "7",
            "model": "toy", "start": WINDOW, "version": "1", "name": "ci",
            "change_id": str(asked.json()["id"]), "incident_id": str(alert.incident_id),
            "run_id": run.id, "seq": "0", "request_id": "dsr_none", "pack_id": "pack_none", "move_id": str(move.id),
            "person_id": person(session, "leaver", Role.VIEWER).person_id,
        }  # fmt: skip


def test_every_route_answers_every_role_as_the_table_says(callers: Callers) -> None:
    declared = {
        (method.upper(), path) for path, methods in create_api().openapi()["paths"].items() for method in methods
    }  # fmt: skip
    assert declared == set(TABLE)
    names = prepare(callers)
    expected: dict[tuple[str, str, str | None], int] = {}
    found: dict[tuple[str, str, str | None], int] = {}
    for (method, path), (may, status, query, body) in TABLE.items():
        for who in (None, *ROLES):
            answer = callers.send(who, method, path.format(**names), params=query or None, json=body)
            case = (method, path, who)
            expected[case] = 401 if who is None else status if who in may else 403
            found[case] = answer.status_code
            if answer.is_error:
                assert answer.headers["content-type"] == "application/problem+json", case
                assert answer.json()["status"] == answer.status_code
    assert {c: (s, expected[c]) for c, s in found.items() if s != expected[c]} == {}


def test_only_who_asked_withdraws_a_change(callers: Callers) -> None:
    names = prepare(callers)
    path = f"/changes/{names['change_id']}/cancellation"
    assert callers.post("lead", path, {"reason": "no"}).status_code == 403
    answer = callers.post("other_lead", path, {"reason": "no longer needed"})
    assert (answer.status_code, answer.json()["state"]) == (201, "cancelled")


def test_a_refused_request_changes_nothing(callers: Callers) -> None:
    names = prepare(callers)

    def state() -> tuple[int, list[str]]:
        with reading() as session:
            return session.query(AuditEntry).count(), [one.state for one in session.query(Alert)]

    before = state()
    for (method, path), (may, _, query, body) in TABLE.items():
        for who in (None, *(set(ROLES) - may)):
            if method != "GET":
                callers.send(who, method, path.format(**names), params=query or None, json=body)
    assert state() == before
