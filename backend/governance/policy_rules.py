"""The parts of a policy: freezes, gates, rollouts, breaking the glass, envelopes, and the rule that names them. Pure.

What is checked here holds for every document that was ever accepted: roles exist and may decide, and nobody decides on
their own request or on a version they trained (no policy can switch that off).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from backend.deployment.segments import check_shape
from backend.governance.freezes import Moment
from backend.identity.roles import GRANTS, Permission, Role

KINDS: Final = (
    "promote", "rollback", "cutoff", "retrain", "monitor", "policy", "tier", "observe", "retire", "erase", "access",
    "roles",
)  # fmt: skip
TIERS: Final = ("low", "medium", "high", "prohibited")
EXCLUDABLE: Final = ("requester", "trainer", "data_owner")
ALWAYS_EXCLUDED: Final = ("requester", "trainer")
LONGEST_FREEZE: Final = timedelta(days=92)
# What an A/B rollout can be decided by, and whether more of it is better. Each is a mean over labelled rows.
AB_METRICS: Final[dict[str, Literal["more", "less"]]] = {
    "accuracy": "more",  # share of rows whose prediction is the label
    "brier": "less",  # mean of (score - label)², binary models
    "absolute_error": "less",  # mean of |prediction - label|, regression
}

Kind = Literal[
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
Tier = Literal["low", "medium", "high", "prohibited"]
Excluded = Literal["requester", "trainer", "data_owner"]
Share = Annotated[float, Field(gt=0, le=1)]
Environment = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Hours = Annotated[float, Field(gt=0, le=24 * 366)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except Exception as error:
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/Berlin") from error
    return name


def deciding_roles() -> list[str]:
    """The roles whose approvals a policy can ask for."""
    return _roles_with(Permission.DECIDE_CHANGE)


def acting_roles() -> list[str]:
    """The roles that a policy can let break the glass."""
    return _roles_with(Permission.REQUEST_CHANGE)


def _roles_with(permission: Permission) -> list[str]:
    return [
        role.value for role, granted in GRANTS.items() if role is not Role.SYSTEM and permission in granted
    ]


def _deciding_role(name: str) -> str:
    if name not in deciding_roles():
        raise ValueError(f"{name!r} is no role that decides; those are {', '.join(deciding_roles())}")
    return name


def _acting_role(name: str) -> str:
    if name not in acting_roles():
        raise ValueError(f"{name!r} is no role that asks for changes; those are {', '.join(acting_roles())}")
    return name


_EXPONENT: Final = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _means_what_it_says(cls, value: Any, info: ValidationInfo) -> Any:
        """`yes` is no number and "14" is none either: a type that is not the field's is a slip."""
        known = cls.model_fields.get(info.field_name or "")
        wanted = {known.annotation, *get_args(known.annotation)} if known is not None else set()
        if bool in wanted and not isinstance(value, bool):
            raise ValueError(f"it is true or false, not {str(value)[:40]!r}")
        if float in wanted and isinstance(value, str) and _EXPONENT.fullmatch(value):
            return float(value)  # YAML 1.1 takes 1e-05 for a text
        if wanted & {int, float} and isinstance(value, bool | str):
            raise ValueError(f"it is a number, not {str(value)[:40]!r}")
        return value


class Freeze(Strict):
    """A time in which nothing is approved into production: every week, or once."""

    name: str = Field(min_length=1, max_length=100)
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    environments: tuple[Environment, ...] = ()  # none named: all
    weekly: tuple[Moment, Moment] | None = None  # ("fri 16:00", "mon 08:00")
    dates: tuple[datetime, datetime] | None = None  # local times of `zone`, the second one excluded
    except_kinds: tuple[Kind, ...] = ("rollback",)

    @model_validator(mode="after")
    def _one_of(self) -> Freeze:
        if (self.weekly is None) == (self.dates is None):
            raise ValueError("a freeze has either `weekly` or `dates`")
        if self.dates is not None:
            if any(moment.tzinfo is not None for moment in self.dates):
                raise ValueError(
                    "write the dates of a freeze as local times without an offset; `zone` says where"
                )
            if not all(1970 <= moment.year <= 9990 for moment in self.dates):
                raise ValueError("a freeze lies between the years 1970 and 9990")
            if self.dates[0] >= self.dates[1]:
                raise ValueError("a freeze ends after it begins")
            if self.dates[1] - self.dates[0] > LONGEST_FREEZE:
                raise ValueError(
                    f"a freeze ends within {LONGEST_FREEZE.days} days; name a later one when it comes"
                )
        return self


