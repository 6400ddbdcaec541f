"""`warrant doctor`: what this installation depends on, whether it is so, and what to do where it is not.

A check is one function under `check`; it returns what it found or raises, and a failure of any kind is its finding.
Nothing is changed, but for a file that is written and taken away where the check is whether one can be. Checks look
from the process that runs them: what a worker on another host can reach is that host's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Final, Literal

State = Literal["ok", "trouble", "unknown", "off"]
"""`off`: not set up, and nobody said that it should be. `unknown` is no pass."""


@dataclass(frozen=True)
class Found:
    """What is so, in words, and what to do about it; `do` is empty where nothing is to be done."""

    state: State
    said: str
    do: str = ""


@dataclass(frozen=True)
class Check:
    """`needs`: checks without which this one would say the same again, or begin what is not there."""

    ask: Callable[[], Found]
    needs: tuple[str, ...]

    @property
    def place(self) -> str:
        """The module that it is of."""
        return self.ask.__module__.rpartition(".")[2]


@dataclass(frozen=True)
class Result:
    """A check's name and what it found."""

    name: str
    found: Found


CHECKS: Final[dict[str, Check]] = {}
"""By name, of the modules that were imported."""
_PLACES: Final = ("stores", "record", "backups", "services")
"""The modules of checks in the order in which they are asked and shown: what others need comes first."""


def check(name: str, *needs: str) -> Callable[[Callable[[], Found]], Callable[[], Found]]:
    """Register a check that is asked where those that it needs found no trouble."""

    def register(function: Callable[[], Found]) -> Callable[[], Found]:
        CHECKS[name] = Check(function, needs)
        return function

    return register


def ok(said: str) -> Found:
    return Found("ok", said)


def trouble(said: str, do: str) -> Found:
    return Found("trouble", said, do)


def unknown(said: str, do: str) -> Found:
    return Found("unknown", said, do)


def off(said: str) -> Found:
    return Found("off", said)


def examine() -> Iterator[Result]:
    """Every check, one after the other."""
    for place in _PLACES:
        import_module(f"{__name__}.{place}")  # registers its checks
    failed: set[str] = set()
    for name, one in sorted(CHECKS.items(), key=lambda each: _PLACES.index(each[1].place)):
        lacking = [needed for needed in one.needs if needed in failed]
        found = unknown(f"not asked: {lacking[0]} comes first", "") if lacking else _asked(one.ask)
        if lacking or found.state == "trouble":
            failed.add(name)
        yield Result(name, found)


def _asked(function: Callable[[], Found]) -> Found:
    from backend.addresses import without_credentials
    from backend.errors import WarrantError

    try:
        found = function()
    except WarrantError as error:
        found = trouble(error.message, "")
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises is what is wrong with it
        found = trouble(" ".join(f"{type(error).__name__}: {error}".split())[:300], "")
    return replace(found, said=without_credentials(found.said))
