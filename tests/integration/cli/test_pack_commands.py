"""`warrant pack` against a console and a worker that run: make, list, fetch, verify, and what they refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.audit.signers import verifier_keys
from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.chaos.processes import WorkerProcess
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.integration.packs.conftest import House, files_of, fill, verify_alone
from tests.worlds import make_world

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def running(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = fill(make_world(tmp_path / "files"))
    worker = WorkerProcess("packer", queues="metrics", environment=dict(os.environ))
    with running_console(tmp_path) as console:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", console.url)
        yield made
    worker.kill()


def test_a_pack_is_made_fetched_and_verified_by_commands(running: House, tmp_path: Path) -> None:
    world = running.world
    with writing() as session:
        token = create_token(session, world.lead, name="cli")[1]
        other = create_token(session, world.engineer, name="cli")[1]

    def pack(*arguments: str, by: str = token) -> Said:
        return warrant("pack", *arguments, WARRANT_TOKEN=by)

    assert "there is no pack yet" in pack("list").out
    out = tmp_path / "change.zip"
    made = pack(
        "make", "--change", str(running.change), "--reason", "so", "--wait", "--out", str(out), "--json"
    )
    assert (made.code, made.document["state"], made.document["kind"]) == (0, "made", "change"), made.err
    assert "changes/CHG-1/change.json" in files_of(out.read_bytes())
    assert verify_alone(out.read_bytes(), tmp_path / "empty")[0] == 0
    asked = pack("make", "--model", "toy", "--version", "1", "--reason", "so")
    assert asked.code == 0
    assert "version 1 of toy" in asked.out
    listed = pack("list", "--model", "toy", "--json").document["packs"]
    assert {one["kind"] for one in listed} == {"change", "version"}
    assert "kept for 365 days: nothing else is set" in pack("list").out
    again = tmp_path / "again.zip"
    assert pack("fetch", made.document["id"], "--out", str(again)).code == 0
    assert again.read_bytes() == out.read_bytes()

    assert pack("verify", str(out)).code == 0
    assert pack("verify", str(out), "--key", str(verifier_keys()[0]), "--json").document["ok"] is True
    altered = bytearray(out.read_bytes())
    altered[len(altered) // 2] ^= 1
    again.write_bytes(altered)
    told = pack("verify", str(again), "--json")
    assert (told.code, told.document["ok"]) == (1, False)
    assert pack("verify", str(tmp_path / "files" / "card-1.md")).code == 2
    assert pack("verify", str(tmp_path / "absent.zip")).code == 2

    for refused in (
        pack("make", "--model", "toy", "--reason", "so", by=other),
        pack("make", "--period", "soon", "--reason", "so"),
        pack("make", "--model", "none", "--reason", "so"),
        pack("fetch", "pack_none"),
    ):
        assert refused.code == 2
        assert refused.line.startswith("warrant: ")
