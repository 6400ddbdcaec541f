"""What DVC and Feast say is attached to a version once, recorded, and drawn with links and digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.components.lineage import lineage_list
from backend.assurance.lineage import MOST_SOURCES, lineage_of
from backend.audit.reading import search_entries
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.registry.declared import register_version_of
from backend.registry.lineage import attach_lineage, link_of, sources_of
from backend.registry.tables import LineageSource
from tests.unit.test_lineage_files import LOCK
from tests.worlds import SYSTEM, World, make_world


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    yield make_world(tmp_path / "files")
    use_database(None)


def attach(who: Actor, text: str = LOCK, *, name: str = "dvc.lock", version: int = 2, **more: str) -> int:
    with writing() as session:
        return len(
            attach_lineage(session, who, model="toy", version=version, name=name, data=text.encode(), **more)
        )


def test_a_file_is_attached_once_and_recorded(world: World) -> None:
    place = {"repository": "https://me:secret@git.example/team/flights.git", "revision": "5f54f01"}
    assert attach(world.engineer, **place) == 3
    assert attach(world.engineer, **place) == 0
    with reading() as session:
        found = sources_of(session, world.viewer, "toy", 2)
        logged = [one.action for one in search_entries(session, world.compliance, limit=3)]
    assert [one.name for one in found] == ["data/raw.csv", "data/train", "metrics.json"]
    assert link_of(found[0]) == "https://git.example/team/flights/tree/5f54f01"
    assert "secret" not in found[0].repository
    assert logged.count("registry:lineage:attach") == 1


def test_who_may_not_and_what_is_not_there_are_refused(world: World) -> None:
    with pytest.raises(NotAllowed):
        attach(world.viewer)
    with pytest.raises(NotFound):
        attach(world.engineer, version=9)
    for place in ({"repository": "a b"}, {"revision": "x y"}, {"revision": "-rf"}):
        with pytest.raises(BadInput):
            attach(world.engineer, **place)
    other = Actor(world.viewer.person_id, "person", world.viewer.roles, models=frozenset({"other"}))
    with reading() as session, pytest.raises(NotFound):
        sources_of(session, other, "toy", 2)


@pytest.mark.parametrize(
    "repository", ["javascript:alert(1)", "git@git.example:team/f.git", "file:///etc", ""]
)
def test_only_an_address_for_browsers_is_a_link(repository: str) -> None:
    assert link_of(LineageSource(repository=repository, revision="main")) is None


def test_the_graph_shows_sources_with_links_and_digests(world: World) -> None:
    attach(world.engineer, repository="https://git.example/f", revision="main")
    many = "".join(f"- {{path: 'p<{n}>', md5: {n:031x}a}}\n" for n in range(20))
    assert attach(world.engineer, f"outs:\n{many}", name="x.dvc", version=1) == 20
    with reading() as session:
        found = lineage_of(session, world.viewer, "toy")
    listed = str(lineage_list(found, "toy"))
    assert '<a href="https://git.example/f/tree/main"' in listed
    assert "md5:5d41402abc4b2a76b9719d911017c592" in listed
    assert "p&lt;0&gt;" in listed
    labels = [one.label for one in found.of("data")]
    assert f"{20 - MOST_SOURCES} more" in labels


def test_a_registration_names_its_files(world: World, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    told = {
        "model": "toy", "version": 3, "artefact": str(world.artefact(1)), "reference": str(world.reference(1)),
        "card": str(world.card(1)), "trained_by": None, "data_owner": None, "trained_at": "2026-03-01T09:00:00Z",
        "lineage": ["dvc.lock"], "repository": "https://git.example/f", "revision": "v3",
    }  # fmt: skip
    file = tmp_path / "toy-3.yaml"
    file.write_text(yaml.safe_dump(told))
    with writing() as session:
        register_version_of(session, SYSTEM, file)
    with reading() as session:
        assert {one.revision for one in sources_of(session, world.viewer, "toy", 3)} == {"v3"}
    (tmp_path / "dvc.lock").write_text("stages: 1\n")
    told["version"] = 4
    file.write_text(yaml.safe_dump(told))
    with pytest.raises(BadInput, match=r"dvc\.lock, line 1: stages"), writing() as session:
        register_version_of(session, SYSTEM, file)
