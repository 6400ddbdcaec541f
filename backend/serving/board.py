"""What serves now: read by every request, replaced as a whole by the watcher's thread alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend import clock
from backend.deployment.segments import holds
from backend.observations.pseudonyms import conceal_row
from backend.observations.schema import Kind, Task
from backend.serving.errors import NotServing, UnknownModel
from backend.serving.predictor import Predictor
from backend.serving.record import Target, Wanted


@dataclass(frozen=True)
class Serving:
    """One version in service. A request keeps the one it was admitted with, also through a switch."""

    target: Target
    predictor: Predictor
    features: Mapping[str, Kind]
    task: Task
    loaded_at: datetime
    pseudonymise: tuple[str, ...] = ()

    def stored(self, features: Mapping[str, float | str]) -> Mapping[str, float | str]:
        """The inputs as they are stored: pseudonyms in the columns that the spec declares."""
        return conceal_row(self.model, self.pseudonymise, features) if self.pseudonymise else features

    @property
    def model(self) -> str:
        return self.target.model

    @property
    def version(self) -> str:
        """As a metric label."""
        return str(self.target.version)

    @property
    def role(self) -> str:
        return self.target.role


@dataclass(frozen=True)
class Beside:
    """A canary or shadow that the record names: what is loaded of it, or why not. It never holds up the champion."""

    wanted: Target
    serving: Serving | None = None
    error: str | None = None


@dataclass(frozen=True)
class Entry:
    """One registered model: what serves, what the record wants, and why they differ."""

    serving: Serving | None = None
    wanted: Target | None = None
    error: str | None = None
    beside: tuple[Beside, ...] = ()

    @property
    def settled(self) -> bool:
        champion = self.wanted is None or (self.serving is not None and self.serving.target == self.wanted)
        return champion and all(one.serving is not None for one in self.beside)

    @property
    def record(self) -> Wanted:
        """What the record said of it."""
        return Wanted(self.wanted, tuple(one.wanted for one in self.beside))

    @property
    def loaded(self) -> tuple[Serving, ...]:
        """Everything that is in service, the champion first."""
        beside = [one.serving for one in self.beside if one.serving is not None]
        return (*([self.serving] if self.serving is not None else []), *beside)

    def shadows(self) -> tuple[Serving, ...]:
        """What scores rows that others answer."""
        return tuple(one for one in self.loaded if one.role == "shadow")

    def answering(self, key: str, features: Mapping[str, float | str]) -> Serving | None:
        """Which version answers a row with this key: a canary for its share of keys, the champion for the rest.

        A canary that is kept to segments draws among their rows alone: of the others none is its own. A key keeps its
        answering version while a canary's share stays or rises. Canaries of one model draw their keys independently by
        version, so that not always the same clients try what is new. One that is not loaded draws none.
        """
        for one in self.beside:
            target = one.wanted
            if target.role != "canary" or one.serving is None or not holds(target.segments, features):
                continue
            if position(f"{target.model}/{target.version}", key) < target.share:
                return one.serving
        return self.serving


def position(salt: str, key: str) -> float:
    """Where a key lies in [0, 1): the same everywhere and always."""
    found = hashlib.blake2b(f"{salt}|{key}".encode(), digest_size=8).digest()
    return float(int.from_bytes(found, "big") >> 11) / float(1 << 53)


@dataclass(frozen=True)
class Board:
    """All registered models. `complete` is False until the record was read once: until then there may be more."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    complete: bool = False

    def entry(self, model: str) -> Entry:
        """An entry whose champion serves. Raises `UnknownModel` or `NotServing` with the reason."""
        entry = self.entries.get(model)
        if entry is None:
            if not self.complete:
                raise NotServing("the gateway has not read the deployment record yet; try again in a moment")
            raise UnknownModel(f"there is no model named {model!r}", model=model)
        if entry.serving is None:
            raise NotServing(_why_not(model, entry), model=model)
        return entry

    def deployed(self, model: str, deployment_id: int) -> Serving:
        """What is loaded for one deployment, whatever its role. Raises `UnknownModel` or `NotServing`."""
        entry = self.entry(model)
        for one in entry.loaded:
            if one.target.deployment_id == deployment_id:
                return one
        raise NotServing(f"deployment {deployment_id} of {model} is not loaded here", model=model)

    def why_not_ready(self) -> str | None:
        """None when every model that should serve does, if only with its last good version."""
        wanted = {name: entry for name, entry in self.entries.items() if entry.wanted is not None}
        if not self.complete and not wanted:
            return "the gateway has not read the deployment record yet"
        return next(
            (_why_not(name, entry) for name, entry in sorted(wanted.items()) if entry.serving is None), None
        )

    def state(self) -> dict[str, dict[str, Any]]:
        """What serves and what should, by model, as JSON."""
        return {name: _state(entry) for name, entry in sorted(self.entries.items())}


def _state(entry: Entry) -> dict[str, Any]:
    serving = entry.serving
    return {
        "version": None if serving is None else serving.target.version,
        "deployment_id": None if serving is None else serving.target.deployment_id,
        "loaded_at": None if serving is None else clock.to_iso(serving.loaded_at),
        "wanted_version": None if entry.wanted is None else entry.wanted.version,
        "error": entry.error,
        "beside": [
            {
                "version": one.wanted.version,
                "deployment_id": one.wanted.deployment_id,
                "role": one.wanted.role,
                "share": one.wanted.share,
                "segments": one.wanted.segments,
                "loaded": one.serving is not None,
                "error": one.error,
            }
            for one in entry.beside
        ],
    }


def _why_not(model: str, entry: Entry) -> str:
    if entry.wanted is None:
        return f"no version of {model} is deployed here; request a promotion in the console"
    if entry.error is None:
        return f"version {entry.wanted.version} of {model} is being loaded; try again in a moment"
    return f"version {entry.wanted.version} of {model} could not be loaded: {entry.error}"
