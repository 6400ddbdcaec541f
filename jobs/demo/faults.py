"""Named upstream faults, injected between the demo's feature look-up and its request to the gateway.

A fault changes what the replay client sends or how long its feature look-up takes. The gateway is not told to
misbehave, and every request that a fault touched carries the fault's name in `injected`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from backend.clock import from_iso, to_iso
from backend.demo_state import fault_file
from backend.durable import write_json
from backend.errors import BadInput, NotFound

Features = dict[str, Any]

# The model's most important feature: permuting it costs more ranking power than all others together.
TARGET: Final = "recent_delay_min"


def _unchanged(features: Features, _rng: np.random.Generator) -> Features:
    return features


def _no_delay(_rng: np.random.Generator) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`apply` returns the very same dict when it leaves a request alone; `delay_s` is 0 likewise."""

    name: str
    description: str
    change: Callable[[Features, np.random.Generator], Features] = _unchanged
    delay: Callable[[np.random.Generator], float] = _no_delay

    def apply(self, features: Features, rng: np.random.Generator) -> Features:
        """The features as the faulty upstream would deliver them. Never changes its argument."""
        return self.change(features, rng)

    def delay_s(self, rng: np.random.Generator) -> float:
        """Seconds that the faulty upstream adds to this look-up."""
        return self.delay(rng)


def _minutes_to_seconds(features: Features, _rng: np.random.Generator) -> Features:
    value = features.get(TARGET)
    return features if value is None else features | {TARGET: value * 60.0}


def _null_in_three_of_ten(features: Features, rng: np.random.Generator) -> Features:
    if features.get(TARGET) is None or rng.random() >= 0.3:
        return features
    return features | {TARGET: None}


def _stuck_at_zero(features: Features, _rng: np.random.Generator) -> Features:
    return features if features.get(TARGET) == 0.0 else features | {TARGET: 0.0}


def _field_missing_in_a_quarter(features: Features, rng: np.random.Generator) -> Features:
    if rng.random() >= 0.25:
        return features
    return {name: value for name, value in features.items() if name != TARGET}


def _slow(rng: np.random.Generator) -> float:
    return float(min(rng.lognormal(mean=np.log(0.8), sigma=0.5), 5.0))


FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("unit-change", f"{TARGET} arrives in seconds instead of minutes", _minutes_to_seconds),
        Fault("null-burst", f"{TARGET} is null in three of ten requests", _null_in_three_of_ten),
        Fault("stuck-value", f"{TARGET} is stuck at 0, whatever happens at the airport", _stuck_at_zero),
        Fault("latency", "the feature look-up takes 0.8 s (median, at most 5 s) longer", delay=_slow),
        Fault("errors", f"a quarter of the requests lack {TARGET}, so the gateway refuses them",
              _field_missing_in_a_quarter),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that was switched on: from `since`, until `until` or until it is cleared."""

    fault: Fault
    since: datetime
    until: datetime | None = None

    def covers(self, moment: datetime) -> bool:
        return self.since <= moment and (self.until is None or moment < self.until)


def find_fault(name: str) -> Fault:
    """The fault of that name. Raises `NotFound` that lists the names there are."""
    if name not in FAULTS:
        raise NotFound(f"there is no fault {name!r}; the faults are {', '.join(FAULTS)}")
    return FAULTS[name]


def switch_on(home: Path, name: str, *, since: datetime, until: datetime | None = None) -> ActiveFault:
    """Make `name` the active fault; it replaces any other. The replay follows within a second.

    Raises `NotFound` for an unknown name and `BadInput` when `until` is not after `since`.
    """
    if until is not None and until <= since:
        raise BadInput(f"the fault would end at {to_iso(until)}, before it starts at {to_iso(since)}")
    active = ActiveFault(find_fault(name), since, until)
    record = {"name": name, "since": to_iso(since), "until": None if until is None else to_iso(until)}
    write_json(fault_file(home), record)
    return active


def switch_off(home: Path) -> bool:
    """Clear the active fault. True when there was one."""
    try:
        fault_file(home).unlink()
    except FileNotFoundError:
        return False
    return True


def active_fault(home: Path, now: datetime) -> ActiveFault | None:
    """The fault that applies at `now`, if any. Raises `BadInput` when the file is not what `switch_on`
    writes.
    """
    path = fault_file(home)
    try:
        record = json.loads(path.read_text())
        until = record["until"]
        active = ActiveFault(
            FAULTS[record["name"]], from_iso(record["since"]), None if until is None else from_iso(until)
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not a fault that this version can read ({error}); delete it") from error
    return active if active.covers(now) else None
