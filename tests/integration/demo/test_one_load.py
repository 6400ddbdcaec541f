"""Two processes that load the demo at once: a load can outlive its supervisor, and the next start begins another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backend.demo_state import load_lock, loaded_marker
from backend.durable import locked, write_json

ROOT = Path(__file__).parents[3]


def test_a_load_waits_for_the_one_that_is_under_way_and_does_nothing_twice(home: Path) -> None:
    with locked(load_lock()):
        waiting = subprocess.Popen(
            [sys.executable, "-m", "jobs.demo.load"], cwd=ROOT, env={**os.environ, "WARRANT_HOME": str(home)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert waiting.stdout is not None
        assert "another process is loading it" in waiting.stdout.readline()
        assert list(home.rglob("*")) == [load_lock().parent, load_lock()]
        write_json(loaded_marker(), {})
    assert waiting.communicate() == ("", "")
    assert waiting.returncode == 0
    assert set(home.rglob("*")) == {load_lock().parent, load_lock(), loaded_marker()}
