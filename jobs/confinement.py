"""What a program is kept from: the command that starts it through `confined.py`, and what the system refused."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import backend.confined
from jobs.trainers.contract import open_plain, plain_text

CONFINEMENT: Final = "confinement.json"
PROGRAM: Final = Path(backend.confined.__file__).resolve()
ALLOWED: Final = frozenset(
    {"PATH", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
)
ALLOWED_PREFIXES: Final = ("LC_",)
TELEMETRY_OFF: Final = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


def environment(names: frozenset[str] = frozenset(), prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """What such a program may see of ours: an allow-list, so that a new secret of the worker's is not among it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ALLOWED | names or name.startswith((*ALLOWED_PREFIXES, *prefixes))
    }
    return {**kept, **TELEMETRY_OFF, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}


def confined(
    argv: Sequence[str],
    told: Path,
    *,
    memory_mb: int | None,
    leave_network: bool,
    ends_by: int = signal.SIGKILL,
    **more: Any,
) -> list[str]:
    """The command that starts `argv` with less than this worker may; on Linux alone.

    told     the file that says afterwards what was done
    ends_by  the signal that it gets when the thread that starts it is gone, with its worker or alone
    more     `file_mb`, how large a file may become; `read` and `write`, the only paths that are there for it
    """
    told.unlink(missing_ok=True)
    if not sys.platform.startswith("linux"):
        return list(argv)
    wanted = {
        "told": str(told), "memory_mb": memory_mb, "leave_network": leave_network, "worker": os.getpid(),
        "ends_by": ends_by, **more,
    }  # fmt: skip
    return [sys.executable, "-I", "-S", str(PROGRAM), json.dumps(wanted), *argv]


def unconfined(told: Path, whom: str) -> list[str]:
    """What the program could not be kept from, and why, in words."""
    if not sys.platform.startswith("linux"):
        return [f"{whom} was not confined: this is no Linux"]
    try:
        with open_plain(told) as file:
            found = json.loads(file.read(10_000))
        return [
            f"{whom} ran without {name}: {plain_text(str(why), 200)}"
            for name, why in found.items()
            if why and why != "not asked for"
        ]
    except (OSError, ValueError, AttributeError):
        return [f"what {whom} was kept from is not known: {told.name} does not read"]
