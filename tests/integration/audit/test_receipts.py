"""A receipt verifies without Warrant, and no altered one does."""

from __future__ import annotations

import json
import random
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from typer.testing import CliRunner

from backend import clock
from backend.audit.actions import Action
from backend.audit.anchoring import anchor_newest
from backend.audit.anchors.witness import WitnessAnchor
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import erase_payloads
from backend.audit.log import record
from backend.audit.merkle import leaf_hash
from backend.audit.notes import Checkpoint, SigningKey, VerifierKey
from backend.audit.proof_files import TlogProof
from backend.audit.receipts import NotSignedYet, receipt, receipts_of_change
from backend.audit.rotation import rotate_key
from backend.audit.signers import key_path, read_key, verifier_keys
from backend.audit.witnesses import Witness
from backend.cli import app
from backend.database.session import reading, writing
from backend.errors import NotAllowed, NotFound
from backend.identity.actor import Actor, system_actor
from backend.identity.roles import Role
from tests.integration.audit.conftest import ADA, append
from tests.integration.audit.witness_process import witness_process

TOOL = Path(__file__).parents[3] / "tools" / "verify_receipt.py"
WORKER = system_actor("worker")
SEPARATORS = (9, 11, 12, 13, 28, 29, 30, 31, 32)  # at each of these Python may split a text


def receipt_of(seq: int) -> str:
    with reading() as session:
        return receipt(session, ADA, seq)


def keys() -> str:
    return ",".join(str(key) for key in verifier_keys())


