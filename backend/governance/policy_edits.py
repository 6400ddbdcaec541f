"""Edits of the text of a policy, one field at a time, for forms: the text alone is the draft. Pure; no database.

A place is a path of keys and indices, such as `("rules", 2, "rule", "lifetime_h")`. What a person enters is written
although it cannot stand, so that form and text always say the same; `faults_in` tells of each place what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from backend.errors import BadInput
from backend.governance.policy_document import PolicyDocument, gate_refusals, plain_policy, worth_telling
from backend.governance.refusals import reason_of
from backend.governance.yaml_text import write_yaml

Place = tuple[str | int, ...]
Document = dict[str, Any]
NEW_FREEZE: Final = {"zone": "UTC", "weekly": ["fri 16:00", "mon 08:00"]}


@dataclass(frozen=True)
class Fault:
    """Why the draft is refused, and where."""

    place: Place
    reason: str


def document_of(text: str) -> Document:
    """The plain data of a text that has rules to edit. `BadInput` where it is no YAML, or has none."""
    found = plain_policy(text)
    if not isinstance(found, dict) or not _is_list_of_mappings(found.get("rules")) or not found["rules"]:
        raise BadInput("the text has no list of `rules`, each a mapping with a `name`", field="rules")
    if not _is_list_of_mappings(found.get("freezes", [])):
        raise BadInput("`freezes` is a list, each a mapping with a `name`", field="freezes")
    return found


def faults_in(document: Document) -> list[Fault]:
    """Everything for which the document is refused; gates are looked at when nothing else is wrong."""
    try:
        read = PolicyDocument.model_validate(document)
    except ValidationError as error:
        return [Fault(_named(one["loc"]), reason_of(one, PolicyDocument)) for one in worth_telling(error)]
    return [Fault(place, wrong.message) for place, wrong in gate_refusals(read)]


def value_at(document: Any, place: Place, default: Any = None) -> Any:
    """What stands at a place; `default` where nothing does."""
    found: Any = document
    for part in place:
        known = range(len(found)) if isinstance(found, list) else found if isinstance(found, Mapping) else ()
        if part not in known:
            return default
        found = found[part]
    return found


def with_values(text: str, values: Mapping[Place, Any]) -> str:
    """The text with other values; None takes a key away, so that its default holds."""
    document = document_of(text)
    for place, value in values.items():
        *way, last = place
        around: Any = document
        for part in way:
            below = value_at(around, (part,))
            if not isinstance(below, dict | list):
                below = around[part] = {}
            around = below
        if value is not None:
            around[last] = value
        elif isinstance(around, dict):
            around.pop(last, None)
    return text_of(document)


def with_rule_before(text: str, number: int) -> str:
    """A rule before this one, which begins as a copy of it: of two that match, the first one governs."""
    document = document_of(text)
    rules = document["rules"]
    copied = copy.deepcopy(rules[number]) | {"name": _free_name(rules, f"before {rules[number].get('name')}")}
    rules.insert(number, copied)
    return text_of(document)


def without_rule(text: str, number: int) -> str:
    """`BadInput` for the last one: it is for every change that no other rule is for."""
    document = document_of(text)
    if number == len(document["rules"]) - 1:
        raise BadInput("the last rule cannot be removed: it is for every change that no other rule is for")
    del document["rules"][number]
    return text_of(document)


def with_rule_moved(text: str, number: int, by: int) -> str:
    """The rule `by` places later, or earlier. The last one stays the last one: a move that cannot be is none."""
    document = document_of(text)
    rules, to = document["rules"], number + by
    if 0 <= to < len(rules) - 1 and 0 <= number < len(rules) - 1:
        rules.insert(to, rules.pop(number))
    return text_of(document)


def with_freeze(text: str) -> str:
    """One freeze more, of every weekend."""
    document = document_of(text)
    freezes = document.setdefault("freezes", [])
    freezes.append({"name": _free_name(freezes, "new freeze"), **copy.deepcopy(NEW_FREEZE)})
    return text_of(document)


def without_freeze(text: str, number: int) -> str:
    document = document_of(text)
    del document["freezes"][number]
    return text_of(document)


def text_of(document: Document) -> str:
    """As revisions are written, without what is left at its default; as it is where it cannot stand."""
    try:
        return PolicyDocument.model_validate(document).as_yaml()
    except ValidationError:
        return write_yaml(document)


def _named(place: tuple[int | str, ...]) -> Place:
    """Without the parts that a validator adds: a key of a mapping is refused at the mapping."""
    return tuple(part for part in place if part != "[key]")


def _is_list_of_mappings(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)


def _free_name(beside: list[Any], wanted: str) -> str:
    taken = {one.get("name") for one in beside}
    names = [wanted[:90], *(f"{wanted[:90]} {number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
