"""`warrant.yaml`: what a person writes about a model, and keeps in git.

Strict: a key that is not known, a column that is not there, an objective of another model are mistakes, all said at
once with line and column, and nothing is done. A part that is left out is not spoken of: what is recorded of it stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from backend.errors import BadInput, WarrantError
from backend.governance.digests import digest_of
from backend.governance.refusals import reason_of
from backend.governance.yaml_places import place_in
from backend.governance.yaml_text import read_yaml_stream
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.monitors_service import check_against
from backend.observations.schema import check_features, check_model
from backend.slo.findings import Finding, Place
from backend.slo.objectives import Objective
from backend.slo.openslo import read_openslo_nodes

VERSION: Final = "warrant/v1"
LONGEST_DOCUMENT: Final = 200_000
ROLES: Final = ("prediction_id", "ts", "score", "prediction", "label", "label_ts")


def _line(description: str, default: Any = ...) -> Any:
    return Field(default, max_length=500, pattern=r"^[^\x00\n]*$", description=description)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelPart(_Part):
    """What it is. `tier` counts when the model is registered; later another one is asked for as a change."""

    name: str = _line("what it is known by, for good")
    title: str = Field(min_length=1, max_length=200, description="what people call it")
    description: str = Field("", max_length=10_000, description="what it gives, of what, and when")
    owner: str | None = Field(None, max_length=200, description="the user name of who answers for it")
    tier: Literal["low", "medium", "high", "prohibited"] = Field(
        description="low, medium, high or prohibited; of a model that is there another one is asked for"
    )


class VersionPart(_Part):
    """The version whose predictions the history holds. People are user names."""

    number: int = Field(ge=1, lt=2**31, description="from 1; the predictions of the history are its")
    trained_at: AwareDatetime = Field(description="when, with its zone")
    trained_by: str | None = Field(
        None, max_length=200, description="a user name; else whoever applies the document"
    )
    data_owner: str | None = Field(
        None, max_length=200, description="the user name of whose the training data are"
    )


class Roles(_Part):
    """Which column of the source says what. Without `prediction_id` a row is known by its number in the file."""

    ts: str = _line("the column of the time of a prediction")
    prediction_id: str | None = _line("of its id; without one a row is known by its number in the file", None)
    score: str | None = _line("of its score or probability", None)
    prediction: str | None = _line("of what was predicted", None)
    label: str | None = _line("of what became known; empty: not yet", None)
    label_ts: str | None = _line("of when that became known", None)


class ReferencePart(_Part):
    """The rows that windows are compared with: of predictions from `since` on and before `until`."""

    since: AwareDatetime | None = Field(
        None, description="the first moment of the reference; else all before its end"
    )
    until: AwareDatetime = Field(description="its end: rows before it are what windows are compared with")


class HistoryPart(_Part):
    """Predictions, and labels, from before: where they lie and how they are read."""

    path: str = Field(
        min_length=1, max_length=1000, pattern=r"^[^\x00\n]*$",
        description="a file or Delta folder below `WARRANT_SOURCE_FOLDERS`",
    )  # fmt: skip
    timezone: str = Field("UTC", max_length=100, description="on whose clock times are that name no zone")
    columns: Roles
    reference: ReferencePart


class Document(_Part):
    """One model. `spec` has the keys of docs/monitoring.md, a monitor those of docs/monitors.md.

    tier_answers  question to answer; null: not answered yet. They count once all are answered
    """

    apiVersion: Literal["warrant/v1"] = Field(  # noqa: N815 - the name that such documents have everywhere
        description="`warrant/v1`"
    )
    kind: Literal["Model"] = Field(description="`Model`")
    model: ModelPart
    spec: dict[str, Any] = Field(
        description="task, features, window and the other [keys of a spec](monitoring.md#the-spec)"
    )
    monitors: tuple[dict[str, Any], ...] | None = Field(
        None, max_length=50, description="[monitors](monitors.md) of one's own, by name"
    )
    objectives: tuple[dict[str, Any], ...] | None = Field(
        None, max_length=50, description="[objectives](slos.md) as OpenSLO, by name and environment"
    )
    tier_answers: dict[str, str | None] | None = Field(
        None, description="answers of the questionnaire about the risk tier; null: not answered yet"
    )
    version: VersionPart | None = None
    history: HistoryPart | None = None
    card: str | None = Field(
        None, max_length=100_000, description="the [card](cards.md) of the version, as Markdown"
    )

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class SpecRefused(BadInput):
    """A document that cannot be taken; `findings` has every reason with its place."""

    title = "Document refused"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        told = "; ".join(f"{one.place}: {one.text}" for one in self.findings[:4])
        more = f"; and {len(self.findings) - 4} more" if len(self.findings) > 4 else ""
        super().__init__(told + more, findings=[one.as_dict() for one in self.findings])


@dataclass(frozen=True)
class Written:
    """A document that was read, with its meaning and the places of its parts."""

    document: Document
    spec: ModelSpec
    objectives: tuple[Objective, ...]
    file: str
    node: yaml.Node

    @property
    def name(self) -> str:
        return self.document.model.name

    @property
    def digest(self) -> str:
        return digest_of(self.document.as_dict())

    def refusal(self, error: WarrantError, *path: object) -> SpecRefused:
        """The same error with its place in the text."""
        return SpecRefused(
            [Finding(Place(self.file, *place_in(self.node, path)), "error", "refused", error.message)]
        )


def read_document(text: str, *, file: str = "warrant.yaml") -> Written:
    """The document of a text. Raises `SpecRefused` with every mistake, its line and its column."""
    value, node = _read_text(text, file)
    findings: list[Finding] = []

    def refuse(path: Sequence[object], said: str, rule: str = "refused") -> None:
        findings.append(Finding(Place(file, *place_in(node, path)), "error", rule, said))

    try:
        document = Document.model_validate(value)
    except ValidationError as error:
        for one in error.errors():
            where = ".".join(str(part) for part in one["loc"]) or "the document"
            refuse(one["loc"], f"{where}: {reason_of(one, Document)}", "form")
        raise SpecRefused(sorted(findings)) from None
    spec = _checked_spec(document, refuse)
    objectives = _checked_objectives(document, node, file, findings)
    if spec is None or findings:
        raise SpecRefused(sorted(findings))
    return Written(document, spec, objectives, file, node)


def _read_text(text: str, file: str) -> tuple[Any, yaml.Node]:
    try:
        stream = read_yaml_stream(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        parts = (getattr(error, "context", None), getattr(error, "problem", None))
        why = ", ".join(part for part in parts if part) or " ".join(str(error).split())
        raise SpecRefused([Finding(place, "error", "no-yaml", f"it is no YAML: {why}")]) from None
    if len(stream) != 1:
        said = f"it holds {len(stream)} documents; write one model in one file"
        raise SpecRefused([Finding(Place(file, 1, 1), "error", "one-document", said)])
    return stream[0]


def _checked_spec(document: Document, refuse: Any) -> ModelSpec | None:
    """The spec, and what refers to it: monitors, history, version and card."""
    try:
        check_model(document.model.name)
    except BadInput as error:
        refuse(("model", "name"), f"model.name: {error.message}")
    try:
        json.dumps(document.spec)
        spec = parse_spec(document.spec)
        check_features(
            {one.name: one.kind for one in spec.features} | dict.fromkeys(spec.kept_beside, "categorical")
        )
    except TypeError:
        refuse(("spec",), "spec: it holds a date; write it in quotes")
        return None
    except BadInput as error:
        refuse(("spec", *_path_in(error.message)), f"spec.{error.message}")
        return None
    names: set[str] = set()
    for number, definition in enumerate(document.monitors or ()):
        try:
            monitor = check_against(spec, definition)
        except BadInput as error:
            refuse(("monitors", number, *_path_in(error.message)), f"monitors.{number}.{error.message}")
            continue
        if monitor.name in names:
            refuse(("monitors", number, "name"), f"there is a monitor named {monitor.name!r} above already")
        names.add(monitor.name)
    for part in ("history", "card"):
        if getattr(document, part) is not None and document.version is None:
            refuse((part,), f"{part}: it is of a version; write `version` with number and trained_at")
    if document.history is not None:
        _check_history(document.history, spec, refuse)
    if document.card is not None:
        from backend.cards.document import read_card_source

        try:
            read_card_source(document.card)
        except BadInput as error:
            refuse(("card",), f"card: {error.message}")
    return spec


def _check_history(history: HistoryPart, spec: ModelSpec, refuse: Any) -> None:
    from backend.monitoring.spec_fields import timezone

    roles = history.columns
    if roles.score is None and roles.prediction is None:
        refuse(
            ("history", "columns"), "history.columns: name the column of the score, the prediction, or both"
        )
    if roles.label_ts is not None and roles.label is None:
        refuse(
            ("history", "columns", "label_ts"),
            "history.columns.label_ts: there is no label that it is the time of",
        )
    if history.reference.since is not None and history.reference.since >= history.reference.until:
        refuse(("history", "reference"), "history.reference: it begins after it ends")
    try:
        timezone(history.timezone)
    except BadInput as error:
        refuse(("history", "timezone"), f"history.{error.message}")
    features = {one.name for one in spec.features}
    for role in ROLES:
        column = getattr(roles, role)
        if column in features and role in ("label", "label_ts", "prediction_id"):
            refuse(
                ("history", "columns", role),
                f"history.columns.{role}: {column!r} is a feature too; a model that reads it would know its answer"
                if role == "label"
                else f"history.columns.{role}: {column!r} is a feature too; leave one of them out",
            )


def _checked_objectives(
    document: Document, node: yaml.Node, file: str, findings: list[Finding]
) -> tuple[Objective, ...]:
    from backend.slo.lint import findings_of

    below = _node_of(node, "objectives")
    if not document.objectives or not isinstance(below, yaml.SequenceNode):
        return ()
    reading = read_openslo_nodes(file, zip(document.objectives, below.value, strict=True))
    findings += [one for one in findings_of(reading) if one.level == "error"]
    for key, place in reading.places.items():
        if key[0] != document.model.name:
            said = (
                f"the objective {key[2]!r} is about the service {key[0]!r}, not about {document.model.name!r}"
            )
            findings.append(Finding(place, "error", "other-model", said, key[2]))
    return reading.objectives


def _node_of(node: yaml.Node, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _path_in(message: str) -> list[object]:
    """The path that a refusal begins with: `features.age: ...`, `when.all[1].threshold.value: ...`."""
    head, found, _ = message.partition(":")
    if not found or " " in head:
        return []
    return [int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", head) if part]


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys by which two mappings differ, in the order of the newer one."""
    return [key for key in {**after, **before} if before.get(key) != after.get(key)]
