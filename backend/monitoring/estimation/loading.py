"""NannyML's estimators without the rest of NannyML, whose import takes twice as long as a backtest of a small file.

`import nannyml` brings a tuner of models, two libraries of charts, statsmodels, a browser's worth of web clients and a
telemetry client. Its estimators need none of them to estimate. Here the few modules that do the work are imported
once, as a copy of our own: while they load, empty modules stand in for what only draws, tunes or reports; afterwards
`sys.modules` is as it was, so that whoever imports NannyML itself gets all of it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock
from types import ModuleType
from typing import Any

LIBRARY = "nannyml"
PACKAGES = (LIBRARY, f"{LIBRARY}.performance_estimation")
"""Their own `__init__` imports everything below them; only their folders are needed."""
DRAWING = (
    f"{LIBRARY}.plots",
    f"{LIBRARY}.plots.blueprints",
    f"{LIBRARY}.plots.blueprints.comparisons",
    f"{LIBRARY}.plots.blueprints.metrics",
)
REPORTING = f"{LIBRARY}.usage_logging"
TUNING = "flaml"
_loading = RLock()


@dataclass(frozen=True)
class Library:
    """The classes of one copy of NannyML: the estimator, and what its chunks are made with."""

    estimator: Any
    Chunk: Any
    Chunker: Any


@lru_cache(maxsize=2)
def load(module: str, name: str) -> Library:
    """An estimator by its module below `nannyml.performance_estimation` and its name, such as CBPE."""
    with _loading:
        if LIBRARY in sys.modules:  # someone has paid for it already
            return _import(module, name)
        with _alone():
            return _import(module, name)


def _import(module: str, name: str) -> Library:
    chunk = importlib.import_module(f"{LIBRARY}.chunk")
    found = importlib.import_module(f"{LIBRARY}.performance_estimation.{module}")
    return Library(getattr(found, name), chunk.Chunk, chunk.Chunker)


@contextmanager
def _alone() -> Iterator[None]:
    spec = importlib.util.find_spec(LIBRARY)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {LIBRARY!r}", name=LIBRARY)
    folder = next(iter(spec.submodule_search_locations))
    before = {name: sys.modules[name] for name in list(sys.modules) if _is_ours(name)}
    for name in before:
        del sys.modules[name]
    try:
        for name in PACKAGES:
            package = ModuleType(name)
            package.__path__ = ["/".join([folder, *name.split(".")[1:]])]
            sys.modules[name] = package
        sys.modules[LIBRARY].__dict__["__version__"] = importlib.metadata.version(LIBRARY)
        sys.modules[REPORTING] = _Silent(REPORTING)
        for name in (*DRAWING, TUNING):
            sys.modules[name] = _Absent(name)
        yield
    finally:
        for name in [name for name in list(sys.modules) if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in (LIBRARY, TUNING)


class _Absent(ModuleType):
    """A module of which every name is an empty class: to be inherited from or mentioned, not to be used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Names(type):
    def __getattr__(cls, name: str) -> str:
        return name


class _UsageEvent(metaclass=_Names):
    """Every event by its name."""


def _report_nothing(*_event: Any, **_facts: Any) -> Callable[[Any], Any]:
    return lambda function: function


class _Silent(ModuleType):
    """NannyML's reporting of usage, which reports nothing."""

    UsageEvent = _UsageEvent
    log_usage = staticmethod(_report_nothing)
