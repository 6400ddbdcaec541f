"""A hold on the files of a version: our copies stay, and what others delete or alter is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backend.audit.findings import HELD_LOST, open_findings
from backend.database.session import reading, writing
from backend.errors import Conflict
from backend.holds.artefacts import held_artefacts
from backend.holds.service import list_holds, place_hold, release_hold
from backend.holds.views import hold_views
from backend.identity.roles import Role
from backend.registry.artefacts import artefact_digest
from backend.serving.loader import KEPT_COPIES, Loader
from backend.serving.record import Record
from jobs.keep_data import look_at_held
from tests.integration.data_rights.conftest import Here
from tests.worlds import World, person

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def hold(world: World, name: str = "toy/1") -> int:
    with writing() as session:
        return place_hold(session, world.compliance, kind="artefact", object_id=name, reason="file 7").id


def look() -> list[str]:
    look_at_held(Here())  # type: ignore[arg-type]
    with reading() as session:
        return [one.title for one in open_findings(session) if one.kind == HELD_LOST]


def test_held_files_that_are_altered_or_gone_are_found_until_they_are_back(world: World) -> None:
    assert look() == []
    number = hold(world)
    assert look() == []
    kept = world.files / "aside"
    shutil.copytree(world.artefact(1), kept)
    (world.artefact(1) / "more.bin").write_bytes(b"other weights")
    assert "the files of toy/1 are on hold, and they are sha256:" in look()[0]
    shutil.rmtree(world.artefact(1))
    (found,) = look()
    assert f"nothing is at {world.artefact(1)}" in found
    with reading() as session:
        (view,) = hold_views(session, list_holds(session, world.compliance))
    assert view["lost"] == [found]
    with writing() as session:
        from backend.audit.finding_hands import close_by_hand

        (row,) = [one for one in open_findings(session) if one.kind == HELD_LOST]
        with pytest.raises(Conflict, match="closes by itself"):
            close_by_hand(session, world.compliance, row.id, why="never mind")
    kept.rename(world.artefact(1))
    assert look() == []
    shutil.rmtree(world.artefact(1))
    assert len(look()) == 1
    with writing() as session:
        release_hold(session, person(session, "cleo", Role.COMPLIANCE), number, why="settled")
    assert look() == []


def test_copies_of_held_files_are_not_cleared_away(world: World, tmp_path: Path) -> None:
    loader = Loader(tmp_path / "copies", tracking_uri="")
    made = []
    for number in range(KEPT_COPIES + 2):
        source = tmp_path / f"source-{number}"
        source.mkdir()
        (source / "model.bin").write_bytes(bytes([number]))
        made.append(loader.fetch(str(source), artefact_digest(source)))
    held = world.artefact(1)
    copy = loader.fetch(str(held), artefact_digest(held))
    hold(world, "*")
    with reading() as session:
        assert {one.name for one in held_artefacts(session)} == {"toy/1", "toy/2"}
    loader.prune(Record("production").held())
    assert copy.is_dir()
    assert not made[0].is_dir()
