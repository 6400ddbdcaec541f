"""Processes of ours that a test starts as people do, waits for, and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

# A process imports for ten seconds on an idle machine, and for minutes while tests beside it compute.
START_S = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.05)
    return value


class ModuleProcess:
    """`python -m MODULE`, with this test's environment. Its output is in `log`; leaving the block ends it.

    `prefix` is a command that starts it, such as a tracer that hands signals on.
    """

    def __init__(
        self,
        log: Path,
        module: str,
        arguments: Sequence[str] = (),
        *,
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self._log = log
        self._command = [*prefix, sys.executable, "-m", module, *arguments]
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env={**os.environ, **self._environment}, stdout=log, stderr=log
            )
        return self

    def log(self) -> str:
        return self._log.read_text()

    def assert_runs(self) -> None:
        assert self.process is not None and self.process.poll() is None, self.log()

    def stop(self, within_s: float = 20.0) -> None:
        """SIGTERM, and kill -9 for what does not end by itself."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ConsoleProcess(ModuleProcess):
    """`python -m app.server` on a free port, or on the port of `beside`, a process that shares its own."""

    def __init__(
        self,
        log: Path,
        *,
        prefix: Sequence[str] = (),
        share_port: bool = False,
        beside: ConsoleProcess | None = None,
        **environment: str,
    ) -> None:
        self.port = free_port() if beside is None else beside.port
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["--share-port"] if share_port or beside is not None else []
        super().__init__(
            log, "app.server", arguments, prefix=prefix, WARRANT_PORT=str(self.port), **environment
        )

    def wait_ready(self, within_s: float = START_S) -> Self:
        wait_until(self._answers, within_s=within_s, what="the console's first answer")
        return self

    def _answers(self) -> bool:
        self.assert_runs()
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False


class BackgroundWorker(ModuleProcess):
    """`python -m jobs.worker` for some queues."""

    def __init__(self, log: Path, name: str, queues: Sequence[str]) -> None:
        super().__init__(log, "jobs.worker", ["--name", name, "--queues", ",".join(queues)])
