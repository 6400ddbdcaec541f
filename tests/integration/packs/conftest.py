"""A house with something of everything: changes, a hostile card and hostile papers, findings, incidents, erasures."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import clock
from backend.alerting.tables import Incident
from backend.assurance.documents import add_document
from backend.assurance.exceptions import ask_exception, decide_exception
from backend.assurance.findings import open_finding
from backend.assurance.serious import mark_serious, rules_now
from backend.assurance.validations import NewCondition, record_validation
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import erase_payloads
from backend.audit.signers import signing_key, verifier_keys
from backend.cards.service import review_card, submit_card, write_card
from backend.database.session import reading, writing
from backend.governance import execution
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.identity.actor import Actor, system_actor
from backend.packs.build import build_pack
from backend.packs.made import Built
from backend.packs.service import maker_of, record_made, request_pack, store_file, wanted_of
from backend.packs.tables import EvidencePack
from tests.watched import watch
from tests.worlds import SYSTEM, World, make_world

TOOL = Path(__file__).parents[3] / "tools" / "verify_pack.py"
WORKER = system_actor("worker")
HOSTILE = """---
license: mit
---

# Toy

<script>alert('card')</script> [click](javascript:alert(1)) ![p](https://evil.example/p.png)

## Uses

### Direct Use

=HYPERLINK("https://evil.example") and AUC 0.99.
"""
PAPER = "../../etc/=cmd|' /C calc'!A0.md"


@dataclass(frozen=True)
class House:
    world: World
    change: int
    waiting: int
    incident: int


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    return fill(make_world(tmp_path / "files"))


def fill(world: World) -> House:
    _card(world)
    change = _changed(world)
    watch(world)
    waiting = _ask(world.on_call, 2)[0]
    with writing() as session:
        erase_payloads(session, WORKER, [1], why="request 7", subject="erq_1")
    incident = _vouched(world)  # from now on the log of toy is on hold
    sign_head()
    return House(world, change, waiting, incident)


def _card(world: World) -> None:
    with writing() as session:
        card = write_card(session, world.lead, model="toy", version=2, text=HOSTILE, based_on=0)
        submit_card(session, world.lead, model="toy", version=2, number=card.number)
        review_card(
            session, world.compliance, model="toy", version=2, number=card.number, verdict="approve", comment="",
            seen_digest=card.digest,
        )  # fmt: skip


def _ask(who: Actor, to_version: int) -> tuple[int, str]:
    asked = Asked("rollback", "production", "toy", to_version)
    with reading() as session:
        seen = preview_change(session, who, asked).digest
    with writing() as session:
        made = request_change(session, who, asked, reason="<b>it</b> degraded", seen_digest=seen)
        return made.id, made.digest


def _changed(world: World) -> int:
    """Asked for, approved and executed: version 1 serves."""
    change, digest = _ask(world.on_call, 1)
    with writing() as session:
        decide(session, world.lead, change, verdict="approve", comment="seen; agreed", seen_digest=digest)
    with writing() as session:
        execution.begin(session, SYSTEM, change, f"change-{change}")
        moved = execution.write_deployment(session, SYSTEM, change)
        execution.confirm_serving(session, SYSTEM, moved)
        execution.finish(session, SYSTEM, change, moved, outcome="it serves")
    return change


def _vouched(world: World) -> int:
    soon = clock.now() + timedelta(days=30)
    with writing() as session:
        report = add_document(session, world.compliance, name=PAPER, data=b"# It does\n").digest
        made = record_validation(
            session, world.compliance, model="toy", version=2, scope="all of it", outcome="fit_with_conditions",
            summary="it does", report=report, conditions=[NewCondition("measure the tail", soon)],
        )  # fmt: skip
        open_finding(
            session, world.compliance, model="toy", title='=HYPERLINK("https://evil.example","labels leak")',
            detail="the target is a feature", severity="high", owner_id=world.lead.person_id, due_at=soon,
            validation_id=made.id,
        )  # fmt: skip
        exception = ask_exception(
            session, world.lead, model="toy", gate="findings_settled", reason="soon", expires_at=soon
        )
        decide_exception(session, world.compliance, exception.id, verdict="grant", comment="for a month")
        incident = session.query(Incident).one().id
        mark_serious(session, world.compliance, incident, why="people were hurt", aware_at=clock.now(),
                     clocks=[rules_now(session)[1].clocks[0].id])  # fmt: skip
        return incident


def ask_pack(who: Actor, *, as_of: datetime | None = None, **scope: Any) -> str:
    with writing() as session:
        return request_pack(session, who, reason="the yearly audit", as_of=as_of, **scope).id


def built(pack_id: str) -> Built:
    """What the job makes of it, with the head signed as the job does first."""
    sign_head()
    with reading() as session:
        pack = session.get_one(EvidencePack, pack_id)
        return build_pack(session, maker_of(session, pack), wanted_of(pack), signing_key(first=False))


def make_pack(who: Actor, **scope: Any) -> bytes:
    """Asked for, built and offered; gives the ZIP."""
    pack_id = ask_pack(who, **scope)
    made = built(pack_id)
    file = store_file(pack_id, made)
    with writing() as session:
        record_made(session, WORKER, pack_id, made.as_written(file))
    return made.body


def files_of(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        return {one.filename: archive.read(one) for one in archive.infolist()}


def keys() -> str:
    return ",".join(str(key) for key in verifier_keys())


def verify_alone(body: bytes, folder: Path, *arguments: str) -> tuple[int, str]:
    """The verifier out of the pack, run in an empty folder, without our packages on its path and offline."""
    folder.mkdir(exist_ok=True)
    (folder / "pack.zip").write_bytes(body)
    (folder / "verify_pack.py").write_bytes(files_of(body).get("verify_pack.py", TOOL.read_bytes()))
    done = subprocess.run(
        [sys.executable, "-I", "verify_pack.py", "pack.zip", *(arguments or (keys(),))],
        cwd=folder, env={}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout
