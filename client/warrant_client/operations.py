"""Every operation of Warrant's REST API. Made from its OpenAPI document by `tests.client_source`.

Path parameters come first, then what is sent, then the query by name. A TypedDict is what is sent as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NotRequired, TypedDict

from warrant_client.transport import Json, JsonObject, Transport

Permission = Literal[
    "registry:model:read",
    "registry:version:register",
    "cards:version:write",
    "cards:version:review",
    "observations:batch:ingest",
    "monitoring:metrics:compute",
    "monitoring:report:write",
    "monitoring:monitor:write",
    "slo:objective:write",
    "alerting:incident:acknowledge",
    "alerting:rota:set",
    "alerting:alert:report",
    "governance:change:request",
    "governance:change:cancel",
    "governance:change:decide",
    "audit:entry:read",
    "audit:payload:read",
    "audit:payload:erase",
    "jobs:run:read",
    "jobs:run:retry",
    "identity:person:manage",
    "identity:access:review",
    "identity:team:move_model",
    "identity:token:manage",
    "assurance:validation:record",
    "assurance:finding:handle",
    "assurance:hold:place",
    "assurance:inventory:keep",
    "assurance:incident:mark_serious",
    "assurance:rules:set",
    "assurance:pack:make",
    "data:request:make",
    "data:request:read",
    "data:rule:set",
    "data:prediction:explain",
    "costs:budget:set",
    "controls:judgement:sign",
    "demo:fault:inject",
]


Role = Literal["viewer", "on_call", "ml_engineer", "ml_lead", "compliance", "admin", "auditor", "system"]


class AccessAnswer(TypedDict):
    answer: Literal["keep", "revoke"]
    reason: str


class ActRequest(TypedDict):
    act: Literal["silence", "owner", "tag", "policy", "enforce"]
    models: Sequence[str]
    environment: NotRequired[str | None]
    why: NotRequired[str]
    hours: NotRequired[int | None]
    until_worse: NotRequired[bool]
    owner: NotRequired[str]
    add: NotRequired[Sequence[str]]
    remove: NotRequired[Sequence[str]]
    tier: NotRequired[str]


class AnswerRequest(TypedDict):
    answer: str


class AnswersRequest(TypedDict):
    answers: Mapping[str, Any]
    digest: str
    note: NotRequired[str]


class AssignmentRequest(TypedDict):
    username: NotRequired[str]


class Body_exchange_token_token_exchange_post(TypedDict):
    grant_type: NotRequired[str]
    subject_token: NotRequired[str]
    subject_token_type: NotRequired[str]
    requested_token_type: NotRequired[str]
    scope: NotRequired[str]


class BudgetRequest(TypedDict):
    kind: Literal["compute", "gpu", "storage", "money"]
    amount: NotRequired[float | None]
    why: NotRequired[str]


class ChangeRequest(TypedDict):
    kind: Literal[
        "promote",
        "rollback",
        "cutoff",
        "retrain",
        "monitor",
        "policy",
        "tier",
        "observe",
        "retire",
        "erase",
        "access",
        "roles",
    ]
    model: NotRequired[str | None]
    environment: NotRequired[str]
    to_version: NotRequired[int | None]
    to_cutoff: NotRequired[float | None]
    alert_id: NotRequired[int | None]
    subject: NotRequired[Mapping[str, Any]]
    reason: str
    digest: str


class CheckReport(TypedDict):
    verdict: Literal["pass", "fail", "inconclusive"]
    text: NotRequired[str]
    url: NotRequired[str]
    digest: str
    revision: int


class ClockRequest(TypedDict):
    starts_at: datetime | str
    why: str


class Closing(TypedDict):
    why: str


class ClosureRequest(TypedDict):
    why: str
    cause: NotRequired[str]


class ConditionRequest(TypedDict):
    text: str
    due_at: datetime | str


class DataOwnerRequest(TypedDict):
    username: NotRequired[str]
    why: str


class DecisionRequest(TypedDict):
    verdict: Literal["approve", "reject", "ask", "retract"]
    comment: NotRequired[str]
    digest: str
    accept: NotRequired[Sequence[str]]


class Disablement(TypedDict):
    why: NotRequired[str]


class Draft(TypedDict):
    document: str


class Edit(TypedDict):
    text: str
    based_on: int
    why: NotRequired[str]


class Ending(TypedDict):
    why: NotRequired[str]


class EnforcementRequest(TypedDict):
    enforcement: Literal["enforce", "observe"]
    why: NotRequired[str]


class Everywhere(TypedDict):
    why: NotRequired[str]
    keep_this: NotRequired[bool]


class EvidenceRequest(TypedDict):
    evidence: str
    document: NotRequired[str | None]


class ExceptionDecision(TypedDict):
    verdict: Literal["grant", "refuse"]
    comment: str


class ExceptionRequest(TypedDict):
    gate: str
    reason: str
    expires_at: datetime | str


class ExplanationRequest(TypedDict):
    prediction_id: str
    complaint: NotRequired[bool]


class FactsRequest(TypedDict):
    why: str
    purpose: NotRequired[str | None]
    data: NotRequired[str | None]
    vendor: NotRequired[str | None]
    contact: NotRequired[str | None]
    owner_id: NotRequired[str | None]
    next_review_at: NotRequired[datetime | str | None]


class FindingRequest(TypedDict):
    model: NotRequired[str | None]
    title: str
    detail: str
    severity: Literal["high", "medium", "low"]
    owner_id: str
    due_at: datetime | str
    plan: NotRequired[str]
    validation_id: NotRequired[int | None]


class HoldRequest(TypedDict):
    kind: str
    object_id: str
    reason: str
    model: NotRequired[str | None]


class Import(TypedDict):
    source: NotRequired[Literal["file", "huggingface", "mlflow"]]
    source_name: NotRequired[str]
    text: NotRequired[str]
    based_on: NotRequired[int | None]
    why: NotRequired[str]


class Invitation(TypedDict):
    username: str
    display_name: str
    password: str
    models: Sequence[str]
    expires_at: datetime | str
    why: str


class JudgementRequest(TypedDict):
    model: NotRequired[str | None]
    outcome: Literal["met", "not_met", "not_applicable"]
    text: str
    valid_until: datetime | str
    seen_digest: str
    attachment: NotRequired[str | None]
    username: str
    password: NotRequired[str]


class KeptSearch(TypedDict):
    name: str
    search: Mapping[str, Any]


class Limits(TypedDict):
    models: Sequence[str]
    expires_at: datetime | str
    why: str


class LineageRequest(TypedDict):
    file: str
    text: str
    repository: NotRequired[str]
    revision: NotRequired[str]


class Loan(TypedDict):
    to_person: str
    starts_at: datetime | str
    ends_at: datetime | str
    reason: str


class MemberRoles(TypedDict):
    roles: Sequence[Role]
    why: NotRequired[str]


class MergeRequest(TypedDict):
    into: int


class MetRequest(TypedDict):
    evidence: str


class MonitorChange(TypedDict):
    seen: int
    definition: NotRequired[Mapping[str, Any] | None]
    restore: NotRequired[int | None]
    paused: NotRequired[bool | None]
    why: NotRequired[str]


class Move(TypedDict):
    team: str | None
    why: str


class NewMaintenance(TypedDict):
    starts_at: datetime | str
    ends_at: datetime | str
    reason: str
    objective: NotRequired[str | None]


class NewMonitor(TypedDict):
    definition: Mapping[str, Any]
    why: NotRequired[str]


class NewObjective(TypedDict):
    document: str
    why: NotRequired[str]


class NewPassword(TypedDict):
    password: str
    why: str


class NewPerson(TypedDict):
    username: str
    display_name: str
    password: str
    roles: Sequence[Role]


class NewRoles(TypedDict):
    roles: Sequence[Role]
    why: NotRequired[str]


class NewServiceAccount(TypedDict):
    username: str
    display_name: str
    roles: Sequence[Role]
    owner_id: str


class NewToken(TypedDict):
    name: str
    valid_days: NotRequired[int]
    scopes: NotRequired[Sequence[Permission] | None]
    models: NotRequired[Sequence[str] | None]
    person_id: NotRequired[str | None]


class NewTrustRule(TypedDict):
    name: str
    issuer: str
    audience: str
    claims: Mapping[str, Sequence[str]]
    person_id: str
    scopes: Sequence[Permission]
    models: NotRequired[Sequence[str] | None]
    minutes: NotRequired[int]


class NoteRequest(TypedDict):
    text: str
    address: NotRequired[str]


class ObjectiveChange(TypedDict):
    document: str
    why: NotRequired[str]
    seen: int


class OpeningRequest(TypedDict):
    model: NotRequired[str]
    title: str
    severity: NotRequired[int | None]
    area: NotRequired[str]


class OptOutRequest(TypedDict):
    value: str
    out: NotRequired[bool]
    why: NotRequired[str]


class OutsideAlert(TypedDict):
    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    annotations: NotRequired[Mapping[str, str]]
    startsAt: datetime | str
    generatorURL: NotRequired[str]
    fingerprint: str


class OutsideAlerts(TypedDict):
    version: Literal["4"]
    alerts: Sequence[OutsideAlert]


class Owner(TypedDict):
    owner_id: str


class PackRequest(TypedDict):
    kind: Literal["model", "version", "change", "period"]
    model: NotRequired[str | None]
    version: NotRequired[int | None]
    change: NotRequired[int | None]
    period: NotRequired[str]
    as_of: NotRequired[datetime | str | None]
    reason: str


class PerformRequest(TypedDict):
    act: Literal["silence", "owner", "tag", "policy", "enforce"]
    models: Sequence[str]
    environment: NotRequired[str | None]
    why: NotRequired[str]
    hours: NotRequired[int | None]
    until_worse: NotRequired[bool]
    owner: NotRequired[str]
    add: NotRequired[Sequence[str]]
    remove: NotRequired[Sequence[str]]
    tier: NotRequired[str]
    digest: str


class PersonErasure(TypedDict):
    reason: str


class PlanRequest(TypedDict):
    why: str
    plan: NotRequired[str | None]
    owner_id: NotRequired[str | None]
    due_at: NotRequired[datetime | str | None]
    severity: NotRequired[Literal["high", "medium", "low"] | None]


class QuestionnaireRequest(TypedDict):
    document: str
    note: str


class RegularisationRequest(TypedDict):
    reason: str
    digest: str


class ReleaseRequest(TypedDict):
    why: str


class ReopeningRequest(TypedDict):
    why: str
    due_at: datetime | str


class RetrainingRequest(TypedDict):
    model: str
    trainer: str
    parameters: NotRequired[Mapping[str, Any]]
    as_of: NotRequired[datetime | str | None]
    window: NotRequired[str]
    device: NotRequired[Literal["cpu", "gpu"]]
    cpu_allowed: NotRequired[bool]
    seed: NotRequired[int]
    deterministic: NotRequired[bool]
    hours: NotRequired[float]
    memory_mb: NotRequired[int]
    least_labelled: NotRequired[float]
    search: NotRequired[Mapping[str, Any] | None]
    environment: NotRequired[str | None]
    alert_id: NotRequired[int | None]
    reason: str
    digest: NotRequired[str | None]


class ReturnRequest(TypedDict):
    reason: str
    digest: str
    alert_id: NotRequired[int | None]


class Review(TypedDict):
    verdict: Literal["approve", "return"]
    digest: str
    comment: NotRequired[str]


class Revocation(TypedDict):
    why: NotRequired[str]


class RolloutRequest(TypedDict):
    command: Literal["pause", "resume", "skip", "abort"]
    reason: NotRequired[str]


class Rotation(TypedDict):
    overlap_h: NotRequired[int]
    valid_days: NotRequired[int]


class RowsRequest(TypedDict):
    kind: Literal["erase", "access"]
    model: str
    prediction_ids: NotRequired[Sequence[str]]
    value: NotRequired[str]
    reason: str


class RuleEnding(TypedDict):
    why: NotRequired[str]


class RuleRequest(TypedDict):
    purposes: Sequence[str]
    basis: NotRequired[str]
    predictions_days: NotRequired[int | None]
    explanations_days: NotRequired[int | None]
    payloads_days: NotRequired[int | None]
    why: str


class RulesAsked(TypedDict):
    document: str
    reason: str
    digest: NotRequired[str | None]


class RulesDraft(TypedDict):
    document: str


class RulesRequest(TypedDict):
    document: str
    note: str


class SampleWanted(TypedDict):
    period: str
    n: int
    seed: int
    as_of: NotRequired[datetime | str | None]


class SeenRequest(TypedDict):
    reason: str
    digest: str


class SeriousRequest(TypedDict):
    why: str
    aware_at: datetime | str
    clocks: Sequence[str]


class SeverityRequest(TypedDict):
    severity: int
    why: str


ShiftRequest = TypedDict(
    "ShiftRequest",
    {
        "rota": str,
        "route": NotRequired[str | None],
        "who": str,
        "channel": str,
        "from": NotRequired[str],
        "to": NotRequired[str],
        "days": NotRequired[Sequence[str]],
        "zone": NotRequired[str],
    },
)


class ShiftsDocument(TypedDict):
    document: Mapping[str, Any]


class SilenceRequest(TypedDict):
    model: NotRequired[str | None]
    environment: NotRequired[str | None]
    kind: NotRequired[str | None]
    column: NotRequired[str | None]
    fingerprint: NotRequired[str | None]
    comment: str
    until: NotRequired[datetime | str | None]
    until_worse: NotRequired[bool]
    starts_at: NotRequired[datetime | str | None]
    purpose: NotRequired[Literal["silence", "maintenance"]]


class SourceNamed(TypedDict):
    path: str
    name: NotRequired[str]
    columns: NotRequired[Mapping[str, Any]]


class SpecText(TypedDict):
    document: str
    file: NotRequired[str]


class SpecToApply(TypedDict):
    document: str
    file: NotRequired[str]
    why: NotRequired[str]


class StepRequest(TypedDict):
    step: str
    done: NotRequired[bool]


class TagRequest(TypedDict):
    add: NotRequired[Sequence[str]]
    remove: NotRequired[Sequence[str]]


class TeamName(TypedDict):
    name: str


class TextsErasure(TypedDict):
    entries: Sequence[int]
    reason: str


class ValidationRequest(TypedDict):
    version: NotRequired[int | None]
    scope: str
    outcome: Literal["fit", "fit_with_conditions", "not_fit"]
    summary: str
    report: str
    conditions: NotRequired[Sequence[ConditionRequest]]
    next_review_at: NotRequired[datetime | str | None]


class VendorModelRequest(TypedDict):
    name: str
    title: str
    vendor: str
    purpose: str
    data: str
    contact: str
    owner_id: str
    next_review_at: NotRequired[datetime | str | None]


class ViewRequest(TypedDict):
    name: str
    filters: NotRequired[Mapping[str, Any]]
    columns: NotRequired[Sequence[str]]
    sort: NotRequired[str]
    shared: NotRequired[bool]


class WhyRequest(TypedDict):
    why: str


class AccessReviewRequest(TypedDict):
    title: str
    due_at: datetime | str
    kinds: NotRequired[Sequence[Literal["role", "team_role", "token", "trust_rule", "loan"]]]
    roles: NotRequired[Sequence[str]]
    teams: NotRequired[Sequence[str]]
    reviewer: NotRequired[str | None]
    revokes_unanswered: NotRequired[bool]


class ChangesReasonedRequest(TypedDict):
    reason: NotRequired[str]


class ChangesReviewRequest(TypedDict):
    verdict: Literal["justified", "not_justified"]
    comment: str


class ChangesWanted(TypedDict):
    kind: Literal[
        "promote",
        "rollback",
        "cutoff",
        "retrain",
        "monitor",
        "policy",
        "tier",
        "observe",
        "retire",
        "erase",
        "access",
        "roles",
    ]
    model: NotRequired[str | None]
    environment: NotRequired[str]
    to_version: NotRequired[int | None]
    to_cutoff: NotRequired[float | None]
    alert_id: NotRequired[int | None]
    subject: NotRequired[Mapping[str, Any]]


class MonitorsProposal(TypedDict):
    definition: Mapping[str, Any]


class ObjectivesProposal(TypedDict):
    document: str


class RegistryReasonedRequest(TypedDict):
    reason: NotRequired[str]


class RetrainingReasonedRequest(TypedDict):
    reason: NotRequired[str]


class RetrainingWanted(TypedDict):
    model: str
    trainer: str
    parameters: NotRequired[Mapping[str, Any]]
    as_of: NotRequired[datetime | str | None]
    window: NotRequired[str]
    device: NotRequired[Literal["cpu", "gpu"]]
    cpu_allowed: NotRequired[bool]
    seed: NotRequired[int]
    deterministic: NotRequired[bool]
    hours: NotRequired[float]
    memory_mb: NotRequired[int]
    least_labelled: NotRequired[float]
    search: NotRequired[Mapping[str, Any] | None]
    environment: NotRequired[str | None]
    alert_id: NotRequired[int | None]


class AccessOperations:
    """Operations about access."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def access(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Every right of every open account: roles with permissions, tokens, lent rights, and when each was last used.
        `limit` and `offset` count accounts; the rights of one stay together."""
        return self._transport.send("GET", "/access", query={"offset": offset, "limit": limit}).json()

    def access_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `access`, page by page."""
        return self._transport.pages(
            lambda cursor: self.access(limit=limit, offset=cursor), key="rights", start=0
        )

    def movements(self, *, period: str, offset: int = 0, limit: int = 500) -> Json:
        """Who joined, moved and left in a period (2026Q3, 2026-07, 2026, 2026-07-01..2026-09-30), oldest first."""
        return self._transport.send(
            "GET", "/access-movements", query={"period": period, "offset": offset, "limit": limit}
        ).json()

    def movements_pages(self, *, period: str, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `movements`, page by page."""
        return self._transport.pages(
            lambda cursor: self.movements(period=period, limit=limit, offset=cursor), key="movements", start=0
        )

    def reviews(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Reviews of access, newest first, with how far each is."""
        return self._transport.send("GET", "/access-reviews", query={"offset": offset, "limit": limit}).json()

    def reviews_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `reviews`, page by page."""
        return self._transport.pages(
            lambda cursor: self.reviews(limit=limit, offset=cursor), key="reviews", start=0
        )

    def start(self, body: AccessReviewRequest, *, idempotency_key: str | None = None) -> Json:
        """Begin a review over every right of every open account, or over those of a scope."""
        return self._transport.send(
            "POST", "/access-reviews", body=body, idempotency_key=idempotency_key
        ).json()

    def items(self, review_id: int, *, offset: int = 0, limit: int = 500) -> Json:
        """The items of a review, those without an answer first."""
        return self._transport.send(
            "GET",
            "/access-reviews/{review_id}/items",
            parts={"review_id": review_id},
            query={"offset": offset, "limit": limit},
        ).json()

    def items_pages(self, review_id: int, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `items`, page by page."""
        return self._transport.pages(
            lambda cursor: self.items(review_id, limit=limit, offset=cursor), key="items", start=0
        )

    def answer(self, item_id: int, body: AccessAnswer, *, idempotency_key: str | None = None) -> Json:
        """Keep or revoke one right of somebody else; what is revoked is gone at once."""
        return self._transport.send(
            "POST",
            "/access-items/{item_id}/answer",
            parts={"item_id": item_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class AssuranceOperations:
    """Operations about assurance."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def hand_in(
        self,
        body: bytes,
        *,
        name: str,
        content_type: Literal["application/octet-stream"] = "application/octet-stream",
        idempotency_key: str | None = None,
    ) -> Json:
        """Keep a file (the raw body) under the digest of its bytes; the same bytes again are the same document."""
        return self._transport.send(
            "POST",
            "/documents",
            body=body,
            query={"name": name},
            content_type=content_type,
            idempotency_key=idempotency_key,
        ).json()

    def document(self, digest: str) -> bytes:
        """The file of this digest, its bytes checked, for whoever may see a model that it is about."""
        return self._transport.send("GET", "/documents/{digest}", parts={"digest": digest}).content

    def assurance(self, model: str) -> Json:
        """Validations with their conditions and findings of a model, newest first."""
        return self._transport.send("GET", "/models/{model}/assurance", parts={"model": model}).json()

    def validate(self, model: str, body: ValidationRequest, *, idempotency_key: str | None = None) -> Json:
        """Record what your validation found. Who built or owns the model is refused."""
        return self._transport.send(
            "POST",
            "/models/{model}/validations",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def accept_condition(
        self, condition_id: int, body: EvidenceRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Accept that a condition of a validation is met. Who built or owns the model is refused."""
        return self._transport.send(
            "POST",
            "/conditions/{condition_id}/acceptance",
            parts={"condition_id": condition_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def findings(
        self,
        *,
        model: str | None = None,
        state: Sequence[Literal["open", "answered", "closed"]] | None = None,
        overdue: bool = False,
        before: int | None = None,
        limit: int = 100,
    ) -> Json:
        """Findings, newest first; without `state` those that are not closed. Pass `next` as `before`."""
        return self._transport.send(
            "GET",
            "/findings",
            query={"model": model, "state": state, "overdue": overdue, "before": before, "limit": limit},
        ).json()

    def findings_pages(
        self,
        *,
        model: str | None = None,
        state: Sequence[Literal["open", "answered", "closed"]] | None = None,
        overdue: bool = False,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `findings`, page by page."""
        return self._transport.pages(
            lambda cursor: self.findings(
                model=model, state=state, overdue=overdue, limit=limit, before=cursor
            ),
            key="findings",
            start=None,
        )

    def find(self, body: FindingRequest, *, idempotency_key: str | None = None) -> Json:
        """Open a finding for somebody to mend by a day."""
        return self._transport.send("POST", "/findings", body=body, idempotency_key=idempotency_key).json()

    def finding(self, finding_id: int) -> Json:
        """Finding"""
        return self._transport.send("GET", "/findings/{finding_id}", parts={"finding_id": finding_id}).json()

    def plan(self, finding_id: int, body: PlanRequest, *, idempotency_key: str | None = None) -> Json:
        """Write its plan, or give it another owner, day or severity; its owner moves neither day nor severity."""
        return self._transport.send(
            "POST",
            "/findings/{finding_id}/plan",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def answer(self, finding_id: int, body: AnswerRequest, *, idempotency_key: str | None = None) -> Json:
        """Say what was done about a finding of your own."""
        return self._transport.send(
            "POST",
            "/findings/{finding_id}/answer",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def close(self, finding_id: int, body: EvidenceRequest, *, idempotency_key: str | None = None) -> Json:
        """Close a finding with evidence; nobody who owns it or ever did."""
        return self._transport.send(
            "POST",
            "/findings/{finding_id}/closure",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def reopen(self, finding_id: int, body: ReopeningRequest, *, idempotency_key: str | None = None) -> Json:
        """Open it again: it was not mended after all."""
        return self._transport.send(
            "POST",
            "/findings/{finding_id}/reopening",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def exceptions(
        self, *, model: str | None = None, standing: bool = True, offset: int = 0, limit: int = 500
    ) -> Json:
        """Exceptions from gates, newest first; without `standing` also those that are over or were refused."""
        return self._transport.send(
            "GET",
            "/exceptions",
            query={"model": model, "standing": standing, "offset": offset, "limit": limit},
        ).json()

    def exceptions_pages(
        self, *, model: str | None = None, standing: bool = True, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `exceptions`, page by page."""
        return self._transport.pages(
            lambda cursor: self.exceptions(model=model, standing=standing, limit=limit, offset=cursor),
            key="exceptions",
            start=0,
        )

    def ask_for_exception(
        self, model: str, body: ExceptionRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Ask that a gate does not stand in a model's way for a time."""
        return self._transport.send(
            "POST",
            "/models/{model}/exceptions",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def decide_on_exception(
        self, exception_id: int, body: ExceptionDecision, *, idempotency_key: str | None = None
    ) -> Json:
        """Grant or refuse an exception that somebody else asked for."""
        return self._transport.send(
            "POST",
            "/exceptions/{exception_id}/decision",
            parts={"exception_id": exception_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def end_the_exception(
        self, exception_id: int, body: ReleaseRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """End an exception before its day."""
        return self._transport.send(
            "POST",
            "/exceptions/{exception_id}/end",
            parts={"exception_id": exception_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def holds(
        self, *, model: str | None = None, released: bool = False, offset: int = 0, limit: int = 500
    ) -> Json:
        """What retention and erasure leave alone, newest first; `released` also shows what is held no longer."""
        return self._transport.send(
            "GET", "/holds", query={"model": model, "released": released, "offset": offset, "limit": limit}
        ).json()

    def holds_pages(
        self, *, model: str | None = None, released: bool = False, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `holds`, page by page."""
        return self._transport.pages(
            lambda cursor: self.holds(model=model, released=released, limit=limit, offset=cursor),
            key="holds",
            start=0,
        )

    def hold(self, body: HoldRequest, *, idempotency_key: str | None = None) -> Json:
        """Keep something against retention and erasure; `predictions` says how many a data subject has now."""
        return self._transport.send("POST", "/holds", body=body, idempotency_key=idempotency_key).json()

    def release(self, hold_id: int, body: ReleaseRequest, *, idempotency_key: str | None = None) -> Json:
        """Release a hold that somebody else placed."""
        return self._transport.send(
            "POST",
            "/holds/{hold_id}/release",
            parts={"hold_id": hold_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class AuditOperations:
    """Operations about audit."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def entries(
        self,
        *,
        who: str = "",
        action: str = "",
        object_kind: str = "",
        object_id: str = "",
        text: str = "",
        routine: bool = True,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Json:
        """Entries, newest first. Pass `next` of an answer as `before` for the following page."""
        return self._transport.send(
            "GET",
            "/audit/entries",
            query={
                "who": who,
                "action": action,
                "object_kind": object_kind,
                "object_id": object_id,
                "text": text,
                "routine": routine,
                "since": since,
                "until": until,
                "before": before,
                "limit": limit,
            },
        ).json()

    def entries_pages(
        self,
        *,
        who: str = "",
        action: str = "",
        object_kind: str = "",
        object_id: str = "",
        text: str = "",
        routine: bool = True,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `entries`, page by page."""
        return self._transport.pages(
            lambda cursor: self.entries(
                who=who,
                action=action,
                object_kind=object_kind,
                object_id=object_id,
                text=text,
                routine=routine,
                since=since,
                until=until,
                limit=limit,
                before=cursor,
            ),
            key="entries",
            start=None,
        )

    def entry(self, seq: int) -> Json:
        """One entry: what was hashed, and the proof that it is in the log."""
        return self._transport.send("GET", "/audit/entries/{seq}", parts={"seq": seq}).json()

    def entry_receipt(self, seq: int, *, newest: bool = False) -> str:
        """The entry with the proof that the signed log holds it: a `.tlog-proof` that verifies without Warrant.

        `newest`: in the newest signed head, so under the present key, rather than in the first that holds it."""
        return self._transport.send(
            "GET", "/audit/entries/{seq}/receipt", parts={"seq": seq}, query={"newest": newest}
        ).text

    def verification(self) -> Json:
        """What the last verification of the whole log found, and when; a worker makes one every six hours (`warrant
        audit verify` recomputes at once). `ok` is null where there was none yet."""
        return self._transport.send("GET", "/audit/verification").json()

    def export(
        self,
        *,
        form: str = "jsonl",
        who: str = "",
        action: str = "",
        object_kind: str = "",
        object_id: str = "",
        text: str = "",
        routine: bool = True,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> Json:
        """Every entry that matches, oldest first, as `jsonl`, `csv`, `ocsf` or `cef`. The export is an entry itself."""
        return self._transport.send(
            "GET",
            "/audit/export",
            query={
                "form": form,
                "who": who,
                "action": action,
                "object_kind": object_kind,
                "object_id": object_id,
                "text": text,
                "routine": routine,
                "since": since,
                "until": until,
            },
        ).json()

    def searches(self, *, offset: int = 0, limit: int = 500) -> Json:
        """The caller's own kept searches."""
        return self._transport.send("GET", "/audit/searches", query={"offset": offset, "limit": limit}).json()

    def searches_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `searches`, page by page."""
        return self._transport.pages(
            lambda cursor: self.searches(limit=limit, offset=cursor), key="searches", start=0
        )

    def keep_search(self, body: KeptSearch, *, idempotency_key: str | None = None) -> Json:
        """Keep a search under a name; one of that name is replaced."""
        return self._transport.send(
            "POST", "/audit/searches", body=body, idempotency_key=idempotency_key
        ).json()

    def drop_search(self, name: str, *, idempotency_key: str | None = None) -> Json:
        """Delete one of the caller's own."""
        return self._transport.send(
            "DELETE", "/audit/searches/{name}", parts={"name": name}, idempotency_key=idempotency_key
        ).json()

    def findings(self, *, closed: bool = False, limit: int = 200, offset: int = 0) -> Json:
        """What a person has to look at in the log itself; with `closed` what was closed. `total` counts all of them."""
        return self._transport.send(
            "GET", "/audit/findings", query={"closed": closed, "limit": limit, "offset": offset}
        ).json()

    def findings_pages(self, *, closed: bool = False, limit: int = 200) -> Iterator[JsonObject]:
        """Everything of `findings`, page by page."""
        return self._transport.pages(
            lambda cursor: self.findings(closed=closed, limit=limit, offset=cursor), key="findings", start=0
        )

    def own(self, finding_id: int, body: Owner, *, idempotency_key: str | None = None) -> Json:
        """Say who looks after it."""
        return self._transport.send(
            "POST",
            "/audit/findings/{finding_id}/owner",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def close(self, finding_id: int, body: Closing, *, idempotency_key: str | None = None) -> Json:
        """Close it, with a reason. Whose doing it is about cannot."""
        return self._transport.send(
            "POST",
            "/audit/findings/{finding_id}/closing",
            parts={"finding_id": finding_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def streams(self) -> Json:
        """How far the systems that follow the log are behind."""
        return self._transport.send("GET", "/audit/streams").json()

    def population(self, *, period: str, as_of: datetime | str | None = None) -> Json:
        """The changes requested in a period by a day, and whether the log and the table of changes agree on them."""
        return self._transport.send(
            "GET", "/audit/population", query={"period": period, "as_of": as_of}
        ).json()

    def sample(self, body: SampleWanted, *, idempotency_key: str | None = None) -> Json:
        """Draw a sample of a population: the same seed draws the same rows. It is an entry itself."""
        return self._transport.send(
            "POST", "/audit/samples", body=body, idempotency_key=idempotency_key
        ).json()

    def as_of(self, *, at: datetime | str) -> Json:
        """Inventory, tiers, roles, policy and findings as they were."""
        return self._transport.send("GET", "/audit/as-of", query={"at": at}).json()


class CardsOperations:
    """Operations about cards."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def card(self, model: str, version: int, *, number: int | None = None, newest: bool = False) -> Json:
        """A card with its facts, completeness and contradictions. `newest`: of whatever state."""
        return self._transport.send(
            "GET",
            "/models/{model}/versions/{version}/card",
            parts={"model": model, "version": version},
            query={"number": number, "newest": newest},
        ).json()

    def write(self, model: str, version: int, body: Edit, *, idempotency_key: str | None = None) -> Json:
        """Save an edited card as its next version, a draft. 409 where somebody saved another one meanwhile."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/card",
            parts={"model": model, "version": version},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def card_versions(self, model: str, version: int, *, offset: int = 0, limit: int = 500) -> Json:
        """Every version of a card, newest first."""
        return self._transport.send(
            "GET",
            "/models/{model}/versions/{version}/card/versions",
            parts={"model": model, "version": version},
            query={"offset": offset, "limit": limit},
        ).json()

    def card_versions_pages(self, model: str, version: int, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `card_versions`, page by page."""
        return self._transport.pages(
            lambda cursor: self.card_versions(model, version, limit=limit, offset=cursor),
            key="versions",
            start=0,
        )

    def diff(self, model: str, version: int, *, before: int, after: int) -> Json:
        """The unified diff of two versions of a card."""
        return self._transport.send(
            "GET",
            "/models/{model}/versions/{version}/card/diff",
            parts={"model": model, "version": version},
            query={"before": before, "after": after},
        ).json()

    def export(
        self,
        model: str,
        version: int,
        *,
        form: str = "markdown",
        number: int | None = None,
        newest: bool = False,
    ) -> Json:
        """The card as a file: `source`, `markdown`, `huggingface`, `html` or `pdf`."""
        return self._transport.send(
            "GET",
            "/models/{model}/versions/{version}/card/export",
            parts={"model": model, "version": version},
            query={"form": form, "number": number, "newest": newest},
        ).json()

    def take(self, model: str, version: int, body: Import, *, idempotency_key: str | None = None) -> Json:
        """Take a card from a file, a card of Hugging Face or an imported MLflow version."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/card/imports",
            parts={"model": model, "version": version},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def submit(self, model: str, version: int, number: int, *, idempotency_key: str | None = None) -> Json:
        """Ask for a review of a draft."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/card/versions/{number}/submission",
            parts={"model": model, "version": version, "number": number},
            idempotency_key=idempotency_key,
        ).json()

    def review(
        self, model: str, version: int, number: int, body: Review, *, idempotency_key: str | None = None
    ) -> Json:
        """Approve a version that is in review, or return it with a comment. `digest` is of the text you read."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/card/versions/{number}/reviews",
            parts={"model": model, "version": version, "number": number},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class ChangesOperations:
    """Operations about changes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def preview(
        self,
        *,
        kind: Literal[
            "promote",
            "rollback",
            "cutoff",
            "retrain",
            "monitor",
            "policy",
            "tier",
            "observe",
            "retire",
            "erase",
            "access",
            "roles",
        ],
        model: str | None = None,
        environment: str | None = None,
        to_version: int | None = None,
        to_cutoff: float | None = None,
        alert_id: int | None = None,
    ) -> Json:
        """The difference, the policy and the digest of a change that has not been asked for."""
        return self._transport.send(
            "GET",
            "/changes/preview",
            query={
                "kind": kind,
                "model": model,
                "environment": environment,
                "to_version": to_version,
                "to_cutoff": to_cutoff,
                "alert_id": alert_id,
            },
        ).json()

    def preview_subject(self, body: ChangesWanted, *, idempotency_key: str | None = None) -> Json:
        """The same for changes whose subject is a document; it changes nothing."""
        return self._transport.send(
            "POST", "/changes/preview", body=body, idempotency_key=idempotency_key
        ).json()

    def ask(self, body: ChangeRequest, *, idempotency_key: str | None = None) -> Json:
        """Ask for a change, on the digest of its preview."""
        return self._transport.send("POST", "/changes", body=body, idempotency_key=idempotency_key).json()

    def changes(
        self,
        *,
        model: str | None = None,
        state: Sequence[str] | None = None,
        waiting_for_me: bool = False,
        limit: int = 100,
        before: int | None = None,
    ) -> Json:
        """Changes, newest first, those that wait for you by urgency. Pass `next` as `before` for the following page."""
        return self._transport.send(
            "GET",
            "/changes",
            query={
                "model": model,
                "state": state,
                "waiting_for_me": waiting_for_me,
                "limit": limit,
                "before": before,
            },
        ).json()

    def changes_pages(
        self,
        *,
        model: str | None = None,
        state: Sequence[str] | None = None,
        waiting_for_me: bool = False,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `changes`, page by page."""
        return self._transport.pages(
            lambda cursor: self.changes(
                model=model, state=state, waiting_for_me=waiting_for_me, limit=limit, before=cursor
            ),
            key="changes",
            start=None,
        )

    def act_at_once(self, body: ChangeRequest, *, idempotency_key: str | None = None) -> Json:
        """Carry out a change without approval, where the policy allows it; somebody else reviews it afterwards."""
        return self._transport.send(
            "POST", "/changes/break-glass", body=body, idempotency_key=idempotency_key
        ).json()

    def agreed_return(self, *, model: str, environment: str | None = None) -> Json:
        """The return that is agreed for what serves, with its digest and why it cannot be taken; or null."""
        return self._transport.send(
            "GET", "/ways-back", query={"model": model, "environment": environment}
        ).json()

    def take_return(
        self, way_back_id: int, body: ReturnRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Take the return that was approved together with a promotion."""
        return self._transport.send(
            "POST",
            "/ways-back/{way_back_id}/return",
            parts={"way_back_id": way_back_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def change(self, change_id: int) -> Json:
        """One change with its evidence, decisions and outcome."""
        return self._transport.send("GET", "/changes/{change_id}", parts={"change_id": change_id}).json()

    def shown(self, change_id: int, digest: str) -> Json:
        """What was shown of a change under a digest that somebody signed."""
        return self._transport.send(
            "GET", "/changes/{change_id}/shown/{digest}", parts={"change_id": change_id, "digest": digest}
        ).json()

    def look(self, change_id: int, *, idempotency_key: str | None = None) -> Json:
        """What is new in a change since you last looked; and from now on this is what you saw."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/look",
            parts={"change_id": change_id},
            idempotency_key=idempotency_key,
        ).json()

    def decision(self, change_id: int, body: DecisionRequest, *, idempotency_key: str | None = None) -> Json:
        """Approve, reject or ask for changes, on the digest you saw; or retract your approval."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/decisions",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def cancellation(
        self, change_id: int, body: ChangesReasonedRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Withdraw a change you asked for."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/cancellation",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def evaluate_again(
        self, change_id: int, body: ChangesReasonedRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Have the gates evaluated again; decisions so far no longer count."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/gates",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def again(self, change_id: int) -> Json:
        """A draft of yours as it would be sent again now, with the digest to send it with."""
        return self._transport.send(
            "GET", "/changes/{change_id}/resubmission", parts={"change_id": change_id}
        ).json()

    def resubmission(self, change_id: int, body: SeenRequest, *, idempotency_key: str | None = None) -> Json:
        """Send a change again after changes were asked for."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/resubmission",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def rollout(self, change_id: int) -> Json:
        """The stages of a rollout, what was seen at each, and what can be told to it now."""
        return self._transport.send(
            "GET", "/changes/{change_id}/rollout", parts={"change_id": change_id}
        ).json()

    def tell(self, change_id: int, body: RolloutRequest, *, idempotency_key: str | None = None) -> Json:
        """Pause, resume, skip or abort the stage of a rollout that runs; its run takes it within seconds."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/rollout",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def review(
        self, change_id: int, body: ChangesReviewRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Review a change that broke the glass."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/review",
            parts={"change_id": change_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def gate(self, model: str, version: int, *, environment: str | None = None) -> Json:
        """Whether a version may go into an environment: allowed, refused or waiting, with each reason."""
        return self._transport.send(
            "GET",
            "/gates/{model}/{version}",
            parts={"model": model, "version": version},
            query={"environment": environment},
        ).json()

    def conditions(self, model: str, *, environment: str | None = None) -> Json:
        """What has to go on holding while a version serves, the broken first."""
        return self._transport.send(
            "GET", "/models/{model}/conditions", parts={"model": model}, query={"environment": environment}
        ).json()

    def check(
        self, change_id: int, name: str, body: CheckReport, *, idempotency_key: str | None = None
    ) -> Json:
        """Report what a system outside found of a change whose rule asks for it; service accounts only."""
        return self._transport.send(
            "POST",
            "/changes/{change_id}/checks/{name}",
            parts={"change_id": change_id, "name": name},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class ControlsOperations:
    """Operations about controls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def every_catalogue(self) -> Json:
        """The catalogues there are, with how many controls each has."""
        return self._transport.send("GET", "/catalogues").json()

    def one_catalogue(self, catalogue: str) -> Json:
        """A catalogue with its controls and what each asks of the record."""
        return self._transport.send("GET", "/catalogues/{catalogue}", parts={"catalogue": catalogue}).json()

    def assessment(
        self,
        catalogue: str,
        *,
        model: str | None = None,
        version: int | None = None,
        as_of: datetime | str | None = None,
    ) -> Json:
        """Every control with what the record shows of it, gaps first, and the judgement that counts."""
        return self._transport.send(
            "GET",
            "/catalogues/{catalogue}/assessment",
            parts={"catalogue": catalogue},
            query={"model": model, "version": version, "as_of": as_of},
        ).json()

    def judgements(
        self, catalogue: str, control: str, *, model: str | None = None, offset: int = 0, limit: int = 500
    ) -> Json:
        """Judgements on a control, newest first."""
        return self._transport.send(
            "GET",
            "/catalogues/{catalogue}/controls/{control}/judgements",
            parts={"catalogue": catalogue, "control": control},
            query={"model": model, "offset": offset, "limit": limit},
        ).json()

    def judgements_pages(
        self, catalogue: str, control: str, *, model: str | None = None, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `judgements`, page by page."""
        return self._transport.pages(
            lambda cursor: self.judgements(catalogue, control, model=model, limit=limit, offset=cursor),
            key="judgements",
            start=0,
        )

    def judge(
        self, catalogue: str, control: str, body: JudgementRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Sign a judgement on a control. Who owns or built the model is refused."""
        return self._transport.send(
            "POST",
            "/catalogues/{catalogue}/controls/{control}/judgements",
            parts={"catalogue": catalogue, "control": control},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class CostsOperations:
    """Operations about costs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read_costs(self, *, since: date | str | None = None, until: date | str | None = None) -> Json:
        """Compute time, GPU time and storage by model and team over a period, with budgets and days that stand out."""
        return self._transport.send("GET", "/costs", query={"since": since, "until": until}).json()

    def budget(self, model: str, body: BudgetRequest, *, idempotency_key: str | None = None) -> Json:
        """Set, change or take away a budget of a model. Exceeding it stops nothing; it is a ticket."""
        return self._transport.send(
            "POST",
            "/models/{model}/budgets",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class DataRightsOperations:
    """Operations about data rights."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def requests(self, *, offset: int = 0, limit: int = 100) -> Json:
        """Requests of data subjects: those that wait for a decision first, then the newest."""
        return self._transport.send("GET", "/data-requests", query={"offset": offset, "limit": limit}).json()

    def requests_pages(self, *, limit: int = 100) -> Iterator[JsonObject]:
        """Everything of `requests`, page by page."""
        return self._transport.pages(
            lambda cursor: self.requests(limit=limit, offset=cursor), key="requests", start=0
        )

    def ask(self, body: RowsRequest, *, idempotency_key: str | None = None) -> Json:
        """Ask that rows be erased or handed out. The change that carries it out waits for others."""
        return self._transport.send(
            "POST", "/data-requests", body=body, idempotency_key=idempotency_key
        ).json()

    def request_(self, request_id: str) -> Json:
        """One request, with what and how many once it is done."""
        return self._transport.send(
            "GET", "/data-requests/{request_id}", parts={"request_id": request_id}
        ).json()

    def document(self, request_id: str, *, form: Literal["html", "pdf", "json"] = "json") -> Json:
        """All rows of the subject of a finished access request."""
        return self._transport.send(
            "GET",
            "/data-requests/{request_id}/document",
            parts={"request_id": request_id},
            query={"form": form},
        ).json()

    def erase_person(
        self, person_id: str, body: PersonErasure, *, idempotency_key: str | None = None
    ) -> Json:
        """Ask that somebody who used Warrant be erased."""
        return self._transport.send(
            "POST",
            "/people/{person_id}/erasure",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def erase_texts(self, body: TextsErasure, *, idempotency_key: str | None = None) -> Json:
        """Ask that the texts of entries of the log be erased. Leaves and proofs stay."""
        return self._transport.send(
            "POST", "/audit/entries/erasure", body=body, idempotency_key=idempotency_key
        ).json()

    def explanation(
        self, model: str, *, prediction_id: str, form: Literal["html", "pdf", "json"] = "json"
    ) -> Json:
        """Why one prediction came out as it did, and who let that version decide."""
        return self._transport.send(
            "GET",
            "/models/{model}/explanation",
            parts={"model": model},
            query={"prediction_id": prediction_id, "form": form},
        ).json()

    def compute(self, model: str, body: ExplanationRequest, *, idempotency_key: str | None = None) -> Json:
        """Have a job compute what moved one prediction."""
        return self._transport.send(
            "POST",
            "/models/{model}/explanation",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def rule(self, model: str) -> Json:
        """Purposes, ground and retention of a model's data, and how many people opted out."""
        return self._transport.send("GET", "/models/{model}/data-rule", parts={"model": model}).json()

    def replace_rule(self, model: str, body: RuleRequest, *, idempotency_key: str | None = None) -> Json:
        """Replace what holds for a model's data."""
        return self._transport.send(
            "POST",
            "/models/{model}/data-rule",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def opt(self, model: str, body: OptOutRequest, *, idempotency_key: str | None = None) -> Json:
        """Somebody does not want to be learnt from, or does again (`out` false)."""
        return self._transport.send(
            "POST",
            "/models/{model}/opt-outs",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class EvidencePacksOperations:
    """Operations about evidence packs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def packs(
        self, *, model: str | None = None, change: int | None = None, offset: int = 0, limit: int = 100
    ) -> Json:
        """Evidence packs, newest first, with how far each is."""
        return self._transport.send(
            "GET", "/packs", query={"model": model, "change": change, "offset": offset, "limit": limit}
        ).json()

    def packs_pages(
        self, *, model: str | None = None, change: int | None = None, limit: int = 100
    ) -> Iterator[JsonObject]:
        """Everything of `packs`, page by page."""
        return self._transport.pages(
            lambda cursor: self.packs(model=model, change=change, limit=limit, offset=cursor),
            key="packs",
            start=0,
        )

    def make(self, body: PackRequest, *, idempotency_key: str | None = None) -> Json:
        """Have an evidence pack made about a model, a version, a change or a period. A job makes it."""
        return self._transport.send("POST", "/packs", body=body, idempotency_key=idempotency_key).json()

    def pack(self, pack_id: str) -> Json:
        """One evidence pack: state, progress, digests, how many gaps it names."""
        return self._transport.send("GET", "/packs/{pack_id}", parts={"pack_id": pack_id}).json()

    def file(self, pack_id: str) -> Json:
        """The ZIP. That it was taken is an entry of the audit log."""
        return self._transport.send("GET", "/packs/{pack_id}/file", parts={"pack_id": pack_id}).json()

    def making(self, pack_id: str) -> Json:
        """What shows who has no account here that the audit log records exactly this pack; goes beside the ZIP."""
        return self._transport.send("GET", "/packs/{pack_id}/making", parts={"pack_id": pack_id}).json()


class FleetOperations:
    """Operations about fleet."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def fleet(
        self,
        *,
        text: str = "",
        owner: Sequence[str] | None = None,
        tier: Sequence[str] | None = None,
        team: Sequence[str] | None = None,
        tag: Sequence[str] | None = None,
        health: Sequence[str] | None = None,
        environment: str | None = None,
        sort: str = "need",
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> Json:
        """Models with how they are, worst first. Values of one filter are alternatives; `-` is a model without owner or
        team. `levels` counts by health what matches the other filters. Pass `next` as `offset`."""
        return self._transport.send(
            "GET",
            "/fleet",
            query={
                "text": text,
                "owner": owner,
                "tier": tier,
                "team": team,
                "tag": tag,
                "health": health,
                "environment": environment,
                "sort": sort,
                "descending": descending,
                "offset": offset,
                "limit": limit,
            },
        ).json()

    def fleet_pages(
        self,
        *,
        text: str = "",
        owner: Sequence[str] | None = None,
        tier: Sequence[str] | None = None,
        team: Sequence[str] | None = None,
        tag: Sequence[str] | None = None,
        health: Sequence[str] | None = None,
        environment: str | None = None,
        sort: str = "need",
        descending: bool = False,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `fleet`, page by page."""
        return self._transport.pages(
            lambda cursor: self.fleet(
                text=text,
                owner=owner,
                tier=tier,
                team=team,
                tag=tag,
                health=health,
                environment=environment,
                sort=sort,
                descending=descending,
                limit=limit,
                offset=cursor,
            ),
            key="models",
            start=0,
        )

    def tags(self, model: str, body: TagRequest, *, idempotency_key: str | None = None) -> Json:
        """Put tags on a model and take others off; answers with those it has then."""
        return self._transport.send(
            "POST", "/models/{model}/tags", parts={"model": model}, body=body, idempotency_key=idempotency_key
        ).json()

    def preview(self, body: ActRequest, *, idempotency_key: str | None = None) -> Json:
        """What an act on several models would do to which, and which it leaves out with the reason of each."""
        return self._transport.send(
            "POST", "/fleet/acts/preview", body=body, idempotency_key=idempotency_key
        ).json()

    def act_on(self, body: PerformRequest, *, idempotency_key: str | None = None) -> Json:
        """Do what was previewed, model by model; one that is refused meanwhile is told, and the others stand."""
        return self._transport.send("POST", "/fleet/acts", body=body, idempotency_key=idempotency_key).json()

    def views(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Saved views of the list of models: one's own, and those that are shared."""
        return self._transport.send("GET", "/views", query={"offset": offset, "limit": limit}).json()

    def views_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `views`, page by page."""
        return self._transport.pages(
            lambda cursor: self.views(limit=limit, offset=cursor), key="views", start=0
        )

    def keep_view(self, body: ViewRequest, *, idempotency_key: str | None = None) -> Json:
        """Save a view, in place of one's own of the same name. Sharing is for those who see every model."""
        return self._transport.send("POST", "/views", body=body, idempotency_key=idempotency_key).json()

    def take_view_away(self, view_id: int, *, idempotency_key: str | None = None) -> Json:
        """Remove a view: one's own, or as an administrator a shared one."""
        return self._transport.send(
            "POST", "/views/{view_id}/removal", parts={"view_id": view_id}, idempotency_key=idempotency_key
        ).json()


class IncidentsOperations:
    """Operations about incidents."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def alerts(self, *, model: str | None = None, offset: int = 0, limit: int = 100) -> Json:
        """What fires now, worst first, with what mutes each. Pass `next` as `offset`."""
        return self._transport.send(
            "GET", "/alerts", query={"model": model, "offset": offset, "limit": limit}
        ).json()

    def alerts_pages(self, *, model: str | None = None, limit: int = 100) -> Iterator[JsonObject]:
        """Everything of `alerts`, page by page."""
        return self._transport.pages(
            lambda cursor: self.alerts(model=model, limit=limit, offset=cursor), key="alerts", start=0
        )

    def incidents(
        self,
        *,
        model: str | None = None,
        state: Literal["open", "closed"] | None = None,
        severity: int | None = None,
        mine: bool = False,
        nobodys: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> Json:
        """Those that are open, the gravest first, then those that are over, the newest first. Pass `next` as `offset`."""
        return self._transport.send(
            "GET",
            "/incidents",
            query={
                "model": model,
                "state": state,
                "severity": severity,
                "mine": mine,
                "nobodys": nobodys,
                "offset": offset,
                "limit": limit,
            },
        ).json()

    def incidents_pages(
        self,
        *,
        model: str | None = None,
        state: Literal["open", "closed"] | None = None,
        severity: int | None = None,
        mine: bool = False,
        nobodys: bool = False,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `incidents`, page by page."""
        return self._transport.pages(
            lambda cursor: self.incidents(
                model=model,
                state=state,
                severity=severity,
                mine=mine,
                nobodys=nobodys,
                limit=limit,
                offset=cursor,
            ),
            key="incidents",
            start=0,
        )

    def opening(self, body: OpeningRequest, *, idempotency_key: str | None = None) -> Json:
        """Open one by hand. `model` empty: about the whole installation."""
        return self._transport.send("POST", "/incidents", body=body, idempotency_key=idempotency_key).json()

    def incident(self, incident_id: int) -> Json:
        """One incident as its page has it: sentence, impact, alerts, ranked causes, what changed, what one can do."""
        return self._transport.send(
            "GET", "/incidents/{incident_id}", parts={"incident_id": incident_id}
        ).json()

    def incident_timeline(self, incident_id: int) -> Json:
        """Incident Timeline"""
        return self._transport.send(
            "GET", "/incidents/{incident_id}/timeline", parts={"incident_id": incident_id}
        ).json()

    def incident_report(self, incident_id: int, *, form: Literal["md", "pdf"] = "md") -> Json:
        """The post-incident report, as Markdown or PDF."""
        return self._transport.send(
            "GET", "/incidents/{incident_id}/report", parts={"incident_id": incident_id}, query={"form": form}
        ).json()

    def acknowledgement(self, incident_id: int, *, idempotency_key: str | None = None) -> Json:
        """Acknowledgement"""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/acknowledgement",
            parts={"incident_id": incident_id},
            idempotency_key=idempotency_key,
        ).json()

    def closure(self, incident_id: int, body: ClosureRequest, *, idempotency_key: str | None = None) -> Json:
        """Resolve an incident under which nothing fires any more, with its cause."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/closure",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def assignment(
        self, incident_id: int, body: AssignmentRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Give it to a person by user name; empty: to nobody."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/assignment",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def note(self, incident_id: int, body: NoteRequest, *, idempotency_key: str | None = None) -> Json:
        """A note; with `address` a link to something outside."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/notes",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def step(self, incident_id: int, body: StepRequest, *, idempotency_key: str | None = None) -> Json:
        """Mark a runbook step as done, or as not done; answers with every step that is."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/steps",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def severity(
        self, incident_id: int, body: SeverityRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Severity"""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/severity",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def mitigation(self, incident_id: int, body: WhyRequest, *, idempotency_key: str | None = None) -> Json:
        """The harm has stopped, the cause is not mended."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/mitigation",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def false_alarm(self, incident_id: int, body: WhyRequest, *, idempotency_key: str | None = None) -> Json:
        """Nothing was wrong: close it, count it against its monitors, silence what fires until it gets worse."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/false-alarm",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def merging(self, incident_id: int, body: MergeRequest, *, idempotency_key: str | None = None) -> Json:
        """Its alerts go to the incident `into`, which is the answer."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/merge",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def silences(
        self, *, model: str | None = None, over: bool = False, offset: int = 0, limit: int = 500
    ) -> Json:
        """Those that hold or will; with `over` past ones too."""
        return self._transport.send(
            "GET", "/silences", query={"model": model, "over": over, "offset": offset, "limit": limit}
        ).json()

    def silences_pages(
        self, *, model: str | None = None, over: bool = False, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `silences`, page by page."""
        return self._transport.pages(
            lambda cursor: self.silences(model=model, over=over, limit=limit, offset=cursor),
            key="silences",
            start=0,
        )

    def silencing(self, body: SilenceRequest, *, idempotency_key: str | None = None) -> Json:
        """Mute what fits every matcher given, to an end: `until`, or `until_worse` (8 hours at most)."""
        return self._transport.send("POST", "/silences", body=body, idempotency_key=idempotency_key).json()

    def ending(self, silence_id: int, body: WhyRequest, *, idempotency_key: str | None = None) -> Json:
        """Ending"""
        return self._transport.send(
            "POST",
            "/silences/{silence_id}/end",
            parts={"silence_id": silence_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def false_alarms(self, model: str, *, offset: int = 0, limit: int = 500) -> Json:
        """How often people called alerts of each monitor false, within 90 days."""
        return self._transport.send(
            "GET",
            "/models/{model}/false-alarms",
            parts={"model": model},
            query={"offset": offset, "limit": limit},
        ).json()

    def false_alarms_pages(self, model: str, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `false_alarms`, page by page."""
        return self._transport.pages(
            lambda cursor: self.false_alarms(model, limit=limit, offset=cursor), key="monitors", start=0
        )


class InventoryOperations:
    """Operations about inventory."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def inventory(
        self,
        *,
        text: str = "",
        owner: str = "",
        team: str = "",
        tier: Sequence[Literal["low", "medium", "high", "prohibited"]] | None = None,
        kind: Sequence[Literal["own", "imported", "vendor"]] | None = None,
        needing: bool = False,
        sort: str = "due",
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> Json:
        """Models with what people vouch for and what is due; the most urgent first. Pass `next` as `offset`."""
        return self._transport.send(
            "GET",
            "/inventory",
            query={
                "text": text,
                "owner": owner,
                "team": team,
                "tier": tier,
                "kind": kind,
                "needing": needing,
                "sort": sort,
                "descending": descending,
                "offset": offset,
                "limit": limit,
            },
        ).json()

    def inventory_pages(
        self,
        *,
        text: str = "",
        owner: str = "",
        team: str = "",
        tier: Sequence[Literal["low", "medium", "high", "prohibited"]] | None = None,
        kind: Sequence[Literal["own", "imported", "vendor"]] | None = None,
        needing: bool = False,
        sort: str = "due",
        descending: bool = False,
        limit: int = 100,
    ) -> Iterator[JsonObject]:
        """Everything of `inventory`, page by page."""
        return self._transport.pages(
            lambda cursor: self.inventory(
                text=text,
                owner=owner,
                team=team,
                tier=tier,
                kind=kind,
                needing=needing,
                sort=sort,
                descending=descending,
                limit=limit,
                offset=cursor,
            ),
            key="models",
            start=0,
        )

    def add_vendor_model(self, body: VendorModelRequest, *, idempotency_key: str | None = None) -> Json:
        """Enter a model that a vendor serves: no artefact, no version, nothing measured; governed as tier high."""
        return self._transport.send("POST", "/inventory", body=body, idempotency_key=idempotency_key).json()

    def inventory_entry(self, model: str) -> Json:
        """One model of the inventory."""
        return self._transport.send("GET", "/inventory/{model}", parts={"model": model}).json()

    def keep(self, model: str, body: FactsRequest, *, idempotency_key: str | None = None) -> Json:
        """Write purpose, data, owner or next review of a model; what is left out stays."""
        return self._transport.send(
            "POST",
            "/inventory/{model}/facts",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def questionnaire(self) -> Json:
        """The questions from whose answers a tier is proposed."""
        return self._transport.send("GET", "/questionnaire").json()

    def replace(self, body: QuestionnaireRequest, *, idempotency_key: str | None = None) -> Json:
        """Put another questionnaire in force; answers to earlier ones stay."""
        return self._transport.send(
            "POST", "/questionnaire", body=body, idempotency_key=idempotency_key
        ).json()

    def tier_answers(self, model: str, *, offset: int = 0, limit: int = 500) -> Json:
        """Answers about a model, newest first, with the tier that follows from each."""
        return self._transport.send(
            "GET",
            "/models/{model}/tier-answers",
            parts={"model": model},
            query={"offset": offset, "limit": limit},
        ).json()

    def tier_answers_pages(self, model: str, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `tier_answers`, page by page."""
        return self._transport.pages(
            lambda cursor: self.tier_answers(model, limit=limit, offset=cursor), key="answers", start=0
        )

    def answer_tier(self, model: str, body: AnswersRequest, *, idempotency_key: str | None = None) -> Json:
        """Answer the questionnaire; the tier that follows is proposed. It moves by a change of kind `tier` only."""
        return self._transport.send(
            "POST",
            "/models/{model}/tier-answers",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class ModelsOperations:
    """Operations about models."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def models(self, *, team: str | None = None, offset: int = 0, limit: int = 500) -> Json:
        """Models"""
        return self._transport.send(
            "GET", "/models", query={"team": team, "offset": offset, "limit": limit}
        ).json()

    def models_pages(self, *, team: str | None = None, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `models`, page by page."""
        return self._transport.pages(
            lambda cursor: self.models(team=team, limit=limit, offset=cursor), key="models", start=0
        )

    def model_detail(self, model: str, *, offset: int = 0, limit: int = 500) -> Json:
        """Model Detail"""
        return self._transport.send(
            "GET", "/models/{model}", parts={"model": model}, query={"offset": offset, "limit": limit}
        ).json()

    def model_detail_pages(self, model: str, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `model_detail`, page by page."""
        return self._transport.pages(
            lambda cursor: self.model_detail(model, limit=limit, offset=cursor), key="versions", start=0
        )

    def data_owner(
        self, model: str, version: int, body: DataOwnerRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Declare whose the training data of a version are. What people decide on about that version is void."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/data-owner",
            parts={"model": model, "version": version},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def lineage(self, model: str, version: int, *, offset: int = 0, limit: int = 500) -> Json:
        """What a version came from, by the files of DVC and Feast that were attached to it."""
        return self._transport.send(
            "GET",
            "/models/{model}/versions/{version}/lineage",
            parts={"model": model, "version": version},
            query={"offset": offset, "limit": limit},
        ).json()

    def lineage_pages(self, model: str, version: int, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `lineage`, page by page."""
        return self._transport.pages(
            lambda cursor: self.lineage(model, version, limit=limit, offset=cursor), key="sources", start=0
        )

    def attach(
        self, model: str, version: int, body: LineageRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Attach a file of DVC or Feast. It is read, never executed; a malformed one is refused with its line."""
        return self._transport.send(
            "POST",
            "/models/{model}/versions/{version}/lineage",
            parts={"model": model, "version": version},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def deployments(
        self,
        model: str,
        *,
        environment: str | None = None,
        at: datetime | str | None = None,
        offset: int = 0,
        limit: int = 500,
    ) -> Json:
        """Every deployment; with `at` those of that moment, the champion first, each with the share it then had."""
        return self._transport.send(
            "GET",
            "/models/{model}/deployments",
            parts={"model": model},
            query={"environment": environment, "at": at, "offset": offset, "limit": limit},
        ).json()

    def deployments_pages(
        self,
        model: str,
        *,
        environment: str | None = None,
        at: datetime | str | None = None,
        limit: int = 500,
    ) -> Iterator[JsonObject]:
        """Everything of `deployments`, page by page."""
        return self._transport.pages(
            lambda cursor: self.deployments(
                model, environment=environment, at=at, limit=limit, offset=cursor
            ),
            key="deployments",
            start=0,
        )

    def points(
        self,
        model: str,
        *,
        environment: str | None = None,
        size: str | None = None,
        statistic: str | None = None,
        kind: str | None = None,
        before: str | None = None,
        limit: int = 500,
    ) -> Json:
        """Metric points, those of the newest windows first. Pass `next` of an answer as `before` for the following page.
        `why_none`: why points of kind `fairness` are not counted for this model."""
        return self._transport.send(
            "GET",
            "/models/{model}/points",
            parts={"model": model},
            query={
                "environment": environment,
                "size": size,
                "statistic": statistic,
                "kind": kind,
                "before": before,
                "limit": limit,
            },
        ).json()

    def points_pages(
        self,
        model: str,
        *,
        environment: str | None = None,
        size: str | None = None,
        statistic: str | None = None,
        kind: str | None = None,
        limit: int = 500,
    ) -> Iterator[JsonObject]:
        """Everything of `points`, page by page."""
        return self._transport.pages(
            lambda cursor: self.points(
                model,
                environment=environment,
                size=size,
                statistic=statistic,
                kind=kind,
                limit=limit,
                before=cursor,
            ),
            key="points",
            start=None,
        )

    def compute_metrics(self, model: str, *, idempotency_key: str | None = None) -> Json:
        """Compute every due window of a model now; answers with the job's run id."""
        return self._transport.send(
            "POST", "/models/{model}/metrics", parts={"model": model}, idempotency_key=idempotency_key
        ).json()

    def write_report(
        self,
        model: str,
        *,
        window_start: datetime | str,
        size: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Have an Evidently report of one window written; answers with the job's run id."""
        return self._transport.send(
            "POST",
            "/models/{model}/report",
            parts={"model": model},
            query={"window_start": window_start, "size": size},
            idempotency_key=idempotency_key,
        ).json()

    def served(self, *, model: str, environment: str | None = None, at: datetime | str | None = None) -> Json:
        """What served at a moment (default: now) with which share of the requests, and by which change."""
        return self._transport.send(
            "GET", "/served", query={"model": model, "environment": environment, "at": at}
        ).json()

    def analysis(
        self, model: str, start: datetime | str, *, size: str | None = None, environment: str | None = None
    ) -> Json:
        """The newest analysis of a window: the parts of the change, the worst slices, what happened before."""
        return self._transport.send(
            "GET",
            "/models/{model}/windows/{start}/analysis",
            parts={"model": model, "start": start},
            query={"size": size, "environment": environment},
        ).json()

    def analyse(
        self,
        model: str,
        start: datetime | str,
        *,
        size: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Have a window analysed now; answers with the job's run id."""
        return self._transport.send(
            "POST",
            "/models/{model}/windows/{start}/analysis",
            parts={"model": model, "start": start},
            query={"size": size},
            idempotency_key=idempotency_key,
        ).json()

    def prediction_explanation(self, prediction_id: str, *, model: str | None = None) -> Json:
        """SHAP values and reason codes of one prediction. 200 where they are stored; else a job is asked for once, and the
        answer is 202 with its progress: ask again after `Retry-After` seconds."""
        return self._transport.send(
            "GET",
            "/predictions/{prediction_id}/explanation",
            parts={"prediction_id": prediction_id},
            query={"model": model},
        ).json()

    def attributions(self, model: str, *, environment: str | None = None) -> Json:
        """What versions leant on, window by window and segment by segment: mean |SHAP| with intervals, and how far the
        order of columns has moved from the version's own explanation (NDCG). The newest 500 windows."""
        return self._transport.send(
            "GET", "/models/{model}/attributions", parts={"model": model}, query={"environment": environment}
        ).json()


class MonitorsOperations:
    """Operations about monitors."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def monitors(self, model: str, *, environment: str | None = None) -> Json:
        """The monitors that people wrote for a model, the figures they can look at, and the false alarms allowed."""
        return self._transport.send(
            "GET", "/models/{model}/monitors", parts={"model": model}, query={"environment": environment}
        ).json()

    def create_monitor(
        self,
        model: str,
        body: NewMonitor,
        *,
        environment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Store a monitor; it is looked at from the next computation on."""
        return self._transport.send(
            "POST",
            "/models/{model}/monitors",
            parts={"model": model},
            body=body,
            query={"environment": environment},
            idempotency_key=idempotency_key,
        ).json()

    def monitor_versions(self, model: str, key: str, *, offset: int = 0, limit: int = 500) -> Json:
        """Every version of a monitor, newest first."""
        return self._transport.send(
            "GET",
            "/models/{model}/monitors/{key}",
            parts={"model": model, "key": key},
            query={"offset": offset, "limit": limit},
        ).json()

    def monitor_versions_pages(self, model: str, key: str, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `monitor_versions`, page by page."""
        return self._transport.pages(
            lambda cursor: self.monitor_versions(model, key, limit=limit, offset=cursor),
            key="versions",
            start=0,
        )

    def change_monitor(
        self, model: str, key: str, body: MonitorChange, *, idempotency_key: str | None = None
    ) -> Json:
        """Change, pause or resume a monitor, or bring back one of its versions; `seen` is the version you looked at."""
        return self._transport.send(
            "PUT",
            "/models/{model}/monitors/{key}",
            parts={"model": model, "key": key},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def delete_monitor(self, model: str, key: str, *, seen: int, idempotency_key: str | None = None) -> Json:
        """Delete a monitor; its versions stay readable and can be brought back."""
        return self._transport.send(
            "DELETE",
            "/models/{model}/monitors/{key}",
            parts={"model": model, "key": key},
            query={"seen": seen},
            idempotency_key=idempotency_key,
        ).json()

    def replay_monitor(
        self,
        model: str,
        body: MonitorsProposal,
        *,
        environment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """When a proposed monitor would have fired over stored history, and how many pages a month. Stores nothing."""
        return self._transport.send(
            "POST",
            "/models/{model}/monitors/replay",
            parts={"model": model},
            body=body,
            query={"environment": environment},
            idempotency_key=idempotency_key,
        ).json()

    def ingest_kpis(
        self,
        model: str,
        body: Mapping[str, Any],
        *,
        environment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Accept figures of your own: `{"kpis": [{"ts", "name", "value", "segment", "id"}]}`, Parquet or Arrow too."""
        return self._transport.send(
            "POST",
            "/models/{model}/kpis",
            parts={"model": model},
            body=body,
            query={"environment": environment},
            idempotency_key=idempotency_key,
        ).json()

    def kpis(
        self,
        model: str,
        *,
        size: str | None = None,
        environment: str | None = None,
        until: datetime | str | None = None,
    ) -> Json:
        """Figures of your own in windows, of all rows and by segment: those of a year up to the newest row, or to `until`.
        `before` is where that year began; pass it as `until` for the year before, until it is null."""
        return self._transport.send(
            "GET",
            "/models/{model}/kpis",
            parts={"model": model},
            query={"size": size, "environment": environment, "until": until},
        ).json()


class ObjectivesOperations:
    """Operations about objectives."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def objectives(
        self, *, model: str | None = None, environment: str | None = None, offset: int = 0, limit: int = 500
    ) -> Json:
        """How every objective stands, those in danger first."""
        return self._transport.send(
            "GET",
            "/objectives",
            query={"model": model, "environment": environment, "offset": offset, "limit": limit},
        ).json()

    def objectives_pages(
        self, *, model: str | None = None, environment: str | None = None, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `objectives`, page by page."""
        return self._transport.pages(
            lambda cursor: self.objectives(model=model, environment=environment, limit=limit, offset=cursor),
            key="objectives",
            start=0,
        )

    def define_objective(self, body: NewObjective, *, idempotency_key: str | None = None) -> Json:
        """Store an objective; it is counted and judged from the next minute on."""
        return self._transport.send("POST", "/objectives", body=body, idempotency_key=idempotency_key).json()

    def one_objective(self, objective: str) -> Json:
        """One objective: its definition, its budget over time, and what the last calendar month came to."""
        return self._transport.send("GET", "/objectives/{objective}", parts={"objective": objective}).json()

    def revise_objective(
        self, objective: str, body: ObjectiveChange, *, idempotency_key: str | None = None
    ) -> Json:
        """Store another definition of it; `seen` is the revision you looked at."""
        return self._transport.send(
            "PUT",
            "/objectives/{objective}",
            parts={"objective": objective},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def retire_objective(
        self, objective: str, *, seen: int, why: str, idempotency_key: str | None = None
    ) -> Json:
        """Stop judging it; its revisions and counts stay readable."""
        return self._transport.send(
            "DELETE",
            "/objectives/{objective}",
            parts={"objective": objective},
            query={"seen": seen, "why": why},
            idempotency_key=idempotency_key,
        ).json()

    def check_objective(self, body: ObjectivesProposal, *, idempotency_key: str | None = None) -> Json:
        """What an OpenSLO text holds, and what is wrong with it or most likely not meant. Stores nothing."""
        return self._transport.send(
            "POST", "/objectives/check", body=body, idempotency_key=idempotency_key
        ).json()

    def maintenance(
        self, model: str, *, environment: str | None = None, offset: int = 0, limit: int = 500
    ) -> Json:
        """Times that do not count against the objectives of a model, newest first."""
        return self._transport.send(
            "GET",
            "/models/{model}/maintenance",
            parts={"model": model},
            query={"environment": environment, "offset": offset, "limit": limit},
        ).json()

    def maintenance_pages(
        self, model: str, *, environment: str | None = None, limit: int = 500
    ) -> Iterator[JsonObject]:
        """Everything of `maintenance`, page by page."""
        return self._transport.pages(
            lambda cursor: self.maintenance(model, environment=environment, limit=limit, offset=cursor),
            key="maintenance",
            start=0,
        )

    def declare_maintenance(
        self,
        model: str,
        body: NewMaintenance,
        *,
        environment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Take a span of time out of the model's objectives, or out of one of them."""
        return self._transport.send(
            "POST",
            "/models/{model}/maintenance",
            parts={"model": model},
            body=body,
            query={"environment": environment},
            idempotency_key=idempotency_key,
        ).json()

    def end_maintenance(self, maintenance_id: int, *, idempotency_key: str | None = None) -> Json:
        """End it now; one that has not begun is withdrawn."""
        return self._transport.send(
            "POST",
            "/maintenance/{maintenance_id}/end",
            parts={"maintenance_id": maintenance_id},
            idempotency_key=idempotency_key,
        ).json()


class ObservationsOperations:
    """Operations about observations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ingest_predictions(
        self,
        model: str,
        body: Mapping[str, Any] | bytes,
        *,
        content_type: Literal[
            "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
        ] = "application/vnd.apache.parquet",
        idempotency_key: str | None = None,
    ) -> Json:
        """Accept predictions: `{"predictions": [{"prediction_id", "ts", "version", "features": {…}, "score"}]}`."""
        return self._transport.send(
            "POST",
            "/models/{model}/predictions",
            parts={"model": model},
            body=body,
            content_type=content_type,
            idempotency_key=idempotency_key,
        ).json()

    def ingest_labels(
        self,
        model: str,
        body: Mapping[str, Any] | bytes,
        *,
        content_type: Literal[
            "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
        ] = "application/vnd.apache.parquet",
        idempotency_key: str | None = None,
    ) -> Json:
        """Accept labels: `{"labels": [{"prediction_id", "label", "status": "known", "label_ts"}]}`."""
        return self._transport.send(
            "POST",
            "/models/{model}/labels",
            parts={"model": model},
            body=body,
            content_type=content_type,
            idempotency_key=idempotency_key,
        ).json()


class OperationsOperations:
    """Operations about operations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def notifications(self, *, incident: int | None = None, offset: int = 0, limit: int = 100) -> Json:
        """Whether notices are sent, what should have been told and was not, how every channel does, the newest notices."""
        return self._transport.send(
            "GET", "/notifications", query={"incident": incident, "offset": offset, "limit": limit}
        ).json()

    def notifications_pages(self, *, incident: int | None = None, limit: int = 100) -> Iterator[JsonObject]:
        """Everything of `notifications`, page by page."""
        return self._transport.pages(
            lambda cursor: self.notifications(incident=incident, limit=limit, offset=cursor),
            key="notices",
            start=0,
        )

    def rotas(self) -> Json:
        """Who is on call now by every rota, and the shifts that were set here, with the document they are exported as."""
        return self._transport.send("GET", "/rotas").json()

    def set_shift(self, body: ShiftRequest, *, idempotency_key: str | None = None) -> Json:
        """Put somebody on call."""
        return self._transport.send(
            "POST", "/rotas/shifts", body=body, idempotency_key=idempotency_key
        ).json()

    def end_shift(self, shift_id: int, *, idempotency_key: str | None = None) -> Json:
        """Take somebody off call."""
        return self._transport.send(
            "POST",
            "/rotas/shifts/{shift_id}/removal",
            parts={"shift_id": shift_id},
            idempotency_key=idempotency_key,
        ).json()

    def import_shifts(self, body: ShiftsDocument, *, idempotency_key: str | None = None) -> Json:
        """Have exactly these shifts."""
        return self._transport.send(
            "POST", "/rotas/import", body=body, idempotency_key=idempotency_key
        ).json()

    def retry_notices(self, notice_id: int, *, idempotency_key: str | None = None) -> Json:
        """Try a notice again that was refused, or that waits for its next time."""
        return self._transport.send(
            "POST",
            "/notices/{notice_id}/retry",
            parts={"notice_id": notice_id},
            idempotency_key=idempotency_key,
        ).json()

    def test_channel(self, channel: str, *, idempotency_key: str | None = None) -> Json:
        """Have the notifier tell a channel of an incident that is none. `GET /notifications` says what came of it."""
        return self._transport.send(
            "POST", "/channels/{channel}/test", parts={"channel": channel}, idempotency_key=idempotency_key
        ).json()

    def alertmanager(self, body: OutsideAlerts, *, idempotency_key: str | None = None) -> Json:
        """The webhook of an Alertmanager (version 4); its `http_config` carries the token of a service account."""
        return self._transport.send(
            "POST", "/alerts/alertmanager", body=body, idempotency_key=idempotency_key
        ).json()

    def me(self) -> Json:
        """Who this token or session belongs to; for a session also the token that its changing requests must carry."""
        return self._transport.send("GET", "/me").json()

    def jobs(self, *, state: Sequence[str] | None = None, offset: int = 0, limit: int = 100) -> Json:
        """Jobs"""
        return self._transport.send(
            "GET", "/jobs", query={"state": state, "offset": offset, "limit": limit}
        ).json()

    def jobs_pages(self, *, state: Sequence[str] | None = None, limit: int = 100) -> Iterator[JsonObject]:
        """Everything of `jobs`, page by page."""
        return self._transport.pages(
            lambda cursor: self.jobs(state=state, limit=limit, offset=cursor), key="jobs", start=0
        )

    def retry_jobs(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Queue a failed run's work again."""
        return self._transport.send(
            "POST", "/jobs/{run_id}/retry", parts={"run_id": run_id}, idempotency_key=idempotency_key
        ).json()


class PeopleOperations:
    """Operations about people."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def people(self, *, offset: int = 0, limit: int = 500) -> Json:
        """People"""
        return self._transport.send("GET", "/people", query={"offset": offset, "limit": limit}).json()

    def people_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `people`, page by page."""
        return self._transport.pages(
            lambda cursor: self.people(limit=limit, offset=cursor), key="people", start=0
        )

    def add(self, body: NewPerson, *, idempotency_key: str | None = None) -> Json:
        """Add a person with a first password, which opens nothing until they have chosen their own."""
        return self._transport.send("POST", "/people", body=body, idempotency_key=idempotency_key).json()

    def invite(self, body: Invitation, *, idempotency_key: str | None = None) -> Json:
        """Let somebody from outside read what concerns these models, until a day."""
        return self._transport.send("POST", "/auditors", body=body, idempotency_key=idempotency_key).json()

    def limits(self, person_id: str, body: Limits, *, idempotency_key: str | None = None) -> Json:
        """Give an auditor other models or another end; it holds from their next request on."""
        return self._transport.send(
            "POST",
            "/auditors/{person_id}/limits",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def password(self, person_id: str, body: NewPassword, *, idempotency_key: str | None = None) -> Json:
        """Set the password of somebody who forgot theirs; they choose another one as they sign in."""
        return self._transport.send(
            "POST",
            "/people/{person_id}/password",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def roles(self, person_id: str, body: NewRoles, *, idempotency_key: str | None = None) -> Json:
        """Replace someone's roles; it holds from their next request on."""
        return self._transport.send(
            "POST",
            "/people/{person_id}/roles",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def disablement(self, person_id: str, body: Disablement, *, idempotency_key: str | None = None) -> Json:
        """End someone's access at once."""
        return self._transport.send(
            "POST",
            "/people/{person_id}/disablement",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def sessions(self, *, offset: int = 0, limit: int = 500) -> Json:
        """One's open sessions, newest first; `last_address` and `last_device`: where each was used last."""
        return self._transport.send("GET", "/sessions", query={"offset": offset, "limit": limit}).json()

    def sessions_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `sessions`, page by page."""
        return self._transport.pages(
            lambda cursor: self.sessions(limit=limit, offset=cursor), key="sessions", start=0
        )

    def end_all(self, body: Everywhere, *, idempotency_key: str | None = None) -> Json:
        """Sign out everywhere, but for this session unless `keep_this` is false."""
        return self._transport.send(
            "POST", "/sessions/revocation", body=body, idempotency_key=idempotency_key
        ).json()

    def end_sessions(self, session_id: str, body: Ending, *, idempotency_key: str | None = None) -> Json:
        """End one session at once: one's own, or as an administrator anybody's."""
        return self._transport.send(
            "POST",
            "/sessions/{session_id}/revocation",
            parts={"session_id": session_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def of_person(self, person_id: str, *, offset: int = 0, limit: int = 500) -> Json:
        """The open sessions of somebody, for administrators."""
        return self._transport.send(
            "GET",
            "/people/{person_id}/sessions",
            parts={"person_id": person_id},
            query={"offset": offset, "limit": limit},
        ).json()

    def of_person_pages(self, person_id: str, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `of_person`, page by page."""
        return self._transport.pages(
            lambda cursor: self.of_person(person_id, limit=limit, offset=cursor), key="sessions", start=0
        )

    def end_of_person(self, person_id: str, body: Ending, *, idempotency_key: str | None = None) -> Json:
        """Sign somebody out everywhere."""
        return self._transport.send(
            "POST",
            "/people/{person_id}/sessions/revocation",
            parts={"person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def tokens(self, *, offset: int = 0, limit: int = 500) -> Json:
        """One's tokens and those of one's service accounts, newest first, without the secrets."""
        return self._transport.send("GET", "/tokens", query={"offset": offset, "limit": limit}).json()

    def tokens_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `tokens`, page by page."""
        return self._transport.pages(
            lambda cursor: self.tokens(limit=limit, offset=cursor), key="tokens", start=0
        )

    def create_tokens(self, body: NewToken, *, idempotency_key: str | None = None) -> Json:
        """Create a token; it is in this answer and nowhere else. With a session that signed in freshly, not by token."""
        return self._transport.send("POST", "/tokens", body=body, idempotency_key=idempotency_key).json()

    def rotate(self, token_id: str, body: Rotation, *, idempotency_key: str | None = None) -> Json:
        """A token that takes over; the old one stays valid until a stated end."""
        return self._transport.send(
            "POST",
            "/tokens/{token_id}/rotation",
            parts={"token_id": token_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def revoke(self, token_id: str, body: Revocation, *, idempotency_key: str | None = None) -> Json:
        """End a token at once."""
        return self._transport.send(
            "POST",
            "/tokens/{token_id}/revocation",
            parts={"token_id": token_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def add_service(self, body: NewServiceAccount, *, idempotency_key: str | None = None) -> Json:
        """An account for programs, which acts for its owner and stops with them."""
        return self._transport.send(
            "POST", "/service-accounts", body=body, idempotency_key=idempotency_key
        ).json()

    def exchange_token(
        self,
        body: bytes,
        *,
        content_type: Literal["application/x-www-form-urlencoded"] = "application/x-www-form-urlencoded",
        idempotency_key: str | None = None,
    ) -> Json:
        """A short API token for a CI job's identity token (RFC 8693). It asks for no other sign-in."""
        return self._transport.send(
            "POST", "/token-exchange", body=body, content_type=content_type, idempotency_key=idempotency_key
        ).json()

    def rules(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Which jobs of CI systems are let in, as which account."""
        return self._transport.send("GET", "/ci-trust", query={"offset": offset, "limit": limit}).json()

    def rules_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `rules`, page by page."""
        return self._transport.pages(
            lambda cursor: self.rules(limit=limit, offset=cursor), key="rules", start=0
        )

    def create_ci_trust(self, body: NewTrustRule, *, idempotency_key: str | None = None) -> Json:
        """Let in jobs with these claims."""
        return self._transport.send("POST", "/ci-trust", body=body, idempotency_key=idempotency_key).json()

    def end_ci_trust(self, rule_id: str, body: RuleEnding, *, idempotency_key: str | None = None) -> Json:
        """Let in no more jobs by this rule, and end the tokens that it gave."""
        return self._transport.send(
            "POST",
            "/ci-trust/{rule_id}/end",
            parts={"rule_id": rule_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def role_rules(self) -> Json:
        """The rules in force, and every revision that people agreed on."""
        return self._transport.send("GET", "/role-rules").json()

    def try_role_rules(self, body: RulesDraft, *, idempotency_key: str | None = None) -> Json:
        """Who would gain or lose which role by a draft, by what their provider said of them last; it changes nothing."""
        return self._transport.send(
            "POST", "/role-rules/dry-run", body=body, idempotency_key=idempotency_key
        ).json()

    def ask_for_role_rules(self, body: RulesAsked, *, idempotency_key: str | None = None) -> Json:
        """Ask for other rules; somebody else approves. With `digest`, only as they were previewed."""
        return self._transport.send(
            "POST", "/role-rules/changes", body=body, idempotency_key=idempotency_key
        ).json()


class PoliciesOperations:
    """Operations about policies."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def policy(self) -> Json:
        """The policy that is in force."""
        return self._transport.send("GET", "/policy").json()

    def revisions(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Every revision that people made, newest first; revision 1 is the built-in one."""
        return self._transport.send(
            "GET", "/policy/revisions", query={"offset": offset, "limit": limit}
        ).json()

    def revisions_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `revisions`, page by page."""
        return self._transport.pages(
            lambda cursor: self.revisions(limit=limit, offset=cursor), key="revisions", start=0
        )

    def one_revision(self, revision: int) -> Json:
        """One revision as it was in force."""
        return self._transport.send(
            "GET", "/policy/revisions/{revision}", parts={"revision": revision}
        ).json()

    def try_policy(self, body: Draft, *, idempotency_key: str | None = None) -> Json:
        """What a draft would have said of the last finished changes; it changes nothing."""
        return self._transport.send(
            "POST", "/policy/dry-run", body=body, idempotency_key=idempotency_key
        ).json()

    def delegations(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Rights to decide that you lend or have been lent, and that are not over."""
        return self._transport.send("GET", "/delegations", query={"offset": offset, "limit": limit}).json()

    def delegations_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `delegations`, page by page."""
        return self._transport.pages(
            lambda cursor: self.delegations(limit=limit, offset=cursor), key="delegations", start=0
        )

    def lend(self, body: Loan, *, idempotency_key: str | None = None) -> Json:
        """Lend your right to decide to somebody, for a time."""
        return self._transport.send("POST", "/delegations", body=body, idempotency_key=idempotency_key).json()

    def take_back(self, delegation_id: int, *, idempotency_key: str | None = None) -> Json:
        """Take back, or give back, what was lent."""
        return self._transport.send(
            "POST",
            "/delegations/{delegation_id}/end",
            parts={"delegation_id": delegation_id},
            idempotency_key=idempotency_key,
        ).json()


class RegistryOperations:
    """Operations about registry."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def inventory(self, *, after: str = "", limit: int = 100) -> Json:
        """Models and versions with what MLflow says of them and what nobody knows. Pass `next` as `after`."""
        return self._transport.send(
            "GET", "/registry/inventory", query={"after": after, "limit": limit}
        ).json()

    def inventory_pages(self, *, limit: int = 100) -> Iterator[JsonObject]:
        """Everything of `inventory`, page by page."""
        return self._transport.pages(
            lambda cursor: self.inventory(limit=limit, after=cursor), key="models", start=""
        )

    def moves(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        model: str | None = None,
        state: Sequence[str] | None = None,
        offset: int = 0,
        limit: int = 200,
    ) -> Json:
        """Moves of aliases made elsewhere, newest first, and how many of them the rules would have refused."""
        return self._transport.send(
            "GET",
            "/registry/moves",
            query={
                "since": since,
                "until": until,
                "model": model,
                "state": state,
                "offset": offset,
                "limit": limit,
            },
        ).json()

    def moves_pages(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        model: str | None = None,
        state: Sequence[str] | None = None,
        limit: int = 200,
    ) -> Iterator[JsonObject]:
        """Everything of `moves`, page by page."""
        return self._transport.pages(
            lambda cursor: self.moves(
                since=since, until=until, model=model, state=state, limit=limit, offset=cursor
            ),
            key="moves",
            start=0,
        )

    def move(self, move_id: int) -> Json:
        """One move made elsewhere, with what the rules would have said of it."""
        return self._transport.send("GET", "/registry/moves/{move_id}", parts={"move_id": move_id}).json()

    def restore(
        self, move_id: int, body: RegistryReasonedRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Have the alias put back to what serves; answers with the job's run id. Nothing that serves changes."""
        return self._transport.send(
            "POST",
            "/registry/moves/{move_id}/restoration",
            parts={"move_id": move_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def regularisation(self, move_id: int) -> Json:
        """The preview of the promotion to the version that the alias names."""
        return self._transport.send(
            "GET", "/registry/moves/{move_id}/regularisation", parts={"move_id": move_id}
        ).json()

    def ask_to_regularise(
        self, move_id: int, body: RegularisationRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Ask for the promotion that the move took for granted; it is decided on like any other."""
        return self._transport.send(
            "POST",
            "/registry/moves/{move_id}/regularisation",
            parts={"move_id": move_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def enforcement(
        self, model: str, body: EnforcementRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Make the rules of a model hold. To only observe it again, ask for a change of kind `observe`."""
        return self._transport.send(
            "POST",
            "/models/{model}/enforcement",
            parts={"model": model},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def timeline(
        self,
        model: str,
        *,
        environment: str | None = None,
        from_: datetime | str | None = None,
        until: datetime | str | None = None,
        at: datetime | str | None = None,
    ) -> Json:
        """What served when, with changes, approvals and incidents; with `at` what served at that moment, and why."""
        return self._transport.send(
            "GET",
            "/models/{model}/timeline",
            parts={"model": model},
            query={"environment": environment, "from": from_, "until": until, "at": at},
        ).json()


class RetrainingOperations:
    """Operations about retraining."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def trainers(self) -> Json:
        """The trainers that a retraining may name, with what they run on."""
        return self._transport.send("GET", "/retraining/trainers").json()

    def preview(self, body: RetrainingWanted, *, idempotency_key: str | None = None) -> Json:
        """The plan as it would be carried out, its rule and digest, and whether it would wait for a decision."""
        return self._transport.send(
            "POST", "/retraining/preview", body=body, idempotency_key=idempotency_key
        ).json()

    def ask(self, body: RetrainingRequest, *, idempotency_key: str | None = None) -> Json:
        """Ask for a retraining: the change that it is, which goes ahead or waits for a decision."""
        return self._transport.send("POST", "/retraining", body=body, idempotency_key=idempotency_key).json()

    def runs(
        self, *, model: str | None = None, limit: int = 50, before: datetime | str | None = None
    ) -> Json:
        """Runs, newest first. Pass `next` of an answer as `before` for the following page."""
        return self._transport.send(
            "GET", "/retraining", query={"model": model, "limit": limit, "before": before}
        ).json()

    def runs_pages(self, *, model: str | None = None, limit: int = 50) -> Iterator[JsonObject]:
        """Everything of `runs`, page by page."""
        return self._transport.pages(
            lambda cursor: self.runs(model=model, limit=limit, before=cursor), key="runs", start=None
        )

    def run(self, run_id: str) -> Json:
        """One run with its steps: progress, log, curve, findings and cost."""
        return self._transport.send("GET", "/retraining/{run_id}", parts={"run_id": run_id}).json()

    def cancel(
        self, run_id: str, body: RetrainingReasonedRequest, *, idempotency_key: str | None = None
    ) -> Json:
        """Stop a run; a trainer that runs ends within seconds."""
        return self._transport.send(
            "POST",
            "/retraining/{run_id}/cancellation",
            parts={"run_id": run_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def resume(self, run_id: str, *, idempotency_key: str | None = None) -> Json:
        """Begin a failed run again where it failed; training goes on from its last checkpoint."""
        return self._transport.send(
            "POST",
            "/retraining/{run_id}/resumption",
            parts={"run_id": run_id},
            idempotency_key=idempotency_key,
        ).json()

    def triggers(self, model: str) -> Json:
        """What sets off retraining of a model, what it cost this week, and the causes that were seen."""
        return self._transport.send("GET", "/models/{model}/retraining", parts={"model": model}).json()


class SearchOperations:
    """Operations about search."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def find(
        self,
        *,
        q: str,
        kind: Literal["model", "incident", "change", "version", "finding", "prediction", "person"]
        | None = None,
        limit: int = 8,
        stored: bool = False,
    ) -> Json:
        """Find what the caller may see by its id, the beginning of its name, or words.

        Of each kind those with this id first, then what begins with the text, then what has every word. `exact` is the one
        thing whose id `q` is."""
        return self._transport.send(
            "GET", "/search", query={"q": q, "kind": kind, "limit": limit, "stored": stored}
        ).json()


class SeriousIncidentsOperations:
    """Operations about serious incidents."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def rules(self) -> Json:
        """The clocks that a serious incident can start."""
        return self._transport.send("GET", "/serious-rules").json()

    def replace(self, body: RulesRequest, *, idempotency_key: str | None = None) -> Json:
        """Put other clocks in force; those that run keep what they were started with."""
        return self._transport.send(
            "POST", "/serious-rules", body=body, idempotency_key=idempotency_key
        ).json()

    def serious(self, incident_id: int) -> Json:
        """Whether an incident is serious, with its clocks and what was kept of the state."""
        return self._transport.send(
            "GET", "/incidents/{incident_id}/serious", parts={"incident_id": incident_id}
        ).json()

    def mark(self, incident_id: int, body: SeriousRequest, *, idempotency_key: str | None = None) -> Json:
        """Mark an incident serious: clocks start, holds are placed, the state is kept."""
        return self._transport.send(
            "POST",
            "/incidents/{incident_id}/serious",
            parts={"incident_id": incident_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def draft(self, incident_id: int) -> str:
        """A draft of the report, as Markdown, filled from the record."""
        return self._transport.send(
            "GET", "/incidents/{incident_id}/report-draft", parts={"incident_id": incident_id}
        ).text

    def snapshot(self, incident_id: int, snapshot_id: int) -> Json:
        """The state that was kept, with the digest it was entered in the log under."""
        return self._transport.send(
            "GET",
            "/incidents/{incident_id}/snapshots/{snapshot_id}",
            parts={"incident_id": incident_id, "snapshot_id": snapshot_id},
        ).json()

    def start(self, clock_id: int, body: ClockRequest, *, idempotency_key: str | None = None) -> Json:
        """Set from when a clock runs."""
        return self._transport.send(
            "POST",
            "/serious-clocks/{clock_id}/start",
            parts={"clock_id": clock_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def met(self, clock_id: int, body: MetRequest, *, idempotency_key: str | None = None) -> Json:
        """Say that what a clock asks for was done, and where that can be seen."""
        return self._transport.send(
            "POST",
            "/serious-clocks/{clock_id}/meeting",
            parts={"clock_id": clock_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()


class SpecsOperations:
    """Operations about specs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def propose_spec(self, body: SourceNamed, *, idempotency_key: str | None = None) -> Json:
        """A first document from a file of predictions, each value with confidence and reason. Stores nothing."""
        return self._transport.send(
            "POST", "/specs/proposals", body=body, idempotency_key=idempotency_key
        ).json()

    def compare_spec(self, body: SpecText, *, idempotency_key: str | None = None) -> Json:
        """What differs between a document and what is recorded. `differs`: applying it would do something, or waits."""
        return self._transport.send("POST", "/specs/diff", body=body, idempotency_key=idempotency_key).json()

    def apply_spec(self, body: SpecToApply, *, idempotency_key: str | None = None) -> Json:
        """Make the record what the document says, whole or not at all. What only a change may edit is asked for as one."""
        return self._transport.send("POST", "/specs/apply", body=body, idempotency_key=idempotency_key).json()


class TeamsOperations:
    """Operations about teams."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def teams(self, *, offset: int = 0, limit: int = 500) -> Json:
        """Every team, for administrators and whoever moves models in the whole house; else one's own."""
        return self._transport.send("GET", "/teams", query={"offset": offset, "limit": limit}).json()

    def teams_pages(self, *, limit: int = 500) -> Iterator[JsonObject]:
        """Everything of `teams`, page by page."""
        return self._transport.pages(
            lambda cursor: self.teams(limit=limit, offset=cursor), key="teams", start=0
        )

    def add(self, body: TeamName, *, idempotency_key: str | None = None) -> Json:
        """Make a team, without members and models yet."""
        return self._transport.send("POST", "/teams", body=body, idempotency_key=idempotency_key).json()

    def team(self, team_id: str) -> Json:
        """One team with its members and models."""
        return self._transport.send("GET", "/teams/{team_id}", parts={"team_id": team_id}).json()

    def rename(self, team_id: str, body: TeamName, *, idempotency_key: str | None = None) -> Json:
        """Give a team another name."""
        return self._transport.send(
            "POST",
            "/teams/{team_id}/name",
            parts={"team_id": team_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def member(
        self, team_id: str, person_id: str, body: MemberRoles, *, idempotency_key: str | None = None
    ) -> Json:
        """Replace somebody's roles in a team; they hold for its models, from the person's next request on."""
        return self._transport.send(
            "POST",
            "/teams/{team_id}/members/{person_id}",
            parts={"team_id": team_id, "person_id": person_id},
            body=body,
            idempotency_key=idempotency_key,
        ).json()

    def move(self, model: str, body: Move, *, idempotency_key: str | None = None) -> Json:
        """Give a model to a team, or to none; for whoever may move models on both sides."""
        return self._transport.send(
            "POST", "/models/{model}/team", parts={"model": model}, body=body, idempotency_key=idempotency_key
        ).json()


class Warrant(Transport):
    """A console. Operations are grouped as in its documentation."""

    def __init__(self, url: str | None = None, token: str | None = None, **more: Any) -> None:
        super().__init__(url, token, **more)
        self.access = AccessOperations(self)
        self.assurance = AssuranceOperations(self)
        self.audit = AuditOperations(self)
        self.cards = CardsOperations(self)
        self.changes = ChangesOperations(self)
        self.controls = ControlsOperations(self)
        self.costs = CostsOperations(self)
        self.data_rights = DataRightsOperations(self)
        self.evidence_packs = EvidencePacksOperations(self)
        self.fleet = FleetOperations(self)
        self.incidents = IncidentsOperations(self)
        self.inventory = InventoryOperations(self)
        self.models = ModelsOperations(self)
        self.monitors = MonitorsOperations(self)
        self.objectives = ObjectivesOperations(self)
        self.observations = ObservationsOperations(self)
        self.operations = OperationsOperations(self)
        self.people = PeopleOperations(self)
        self.policies = PoliciesOperations(self)
        self.registry = RegistryOperations(self)
        self.retraining = RetrainingOperations(self)
        self.search = SearchOperations(self)
        self.serious_incidents = SeriousIncidentsOperations(self)
        self.specs = SpecsOperations(self)
        self.teams = TeamsOperations(self)
