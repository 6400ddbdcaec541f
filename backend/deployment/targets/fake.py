"""A target that only writes down what it is told: for trying policies and rollouts without anything that serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backend.deployment.targets import Observed, TargetRefused, Wanted
from backend.durable import write_json


class FakeTarget:
    """Keeps its state in `<folder>/<environment>.<model>.json`, so that it survives its process."""

    name = "fake"

    def __init__(self, folder: Path, *, refused_versions: tuple[int, ...] = ()) -> None:
        self._folder, self._refused = folder, refused_versions

    def ensure(self, wanted: Wanted) -> None:
        for part in wanted.parts:
            if part.version in self._refused:
                raise TargetRefused(f"the fake target refuses version {part.version}")
        self._put(wanted)

    def observe(self, wanted: Wanted) -> Observed:
        state = self._state(wanted)
        if state.get("serves") == wanted.as_dict():
            return Observed(True)
        return Observed(False, f"the fake target serves {state.get('serves', {}).get('key', 'nothing')}")

    def lacks(self, wanted: Wanted) -> str | None:
        return self.observe(wanted).text or None

    def restore(self, wanted: Wanted) -> None:
        self._put(wanted)

    def effects(self, wanted: Wanted) -> list[str]:
        """The keys that had an effect, in order."""
        return list(self._state(wanted).get("effects", []))

    def _put(self, wanted: Wanted) -> None:
        state = self._state(wanted)
        if state.get("serves") == wanted.as_dict():
            return
        effects = [*state.get("effects", []), wanted.key]
        write_json(self._path(wanted), {"serves": wanted.as_dict(), "effects": effects}, indent=1)

    def _state(self, wanted: Wanted) -> dict[str, Any]:
        path = self._path(wanted)
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def _path(self, wanted: Wanted) -> Path:
        return self._folder / f"{wanted.environment}.{wanted.model}.json"
