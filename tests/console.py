"""A real console process for tests: `python -m tests.console MODULES_FILE` serves as `app.server` does.

SIGUSR1 makes it write the names of all imported modules to MODULES_FILE.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Console:
    """A console that serves."""

    url: str
    process: subprocess.Popen[bytes]
    modules_file: Path

    def modules(self) -> set[str]:
        """Every module that the process has imported so far."""
        self.modules_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.modules_file.exists():
                return set(self.modules_file.read_text().split())
            time.sleep(0.05)
        raise TimeoutError("the console did not say what it has imported")


@contextmanager
def running_console(folder: Path) -> Iterator[Console]:
    """A console on a free port, with the environment of this process (WARRANT_HOME and so on)."""
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "console.log"
    modules_file = folder / "modules.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.console", str(modules_file)], cwd=ROOT, stdout=output, stderr=output,
            env=os.environ | {"WARRANT_PORT": str(port)},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                if httpx.get(f"{url}/healthz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the console did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield Console(url, process, modules_file)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _serve(modules_file: Path) -> None:
    from app import server

    def tell(*_: object) -> None:
        draft = modules_file.with_suffix(".draft")
        draft.write_text("\n".join(list(sys.modules)))
        draft.replace(modules_file)

    signal.signal(signal.SIGUSR1, tell)
    server.main()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