class GateRule(Strict):
    """One gate that a change has to pass. One that is not `required` is shown and does not stand in the way."""

    gate: str
    required: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class Analysis(Strict):
    """What is asked of live traffic at each step of a rollout, against the champion in the same minutes."""

    minimum_requests: int = Field(100, ge=1, le=10**9)
    error_rate: float = Field(0.02, gt=0, le=1, description="highest share of failed requests")
    latency_ratio: float = Field(
        2.0, gt=1, le=1000, description="highest p95 of the candidate over the champion's"
    )
    score_shift: float = Field(
        0.1, gt=0, le=1, description="highest difference of mean scores, in score units"
    )


class Rollout(Strict):
    """How an approved version comes into service."""

    strategy: Literal["all_at_once", "canary", "shadow_first", "blue_green", "ab"] = "all_at_once"
    steps: tuple[Share, ...] = ()  # canary: shares of traffic, rising
    # who skips a stage alone, of the roles that decide; else it takes two people where the rule asks for two approvals
    skip: tuple[Annotated[str, AfterValidator(_deciding_role)], ...] = ()
    # canary and ab: the steps are shares of the rows of these segments, and the rest stays with the champion
    segments: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    segments_on_request: bool = False  # whoever asks for the change names them
    bake_s: float = Field(0, ge=0, le=14 * 86400)  # seconds at each step
    analysis: Analysis = Analysis()
    metric: str = ""  # ab: which metric decides
    significance: float = Field(0.05, gt=0, lt=0.5)  # ab
    longest_s: float = Field(14 * 86400, gt=0, le=366 * 86400)  # ab: at the latest then it stops, undecided

    @field_validator("segments", mode="before")
    @classmethod
    def _segments_are_some(cls, given: Any) -> dict[str, list[str]]:
        return check_shape(given)

    @model_validator(mode="after")
    def _segments_fit(self) -> Rollout:
        if (self.segments or self.segments_on_request) and self.strategy not in ("canary", "ab"):
            raise ValueError(f"{self.strategy} parts no requests; segments go with canary or ab")
        if self.segments and self.segments_on_request:
            raise ValueError(
                "either `segments` names them, or `segments_on_request` has whoever asks name them"
            )
        return self

    @model_validator(mode="after")
    def _steps_fit(self) -> Rollout:
        if self.strategy == "canary":
            if not self.steps or any(a >= b for a, b in zip(self.steps, self.steps[1:], strict=False)):
                raise ValueError("a canary has rising steps, such as [0.05, 0.2, 0.5, 1]")
            if self.steps[-1] != 1:
                raise ValueError("the last step of a canary is 1: all traffic")
        elif self.strategy == "ab":
            if len(self.steps) != 1 or self.steps[0] >= 1 or not self.metric:
                raise ValueError(
                    "an A/B rollout has one step, the challenger's share, and a metric that decides"
                )
            if self.metric not in AB_METRICS:
                raise ValueError(f"{self.metric!r} decides no A/B rollout; {', '.join(AB_METRICS)} do")
        elif self.steps:
            raise ValueError(f"{self.strategy} has no steps")
        if self.strategy in ("shadow_first", "ab") and not self.bake_s:
            raise ValueError(f"{self.strategy} needs bake_s, the time it is watched")
        return self


