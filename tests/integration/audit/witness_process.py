"""A second host's witness: a real process with a key and a memory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Running:
    url: str
    key: str

    @property
    def setting(self) -> str:
        return f"{self.url} {self.key}"


@contextmanager
def witness_process(folder: Path, logs: list[str], name: str = "host-b.example/witness") -> Iterator[Running]:
    """`warrant witness` on a free port, until the block ends."""
    given = [part for log in logs for part in ("--log", log)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WARRANT_")}
    given += ["--name", name, "--folder", str(folder), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "witness", *given],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            first, second = process.stdout.readline(), process.stdout.readline()
            address = re.search(r"http://\S+?(?=;)", first)
            assert address is not None, first + second + process.stdout.read()
            yield Running(address[0], second.strip())
        finally:
            process.terminate()
            process.wait(10)
