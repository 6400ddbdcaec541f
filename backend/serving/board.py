"""What serves now: read by every request, replaced as a whole by the watcher's thread alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from backend.observations.schema import Kind, Task
from backend.serving.errors import NotServing, UnknownModel
from backend.serving.predictor import Predictor
from backend.serving.record import Target


@dataclass(frozen=True)
class Serving:
    """One version in service. A request keeps the one it was admitted with, also through a switch."""

    target: Target
    predictor: Predictor
    features: Mapping[str, Kind]
    task: Task
    loaded_at: datetime

    @property
    def model(self) -> str:
        return self.target.model

    @property
    def version(self) -> str:
        """As a metric label."""
        return str(self.target.version)


@dataclass(frozen=True)
class Entry:
    """One registered model: what serves, what the record wants, and why they differ."""

    serving: Serving | None = None
    wanted: Target | None = None
    error: str | None = None

    @property
    def settled(self) -> bool:
        return self.wanted is None or (self.serving is not None and self.serving.target == self.wanted)


@dataclass(frozen=True)
class Board:
    """All registered models. `complete` is False until the record was read once: until then there may be more."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    complete: bool = False

    def serving(self, model: str) -> Serving:
        """Raises `UnknownModel` or `NotServing` with the reason."""
        entry = self.entries.get(model)
        if entry is None:
            if not self.complete:
                raise NotServing("the gateway has not read the deployment record yet; try again in a moment")
            raise UnknownModel(f"there is no model named {model!r}", model=model)
        if entry.serving is None:
            raise NotServing(_why_not(model, entry), model=model)
        return entry.serving

    @property
    def ready(self) -> bool:
        """Every model that should serve does, if only with its last good version."""
        wanted = [entry for entry in self.entries.values() if entry.wanted is not None]
        return (self.complete or bool(wanted)) and all(entry.serving is not None for entry in wanted)


def _why_not(model: str, entry: Entry) -> str:
    if entry.wanted is None:
        return f"no version of {model} is deployed here; request a promotion in the console"
    if entry.error is None:
        return f"version {entry.wanted.version} of {model} is being loaded; try again in a moment"
    return f"version {entry.wanted.version} of {model} could not be loaded: {entry.error}"
