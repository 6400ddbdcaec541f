"""`warrant model`: a model and a version of one's own from files, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from backend.cli import app
from backend.database.session import reading
from backend.governance.authority import excluded_people
from backend.governance.kinds import Asked
from backend.registry.artefacts import artefact_digest, file_digest
from backend.registry.tables import Model, Version
from tests.integration.governance.conftest import ask
from tests.worlds import SPEC, World, make_world

VERSION = {
    "model": "taxis", "version": 1, "artefact": "artefact-1", "reference": "reference-1.parquet", "card": "card-1.md",
    "trained_by": "engineer", "data_owner": "lead", "trained_at": "2026-03-01T09:00:00Z", "cutoff": 0.4,
    "metrics": {"roc_auc": {"value": 0.78}},
}  # fmt: skip


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def warrant(world: World, command: str, told: object) -> Result:
    path = world.files / "told.yaml"
    path.write_text(told if isinstance(told, str) else yaml.safe_dump(told))
    return CliRunner().invoke(app, ["model", command, str(path)])


def test_a_version_is_registered_with_its_files_and_people(world: World) -> None:
    taxis = {"name": "taxis", "title": "Taxis", "tier": "high", "owner": "engineer", "spec": SPEC}
    assert warrant(world, "register", taxis).exit_code == 0
    for _ in range(2):
        done = warrant(world, "register-version", VERSION)
        assert (done.exit_code, "taxis v1 is registered" in done.stdout) == (0, True), done.output
    with reading() as session:
        assert session.get_one(Model, "taxis").owner_id == world.engineer.person_id
        version = session.get_one(Version, ("taxis", 1))
        assert version.artefact_digest == artefact_digest(world.artefact(1))
        assert (version.reference_digest, version.cutoff) == (file_digest(world.reference(1)), 0.4)
        assert (version.trained_by, version.data_owner) == (world.engineer.person_id, world.lead.person_id)
    change = ask(world.on_call, Asked("promote", "production", "taxis", 1))
    with reading() as session:
        assert excluded_people(session, change)[world.lead.person_id] == "data_owner"
    (world.artefact(1) / "more").write_text("another")
    assert "exists with another artefact" in warrant(world, "register-version", VERSION).output


@pytest.mark.parametrize(
    "command, told, why",
    [
        ("register", {"name": "toy", "title": "T", "tier": "low", "spec": SPEC}, "change of kind tier"),
        ("register", {"name": "a b", "title": "T", "tier": "low", "spec": SPEC}, "a b"),
        ("register", "- 1", "document"),
        ("register", "{", "no YAML"),
        ("register-version", VERSION | {"model": "none"}, "there is no model"),
        (
            "register-version",
            VERSION | {"model": "toy", "version": 9, "card": "gone.md"},
            "card: there is no file",
        ),
        (
            "register-version",
            VERSION | {"model": "toy", "version": 9, "artefact": "gone"},
            "no artefact folder",
        ),
        ("register-version", VERSION | {"model": "toy", "version": 9, "data_owner": "nobody"}, "nobody here"),
        ("register-version", VERSION | {"model": "toy", "version": 0}, "version: "),
        ("register-version", {key: VERSION[key] for key in VERSION if key != "trained_by"}, "trained_by: "),
        (
            "register-version",
            VERSION | {"model": "toy", "trained_at": "2026-03-01T09:00:00"},
            "with its zone",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(world: World, command: str, told: object, why: str) -> None:
    done = warrant(world, command, told)
    assert (done.exit_code, why in " ".join(done.output.split())) == (2, True), done.output