def tool(path: Path, *arguments: str) -> tuple[int, str]:
    """The verifier as somebody elsewhere runs it: without our packages on its path, and offline."""
    done = subprocess.run(
        [sys.executable, "-I", str(TOOL), str(path), *arguments],
        cwd=path.parent, env={}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def verify() -> Any:
    return runpy.run_path(str(TOOL), run_name="verify_receipt")["verify"]


def holds(verify: Any, text: str, *witnesses: str) -> bool:
    try:
        verify(text, keys().split(","), witnesses)
    except (InvalidSignature, ValueError, OverflowError):
        return False
    return True


def test_a_receipt_is_short_enough_to_read_and_imports_nothing_of_ours() -> None:
    text = TOOL.read_text()
    assert len(text.splitlines()) < 100
    assert "backend" not in text


def test_every_receipt_verifies_offline(five: str, tmp_path: Path) -> None:
    sign_head()
    append(4, start=5)
    sign_head()
    path = tmp_path / "entry.tlog-proof"
    for seq in (0, 4, 5, 8):
        path.write_text(receipt_of(seq))
        code, said = tool(path, keys())
        assert code == 0, said
        assert f'"seq": {seq},' in said
        assert "VALID: signed by" in said
        assert f"{clock.now():%Y-%m-%d}" in said


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257])
def test_every_place_of_every_shape_of_tree_verifies(database: str, size: int, verify: Any) -> None:
    if database == "postgresql" and size > 8:
        pytest.skip("the same tree from the same code")
    with writing() as session:
        for number in range(size):
            record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=number)
    sign_head()
    for seq in {0, size // 2, size - 1}:
        assert verify(receipt_of(seq), keys().split(","), [])[0]["seq"] == seq


def test_every_altered_byte_of_a_receipt_is_found(five: str, verify: Any) -> None:
    sign_head()
    text = receipt_of(3)
    assert holds(verify, text)
    rng = random.Random(11)
    content = text.encode()
    known = [one for key in verifier_keys() for one in (key, key.timed())]
    for position, byte in enumerate(content):
        separators = SEPARATORS if byte == ord("\n") else ()
        for other in {byte ^ 1 << rng.randrange(8), *separators} - {byte}:
            try:
                changed = bytes([*content[:position], other, *content[position + 1 :]]).decode()
            except UnicodeDecodeError:
                continue
            assert not holds(verify, changed), (position, other)
            with pytest.raises(ValueError):  # as `warrant audit check-proof` does it
                proof = TlogProof.parse(changed)
                proof.require_both_signatures(*proof.verify(known))


def test_altered_receipts_and_keys_give_the_right_exit_code(five: str, tmp_path: Path) -> None:
    sign_head()
    text, path = receipt_of(3), tmp_path / "altered.tlog-proof"
    lines = text.split("\n")
    other = receipt_of(2).split("\n")
    stranger = str(SigningKey.generate(verifier_keys()[0].name).verifier)
    for changed, key, code in (
        (text, keys(), 0),
        (text, stranger, 1),
        (text, f"{stranger},{keys()}", 0),
        ("\n".join([lines[0], other[1], *lines[2:]]), keys(), 1),  # another entry
        ("\n".join([*lines[:2], "index 2", *lines[3:]]), keys(), 1),
        ("\n".join([*lines[:2], "index 9", *lines[3:]]), keys(), 1),
        ("\n".join([*lines[:3], lines[4], lines[3], *lines[5:]]), keys(), 1),  # hashes in another order
        ("\n".join([*lines[:3], *lines[4:]]), keys(), 1),
        ("\n".join([*lines[:4], *lines[3:]]), keys(), 1),
        (text.replace("\n5\n", "\n6\n"), keys(), 1),
        ("\n".join([lines[0], *lines[2:]]), keys(), 2),  # without the entry
        (text.removesuffix("\n"), keys(), 2),
        ("", keys(), 2),
        (text[: len(text) // 2], keys(), 2),
        (text, "nonsense", 2),
        (text, keys()[:-4], 2),
    ):
        path.write_text(changed)
        found, said = tool(path, key)
        assert found == code, (changed, key, said)
        assert said.startswith(("{", "INVALID", "MALFORMED"))
    assert tool(tmp_path / "absent", keys())[0] == 2
    assert tool(path)[0] == 2


def test_a_witness_is_required_where_its_key_is_given(five: str, tmp_path: Path) -> None:
    sign_head()
    path = tmp_path / "entry.tlog-proof"
    with witness_process(tmp_path / "witness", [str(verifier_keys()[0])]) as running:
        path.write_text(receipt_of(1))
        assert tool(path, keys(), running.key)[0] == 1
        anchor_newest(WORKER, [WitnessAnchor(Witness(running.url, VerifierKey.parse(running.key)))])
    path.write_text(receipt_of(1))
    code, said = tool(path, keys(), running.key)
    assert code == 0
    assert "host-b.example/witness at " in said
    stranger = SigningKey.generate("host-b.example/witness").verifier.timed()
    assert tool(path, keys(), str(stranger))[0] == 1
    for own in (verifier_keys()[0], verifier_keys()[0].timed()):  # a log is no witness of itself
        code, said = tool(path, keys(), str(own))
        assert (code, "or is the log itself" in said) == (1, True)


def test_a_receipt_stays_the_same_and_outlives_erasure_and_a_new_key(five: str, verify: Any) -> None:
    sign_head()
    before = receipt_of(2)
    with writing() as session:
        erase_payloads(session, WORKER, [2], why="request 7", subject="erq_1")
    rotate_key(WORKER, why="due")
    append(3, start=5)
    sign_head()
    assert receipt_of(2) == before
    assert holds(verify, before)
    assert verify(receipt_of(7), keys().split(","), [])[0]["seq"] == 7
    assert "Ada" not in before


def test_an_entry_that_no_signed_head_holds_has_no_receipt_yet(five: str) -> None:
    with pytest.raises(NotSignedYet, match="no signed head holds it yet"):
        receipt_of(2)
    sign_head()
    append(1, start=5)
    with pytest.raises(NotSignedYet):
        receipt_of(5)
    for absent in (-1, 6, 99):
        with pytest.raises(NotFound):
            receipt_of(absent)


def test_receipts_are_for_those_who_may_read_the_log(five: str) -> None:
    sign_head()
    viewer = Actor(person_id="per_v", kind="person", roles=frozenset({Role.VIEWER}))
    with reading() as session:
        with pytest.raises(NotAllowed):
            receipt(session, viewer, 1)
        assert [(line.seq, line.signed) for line in receipts_of_change(session, ADA, 3)] == [(3, True)]
        assert receipts_of_change(session, ADA, 99) == []


def test_the_command_checks_a_receipt_with_this_homes_keys(five: str, tmp_path: Path) -> None:
    sign_head()
    path = tmp_path / "entry.tlog-proof"
    path.write_text(receipt_of(2))
    run = CliRunner()
    told = run.invoke(app, ["audit", "check-proof", str(path)])
    assert (told.exit_code, "the proof holds" in told.output) == (0, True)
    assert f" at {clock.now():%Y-%m-%d}" in told.output
    whole = path.read_text()
    path.write_text("\n".join([*whole.split("\n")[:-2], ""]))  # the signature with the time is gone
    assert run.invoke(app, ["audit", "check-proof", str(path)]).exit_code == 1
    path.write_text(whole)
    stranger = str(SigningKey.generate(verifier_keys()[0].name).verifier)
    assert run.invoke(app, ["audit", "check-proof", str(path), "--key", stranger]).exit_code == 1
    assert run.invoke(app, ["audit", "check-proof", str(path), "--key", "nonsense"]).exit_code == 2
    path.write_text(path.read_text().replace("index 2", "index 3"))
    as_json = run.invoke(app, ["audit", "check-proof", str(path), "--json"])
    assert (as_json.exit_code, json.loads(as_json.stdout)["ok"]) == (1, False)
    path.write_text("c2sp.org/tlog-proof@v1\n")
    assert run.invoke(app, ["audit", "check-proof", str(path)]).exit_code == 2


def test_a_proof_without_its_entry_proves_nothing(five: str) -> None:
    sign_head()
    found = TlogProof.parse(receipt_of(2))
    assert str(found) == receipt_of(2)
    with pytest.raises(ValueError, match="does not carry the entry"):
        TlogProof(None, found.index, found.hashes, found.note).verify(verifier_keys())


def test_what_a_key_that_was_taken_over_from_signs_about_another_log_does_not_hold_here(
    five: str, tmp_path: Path, verify: Any
) -> None:
    sign_head()
    stolen = read_key(key_path())
    _, rotated = rotate_key(system_actor("command"), why="the old one was stolen")
    leaf = json.dumps({"action": "governance:change:approve", "actor": "per_ceo", "seq": 0}).encode()
    for told in (leaf, leaf.replace(b'"seq": 0', b'"seq": 7')):
        text = Checkpoint(stolen.verifier.name, 1, leaf_hash(told)).text
        dated = clock.from_iso(rotated.at)  # while it was the log's key; later the key itself has ended
        note = f"{text}\n{stolen.sign(text)}{stolen.sign_at(text, dated)}"
        forged = tmp_path / "forged.tlog-proof"
        forged.write_text(str(TlogProof(extra=told, index=0, hashes=(), note=note)))
        found = CliRunner().invoke(app, ["audit", "check-proof", str(forged)])
        assert (found.exit_code, "have another root" in " ".join(found.output.split())) == (1, True), (
            found.output
        )
    with pytest.raises(InvalidSignature):  # an entry that names another place than the one it is proved at
        verify(forged.read_text(), [str(stolen.verifier)], [])


def test_what_a_key_signs_after_its_end_counts_nowhere(five: str, tmp_path: Path) -> None:
    sign_head()
    path, stolen = tmp_path / "entry.tlog-proof", read_key(key_path())
    path.write_text(receipt_of(2))
    _, rotated = rotate_key(system_actor("command"), why="the old one was stolen")
    old, new = verifier_keys()
    assert (old.until, new.until) == (clock.from_iso(rotated.at), None)
    assert VerifierKey.parse(old.statement).until == old.until
    given = f"{old.statement},{new.statement}"
    assert tool(path, given)[0] == 0  # it was signed before
    leaf = json.dumps({"action": "governance:change:approve", "actor": "per_ceo", "seq": 0}).encode()
    text = Checkpoint(stolen.verifier.name, 1, leaf_hash(leaf)).text
    note = f"{text}\n{stolen.sign(text)}{stolen.sign_at(text, clock.from_iso(rotated.at) + timedelta(seconds=1))}"
    path.write_text(str(TlogProof(extra=leaf, index=0, hashes=(), note=note)))
    assert tool(path, given) == (
        1,
        "INVALID: vm/audit signed with a key that had ended\n".replace("vm/audit", old.name),
    )
    found = CliRunner().invoke(app, ["audit", "check-proof", str(path), "--key", old.statement])
    assert (found.exit_code, "with a key that ended on" in found.output) == (1, True)
    assert tool(path, f"{old}@soon")[0] == 2
    with reading() as session:
        fresh = TlogProof.parse(receipt(session, ADA, 2, newest=True))
    assert fresh.verify([new, new.timed()])[0].size == 6
