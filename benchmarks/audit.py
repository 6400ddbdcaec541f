"""The audit log: appends from many writers, verifying a million entries, proving one of them, and searching them.

A service call is a write transaction of its own that records one entry, as services do, with everything durable as it
ships. `raw append` is the same through `record` with ten entries a transaction. Writers are processes, as the console,
the gateway and workers are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

from benchmarks.audit_rows import MODELS, PEOPLE, fill
from benchmarks.figures import Figure, figure, percentile

WRITERS: Final = 8
SECONDS: Final = 6.0
ENTRIES: Final = 1_000_000
PROOFS: Final = 200
SEARCHES: Final = 8  # of each kind


def measure() -> list[Figure]:
    found: list[Figure] = []
    for kind in ("postgresql", "sqlite"):
        with a_log(kind):
            calls, longest = append_for(SECONDS, entries=1)
            found.append(
                figure(f"service calls with their entry, {WRITERS} writers, {kind}", calls, "1/s", rows=WRITERS,
                       target=300, more_is_better=True)
            )  # fmt: skip
            if kind == "sqlite":
                found.append(
                    figure("longest wait of a service call, sqlite", longest, "s", rows=WRITERS, target=1.0)
                )
            else:
                raw, _ = append_for(SECONDS, entries=10)
                found.append(
                    figure(f"raw append, {WRITERS} writers, {kind}", raw, "1/s", rows=WRITERS, target=1000,
                           more_is_better=True)
                )  # fmt: skip
            assert_whole()
            fill(ENTRIES)
            began = time.perf_counter()
            assert_whole()
            found.append(
                figure(
                    f"verify the whole log, {kind}", time.perf_counter() - began, "s", rows=ENTRIES, target=20
                )
            )
            found.append(
                figure(
                    f"inclusion proof p95, {kind}",
                    percentile(prove_some(), 0.95),
                    "ms",
                    rows=ENTRIES,
                    target=5,
                )
            )
            times = search_some()
            found.append(
                figure(f"search p95, {kind}", percentile(times, 0.95), "ms", rows=ENTRIES, target=300)
            )
    return found


@contextmanager
def a_log(kind: str) -> Iterator[None]:
    """A migrated, empty database of this kind in a home of its own."""
    from backend.database.engine import use_database
    from backend.database.upgrade import upgrade
    from backend.settings import settings
    from tests.postgresql import postgresql_server

    with tempfile.TemporaryDirectory() as folder:
        told = {"WARRANT_HOME": folder}
        server: Any = None
        if kind == "postgresql":
            server = postgresql_server()
            told["WARRANT_DATABASE_URL"] = server.__enter__().get_uri()
        with patch.dict(os.environ, told):
            settings.cache_clear()
            use_database(None)
            try:
                upgrade()
                yield
            finally:
                use_database(None)
                settings.cache_clear()
                if server is not None:
                    server.__exit__(None, None, None)


def append_for(seconds: float, *, entries: int) -> tuple[float, float]:
    """Entries a second that all writers together commit, and the longest time one call took."""
    context = multiprocessing.get_context("spawn")
    told = (context.Barrier(WRITERS), seconds, entries)
    with ProcessPoolExecutor(WRITERS, mp_context=context, initializer=_be_told, initargs=told) as pool:
        done = list(pool.map(_write_together, range(WRITERS)))
    return sum(count for count, _, _ in done) / max(took for _, took, _ in done), max(
        one for _, _, one in done
    )


def _be_told(start: Any, seconds: float, entries: int) -> None:
    global _told
    _told = start, seconds, entries


_told: tuple[Any, float, int]


def _write_together(writer: int) -> tuple[int, float, float]:
    """As `_write`, from the moment at which every writer has imported what it needs and has a connection."""
    start, seconds, entries = _told
    _write(writer, 0.0, 1)
    start.wait()
    return _write(writer, seconds, entries)


def _write(writer: int, seconds: float, entries: int) -> tuple[int, float, float]:
    """Calls for so long, one at least: entries written, the time they took, and the longest call."""
    from backend.audit.actions import Action
    from backend.audit.log import record
    from backend.database.session import writing
    from backend.identity.actor import system_actor

    actor = system_actor(f"writer-{writer}")
    count, longest, began = 0, 0.0, time.perf_counter()
    while not count or time.perf_counter() - began < seconds:
        called = time.perf_counter()
        with writing() as session:
            for _ in range(entries):
                record(
                    session, actor, Action.CHANGE_APPROVED, object_kind="change", object_id=count,
                    payload={"before": {"cutoff": 0.4}, "after": {"cutoff": 0.5}}, why="as agreed in the review",
                )  # fmt: skip
        longest = max(longest, time.perf_counter() - called)
        count += entries
    return count, time.perf_counter() - began, longest


def assert_whole() -> None:
    """`warrant audit verify` in a process of its own finds nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", "audit", "verify", "--json"], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"the log is not whole: {done.stdout}{done.stderr}")
    json.loads(done.stdout)


def prove_some() -> list[float]:
    """Milliseconds of each inclusion proof, checked."""
    from backend.audit.proofs import prove_inclusion
    from backend.database.session import reading

    rng, times = random.Random(5), []  # noqa: S311 - which entries are proved
    with reading() as session:
        prove_inclusion(session, 0)
        for _ in range(PROOFS):
            began = time.perf_counter()
            prove_inclusion(session, rng.randrange(ENTRIES))
            times.append((time.perf_counter() - began) * 1000)
    return times


def searches(rng: random.Random) -> dict[str, dict[str, Any]]:
    """What people look for, by a name: one search of each kind, with arguments of its own each time."""
    day = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(days=rng.randrange(300))
    person, other = (f"per_{rng.randrange(PEOPLE):020x}" for _ in range(2))
    return {
        "newest": {},
        "without routine": {"routine": False},
        "person": {"who": person},
        "nobody": {"who": "per_nobody"},
        "action": {"action": "governance:change"},
        "an action that never was": {"action": "governance:policy:replace"},
        "object": {"object_kind": "change", "object_id": str(rng.randrange(25_000))},
        "day": {"since": day, "until": day + timedelta(days=1)},
        "person on a day": {"who": other, "since": day, "until": day + timedelta(days=1)},
        "action in a week": {
            "action": "alerting:incident", "since": day, "until": day + timedelta(days=7), "routine": False,
        },
        "frequent word": {"text": "drift"},
        "two frequent words": {"text": "vendor holiday"},
        "rare word": {"text": f"ticket{rng.randrange(1666) * 600}"},
        "no such word": {"text": "zeppelin"},
        "beginning of a word": {"text": "sched*"},
        "word on a day": {"text": rng.choice(MODELS), "since": day, "until": day + timedelta(days=1)},
        "word of a person": {"text": "repaired", "who": person},
    }  # fmt: skip


def search_some() -> list[float]:
    """Milliseconds of each search: the newest hundred lines, as the page shows them."""
    from backend.audit.reading import search_entries
    from backend.audit.searching import Search
    from backend.database.session import reading
    from backend.identity.actor import Actor
    from backend.identity.roles import Role

    viewer = Actor("per_viewer", "person", frozenset({Role.COMPLIANCE}))
    rng, times = random.Random(5), []  # noqa: S311 - what is looked for
    for _ in range(SEARCHES):
        for wanted in searches(rng).values():
            with reading() as session:
                began = time.perf_counter()
                search_entries(session, viewer, Search(**wanted))
                times.append((time.perf_counter() - began) * 1000)
    return times
