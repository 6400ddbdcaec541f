"""A web server of ours or of a peer as a process of its own, waited for and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
START_LIMIT_S: Final = 180.0


@dataclass(frozen=True)
class Site:
    """A server that answers."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], *, port: int, folder: Path, ready: str, told: Mapping[str, str] | None = None,
    at: Path = ROOT,
) -> Iterator[Site]:  # fmt: skip
    """Run a server until the block ends, in the folder `at`; its output goes into `folder`. `ready` is the path that
    answers 200 once it serves.

    Raises `RuntimeError` with the end of its output when it does not.
    """
    output = folder / f"{port}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=at, env={**os.environ, "PYTHONPATH": str(ROOT), **(told or {})}, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        site = Site(port, process.pid)
        _await(site.url + ready, process, output)
        yield site
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The server and what it has started."""
    for how, within_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)


def run_module(name: str, *arguments: str, told: Mapping[str, str] | None = None) -> str:
    """What a module of ours prints, run as a process of its own. Raises `RuntimeError`."""
    made = subprocess.run(
        [sys.executable, "-m", name, *arguments], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(told or {})},
    )  # fmt: skip
    if made.returncode != 0:
        raise RuntimeError(f"{name} ended with {made.returncode}")
    return made.stdout


def _await(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{url} did not answer:\n{output.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
