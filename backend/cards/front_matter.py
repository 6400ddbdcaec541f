"""The front matter of a card: Hugging Face's fields with their shapes, and `warrant:` with ours. Offline and pure.

Hugging Face's own check asks its server; this one follows its documented shapes and names line and reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.governance.yaml_places import line_of

TIERS: Final = ("low", "medium", "high", "prohibited")
DEEPEST: Final = 40
Texts = str | list[str]


class _Open(BaseModel):
    """Fields that Hugging Face adds one day are let through; the known ones have their shapes."""

    model_config = ConfigDict(extra="allow", strict=True)


class Task(_Open):
    type: str
    name: str | None = None


class Dataset(_Open):
    type: str
    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    args: Any = None


class Metric(_Open):
    type: str
    value: Any
    name: str | None = None
    config: str | None = None
    args: Any = None


class Source(_Open):
    name: str | None = None
    url: str


class Result(_Open):
    task: Task
    dataset: Dataset
    metrics: list[Metric] = Field(min_length=1)
    source: Source | None = None


class ModelIndex(_Open):
    name: str
    results: list[Result]


class Governance(BaseModel):
    """Ours, below `warrant:`. A key that is misspelt is refused.

    review_by  the day by which somebody reads the card again
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    owner: str | None = None
    risk_tier: str | None = None
    purpose: str | None = None
    review_by: date | str | None = None


class FrontMatter(_Open):
    language: Texts | None = None
    license: Texts | None = None
    license_name: str | None = None
    license_link: str | None = None
    library_name: str | None = None
    tags: list[str] | None = None
    datasets: Texts | None = None
    metrics: list[str] | None = None
    base_model: Texts | None = None
    pipeline_tag: str | None = None
    model_index: list[ModelIndex] | None = Field(None, alias="model-index")
    warrant: Governance | None = None


def read_front_matter(text: str) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """The fields, and what is wrong with the YAML as (line from 1, reason)."""
    deep = _too_deep(text)
    if deep:
        return {}, [(deep, f"brackets are nested more than {DEEPEST} deep")]
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            return {}, [(1, "anchors and aliases of YAML are not taken; write the value out")]
        twice = _keys_written_twice(yaml.compose(text, Loader=yaml.SafeLoader))
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return {}, [((mark.line if mark else 0) + 1, f"the front matter is no YAML: {error.problem}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [(1, f"the front matter is no YAML: {' '.join(str(error).split())}")]
    if found is None:
        return {}, [(1, "the front matter is empty")]
    if not isinstance(found, dict):
        return {}, [(1, "the front matter is no mapping of fields to values")]
    return {str(key): value for key, value in found.items()}, twice


def _too_deep(text: str) -> int:
    """The line on which brackets nest deeper than any front matter does; 0 where they never do. YAML is slow there."""
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        for one in line:
            depth += (one in "[{") - (one in "]}")
            if depth > DEEPEST:
                return number
    return 0


def check_front_matter(text: str, front: dict[str, Any]) -> list[tuple[int, str]]:
    """What does not have its shape, as (line from 1, reason)."""
    if not front:
        return []
    problems = []
    try:
        FrontMatter.model_validate(front)
    except ValidationError as error:
        seen = set()
        for one in error.errors():
            place = _field_of(one["loc"])
            line = line_of(text, place)
            name = ".".join(str(part) for part in place)
            if name not in seen:
                seen.add(name)
                problems.append((line, f"{name}: {_in_words(one)}"))
    governance = front.get("warrant")
    tier = governance.get("risk_tier") if isinstance(governance, dict) else None
    if isinstance(tier, str) and tier not in TIERS and "{{" not in tier and not tier.startswith("["):
        line = line_of(text, ("warrant", "risk_tier"))
        problems.append((line, f"warrant.risk_tier: a tier is one of {', '.join(TIERS)}, not {tier!r}"))
    return problems


_BRANCHES: Final = ("str", "list[str]", "date", "function-after", "function-before")


def _field_of(place: Sequence[int | str]) -> tuple[int | str, ...]:
    """A place without the branches of unions, which are no part of the text."""
    return tuple("model-index" if part == "model_index" else part for part in place if part not in _BRANCHES)


def _in_words(error: Any) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is needed and not there"
    if kind == "extra_forbidden":
        return f"is no field; those are {', '.join(Governance.model_fields)}"
    if kind in ("string_type", "list_type"):
        wanted = "a text" if kind == "string_type" else "a list"
        return f"{wanted} is wanted, not {type(error['input']).__name__} {str(error['input'])[:40]!r}"
    return str(error["msg"])


def _keys_written_twice(node: yaml.Node | None, depth: int = 0) -> list[tuple[int, str]]:
    found = []
    if isinstance(node, yaml.MappingNode) and depth < 50:
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                found.append((key.start_mark.line + 1, f"{key.value} is written twice"))
            seen.add(str(key.value))
            found += _keys_written_twice(value, depth + 1)
    elif isinstance(node, yaml.SequenceNode) and depth < 50:
        for value in node.value:
            found += _keys_written_twice(value, depth + 1)
    return found
