"""Every stream, found in the modules of this package: a module with `STREAMS` is all it takes to add one."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Final

from benchmarks.streams.stream import Stream

MODULES: Final = (
    "flights", "bikes", "census", "rain", "electricity", "stops", "births", "hotels", "laboratory", "ratings",
    "nannyml_samples", "synthetic",
)  # fmt: skip


@cache
def streams() -> dict[str, Stream]:
    """Name to stream, in the order of the modules."""
    found: dict[str, Stream] = {}
    for module in MODULES:
        for stream in importlib.import_module(f"benchmarks.streams.{module}").STREAMS:
            found[stream.name] = stream
    return found
