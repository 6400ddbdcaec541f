"""What the console may know of the demo without importing it: which injected fault is active now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from backend import clock
from backend.settings import settings


@dataclass(frozen=True)
class InjectedFault:
    """A fault that somebody switched on in the replay; `until` is None until it is cleared."""

    name: str
    since: datetime
    until: datetime | None


def injected_fault() -> InjectedFault | None:
    """The fault that applies now, from `home/demo/fault.json`. A file that cannot be read counts as a fault:
    better a banner too many than an injected figure taken for real.
    """
    path = settings().resolved_home() / "demo" / "fault.json"
    try:
        record = json.loads(path.read_text())
        until = clock.from_iso(record["until"]) if record["until"] else None
        fault = InjectedFault(str(record["name"]), clock.from_iso(record["since"]), until)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return InjectedFault("unreadable fault file", clock.now(), None)
    now = clock.now()
    return fault if fault.since <= now and (fault.until is None or now < fault.until) else None