class BreakGlass(Strict):
    """Acting without approval, afterwards reviewed by somebody else."""

    roles: tuple[Annotated[str, AfterValidator(_acting_role)], ...] = Field(
        ("on_call", "ml_lead"), min_length=1
    )
    kinds: tuple[Literal["rollback", "cutoff", "retire"], ...] = ("rollback",)
    review_within_h: Hours = 24
    lasts_h: Hours = 72  # it stands so long without a review that calls it justified, or an ordinary change
    when_over: Literal["page", "return"] = "page"  # then; `return`: what served before comes back as well

    @model_validator(mode="after")
    def _can_come_back(self) -> BreakGlass:
        if self.when_over == "return" and "retire" in self.kinds:
            raise ValueError(
                "`when_over: return` brings back what served before, and a retirement is not undone so; leave retire "
                "out of `kinds`, or have a rule of its own for it with `when_over: page`"
            )
        return self


class Envelope(Strict):
    """Retraining that needs no decision: what it may use and cost. Whatever lies outside waits for people.

    A program of somebody's own (`command`) is inside only where a policy names it.
    """

    trainers: tuple[str, ...] = Field(
        ("sklearn_boosting", "xgboost_boosting", "tabular_network"), min_length=1
    )
    devices: tuple[Literal["cpu", "gpu"], ...] = Field(("cpu",), min_length=1)
    triggers: tuple[
        Literal["by_hand", "schedule", "drift", "estimated", "realised", "labels"], ...
    ] = ()  # none: all
    hours: Hours = 1  # of training, at most, in one run
    memory_mb: int = Field(16_384, ge=64, le=4_000_000)  # of the host, at most, in one run
    runs_per_week: int = Field(3, ge=1, le=1000)  # of one model, as the hours
    hours_per_week: Hours = 3


class Rule(Strict):
    """What one kind of change needs."""

    allowed: bool = True
    because: str = ""  # why it is not allowed
    roles: dict[
        Annotated[str, AfterValidator(_deciding_role)], Annotated[int, Field(ge=1, le=20, strict=True)]
    ] = Field(default_factory=lambda: {Role.ML_LEAD.value: 1})
    excluded: tuple[Excluded, ...] = ALWAYS_EXCLUDED
    accounts: bool = False  # service accounts decide, too; else people alone
    tokens: bool = False  # people decide by API token, too, where the risk is high; else signed in freshly
    comment_required_to: tuple[Literal["approve", "reject"], ...] = ("reject",)
    lifetime_h: float = Field(72, ge=1, le=24 * 366)  # nobody can agree in less than an hour
    remind_after: float = Field(
        0.5, gt=0, lt=1
    )  # of the lifetime: then those who can still decide are reminded, once
    gates: tuple[GateRule, ...] = ()
    conditions: tuple[GateRule, ...] = ()  # gates that have to go on holding while it serves
    on_breach: Literal["ticket", "page", "return"] = "ticket"
    rollout: Rollout = Rollout()
    break_glass: BreakGlass | None = None
    only_by_change: bool = False  # kind monitor: nobody edits a monitor directly
    envelope: Envelope | None = None  # kind retrain: what goes ahead without a decision
    way_back_days: float = Field(14, ge=0, le=366)  # 0: no return is approved in advance
    reapprove_after_days: float | None = Field(None, gt=0, le=3660)
    reapprove_on: tuple[Literal["card", "tier", "policy", "reference", "spec"], ...] = ()

    @model_validator(mode="after")
    def _holds_the_invariants(self) -> Rule:
        missing = [who for who in ALWAYS_EXCLUDED if who not in self.excluded]
        if missing:
            raise ValueError(
                f"excluded always names {' and '.join(ALWAYS_EXCLUDED)}: no policy can let them decide"
            )
        for named in (self.gates, self.conditions):
            twice = sorted({one.gate for one in named if sum(other.gate == one.gate for other in named) > 1})
            if twice:
                raise ValueError(f"a rule names each gate once; {', '.join(twice)} is named twice")
        if "reject" not in self.comment_required_to:
            raise ValueError("rejecting always needs a comment")
        if self.allowed and not self.roles:
            raise ValueError("a change that is allowed needs at least one role that decides")
        if not self.allowed and not self.because:
            raise ValueError("say in `because` why it is not allowed")
        return self
