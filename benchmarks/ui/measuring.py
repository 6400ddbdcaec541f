"""The rounds: every site is opened once in each, turn by turn, so that what else the machine does meets all of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from benchmarks.figures import Figure, figure, percentile
from benchmarks.ui import browser as look_at
from benchmarks.ui.fleet import MODELS, Fleet, seeded
from benchmarks.ui.pages import BARE, DRIFT, EVIDENTLY, HOME, LIGHT, LOOKS, MLFLOW, Look
from benchmarks.ui.peers import REGISTERED, SNAPSHOTS, bare_streamlit, evidently_ui, mlflow_ui
from benchmarks.ui.served import Site, free_port, serving
from benchmarks.ui.sessions import memory_mb, script_ms
from benchmarks.ui.wire import Wire

ROUNDS: Final = int(os.environ.get("WARRANT_UI_ROUNDS", "20"))
SCRIPT_MS, WARM_MS, FILTER_MS = 150, 700, 300
OVER_BARE: Final = 1.3
FIRST_MB, NEXT_MB, MEMORY_MB = 2.6, 1.0, 700
SLOW_CHART_S, SLOW_READ_S = 5.0, 2.5
SLOW: Final = f"at {look_at.MBIT} Mbit/s and {look_at.LATENCY_MS} ms"


@dataclass(frozen=True)
class Sight:
    """One site and one page of it, as somebody opens it."""

    look: Look
    url: str
    token: str | None
    facts: dict[str, object]


def measure_ui(program: str) -> list[Figure]:
    """All figures; the servers end with it."""
    with seeded() as fleet, tempfile.TemporaryDirectory(prefix="warrant-ui-") as folder:
        with _console(fleet, Path(folder)) as console:
            say("memory and scripts")
            figures = [*_scripts(console, fleet), _memory(console, fleet)]
            with look_at.chromium(program) as opened:
                say("bytes")
                figures += _bytes(opened, console, fleet)
                say("a slow line")
                figures += _slow(opened, console, fleet)
                say("a filter")
                figures.append(_filter(opened, console, fleet))
                say("warm")
                figures += _warm(opened, console, fleet)
        with ExitStack() as running:
            sights = _sights(running, fleet, Path(folder))
            # Playwright keeps an event loop while it runs: those that are filled by processes of their own come first.
            with look_at.chromium(program) as opened:
                say("cold and warm beside the peers")
                figures += _beside_peers(opened, sights)
    return figures


def say(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)


@contextmanager
def _console(fleet: Fleet, folder: Path) -> Iterator[Site]:
    port = free_port()
    told = {**fleet.environment, "WARRANT_PORT": str(port)}
    with serving(
        [sys.executable, "-m", "app.server"], port=port, folder=folder, ready="/healthz", told=told
    ) as site:
        yield site


def _sights(running: ExitStack, fleet: Fleet, folder: Path) -> dict[str, Sight]:
    console = running.enter_context(_console(fleet, folder))
    facts = vars(fleet)
    sights = {
        "home": Sight(HOME, console.url, fleet.tokens[0], facts),
        "chart": Sight(DRIFT, console.url, fleet.tokens[0], facts),
        "bare": Sight(BARE, running.enter_context(bare_streamlit(folder)).url, None, {}),
    }
    peers: tuple[tuple[str, Callable[[], Sight]], ...] = (
        ("evidently", lambda: _evidently(running, folder)),
        ("mlflow", lambda: Sight(MLFLOW, running.enter_context(mlflow_ui(folder)).url, None, {})),
    )
    for name, start in peers:
        try:
            sights[name] = start()
        except (RuntimeError, OSError) as failure:  # the figures say that it is missing
            say(f"{name} could not be started: {failure}")
    return sights


def _evidently(running: ExitStack, folder: Path) -> Sight:
    site, project = running.enter_context(evidently_ui(folder))
    return Sight(EVIDENTLY, site.url, None, {"project": project})


def _scripts(console: Site, fleet: Fleet) -> list[Figure]:
    times = script_ms(console, fleet, rounds=ROUNDS)
    every = [ms for values in times.values() for ms in values]
    return [
        figure(f"ui: page script time, {MODELS} models, warm, p95 over all pages", percentile(every, 0.95), "ms",
               rows=len(every), target=SCRIPT_MS),
        *(figure(f"ui: page script time, {MODELS} models, warm, {name}", percentile(values, 0.5), "ms",
                 rows=len(values)) for name, values in times.items()),
    ]  # fmt: skip


def _memory(console: Site, fleet: Fleet) -> Figure:
    name = f"ui: console memory with {len(fleet.tokens)} open sessions, {MODELS} models"
    return figure(name, memory_mb(console, fleet), "MB", rows=len(fleet.tokens), target=MEMORY_MB)


def _bytes(opened: Browser, console: Site, fleet: Fleet) -> list[Figure]:
    """A first visit that ends with a chart, then every other page in the same browser."""
    facts = vars(fleet)
    with Wire(console.port) as wire, look_at.window(opened, wire.url, fleet.tokens[0]) as context:
        first = look_at.weigh(context, wire, DRIFT, **facts)
        after = {
            look.name: look_at.weigh(context, wire, look, **facts) for look in LOOKS if look is not DRIFT
        }
    most = max(after, key=lambda name: after[name].received)
    return [
        figure("ui: bytes of the first visit, with a chart", first.received / 1e6, "MB", target=FIRST_MB),
        figure(f"ui: bytes of a page after it, the most ({most})", after[most].received / 1e6, "MB",
               rows=len(after), target=NEXT_MB),
        figure("ui: pages of home, inbox and change that load plotly",
               sum(after[look.name].plotly for look in LIGHT), "pages", rows=len(LIGHT), target=0),
    ]  # fmt: skip


def _slow(opened: Browser, console: Site, fleet: Fleet) -> list[Figure]:
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for look in (DRIFT, *LIGHT):
            took, _ = look_at.slow_ms(opened, console.url, fleet.tokens[0], look, **vars(fleet))
            found.setdefault(look.name, []).append(took / 1000)
    chart = found.pop(DRIFT.name)
    return [
        figure(f"ui: first visit until its chart is drawn, {SLOW}", percentile(chart, 0.5), "s", rows=len(chart),
               target=SLOW_CHART_S),
        *(figure(f"ui: first visit until {name} is read, {SLOW}", percentile(values, 0.5), "s", rows=len(values),
                 target=SLOW_READ_S) for name, values in found.items()),
    ]  # fmt: skip


def _filter(opened: Browser, console: Site, fleet: Fleet) -> Figure:
    with look_at.window(opened, console.url, fleet.tokens[0]) as context:
        page = context.new_page()
        look_at.show(page, console.url, DRIFT, **vars(fleet))
        times = look_at.filter_times(page, ROUNDS)
    return figure("ui: filter change to redraw (column of Drift)", percentile(times, 0.5), "ms", rows=len(times),
                  target=FILTER_MS)  # fmt: skip


def _warm(opened: Browser, console: Site, fleet: Fleet) -> list[Figure]:
    """Every page by its address, in a browser and a console that have seen each before."""
    times: dict[str, list[float]] = {look.name: [] for look in LOOKS}
    with look_at.window(opened, console.url, fleet.tokens[0]) as context:
        for turn in range(ROUNDS + 1):
            for look in LOOKS:
                took = look_at.opened_ms(context, console.url, look, **vars(fleet))
                if turn:
                    times[look.name].append(took)
    every = [ms for values in times.values() for ms in values]
    return [
        figure("ui: navigation to meaningful content, warm, p95 over all pages", percentile(every, 0.95), "ms",
               rows=len(every), target=WARM_MS),
        *(figure(f"ui: navigation to meaningful content, warm, {name}", percentile(values, 0.5), "ms",
                 rows=len(values)) for name, values in times.items()),
    ]  # fmt: skip


def _beside_peers(opened: Browser, sights: dict[str, Sight]) -> list[Figure]:
    """Each sight cold (a browser without a cache) and then warm (once more in it), turn by turn."""
    cold: dict[str, list[float]] = {name: [] for name in sights}
    warm: dict[str, list[float]] = {name: [] for name in sights}
    for turn in range(ROUNDS + 1):  # in the first the servers read their files
        for name, one in sights.items():
            with look_at.window(opened, one.url, one.token) as context:
                took = [look_at.opened_ms(context, one.url, one.look, **one.facts) for _ in range(2)]
            if turn:
                cold[name].append(took[0])
                warm[name].append(took[1])
    bare = percentile(cold["bare"], 0.5)
    found = [
        figure("ui: a page with a chart, cold", percentile(cold["chart"], 0.5), "ms", rows=ROUNDS,
               target=OVER_BARE * bare, peer="a bare Streamlit page with one chart", peer_value=bare),
        figure("ui: a page with a chart, warm", percentile(warm["chart"], 0.5), "ms", rows=ROUNDS,
               peer="a bare Streamlit page with one chart", peer_value=percentile(warm["bare"], 0.5)),
    ]  # fmt: skip
    rivals = (
        ("chart", "evidently", f"Evidently UI, {SNAPSHOTS} snapshots", "Drift"),
        ("home", "mlflow", f"MLflow UI, {REGISTERED} registered models", f"Home, {MODELS} models"),
    )
    for ours, name, peer, said in rivals:
        for state, times in (("cold", cold), ("warm", warm)):
            value = percentile(times[ours], 0.5)
            theirs = percentile(times[name], 0.5) if name in times else None
            found.append(figure(
                f"ui: {said} beside {peer.split(',')[0]}, {state}", value, "ms", rows=ROUNDS, peer=peer,
                peer_value=theirs, target=theirs,
                reason=None if theirs is not None else f"{peer} could not be started",
            ))  # fmt: skip
    return found
