"""Objectives from OpenSLO v1 files: what is read, what is refused, and where it stands.

Several files are read as one: an SLO may name an SLI, a data source or an alert policy that stands in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from backend.errors import BadInput
from backend.governance.refusals import reason_of
from backend.governance.yaml_places import place_in
from backend.governance.yaml_text import read_yaml_stream
from backend.slo.findings import Finding, Place
from backend.slo.objectives import Objective
from backend.slo.openslo_meaning import READ, Library, Misfit, objectives_of, unread_sources
from backend.slo.openslo_schema import (
    DOCUMENTS,
    VERSION,
    AlertCondition,
    AlertNotificationTarget,
    AlertPolicy,
    AnyDocument,
    DataSource,
    SliDocument,
    Slo,
)

COMPOSITE = ("indicator", "indicatorRef", "compositeWeight")


class OpenSloRefused(BadInput):
    """A file of objectives that cannot be taken; `findings` has every reason with its place."""

    title = "Objectives refused"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        told = "; ".join(f"{one.place}: {one.text}" for one in self.findings[:4])
        more = f"; and {len(self.findings) - 4} more" if len(self.findings) > 4 else ""
        super().__init__(told + more, findings=[one.as_dict() for one in self.findings])


Key = tuple[str, str, str]  # model, environment, name: what tells objectives apart


def key_of(objective: Objective) -> Key:
    """By what an objective is known among others."""
    return objective.model, objective.environment, objective.name


@dataclass(frozen=True)
class Written:
    """One document of a file."""

    kind: str
    name: str
    place: Place


@dataclass(frozen=True)
class Reading:
    """What files hold. `errors` is empty where all of it can be taken; `remarks` is what is not used, and why."""

    objectives: tuple[Objective, ...]
    places: Mapping[Key, Place]  # of each objective
    documents: tuple[Written, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == "error")


@dataclass
class _Found:
    """A document that fits the specification, with its nodes."""

    document: AnyDocument
    node: yaml.Node
    file: str

    def place(self, path: Sequence[object] = ()) -> Place:
        return Place(self.file, *place_in(self.node, path))


@dataclass
class _Shelf:
    found: list[_Found] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, place: Place, text: str, rule: str = "refused", objective: str = "") -> None:
        self.findings.append(Finding(place, "error", rule, text, objective))


def parse_openslo(text: str, *, file: str = "objectives.yaml") -> tuple[Objective, ...]:
    """The objectives of a text. Raises `OpenSloRefused` with every line and reason when any of it cannot be taken."""
    reading = read_openslo([(file, text)])
    if reading.errors:
        raise OpenSloRefused(reading.errors)
    if not reading.objectives:
        raise OpenSloRefused([Finding(Place(file, 1, 1), "error", "no-objective", "there is no SLO in it")])
    return reading.objectives


def read_openslo(sources: Iterable[tuple[str, str]]) -> Reading:
    """Everything that (file, text) pairs hold. Never raises: what cannot be taken is a finding of level error."""
    shelf = _Shelf()
    for file, text in sources:
        _read_file(shelf, file, text)
    return _reading_of(shelf)


def read_openslo_nodes(file: str, parts: Iterable[tuple[Any, yaml.Node]]) -> Reading:
    """The same of documents that are parts of a text which somebody has read: each value with its node."""
    shelf = _Shelf()
    for value, node in parts:
        _read_document(shelf, file, value, node)
    return _reading_of(shelf)


def _reading_of(shelf: _Shelf) -> Reading:
    library = Library.of(one.document for one in shelf.found)
    objectives: list[Objective] = []
    places: dict[Key, Place] = {}
    for one in shelf.found:
        if isinstance(one.document, Slo):
            _take(shelf, one, one.document, library, objectives, places)
        else:
            _remark(shelf, one)
    written = tuple(
        Written(getattr(one.document, "kind", ""), one.document.metadata.name, one.place())
        for one in shelf.found
    )
    return Reading(tuple(objectives), places, written, tuple(sorted(shelf.findings)))


def _take(
    shelf: _Shelf,
    one: _Found,
    slo: Slo,
    library: Library,
    objectives: list[Objective],
    places: dict[Key, Place],
) -> None:
    name = slo.metadata.name
    try:
        made, remarks = objectives_of(slo, library)
    except Misfit as misfit:
        shelf.refuse(one.place(misfit.path), misfit.text, misfit.rule, name)
        return
    for path, rule, text in remarks:
        shelf.findings.append(Finding(one.place(path), "note", rule, text, name))
    for objective in made:
        key = key_of(objective)
        if key in places:
            shelf.refuse(
                one.place(("metadata", "name")),
                f"there is an SLO named {objective.name!r} of {objective.model} already, at {places[key]}",
                "name-twice",
                name,
            )
            continue
        places[key] = one.place(("metadata", "name"))
        objectives.append(objective)


def _remark(shelf: _Shelf, one: _Found) -> None:
    """What is valid and yet not used here; an SLI is looked at even where no SLO names it."""
    document, text = one.document, ""
    if isinstance(document, SliDocument):
        try:
            unread = unread_sources(document.spec)
        except Misfit as misfit:
            shelf.refuse(one.place(("spec",)), misfit.text, misfit.rule, document.metadata.name)
            return
        text = f"Warrant does not read {', '.join(unread)}" if unread else ""
    elif isinstance(document, AlertPolicy | AlertCondition):
        text = "Warrant alerts by pairs of windows (annotation warrant/alert-rows), not by conditions of one window"
    elif isinstance(document, DataSource) and document.spec.type.lower() not in READ:
        text = f"Warrant does not read {document.spec.type}"
    elif isinstance(document, AlertNotificationTarget):
        text = "whom Warrant tells is set in Warrant, not in this file"
    if text:
        shelf.findings.append(
            Finding(one.place(), "note", "not-used", f"{document.metadata.name}: not used; {text}")
        )


def _read_file(shelf: _Shelf, file: str, text: str) -> None:
    try:
        stream = read_yaml_stream(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        why = ", ".join(part for part in (error.context, error.problem) if part)
        shelf.refuse(place, f"it is no YAML: {why}", "no-yaml")
        return
    except yaml.YAMLError as error:
        shelf.refuse(Place(file, 1, 1), f"it is no YAML: {' '.join(str(error).split())}", "no-yaml")
        return
    read = 0
    for value, node in stream:
        if value is None:
            continue
        if isinstance(value, list) and isinstance(node, yaml.SequenceNode):
            parts: list[tuple[Any, yaml.Node]] = list(zip(value, node.value, strict=True))
        else:
            parts = [(value, node)]
        for part, below in parts:
            _read_document(shelf, file, part, below)
            read += 1
    if not read:
        shelf.refuse(Place(file, 1, 1), "there is no document in it", "empty")


def _read_document(shelf: _Shelf, file: str, value: Any, node: yaml.Node) -> None:
    def place(path: Sequence[object] = ()) -> Place:
        return Place(file, *place_in(node, path))

    if not isinstance(value, dict):
        shelf.refuse(
            place(), "a document is a mapping with apiVersion, kind, metadata and spec", "no-document"
        )
        return
    if value.get("apiVersion") != VERSION:
        given = value.get("apiVersion")
        said = "apiVersion is missing" if given is None else f"apiVersion is {str(given)[:60]!r}"
        shelf.refuse(place(("apiVersion",)), f"{said}; {VERSION} is read", "version")
        return
    model = DOCUMENTS.get(str(value.get("kind")))
    if model is None:
        said = "kind is missing" if "kind" not in value else f"there is no kind {str(value['kind'])[:60]!r}"
        shelf.refuse(place(("kind",)), f"{said}; OpenSLO has {', '.join(DOCUMENTS)}", "kind")
        return
    try:
        shelf.found.append(_Found(model.model_validate(value), node, file))
    except ValidationError as error:
        name = (
            str((value.get("metadata") or {}).get("name", ""))
            if isinstance(value.get("metadata"), dict)
            else ""
        )
        _refuse_parts(shelf, error, model, place, name)


def _refuse_parts(
    shelf: _Shelf, error: ValidationError, model: type[AnyDocument], place: Any, name: str
) -> None:
    every = error.errors()
    for one in every:
        path = one["loc"]
        below = any(len(o["loc"]) > len(path) and o["loc"][: len(path)] == path for o in every)
        if one["type"] in ("too_short", "string_type") and below:
            continue  # its parts say it already
        reason = reason_of(one, model)
        if one["type"] == "extra_forbidden" and "objectives" in path and path[-1] in COMPOSITE:
            reason = "an objective of several indicators is not read; write one SLO for each indicator"
        where = ".".join(str(part) for part in path)
        shelf.refuse(place(path), f"{where}: {reason}", "specification", name)
