"""What the files of a package register: gates and kinds of change. One more is one more file there."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Catalogue(Generic[T]):
    """Things by name. The files are looked for and imported once, when somebody first asks."""

    def __init__(self, package: str, what: str) -> None:
        self._package, self._what = package, what
        self._known: dict[str, T] = {}
        self._complete = False

    def register(self, one: T) -> T:
        """Make it known; called by its file when it is imported."""
        if one.name in self._known:
            raise ValueError(f"two {self._what} are named {one.name}")
        self._known[one.name] = one
        return one

    def every(self) -> dict[str, T]:
        """All there are, by name, in the order of names."""
        if not self._complete:
            for module in iter_modules(import_module(self._package).__path__):
                import_module(f"{self._package}.{module.name}")
            self._complete = True
        return dict(sorted(self._known.items()))
