"""Eight hours' worth of requests in fifteen minutes: what the console and the worker hold in memory stays flat.

A working day here is what `benchmarks.people` describes at an easier pace: ten people who open a page a minute, and
twenty programs that ask every forty-eight seconds.
The same pages and requests come 32 times as fast, from the same windows and connections; and so do the look-ups of
metrics that people ask for, which give the worker its jobs. Memory is what is the process's alone (USS), read when
three minutes have passed (imports and caches are in it by then) and at the end. `WARRANT_BENCH_MINUTES` makes it
shorter; then there are as many fewer requests, and the first look is at a fifth of the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.figures import Figure, figure, not_measured
from benchmarks.installation import Installation, NoLoadedHome
from benchmarks.people import SETTINGS, Pace, Told, failures_in, take_part
from benchmarks.visits import CLIENTS, PEOPLE, sights_of

DAY_H: Final = 8.0
MINUTES: Final = float(os.environ.get("WARRANT_BENCH_MINUTES", "15"))
FIRST_LOOK: Final = 3 / 15  # of the time
PEOPLE_A_DAY: Final = 10
CLICKS_A_MIN: Final = 1.0  # of each person
REQUESTS_A_MIN: Final = 1.25  # of each program
METRICS_A_MIN: Final = 0.25  # asked for by anybody
FASTER: Final = DAY_H * 60 / 15
PROCESSES: Final = ("console", "console-2", "worker", "gateway")
FLAT: Final = 10.0
LOOK_EVERY_S: Final = 5.0
NAME: Final = "growth of memory, {}, over a day's requests"


@dataclass
class Memory:
    """Bytes of each process, by the second since the beginning: unshared (USS) and resident (RSS)."""

    looks: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)

    def growth(self, process: str, since_s: float) -> tuple[float, int]:
        """Per cent from the first look after `since_s` to the median of the last three; and bytes at the end."""
        uss = [one for at, one, _ in self.looks[process] if at >= since_s]
        last = sorted(uss[-3:])[len(uss[-3:]) // 2]
        first = sorted(uss[:3])[len(uss[:3]) // 2]
        return 100.0 * (last - first) / first, last


def measure(*, minutes: float = MINUTES) -> list[Figure]:
    """Growth of each process in per cent, errors, and how many requests of the day were answered."""
    from tests.postgresql import postgresql_server

    try:
        with postgresql_server() as server:
            site = Installation(server=server.get_uri(), told=SETTINGS)
            try:
                site.start()
                site.await_gateway()
                site.await_settled()
                pids = {name: site.pid(name) for name in PROCESSES}
                told, memory = _use(site, minutes * 60)
                restarted = [name for name in PROCESSES if site.pid(name) != pids[name]]
                errors = len(told.errors) + failures_in(site.output()) + len(restarted)
            finally:
                site.remove()
    except NoLoadedHome as missing:
        return not_measured(NAME.format("console"), "%", str(missing), target=FLAT)
    for error in told.errors[:10]:
        print(error)
    share = minutes / 15
    wanted = DAY_H * 60 * share * (PEOPLE_A_DAY * CLICKS_A_MIN + sum(CLIENTS.values()) * REQUESTS_A_MIN)
    done = len(told.page_ms) + len(told.api_ms)
    found = []
    for process in PROCESSES:
        per_cent, at_end = memory.growth(process, minutes * 60 * FIRST_LOOK)
        target = FLAT if process != "gateway" else None
        found += [
            figure(NAME.format(process), per_cent, "%", rows=done, target=target),
            figure(f"memory of the {process} after a day's requests (USS)", at_end / 2**20, "MiB", rows=done),
        ]
    return [
        *found,
        figure("requests of the day that were answered", 100 * done / wanted, "%", rows=done, target=95,
               more_is_better=True),
        figure("errors over a day's requests", errors, "errors", rows=done, target=0),
    ]  # fmt: skip


def _use(site: Installation, seconds: float) -> tuple[Told, Memory]:
    crowd = json.loads(site.run_module("benchmarks.crowd"))
    windows = sum(PEOPLE.values())
    pace = Pace(
        seconds=seconds,
        warm_up_s=0.0,
        click_every_s=60 / (CLICKS_A_MIN * FASTER) * windows / PEOPLE_A_DAY,
        ask_every_s=60 / (REQUESTS_A_MIN * FASTER),
    )
    memory, sights = Memory(), sights_of(site)
    token = next(secret for role, secret in crowd["clients"] if role == "ml_engineer")
    with _watched(site, memory), _metrics_asked_for(site, token, sights.models):
        told = asyncio.run(take_part(site, crowd, sights, pace))
    return told, memory


@contextmanager
def _metrics_asked_for(site: Installation, token: str, models: tuple[str, ...]) -> Iterator[None]:
    """Jobs for the worker, as people ask for them."""
    headers = {"Authorization": f"Bearer {token}"}

    def ask(number: int) -> None:
        with httpx.Client(base_url=f"{site.url}/api/v1", headers=headers, timeout=30) as client:
            key = {"Idempotency-Key": uuid.uuid4().hex}
            client.post(f"/models/{models[number % len(models)]}/metrics", headers=key).raise_for_status()

    with _every(60 / (METRICS_A_MIN * FASTER), ask):
        yield


@contextmanager
def _watched(site: Installation, memory: Memory) -> Iterator[None]:
    began = time.monotonic()

    def look(_number: int) -> None:
        for name in PROCESSES:
            pid = site.pid(name)
            if pid is not None:
                uss, rss = memory_of(pid)
                memory.looks.setdefault(name, []).append((time.monotonic() - began, uss, rss))

    with _every(LOOK_EVERY_S, look):
        yield


@contextmanager
def _every(pause_s: float, act: Callable[[int], None]) -> Iterator[None]:
    """Call `act(number)` every so often beside the block; what it raises, the block's end raises."""
    stop, failures = threading.Event(), list[Exception]()

    def go_on() -> None:
        number = 0
        while not stop.wait(pause_s):
            try:
                act(number)
            except Exception as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
            number += 1

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    if failures:
        raise failures[0]


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes that are a process's alone (USS), and those that are resident (RSS). Linux."""
    lines = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        if ":" in line
    )

    def of(name: str) -> int:
        return int(lines[name].split()[0]) * 1024

    return of("Private_Clean") + of("Private_Dirty"), of("Rss")
