"""Fifty people at browsers and twenty programs at the API, on one console with PostgreSQL, worker and gateway.

Each person has a window of their own and clicks every ten seconds (drawn between five and fifteen) on a page that
their role looks at; each program asks the REST API once a second (drawn likewise). The demo's traffic, the jobs, MLflow
and the load itself share the machine with them; it begins when the jobs
of the start are done. `WARRANT_BENCH_SECONDS` makes it shorter.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from benchmarks.browsing import PageFailed, Window
from benchmarks.figures import Figure, figure, not_measured, percentile
from benchmarks.installation import Installation, NoLoadedHome
from benchmarks.visits import CLIENTS, PAGES, PEOPLE, READS, Sights, sights_of

SECONDS: Final = float(os.environ.get("WARRANT_BENCH_SECONDS", "300"))
CLICK_EVERY_S: Final = 10.0
ASK_EVERY_S: Final = 1.0
PAGE_MS, API_MS = 1000, 150
PAGE: Final = f"page, {sum(PEOPLE.values())} people at once, p95"
# An account may ask 6,000 times a minute; no client here comes near it, and none is to be measured against a limit.
SETTINGS: Final = {"WARRANT_API_REQUESTS_PER_MIN": "0", "WARRANT_CONSOLES": "2"}


@dataclass
class Told:
    """What people and programs met with: milliseconds by page and by route, and errors in words.

    What was asked for before `since` counts for errors alone: the first to come have the console import its pages.
    """

    since: float = 0.0

    pages: dict[str, list[float]] = field(default_factory=dict)
    routes: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    live_runs: int = 0

    def page(self, name: str, began: float, took_ms: float) -> None:
        if began >= self.since:
            self.pages.setdefault(name, []).append(took_ms)

    def route(self, name: str, began: float, took_ms: float) -> None:
        if began >= self.since:
            self.routes.setdefault(name, []).append(took_ms)

    @property
    def page_ms(self) -> list[float]:
        return [ms for times in self.pages.values() for ms in times]

    @property
    def api_ms(self) -> list[float]:
        return [ms for times in self.routes.values() for ms in times]


@dataclass(frozen=True)
class Pace:
    """How often each person clicks and each program asks, and for how long."""

    seconds: float = SECONDS
    warm_up_s: float = 30.0
    click_every_s: float = CLICK_EVERY_S
    ask_every_s: float = ASK_EVERY_S


def measure() -> list[Figure]:
    """p95 of a page and of an answer of the API, and errors, which are to be none."""
    from tests.postgresql import postgresql_server

    try:
        with postgresql_server() as server:
            site = Installation(server=server.get_uri(), told=SETTINGS)
            try:
                site.start()
                site.await_gateway()
                site.await_settled()
                told = use(site, Pace())
                errors = len(told.errors) + failures_in(site.output())
            finally:
                site.remove()
    except NoLoadedHome as missing:
        return not_measured(PAGE, "ms", str(missing), target=PAGE_MS)
    for error in told.errors[:10]:
        print(error)
    pages, answers = told.page_ms, told.api_ms
    return [
        figure(PAGE, percentile(pages, 0.95), "ms", rows=len(pages), target=PAGE_MS),
        figure(f"page, {sum(PEOPLE.values())} people at once, median", percentile(pages, 0.5), "ms", rows=len(pages)),
        figure(
            f"API, {sum(CLIENTS.values())} clients beside them, p95", percentile(answers, 0.95), "ms",
            rows=len(answers), target=API_MS,
        ),
        figure(
            f"API, {sum(CLIENTS.values())} clients beside them, median", percentile(answers, 0.5), "ms",
            rows=len(answers),
        ),
        figure("errors of pages and API meanwhile", errors, "errors", rows=len(pages) + len(answers), target=0),
    ]  # fmt: skip


def failures_in(output: str) -> int:
    """Tracebacks that the processes have written."""
    return output.count("Traceback (most recent call last)")


def use(site: Installation, pace: Pace) -> Told:
    """Let everybody use the installation at this pace."""
    crowd = json.loads(site.run_module("benchmarks.crowd"))
    return asyncio.run(take_part(site, crowd, sights_of(site), pace))


async def take_part(site: Installation, crowd: dict[str, Any], sights: Sights, pace: Pace) -> Told:
    began = time.monotonic()
    told, until = Told(since=began + pace.warm_up_s), began + pace.warm_up_s + pace.seconds
    people = [
        _browse(site, role, token, sights, pace, until, told, random.Random(number))  # noqa: S311 - what is clicked
        for number, (role, token) in enumerate(crowd["people"])
    ]
    clients = [
        _ask(site, role, token, sights, pace, until, told, random.Random(1000 + number))  # noqa: S311 - what is asked
        for number, (role, token) in enumerate(crowd["clients"])
    ]
    await asyncio.gather(*people, *clients)
    return told


async def _browse(
    site: Installation, role: str, token: str, sights: Sights, pace: Pace, until: float, told: Told, draw: random.Random
) -> None:  # fmt: skip
    """One person, who comes within the first ten seconds; a window that fails is opened again."""
    await asyncio.sleep(draw.uniform(0, pace.click_every_s))
    while time.monotonic() < until:
        try:
            async with Window(site.port, token) as window:
                while time.monotonic() < until:
                    due = time.monotonic() + draw.uniform(0.5, 1.5) * pace.click_every_s
                    page, query = _chosen(role, sights, draw)
                    began = time.monotonic()
                    told.page(page, began, await window.click(page, query))
                    told.live_runs, window.live_runs = told.live_runs + window.live_runs, 0
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
        except (PageFailed, OSError) as failure:
            told.errors.append(f"{role}: {failure}")
            await asyncio.sleep(1.0)


def _chosen(role: str, sights: Sights, draw: random.Random) -> tuple[str, str]:
    """A page of this role, and the query of its address."""
    while True:
        page = draw.choice(PAGES[role])
        query = sights.query(page, draw)
        if query is not None:
            return ("" if page == "overview" else page), query


async def _ask(
    site: Installation, role: str, token: str, sights: Sights, pace: Pace, until: float, told: Told, draw: random.Random
) -> None:  # fmt: skip
    """One program, on a connection that it keeps."""
    await asyncio.sleep(draw.uniform(0, pace.ask_every_s))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{site.url}/api/v1", headers=headers, timeout=30) as client:
        while time.monotonic() < until:
            due = time.monotonic() + draw.uniform(0.5, 1.5) * pace.ask_every_s
            route = draw.choice(READS[role])
            model = draw.choice(sights.models)
            began = time.monotonic()
            try:
                if route == "labels":
                    answer = await _send_labels(client, model, sights.predictions, draw)
                else:
                    answer = await client.get(route.format(model=model))
                if answer.is_success:
                    told.route(route, began, (time.monotonic() - began) * 1000)
                else:
                    told.errors.append(f"{route}: {answer.status_code}: {answer.text[:200]}")
            except httpx.HTTPError as failure:
                told.errors.append(f"{route}: {type(failure).__name__}: {failure}")
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _send_labels(
    client: httpx.AsyncClient, model: str, predictions: Sequence[str], draw: random.Random
) -> httpx.Response:
    """Ten labels that have come, with a key under which they may be sent again."""
    from backend.clock import now, to_iso

    known = predictions or [uuid.UUID(int=draw.getrandbits(128)).hex for _ in range(10)]
    rows = [
        {"prediction_id": one, "label": str(draw.randrange(2)), "status": "known", "label_ts": to_iso(now())}
        for one in draw.sample(list(known), 10)
    ]
    key = {"Idempotency-Key": uuid.UUID(int=draw.getrandbits(128)).hex}
    return await client.post(f"/models/{model}/labels", json={"labels": rows}, headers=key)
