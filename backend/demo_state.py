"""What may be known of the demo without importing it: whether it is loaded, and which injected fault is active."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backend import clock
from backend.settings import settings


def loaded_marker() -> Path:
    """The file that a load writes last: when the demo was loaded, and the moment its times are shifted to."""
    return settings().resolved_home() / "demo" / "loaded.json"


def load_lock() -> Path:
    """The lock that a load holds: one that outlived its supervisor and the next one must not load at once."""
    return settings().resolved_home() / "demo" / "load.lock"


def fault_file(home: Path) -> Path:
    """The one small file through which the command line switches faults on in the replay."""
    return home / "demo" / "fault.json"


@dataclass(frozen=True)
class InjectedFault:
    """A fault that somebody switched on in the replay; `until` is None until it is cleared."""

    name: str
    since: datetime
    until: datetime | None


def injected_fault() -> InjectedFault | None:
    """The fault that applies now, from the fault file. A file that cannot be read counts as a fault:
    better a banner too many than an injected figure taken for real.
    """
    try:
        record = json.loads(fault_file(settings().resolved_home()).read_text())
        until = clock.from_iso(record["until"]) if record["until"] else None
        fault = InjectedFault(str(record["name"]), clock.from_iso(record["since"]), until)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return InjectedFault("unreadable fault file", clock.now(), None)
    now = clock.now()
    return fault if fault.since <= now and (fault.until is None or now < fault.until) else None
