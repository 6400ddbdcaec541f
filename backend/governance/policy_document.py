"""A policy as data: who must agree to what, what must hold, and how it is rolled out. Pure; no database.

A document is an ordered list of rules. The first rule whose `for` matches environment, tier and kind of a change
governs it; the last rule of a document matches everything, so that no change is without one. What a rule can say is in
`policy_rules`; that its gates are installed is checked when a document is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from backend.errors import BadInput
from backend.governance.freezes import next_opening
from backend.governance.policy_rules import BreakGlass, Environment, Freeze, Kind, Rule, Strict, Tier
from backend.governance.refusals import reason_of
from backend.governance.strictest import strictest
from backend.governance.yaml_places import line_of
from backend.governance.yaml_text import read_yaml, write_yaml

# These are of a model or of the whole house, not of an environment: whoever asks for one cannot choose its rule by
# naming a place.
EVERYWHERE_KINDS: Final = frozenset({"policy", "tier", "observe", "erase", "access", "roles"})
EVERYWHERE: Final = "*"
MOST_FREEZES: Final = 64
MOST_REASONS: Final = 4  # told of a document that is refused


class Scope(Strict):
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


class Entry(Strict):
    """One row of a document: for whom, and what."""

    name: str = Field(min_length=1, max_length=100)
    scope: Scope = Field(Scope(), alias="for")
    rule: Rule = Rule()

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PolicyDocument(Strict):
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
