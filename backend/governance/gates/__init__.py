"""Gates: the automated checks of a change. A gate is one file here that registers itself.

A gate says pass, fail or *inconclusive*, never anything else: no data, too few rows or a dependency that is away are
inconclusive. A required gate that fails stands in the way of the change; an inconclusive one pauses it for a person,
who accepts it by name or does not. A gate with `condition` can go on being asked while the version serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from backend import clock
from backend.addresses import without_credentials
from backend.errors import BadInput
from backend.governance.catalogue import Catalogue
from backend.governance.refusals import reason_of

if TYPE_CHECKING:
    from backend.database.session import ReadSession
    from backend.governance.pairs import PairedRows
    from backend.governance.policy_rules import GateRule
    from backend.monitoring.columns import ModelSpec
    from backend.registry.tables import Model, Version

Verdict = Literal["pass", "fail", "inconclusive"]
Needs = Literal["record", "files", "rows"]  # rows: both versions have to score the same rows


class Parameters(BaseModel):
    """Settings of a gate, as a policy writes them. A key that is misspelt is refused.

    `WORDS`: what a person reads of each, with `{value}`, or `{percent}` for a share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    WORDS: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True)
class Finding:
    """What a gate found. `value` with its interval is what was held against `limit`, in the unit of `unit`."""

    verdict: Verdict
    text: str  # one sentence that a decider understands
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    rows: int | None = None
    data_until: datetime | None = None  # how old what it looked at is
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a gate may look at. `before`: None when nothing serves, and for a condition."""

    session: ReadSession
    model: Model
    spec: ModelSpec
    environment: str
    before: Version | None
    before_cutoff: float | None
    after: Version
    after_cutoff: float
    change_id: int | None = None
    revision: int = 1
    rows: PairedRows | None = None  # for gates that need "rows"; None where they could not be scored
    rows_missing: str = ""  # why not
    answers: bool | None = None  # whether `after` was loaded and answered rows of the spec; None: not tried
    answers_not: str = ""  # why it did not, or why that is not known


Then = Callable[[Mapping[str, Any], Any, datetime], Finding | None]
"""(evidence of a change, parameters, when it was asked for)"""


@dataclass(frozen=True)
class Gate:
    """One kind of check."""

    name: str
    title: str
    explanation: str  # what it asks and of what, for docs and the page
    parameters: type[Parameters]
    check: Callable[[Asked, Any], Finding]
    needs: Needs = "record"
    condition: bool = False
    then: Then | None = None  # what it would have said of a past change, by its evidence; None: not known


@dataclass(frozen=True)
class Result:
    """A gate's finding as it is stored with the change, shown, and signed."""

    gate: str
    title: str
    required: bool
    rule: str  # what was asked, in words: parameters
    finding: Finding
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        found = self.finding
        return {
            "gate": self.gate, "title": self.title, "required": self.required, "rule": self.rule,
            "verdict": found.verdict, "text": found.text, "value": found.value, "low": found.low, "high": found.high,
            "limit": found.limit, "unit": found.unit, "rows": found.rows, "at": clock.to_iso(self.at),
            "data_until": clock.to_iso(found.data_until) if found.data_until else None, "details": found.details,
        }  # fmt: skip


_GATES: Final[Catalogue[Gate]] = Catalogue(__name__, "gates")
register = _GATES.register


def gates() -> dict[str, Gate]:
    """Every gate there is, by name."""
    return _GATES.every()


def check_gate_rule(rule: GateRule, *, where: str) -> None:
    """Refuse a rule that names no gate, or parameters that the gate does not have."""
    known = gates()
    gate = known.get(rule.gate)
    if gate is None:
        raise BadInput(
            f"the policy's rule {where!r} names the gate {rule.gate!r}, which is not installed; there are "
            f"{', '.join(known)}",
            field="gates",
        )
    try:
        gate.parameters.model_validate(rule.parameters)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        why = reason_of(first, gate.parameters)
        raise BadInput(f"gate {rule.gate} of rule {where!r}: {place}: {why}", field="gates") from error


def check_condition_rule(rule: GateRule, *, where: str) -> None:
    """Refuse a condition that cannot go on being asked while the version serves."""
    known = gates()
    if not known[rule.gate].condition:
        lasting = ", ".join(name for name, gate in known.items() if gate.condition)
        raise BadInput(
            f"the policy's rule {where!r} has the condition {rule.gate!r}, which is asked of a change only; those that "
            f"can go on being asked are {lasting}",
            field="conditions",
        )


def evaluate(rule: GateRule, asked: Asked) -> Result:
    """Ask one gate. Whatever it raises is inconclusive, with the reason: an error is never a pass."""
    gate = gates()[rule.gate]
    parameters = gate.parameters.model_validate(rule.parameters)
    try:
        if gate.needs == "rows" and asked.rows is None:
            finding = Finding(
                "inconclusive", asked.rows_missing or "no rows could be scored by both versions"
            )
        else:
            finding = gate.check(asked, parameters)
    except Exception as error:  # noqa: BLE001 - it may raise anything; it stands in the way of one gate only
        finding = Finding(
            "inconclusive", without_credentials(f"it could not be asked: {type(error).__name__}: {error}")
        )
    return Result(gate.name, gate.title, rule.required, describe(parameters), finding, clock.now())


def asked_then(
    rule: GateRule, recorded: Mapping[str, Any], evidence: Mapping[str, Any], at: datetime
) -> str | None:
    """The verdict of a gate on a past change: as it was recorded under the same rule, else by the evidence where the
    gate can read it there, else as recorded under another rule. None: it was not asked then."""
    gate = gates()[rule.gate]
    parameters = gate.parameters.model_validate(rule.parameters)
    same = recorded.get("rule") == describe(parameters)
    found = None if same or gate.then is None else gate.then(evidence, parameters, at)
    return found.verdict if found is not None else recorded.get("verdict")


def unanswered(rule: GateRule, why: str) -> Result:
    """The result of a gate that could not be asked at all."""
    gate = gates()[rule.gate]
    parameters = gate.parameters.model_validate(rule.parameters)
    return Result(
        gate.name, gate.title, rule.required, describe(parameters), Finding("inconclusive", why), clock.now()
    )


def describe(parameters: Parameters) -> str:
    """Parameters in words, without those left open: `margin 0.02, at least 500 labelled rows, 95 % interval`."""
    return ", ".join(
        parameters.WORDS.get(name, f"{name.replace('_', ' ')} {{value}}").format(
            value=_written(value), percent=f"{value * 100:g} %" if isinstance(value, float) else ""
        )
        for name, value in parameters.model_dump().items()
        if value not in (None, False, "", (), {})
    )


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{key} by {_written(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return " and ".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
