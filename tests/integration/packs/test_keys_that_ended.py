"""A key that was rotated out makes no packs any more; the log's own entry tells which it made before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.audit.checkpoints import sign_head
from backend.audit.rotation import rotate_key
from backend.audit.signers import signing_key, verifier_keys
from backend.cli import app
from backend.database.session import reading
from backend.packs.container import zip_of
from backend.packs.making import making_of
from backend.packs.manifest import MANIFEST, SIGNATURE, manifest_of, signature_of
from tests.integration.packs.conftest import WORKER, House, files_of, make_pack, verify_alone

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.mark.slow
def test_a_pack_under_a_key_that_ended_needs_the_entry_of_its_making(house: House, tmp_path: Path) -> None:
    stolen = signing_key(first=False)
    body = make_pack(house.world.lead, kind="change", change=house.change)
    files = files_of(body)
    known = json.loads(files[MANIFEST])

    def thieves() -> bytes:
        """The same pack with another file, under the key that was stolen."""
        facts = {one: known[one] for one in known if one not in ("files", "contents", "format")}
        rest = {one: data for one, data in files.items() if one not in (MANIFEST, SIGNATURE)}
        manifest = manifest_of({**rest, "gaps.json": b"[]\n"}, facts)
        note = signature_of(known["pack"], manifest, stolen)
        return zip_of({**rest, "gaps.json": b"[]\n", MANIFEST: manifest, SIGNATURE: note})

    def making() -> bytes:
        with reading() as session:
            return making_of(session, house.world.lead, known["pack"]).encode()

    def ask(pack: bytes, made: bytes | None, *witnesses: str) -> tuple[int, str]:
        (tmp_path / "made.json").write_bytes(made or b"")
        more = ["--made", str(tmp_path / "made.json")] if made is not None else []
        given = ",".join(one.statement for one in verifier_keys())
        return verify_alone(pack, tmp_path / "empty", given, *witnesses, *more)

    sign_head()
    early = making()
    assert ask(body, None)[0] == 0
    assert "records that exactly this pack was made" in ask(body, early)[1]
    assert ask(thieves(), None)[0] == 0  # while nobody knows of it; the entry of its making does
    assert "its manifest is another one" in ask(thieves(), early)[1]
    assert ask(body, None, str(stolen.verifier))[0] == 2  # the log is no witness of itself
    altered = json.loads(early)
    altered["payload"] = altered["payload"].replace("toy", "tot")
    assert ask(body, json.dumps(altered).encode())[0] == 1

    rotate_key(WORKER, why="the old one was stolen")
    late = making()
    assert (ask(body, None)[0], "a key that has ended" in ask(body, None)[1]) == (1, True)
    assert ask(thieves(), None)[0] == 1
    assert "under a key that has ended too" in ask(body, early)[1]
    assert ask(body, late)[0] == 0
    assert ask(thieves(), late)[0] == 1
    assert ask(make_pack(house.world.lead, kind="change", change=house.waiting), late)[0] == 1

    def at_home(pack: bytes) -> tuple[int, str]:
        (tmp_path / "pack.zip").write_bytes(pack)
        found = CliRunner().invoke(app, ["pack", "verify", str(tmp_path / "pack.zip")])
        return found.exit_code, " ".join(found.output.split())

    code, said = at_home(body)
    assert (code, "of this home records that exactly this pack was made" in said) == (0, True), said
    code, said = at_home(thieves())
    assert (code, "records another pack under this name" in said) == (1, True), said
