"""Signed heads: made in quiet times too, never two that contradict each other, and found missing or altered."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select, text

from backend import clock
from backend.audit import heads
from backend.audit.checkpoints import HeadRefused, SignedHead, newest_checkpoint, sign_head
from backend.audit.merkle import verify_consistency
from backend.audit.notes import SigningKey, encode64, verify_note
from backend.audit.proofs import prove_consistency
from backend.audit.rotation import prepare_key, rotate_key
from backend.audit.signers import (
    KeyUnusable,
    keep_last,
    key_path,
    last_path,
    last_signed,
    signing_key,
    verifier_keys,
    verifier_path,
)
from backend.audit.tables import AuditCheckpoint
from backend.audit.verification import verify
from backend.audit.witness_server import WitnessServer
from backend.database.session import reading, writing
from backend.identity.actor import system_actor
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import forge, problem, rewrite_head, run, tampering

COMMAND = system_actor("command")


def stored() -> list[AuditCheckpoint]:
    with reading() as session:
        return list(session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.id)))


def test_a_signed_head_verifies_with_the_public_key_and_says_when(
    five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_ORIGIN", "warrant.example/audit")
    settings.cache_clear()
    before = clock.now().replace(microsecond=0)
    signed = sign_head()
    (key,) = verifier_keys()
    body, who = verify_note(signed.note, [key, key.timed()])
    assert body.split("\n")[:2] == ["warrant.example/audit", "5"]
    assert [one.at is None for one in who] == [True, False]
    assert before <= who[1].at <= clock.now()  # type: ignore[operator]
    (row,) = stored()
    assert (row.size, row.root, row.note, row.at) == (5, signed.root, signed.note, who[1].at)
    assert verify().signed == heads.Head(5, signed.root)


def test_the_private_key_is_for_its_owner_only_and_is_not_in_the_public_files(five: str) -> None:
    sign_head()
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(key_path().parent.stat().st_mode) == 0o700
    assert "PRIVATE" not in verifier_path().read_text() + last_path().read_text()
    key_path().chmod(0o644)
    with pytest.raises(KeyUnusable, match="others can read"):
        sign_head()


def test_quiet_times_have_signed_heads_too(five: str) -> None:
    first, second = sign_head(), sign_head()
    assert (first.number, second.number) == (1, 2)
    assert first.root == second.root
    assert len(stored()) == 2
    assert verify().ok


def test_an_empty_log_is_signed_and_continued(database: str) -> None:
    assert sign_head().size == 0
    append(3)
    assert sign_head().size == 3
    assert verify().ok


def test_each_head_continues_the_one_before(database: str) -> None:
    for _ in range(4):
        append(3)
        sign_head()
    rows = stored()
    with reading() as session:
        for before, after in pairwise(rows):
            proof = prove_consistency(session, before.size, before.root, after.size, after.root)
            verify_consistency(
                before.size, after.size, proof, bytes.fromhex(before.root), bytes.fromhex(after.root)
            )


def test_a_rewritten_history_is_not_signed(five: str) -> None:
    """Somebody who owns the database rewrites an entry, its hash, the head row and the published head."""
    sign_head()
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table} WHERE seq = 3")
    forge(3, like=2)
    rewrite_head()
    with tampering() as connection:
        size, root = connection.execute(text("SELECT size, root FROM audit_head")).one()
    heads.head_path().write_text(json.dumps({"size": size, "root": root}))
    with pytest.raises(HeadRefused, match="contradicts the head of 5"):
        sign_head()
    assert len(stored()) == 1
    assert "another root than was signed" in problem()


def test_a_log_that_was_put_back_to_an_earlier_state_is_not_signed(five: str) -> None:
    sign_head()
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table} WHERE seq = 4")
    rewrite_head()
    heads.head_path().unlink()
    with pytest.raises(HeadRefused, match="entries are missing"):
        sign_head()
    assert problem() == "entry 4 and all later ones are missing: a head of 5 entries was signed"


def test_a_forged_tail_is_not_signed(five: str) -> None:
    sign_head()
    forge(5, like=2, at=clock.to_iso(clock.now()))
    rewrite_head()
    with pytest.raises(HeadRefused, match="Warrant's mark"):
        sign_head()


def test_a_tail_whose_process_died_is_signed(five: str) -> None:
    early = heads.head_path().read_text()
    append(1, start=5)
    heads.head_path().write_text(early)
    assert sign_head().size == 6
    assert verify().ok


def test_a_signer_that_died_before_storing_the_row_stores_it_next_time(five: str) -> None:
    signed = sign_head()
    run("DELETE FROM audit_checkpoints")
    assert verify().ok  # the note is on disk, the row is still to come
    append(1, start=5)
    following = sign_head()
    rows = stored()
    assert [row.id for row in rows] == [1, 2]
    assert rows[0].note == signed.note
    assert rows[1].note == following.note
    assert verify().ok


def test_signers_at_once_give_one_gapless_row_of_heads(five: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sign_head(), range(8)))
    assert [row.id for row in stored()] == list(range(1, 9))
    assert verify().ok


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM audit_checkpoints WHERE id = 2", "checkpoint 2 is missing"),
        ("DELETE FROM audit_checkpoints WHERE id > 1", "checkpoint 2 and all later ones are missing"),
        ("DELETE FROM audit_checkpoints", "checkpoint 1 and all later ones are missing"),
        ("UPDATE audit_checkpoints SET note = replace(note, '=', 'A') WHERE id = 2", "checkpoint 2 is not what"),
        ("UPDATE audit_checkpoints SET size = 4 WHERE id = 1", "the first 4 entries have another root than was"),
        ("UPDATE audit_checkpoints SET root = upper(root) WHERE id = 1", "have another root than was signed"),
        ("UPDATE audit_checkpoints SET at = '2026-01-01 00:00:00' WHERE id = 2", "checkpoint 2 says something else"),
        (
            "UPDATE audit_checkpoints SET note = (SELECT note FROM audit_checkpoints WHERE id = 1), size = 5, "
            "root = (SELECT root FROM audit_checkpoints WHERE id = 1) WHERE id = 2",
            "checkpoint 2 ",
        ),
    ],
)  # fmt: skip
def test_an_altered_checkpoint_is_seen(
    five: str, statement: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = clock.now()
    for minutes in range(3):
        monkeypatch.setattr(
            "backend.audit.checkpoints.clock.now", lambda minutes=minutes: start + timedelta(minutes=minutes)
        )
        sign_head()
        append(1, start=5 + minutes)
    run(statement)
    assert said in problem()


def test_a_head_signed_by_another_key_is_seen(five: str) -> None:
    signed = sign_head()
    body = signed.note.split("\n\n")[0] + "\n"
    other = SigningKey.generate(body.split("\n")[0])
    run(
        "UPDATE audit_checkpoints SET note = :n",
        n=f"{body}\n{other.sign(body)}{other.sign_at(body, clock.now())}",
    )
    assert "no known key signed this" in problem()


def test_missing_public_keys_and_a_missing_note_of_the_signer_are_told(five: str) -> None:
    sign_head()
    keys = verifier_path().read_text()
    verifier_path().unlink()
    assert "verifier keys is missing" in problem()
    verifier_path().write_text(keys)
    last_path().unlink()
    assert "the signer's own note of the last one is missing" in problem()
    with pytest.raises(HeadRefused, match="another home"):
        sign_head()


@pytest.mark.parametrize(
    "content", ["", "{}", '{"number": 0, "size": 0, "root": "", "at": "", "note": ""}', "[]"]
)
def test_a_note_of_the_signer_that_is_none_is_told(five: str, content: str) -> None:
    sign_head()
    last_path().write_text(content)
    assert "cannot be read" in problem()
    with pytest.raises(KeyUnusable):
        sign_head()


def test_a_missing_or_foreign_key_signs_nothing(five: str) -> None:
    sign_head()
    secret = key_path().read_text()
    key_path().unlink()
    with pytest.raises(KeyUnusable, match="missing although heads were signed"):
        sign_head()
    key_path().write_text(SigningKey.generate("other/audit").secret())
    key_path().chmod(0o600)
    with pytest.raises(KeyUnusable, match="not the newest one"):
        sign_head()
    key_path().write_text(secret)
    assert sign_head().number == 2


def test_the_old_key_vouches_for_the_new_one(five: str) -> None:
    sign_head()
    old = verifier_keys()[0]
    key, both = rotate_key(COMMAND, why="a colleague left")
    assert verifier_keys() == [old, key]
    assert len(verify_note(both.note, [old])[1]) == 1
    assert len(verify_note(both.note, [key])[1]) == 1
    assert both.size == 6  # with the entry that names the new key
    alone = sign_head()
    with pytest.raises(ValueError, match="no known key"):
        verify_note(alone.note, [old])
    assert verify().ok
    assert not key_path().with_suffix(".next").exists()


def test_a_witness_that_was_given_the_coming_key_takes_every_head(five: str, tmp_path: Path) -> None:
    def take(signed: SignedHead, old: SignedHead | None) -> int:
        with reading() as session:
            hashes = prove_consistency(session, old.size, old.root, signed.size, signed.root) if old else []
        body = [f"old {old.size if old else 0}", *map(encode64, hashes), "", signed.note]
        return witness.add_checkpoint("\n".join(body)).status

    first = sign_head()
    coming = prepare_key()
    assert verifier_keys() == [signing_key(first=False).verifier]  # it signs nothing yet
    witness = WitnessServer(tmp_path / "witness", "host-b.example/witness", [*verifier_keys(), coming])
    assert take(first, None) == 200
    assert verify().ok
    key, both = rotate_key(COMMAND, why="yearly")
    assert (key, verifier_keys()[-1]) == (coming, coming)
    assert take(both, first) == 200
    alone = sign_head()
    assert take(alone, both) == 200
    witness = WitnessServer(tmp_path / "witness", "host-b.example/witness", [coming])
    assert take(sign_head(), alone) == 200


def test_a_rotation_that_was_cut_short_is_finished_with_the_same_key(
    five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_head()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("record", "sign_head", "publish_verifier", "take_over"):
        with monkeypatch.context() as patch:
            patch.setattr(f"backend.audit.rotation.{step}", die)
            with pytest.raises(KeyboardInterrupt):
                rotate_key(COMMAND, why="due")
        assert verify().ok, step
    key, _ = rotate_key(COMMAND, why="due")
    assert verifier_keys()[-1] == key
    assert len(verifier_keys()) == 2
    sign_head()
    assert verify().ok


def test_a_key_that_no_entry_names_is_seen(five: str) -> None:
    sign_head()
    other = SigningKey.generate(verifier_keys()[0].name)
    verifier_path().write_text(verifier_path().read_text() + f"{other.verifier}\n")
    assert "no entry says" in problem()


def test_a_clock_that_went_back_gives_no_earlier_time(five: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sign_head()
    monkeypatch.setattr(
        "backend.audit.checkpoints.clock.now", lambda: clock.from_iso(first.at) - timedelta(hours=1)
    )
    assert sign_head().at == first.at
    monkeypatch.undo()
    assert verify().ok


def test_a_head_signed_elsewhere_meanwhile_is_not_signed_over(five: str) -> None:
    """Two homes with one database: the second finds heads that it did not sign."""
    sign_head()
    last = last_signed()
    assert last is not None
    sign_head()
    keep_last(last)
    with pytest.raises(HeadRefused, match="another home"):
        sign_head()
    with reading() as session:
        newest = newest_checkpoint(session)
    assert newest is not None
    assert newest.id == 2
    with writing() as session:
        assert session.get(AuditCheckpoint, 3) is None
