"""Ten minutes in which any process is killed with SIGKILL at random, under load: what was accepted is there once.

`warrant up` on a home of its own with PostgreSQL. Writers (`benchmarks.accepted`) add notes, predictions by the gateway
and by the API, ask for changes and approve them. Meanwhile one process after the other is killed: console, worker,
gateway, the supervisor (then it is started again, as systemd would), a process that PostgreSQL has started,
PostgreSQL itself (it is started again, too). `WARRANT_BENCH_SECONDS` makes it shorter.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.accepted import Accepted, Writers
from benchmarks.accepted_check import Faults, check
from benchmarks.figures import Figure, figure
from benchmarks.installation import Installation

SECONDS: Final = float(os.environ.get("WARRANT_BENCH_SECONDS", "600"))
BETWEEN_S: Final = (3.0, 15.0)
SEED: Final = int(os.environ.get("WARRANT_BENCH_SEED", "1"))
# Each as often as it is named.
VICTIMS: Final = (
    *("console",) * 3, *("worker",) * 3, *("gateway",) * 3, *("backend",) * 2, "supervisor", "postgresql",
)  # fmt: skip
SETTLED_S: Final = 180.0
START_TRIES: Final = 30
# Writers and not people: none of them is to be measured against a limit of requests a minute.
SETTINGS: Final = {"WARRANT_API_REQUESTS_PER_MIN": "0"}


def measure(*, seconds: float = SECONDS) -> list[Figure]:
    """Accepted writes that are lost, those that are there twice, and faults of the log: none of each."""
    from tests.postgresql import postgresql_server

    with postgresql_server() as server:
        site = Installation(demo=False, server=server.get_uri(), told=SETTINGS)
        try:
            site.start()
            site.await_gateway()
            writers = Writers(site, _open_incident(site))
            with writers.writing():
                killed = kill_for(site, server, seconds)
                _await_everything(site, server)
            faults = check(site, writers.accepted, within_s=SETTLED_S)
        finally:
            site.remove()
    return _figures(writers.accepted, faults, killed)


def _figures(accepted: Accepted, faults: Faults, killed: Counter[str]) -> list[Figure]:
    for fault in faults.words[:20]:
        print(fault, file=sys.stderr)
    print(f"killed: {dict(killed)}; {accepted}", file=sys.stderr)
    for refusal in accepted.refusals[:5]:
        print(refusal, file=sys.stderr)
    kills, writes = sum(killed.values()), len(accepted)
    return [
        figure(f"accepted writes lost by {kills} kills", faults.lost, "writes", rows=writes, target=0),
        figure(f"writes doubled by {kills} kills", faults.doubled, "writes", rows=writes, target=0),
        figure(f"faults of the audit log after {kills} kills", faults.log, "faults", rows=faults.entries, target=0),
        figure("longest time until a write was accepted meanwhile", accepted.longest_s, "s", rows=writes),
    ]  # fmt: skip


def kill_for(site: Installation, server: Any, seconds: float) -> Counter[str]:
    """Kill one process after the other, each once the one before is on its way up; gives how many of each."""
    draw = random.Random(SEED)  # noqa: S311 - who is killed
    killed: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(draw.uniform(*BETWEEN_S), max(0.0, until - time.monotonic())))
        victim = draw.choice(VICTIMS)
        if _kill(site, server, victim, draw):
            killed[victim] += 1
        _make_run(site, server)
    return killed


def _kill(site: Installation, server: Any, victim: str, draw: random.Random) -> bool:
    """Whether there was such a process to kill."""
    pid: int | None = None
    if victim == "supervisor":
        pid = site.supervisor_pid()
    elif victim == "postgresql":
        pid = server.get_pid()
    elif victim == "backend":
        serving = _children(server.get_pid())
        pid = draw.choice(serving) if serving else None
    else:
        pid = site.pid(victim)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _children(pid: int) -> list[int]:
    """Processes of PostgreSQL below its first: those of connections, and its own helpers. Linux."""
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(one) for one in told.split()]


def _make_run(site: Installation, server: Any) -> None:
    """Start what nobody else starts again: PostgreSQL, and the supervisor."""
    for _ in range(START_TRIES):
        try:
            server.ensure_postgres_running()
            break
        except subprocess.SubprocessError:  # processes of the one that was killed still hold its memory
            time.sleep(0.5)
    if not site.runs():
        site.start_again()


def _await_everything(site: Installation, server: Any) -> None:
    """A supervisor that finds its ports still taken by what the one before it has left ends, and is started again."""
    until = time.monotonic() + SETTLED_S
    while time.monotonic() < until:
        _make_run(site, server)
        with suppress(httpx.HTTPError):
            if httpx.get(f"{site.url}/healthz", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.5)
    raise RuntimeError(f"the installation did not come back in {SETTLED_S:g} s:\n{site.output(2000)}")


def _open_incident(site: Installation) -> int:
    with site.api("oncall") as client:
        answer = client.post("/incidents", json={"model": "toy", "title": "under load"})
        answer.raise_for_status()
        return int(answer.json()["id"])
