"""What the gateway gives up before it loads a model: tried in a process that did so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, json, os, resource, socket, subprocess
from pathlib import Path
from backend.serving.gateway import _drop_privileges
_drop_privileges()
library = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
seized = library.ptrace(PTRACE_SEIZE, os.getppid(), 0, 0)
why = os.strerror(ctypes.get_errno())
status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
socket.socket().close()
print(json.dumps({
    "seized": [seized, why], "gains": status["NoNewPrivs"], "filter": status["Seccomp"],
    "core": resource.getrlimit(resource.RLIMIT_CORE), "program": subprocess.run(["true"]).returncode,
    "rights": subprocess.run(["grep", "CapEff", "/proc/self/status"], capture_output=True, text=True).stdout.split()[1],
}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone confines")
def test_the_gateway_gains_no_rights_and_reaches_into_no_other_process() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    told = json.loads(
        subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
        ).stdout
    )
    assert told == {
        "seized": [-1, "Operation not permitted"], "gains": "1", "filter": "2", "core": [0, 0], "program": 0,
        "rights": "0000000000000000",
    }  # fmt: skip
