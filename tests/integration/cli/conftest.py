"""The command line as other people's scripts use it: a process, its exit code, stdout and stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout. Fails on anything beside it."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on stderr; then nothing is on stdout."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert self.out == ""
        return lines[0]


def warrant(*arguments: str, **environment: str) -> Said:
    """Run `warrant ARGUMENTS` with the settings of this test."""
    found = subprocess.run(
        [sys.executable, "-m", "backend.cli", *arguments], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Said(found.returncode, found.stdout, found.stderr)
