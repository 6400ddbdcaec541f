"""A policy as data: who must agree to what, what must hold, and how it is rolled out. Pure; no database.

A document is an ordered list of rules. The first rule whose `for` matches environment, tier and kind of a change
governs it; the last rule of a document matches everything, so that no change is without one. What is checked when a
document is read holds for every document that was ever accepted: roles exist and may decide, gates exist, and nobody
decides on their own request or on a version they trained (no policy can switch that off).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from backend.deployment.segments import check_shape
from backend.errors import BadInput
from backend.governance.freezes import Moment, next_opening
from backend.governance.refusals import reason_of
from backend.governance.strictest import strictest
from backend.governance.yaml_places import line_of
from backend.governance.yaml_text import read_yaml, write_yaml
from backend.identity.roles import GRANTS, Permission, Role

KINDS: Final = (
    "promote", "rollback", "cutoff", "retrain", "monitor", "policy", "tier", "observe", "retire", "erase", "access",
)  # fmt: skip
# These are of a model or of the whole house, not of an environment: whoever asks for one cannot choose its rule by
# naming a place.
EVERYWHERE_KINDS: Final = frozenset({"policy", "tier", "observe", "erase", "access"})
EVERYWHERE: Final = "*"
TIERS: Final = ("low", "medium", "high", "prohibited")
EXCLUDABLE: Final = ("requester", "trainer", "data_owner")
ALWAYS_EXCLUDED: Final = ("requester", "trainer")
LONGEST_FREEZE: Final = timedelta(days=92)
MOST_FREEZES: Final = 64
MOST_REASONS: Final = 4  # told of a document that is refused
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


class _Strict(BaseModel):
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


class Freeze(_Strict):
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


class GateRule(_Strict):
    """One gate that a change has to pass. One that is not `required` is shown and does not stand in the way."""

    gate: str
    required: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class Analysis(_Strict):
    """What is asked of live traffic at each step of a rollout, against the champion in the same minutes."""

    minimum_requests: int = Field(100, ge=1, le=10**9)
    error_rate: float = Field(0.02, gt=0, le=1, description="highest share of failed requests")
    latency_ratio: float = Field(
        2.0, gt=1, le=1000, description="highest p95 of the candidate over the champion's"
    )
    score_shift: float = Field(
        0.1, gt=0, le=1, description="highest difference of mean scores, in score units"
    )


class Rollout(_Strict):
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


class BreakGlass(_Strict):
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


class Envelope(_Strict):
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
    runs_per_week: int = Field(3, ge=1, le=1000)  # of one model, as the hours
    hours_per_week: Hours = 3


class Rule(_Strict):
    """What one kind of change needs."""

    allowed: bool = True
    because: str = ""  # why it is not allowed
    roles: dict[
        Annotated[str, AfterValidator(_deciding_role)], Annotated[int, Field(ge=1, le=20, strict=True)]
    ] = Field(default_factory=lambda: {Role.ML_LEAD.value: 1})
    excluded: tuple[Excluded, ...] = ALWAYS_EXCLUDED
    accounts: bool = False  # service accounts decide, too; else people alone
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


class Scope(_Strict):
    """Which changes a rule is for; what is not named matches all."""

    environments: tuple[Environment, ...] = ()
    tiers: tuple[Tier, ...] = ()
    kinds: tuple[Kind, ...] = ()

    def matches(self, kind: str, tier: str, environment: str) -> bool:
        return (
            (not self.environments or environment in self.environments)
            and (not self.tiers or tier in self.tiers)
            and (not self.kinds or kind in self.kinds)
        )


class Entry(_Strict):
    """One row of a document: for whom, and what."""

    name: str = Field(min_length=1, max_length=100)
    scope: Scope = Field(Scope(), alias="for")
    rule: Rule = Rule()

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PolicyDocument(_Strict):
    """Everything that governs changes of this installation."""

    schema_version: Literal[1] = Field(1, alias="schema")
    freezes: tuple[Freeze, ...] = Field((), max_length=MOST_FREEZES)
    rules: tuple[Entry, ...] = Field(min_length=1)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _covers_everything(self) -> PolicyDocument:
        names = [entry.name for entry in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two rules are named {', '.join(twice)}; a decision names the rule it was taken under"
            )
        if self.rules[-1].scope != Scope():
            raise ValueError("the last rule has no `for`: it is for every change that no other rule is for")
        return self

    def entry_for(self, kind: str, tier: str, environment: str, *, other_tier: str | None = None) -> Entry:
        """The first rule that matches; of a change that is of no environment (its kind is, or `EVERYWHERE` is given),
        what each that one would give asks for; of a move between tiers, what either tier's asks for."""
        return strictest(self.entries_for(kind, tier, environment, other_tier=other_tier))

    def entries_for(
        self, kind: str, tier: str, environment: str, *, other_tier: str | None = None
    ) -> list[Entry]:
        """The rules that `entry_for` joins: one, but for what is of no environment."""
        if kind not in EVERYWHERE_KINDS and environment != EVERYWHERE:
            return [next(entry for entry in self.rules if entry.scope.matches(kind, tier, environment))]
        found = self._in_some_place(kind, tier)
        if other_tier is not None:
            found += self._in_some_place(kind, other_tier)
        return list({entry.name: entry for entry in found}.values())

    def _in_some_place(self, kind: str, tier: str) -> list[Entry]:
        """Every rule that is the first to match in some environment: down to the first that is for all of them.

        One that allows nothing at all of the tier prohibited is about what serves: unless it names the kind `tier`, a
        model comes into that tier and leaves it.
        """
        found: list[Entry] = []
        for entry in self.rules:
            scope = entry.scope
            if (kind, tier) == ("tier", "prohibited") and not entry.rule.allowed and not scope.kinds:
                continue
            if (not scope.tiers or tier in scope.tiers) and (not scope.kinds or kind in scope.kinds):
                found.append(entry)
                if not scope.environments:
                    break
        return found

    def frozen_until(self, kind: str, environment: str, at: datetime) -> tuple[Freeze, datetime] | None:
        """The freeze that forbids executing this change at a moment, and when it is over; None where none does.

        One of a single environment holds for a change that is of none, too.
        """
        held = [
            (freeze, until)
            for freeze in self.freezes
            if kind not in freeze.except_kinds and (
                not freeze.environments or environment in freeze.environments
                or kind in EVERYWHERE_KINDS or environment == EVERYWHERE
            )
            and (until := next_opening(freeze.weekly, freeze.dates, freeze.zone, at)) is not None
        ]  # fmt: skip
        return max(held, key=lambda pair: pair[1]) if held else None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data without what is left at its default: what is stored, hashed, shown and edited."""
        return {"schema": 1} | self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def as_yaml(self) -> str:
        """The same text however the document was stored: a database may keep the keys of a mapping in any order."""
        document = self.as_dict()
        for entry in document["rules"]:
            rule = entry.get("rule", {})
            if "roles" in rule:
                rule["roles"] = dict(sorted(rule["roles"].items()))
            if "break_glass" in rule:  # who may is said, also where it is the default
                rule["break_glass"] = BreakGlass.model_validate(rule["break_glass"]).model_dump(mode="json")
        return write_yaml(document)


def read_policy(text: str | dict[str, Any]) -> PolicyDocument:
    """A document from YAML text or plain data. `BadInput` names the place (in a text, the line) and what is wrong.

    Gates are checked against the registry: a policy that names an absent gate is refused.
    """
    found = plain_policy(text) if isinstance(text, str) else text
    if not isinstance(found, dict):
        raise BadInput("a policy is a mapping with `rules`", field="document")
    try:
        document = PolicyDocument.model_validate(found)
    except ValidationError as error:
        raise _refusal(text, error) from error
    for place, wrong in gate_refusals(document):
        where = _line(text, place)
        raise BadInput(f"{where.strip()}: {wrong.message}" if where else wrong.message,
                       field=str(place[3])) from wrong  # fmt: skip
    return document


def gate_refusals(document: PolicyDocument) -> Iterator[tuple[tuple[int | str, ...], BadInput]]:
    """Of each gate that is not installed, or not as it is written: its place and why."""
    from backend.governance.gates import check_condition_rule, check_gate_rule

    for number, entry in enumerate(document.rules):
        for named in ("gates", "conditions"):
            for index, gate in enumerate(getattr(entry.rule, named)):
                try:
                    check_gate_rule(gate, where=entry.name)
                    if named == "conditions":
                        check_condition_rule(gate, where=entry.name)
                except BadInput as error:
                    yield ("rules", number, "rule", named, index), error


def worth_telling(error: ValidationError) -> list[ErrorDetails]:
    """A list whose parts are all refused is empty "after validation": that says nothing more, and is left out."""
    every = error.errors()
    return [one for one in every if one["type"] != "too_short" or not _has_below(every, one["loc"])]


def _refusal(text: str | dict[str, Any], error: ValidationError) -> BadInput:
    """What is wrong, the first places of it in the order of the text."""
    found = worth_telling(error)
    if isinstance(text, str):
        found.sort(key=lambda one: line_of(text, one["loc"]))
    told = [
        f"{_line(text, one['loc'])}at {_place(one['loc'])}: {reason_of(one, PolicyDocument)}"
        for one in found[:MOST_REASONS]
    ]
    more = f"; and {len(found) - MOST_REASONS} more" if len(found) > MOST_REASONS else ""
    return BadInput(f"the policy is refused {'; '.join(told)}{more}", field=_place(found[0]["loc"]))


def _has_below(found: Sequence[ErrorDetails], place: tuple[int | str, ...]) -> bool:
    return any(len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in found)


def _place(path: Sequence[object]) -> str:
    return ".".join(str(part) for part in path if part != "[key]") or "document"


def plain_policy(text: str) -> Any:
    """What a text holds, whatever that is. `BadInput` where it is no YAML."""
    try:
        return read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(f"the policy is no YAML{where}: {why}", field="document") from error
    except yaml.YAMLError as error:
        raise BadInput(f"the policy is no YAML: {error}", field="document") from error


def _line(text: str | dict[str, Any], place: Sequence[object]) -> str:
    """`in line 12 `; nothing of the document as a whole, nor for plain data, which has no lines."""
    return f"in line {line_of(text, place)} " if isinstance(text, str) and place else ""
