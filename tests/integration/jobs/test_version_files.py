"""Jobs load no model whose files would run something: anybody who registers a version could have one loaded."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from backend import clock
from backend.database.session import writing
from backend.deployment.tables import Deployment
from backend.errors import NotAllowed
from backend.registry.artefacts import artefact_digest
from backend.registry.tables import Version
from backend.serving.errors import NotLoadable
from jobs.models import ModelProcess, open_model
from tests.integration.governance.conftest import put_in_force
from tests.worlds import make_world


def opened(uri: str, digest: str) -> ModelProcess:
    with open_model(uri, digest) as model:
        return model


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_files_that_run_something_are_loaded_only_once_they_were_allowed_or_served(
    migrated_home: Path, tmp_path: Path
) -> None:
    world, marker, artefact = make_world(tmp_path / "files"), tmp_path / "ran", tmp_path / "artefact"
    artefact.mkdir()
    (artefact / "model.pkl").write_bytes(pickle.dumps(Runs(marker)))
    (artefact / "MLmodel").write_text(json.dumps({"flavors": {"other": {}}}))  # which the loader then refuses
    digest, uri = artefact_digest(artefact), artefact.as_uri()
    with pytest.raises(NotAllowed, match=f"would use model.pkl: {os.mkdir.__module__} mkdir"):
        opened(uri, digest)
    with writing() as session:
        put_in_force(
            session, world,
            f"rules: [{{name: all, rule: {{gates: [{{gate: artefact_scanned, parameters: "
            f"{{allow: [{os.mkdir.__module__}]}}}}]}}}}]",
        )  # fmt: skip
    with pytest.raises(NotLoadable):
        opened(uri, digest)
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
        session.execute(update(Version).values(artefact_digest=digest))
    with pytest.raises(NotLoadable):
        opened(uri, digest)
    with writing() as session:
        session.execute(update(Deployment).values(serving_at=None, started_at=clock.now()))
    with pytest.raises(NotAllowed):
        opened(uri, digest)
    assert not marker.exists()
