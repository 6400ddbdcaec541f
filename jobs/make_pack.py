"""Makes an evidence pack: signs the head of the log, writes the file, and offers it.

The file is whole or not there, and the pack's row names it only once it is on disk: a run that is killed anywhere
leaves nothing that could be taken for a pack, and goes on from its last step.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from backend.audit.checkpoints import HeadRefused, sign_head
from backend.audit.proofs import LogDamaged
from backend.audit.signers import KeyUnusable, signing_key, verifier_keys
from backend.database.session import reading, writing
from backend.packs.build import build_pack
from backend.packs.service import maker_of, record_made, store_file, wanted_of
from backend.packs.tables import EvidencePack
from backend.packs.verifying import verify_body
from backend.queue import MAKE_PACK
from jobs.runtime import Run, workflow

STEPS = ("sign_head", "write_file", "record_pack")


@workflow(MAKE_PACK)
def make_pack(run: Run) -> None:
    """`arguments`: pack, the id of its row."""
    run.progress(0.02, "signing the head of the log")
    refused = run.step("sign_head", sign, run)
    written = run.step("write_file", write_file, run, refused)
    run.progress(0.97, "offering the file")
    run.step("record_pack", offer, run, written)


def sign(run: Run) -> str:
    """So that what was recorded until now can be proved. Returns why it was refused; the pack then says so.

    Without a key no pack can be signed either: `KeyUnusable` fails the run. A run that tries again what one before it
    could not make is the pack's from now on.
    """
    with writing() as session:
        run.require_owned(session)
        session.get_one(EvidencePack, str(run.arguments["pack"])).run_id = run.run_id
    try:
        sign_head()
    except (HeadRefused, LogDamaged) as error:
        return error.message
    return ""


def write_file(run: Run, refused: str) -> dict[str, Any]:
    """From one snapshot of the record. Doing it again replaces the file. One that its own verifier would not take is
    not written: the run fails, and says what is wrong."""
    key = signing_key(first=False)
    with reading() as session:
        pack = session.get_one(EvidencePack, str(run.arguments["pack"]))
        maker = maker_of(session, pack)
        built = build_pack(session, maker, wanted_of(pack, refused=refused), key, tell=run.progress)
    run.progress(0.93, "verifying what was made")
    verify_body(built.body, [one.statement for one in verifier_keys()])
    run.progress(0.95, "writing the file")
    run.require_owned()
    return built.as_written(store_file(pack.id, built))


def offer(run: Run, written: dict[str, Any]) -> str:
    """Returns the pack's id."""
    pack_id = str(run.arguments["pack"])
    with writing() as session:
        run.require_owned(session)
        record_made(session, run.actor, pack_id, written)
    with suppress(HeadRefused, LogDamaged, KeyUnusable):  # so that the proof of its making can be had at once
        sign_head()
    return pack_id
