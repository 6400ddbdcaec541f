"""Catalogues of controls as data: one YAML file here is one catalogue. Read strictly: a misspelt key is refused.

What a control asks is said in our own words beside the place it comes from; the texts themselves are not copied. What
no query can show stands in `beyond`: such a control is never shown as covered by evidence alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from backend.errors import BadInput, NotFound
from backend.governance.digests import digest_of
from backend.governance.yaml_places import line_of

FOLDER: Final = Path(__file__).parent
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,59}$")]
Words = Annotated[str, Field(min_length=1, max_length=1200)]


class BadCatalogue(BadInput):
    """A catalogue's file says something that cannot be read. The message names file, line and what is wrong."""

    title = "Bad catalogue"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Look(_Strict):
    """One evidence query of a control, with its parameters."""

    query: str
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Control(_Strict):
    """One thing that is asked.

    citation  where it is asked, article or section included
    asks      what is asked, in short neutral words of ours
    scope     model: of each model; system: of the house as a whole
    evidence  what the record is asked
    beyond    what no query can show, which a person has to judge; empty where evidence alone tells
    """

    id: Id
    title: Words
    citation: Words
    asks: Words
    scope: Literal["model", "system"] = "model"
    evidence: tuple[Look, ...] = ()
    beyond: str = Field("", max_length=1200)

    @model_validator(mode="after")
    def _askable(self) -> Control:
        from backend.controls.queries.registry import queries

        known = queries()
        if not self.evidence and not self.beyond.strip():
            raise ValueError(f"{self.id} asks the record nothing: say in `beyond` what a person has to judge")
        for look in self.evidence:
            found = known.get(look.query)
            if found is None:
                raise ValueError(f"{self.id} names the query {look.query!r}, which there is not")
            refusal = found.refusal_of(look.parameters)
            if refusal is not None:
                raise ValueError(f"{self.id}: {refusal}")
            if self.scope == "system" and found.about == "model":
                raise ValueError(f"{self.id} is about the house, and {look.query} is asked of a model")
        asked = [(one.query, digest_of(one.parameters)) for one in self.evidence]
        if len(set(asked)) != len(asked):
            raise ValueError(f"{self.id} asks the same query twice")
        return self

    @property
    def digest(self) -> str:
        """Of what is asked: a judgement on another wording is another judgement."""
        return digest_of(self.model_dump(mode="json"))


class Catalogue(_Strict):
    """What one source asks.

    edition  which text and state of it, with its date
    caveat   what a reader must know of the wording and of what is not claimed
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    id: Id
    title: Words
    source: Words
    edition: Words
    caveat: Words
    controls: tuple[Control, ...] = Field(min_length=1)
    _digest: str = PrivateAttr("")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _differ(self) -> Catalogue:
        names = [one.id for one in self.controls]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"two controls are named {', '.join(twice)}")
        self._digest = digest_of(self.model_dump(mode="json", by_alias=True))
        return self

    @property
    def digest(self) -> str:
        return self._digest

    def control(self, name: str) -> Control:
        """`NotFound` for one that it does not have."""
        found = next((one for one in self.controls if one.id == name), None)
        if found is None:
            raise NotFound(f"the catalogue {self.id} has no control {name!r}")
        return found

    def as_dict(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json", by_alias=True), "digest": self.digest}


def read_catalogue(text: str, *, name: str = "catalogue") -> Catalogue:
    """A catalogue from YAML. `BadCatalogue` names line, place and what is wrong; `name` says whose text it is."""
    try:
        found = yaml.safe_load(text)
        twice = _key_twice(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise BadCatalogue(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, Mapping):
        raise BadCatalogue(f"{name} is no catalogue: a mapping with id, title, source and controls")
    if twice is not None:
        raise BadCatalogue(f"{name}, line {twice[0]}: the key {twice[1]!r} is written twice")
    try:
        return Catalogue.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        line = f", line {line_of(text, first['loc'])}" if first["loc"] else ""
        raise BadCatalogue(
            f"{name}{line}, {place}: {first['msg'].removeprefix('Value error, ')}{more}"
        ) from error


def _key_twice(node: yaml.Node | None) -> tuple[int, str] | None:
    """Line and name of a key that is written twice in one mapping, which YAML itself lets pass."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                return key.start_mark.line + 1, key.value
            seen.add(key.value)
            found = _key_twice(value)
            if found is not None:
                return found
    elif isinstance(node, yaml.SequenceNode):
        return next((found for one in node.value if (found := _key_twice(one)) is not None), None)
    return None


def read_folder(folder: Path) -> dict[str, Catalogue]:
    """Every catalogue of a folder by its id. `BadCatalogue` where one cannot be read or two have the same id."""
    found: dict[str, Catalogue] = {}
    for path in sorted(folder.glob("*.yaml")):
        one = read_catalogue(path.read_text("utf-8"), name=path.name)
        if one.id in found:
            raise BadCatalogue(f"{path.name}: there is a catalogue {one.id} already; choose another id")
        found[one.id] = one
    return found


@cache
def catalogues() -> dict[str, Catalogue]:
    """The shipped catalogues by id."""
    return read_folder(FOLDER)


def catalogue_named(name: str) -> Catalogue:
    """`NotFound` for one that is not there."""
    found = catalogues().get(name)
    if found is None:
        raise NotFound(f"there is no catalogue {name!r}; there are {', '.join(catalogues())}")
    return found
