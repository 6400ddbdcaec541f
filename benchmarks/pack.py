"""How long an evidence pack of the demo's flight model takes, and how long its verifier.

`measure()` works on a copy of the database of a demo that has been loaded (`WARRANT_HOME`, else `.warrant`), as
compliance, and does what the job does: signs the head of the log, builds the pack, writes the file. The verifier is a
process of its own, its start included.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final
from unittest.mock import patch

from benchmarks.figures import Figure, figure, not_measured

ROUNDS: Final = 3
TARGET_S: Final = 30
MODEL: Final = "flight-delay"
NAME: Final = "evidence pack of the demo's flight model"
_BESIDE: Final = ("keys", "artefacts", "audit-head.json", "audit-signed.json", "audit-keys.pub")


def measure() -> list[Figure]:
    """Seconds of a pack and of its verification, and its size."""
    source = Path(os.environ.get("WARRANT_HOME", ".warrant"))
    if not (source / "warrant.db").exists():
        return not_measured(
            NAME, "s", f"there is no demo at {source}; load it with `make run`", target=TARGET_S
        )
    with tempfile.TemporaryDirectory() as folder:
        _copy(source, Path(folder))
        with patch.dict(os.environ, {"WARRANT_HOME": folder, "WARRANT_DEMO": "true"}):
            return _measured(Path(folder))


def _copy(source: Path, home: Path) -> None:
    """The database and what lies beside it; cards and references are read where they are."""
    with sqlite3.connect(source / "warrant.db") as stored, sqlite3.connect(home / "warrant.db") as copy:
        stored.backup(copy)
    for name in _BESIDE:
        if (source / name).is_dir():
            shutil.copytree(source / name, home / name)
        elif (source / name).exists():
            shutil.copy(source / name, home / name)


def _measured(home: Path) -> list[Figure]:
    from sqlalchemy import func, select

    from backend.audit.checkpoints import sign_head
    from backend.audit.signers import signing_key, verifier_keys
    from backend.database.engine import use_database
    from backend.database.session import reading, writing
    from backend.identity.sessions import actor_of
    from backend.identity.tables import Person
    from backend.monitoring.tables import MetricPoint
    from backend.packs.build import build_pack
    from backend.packs.made import VERIFIER
    from backend.packs.service import maker_of, request_pack, store_file, wanted_of
    from backend.settings import settings

    settings.cache_clear()
    use_database(None)
    times, checks, size = [], [], 0
    try:
        for _ in range(ROUNDS):
            with writing() as session:
                who = session.scalars(select(Person).where(Person.username == "compliance")).one()
                asked = actor_of(who, session_id=None)
                pack = request_pack(session, asked, kind="model", model=MODEL, reason="benchmark")
            began = time.perf_counter()
            sign_head()
            with reading() as session:
                made = build_pack(session, maker_of(session, pack), wanted_of(pack), signing_key(first=False))
            file = store_file(pack.id, made)
            times.append(time.perf_counter() - began)
            size = len(made.body)
            began = time.perf_counter()
            keys = ",".join(str(one) for one in verifier_keys())
            subprocess.run(
                [sys.executable, "-I", VERIFIER, home / "packs" / file, keys], check=True, capture_output=True
            )
            checks.append(time.perf_counter() - began)
        with reading() as session:
            points = session.scalar(select(func.count()).where(MetricPoint.model == MODEL)) or 0
    finally:
        use_database(None)
        settings.cache_clear()
    return [
        figure(NAME, statistics.median(times), "s", rows=points, target=TARGET_S),
        figure("evidence pack, its verifier", statistics.median(checks), "s", rows=size),
        figure("evidence pack, its size", size / 1e6, "MB", rows=points),
    ]
