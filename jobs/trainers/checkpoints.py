"""Checkpoints: files whose name holds their step and their digest, so that a damaged one is known before it is read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

KEPT: Final = 2
_NAME: Final = re.compile(r"step-(\d{10})-([0-9a-f]{32})\.checkpoint")

T = TypeVar("T")


class Checkpoints:
    """The newest `KEPT` of one run. `notes` says in words what was passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.notes: list[str] = []

    def save(self, step: int, content: bytes) -> Path:
        """Durable when it returns; the oldest beyond `KEPT` go."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step-{step:010d}-{_digest(content)}.checkpoint"
        draft = self._folder / f".draft-{os.getpid()}"
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        for old in self._found()[:-KEPT]:
            old.unlink()
        return path

    def latest(self, read: Callable[[bytes], T]) -> tuple[int, T] | None:
        """Step and content of the newest that reads; what does not is removed and noted. None: from the beginning."""
        passed: list[str] = []
        for path in reversed(self._found()):
            named = _NAME.fullmatch(path.name)
            assert named is not None  # noqa: S101 - `_found` gives no other
            try:
                found = int(named[1]), read(_sound(path.read_bytes(), named[2]))
            except Exception as failure:  # noqa: BLE001 - whatever a damaged file raises: the one before is tried
                passed.append(f"the checkpoint of step {int(named[1])} does not read ({failure})")
                path.unlink(missing_ok=True)  # another rank may have been faster
                continue
            if passed:
                self.notes.append(f"{'; '.join(passed)}: continued from the one of step {found[0]}")
            return found
        if passed:
            self.notes.append(f"{'; '.join(passed)}: started from the beginning")
        return None

    def clear(self) -> None:
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            path.unlink()

    def _found(self) -> list[Path]:
        """Oldest first: the step leads the name."""
        return sorted(path for path in self._folder.glob("step-*") if _NAME.fullmatch(path.name))


def _sound(content: bytes, digest: str) -> bytes:
    if _digest(content) != digest:
        raise ValueError("its bytes are not those that were written")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
