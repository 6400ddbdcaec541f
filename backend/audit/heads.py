"""The last head, kept outside the database: without it a cut tail could not be seen.

`WARRANT_HOME/audit-head.json` holds `{"size", "root"}` of the newest entry this machine has committed. It
only ever grows. A crash between commit and publication leaves it behind, which is consistent: the tree of
the file must be a prefix of the tree in the database.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from backend.settings import settings

log = logging.getLogger(__name__)
PATIENCE_S: Final = 5.0  # how long a commit waits for a process that holds the file and does not go on
TRUST_AGAIN_S: Final = 60.0  # how long nobody waits for it again


@dataclass(frozen=True)
class Head:
    """A tree: its number of entries and its root (hex)."""

    size: int
    root: str


def head_path() -> Path:
    return settings().resolved_home() / "audit-head.json"


def read_head(path: Path | None = None) -> Head | None:
    """The published head, or None before the first. A file that is not a head raises `ValueError`."""
    path = path or head_path()
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text())
        return Head(int(document["size"]), str(document["root"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a published head: {error}") from error


def publish(size: int, root: str) -> None:
    """Write the head durably unless a larger one is there. Safe between threads and processes.

    Of many threads that publish at once one writes the largest head of them all, and the others have nothing to do.
    Where another process holds the file and is asleep, the head stays behind, as after a crash, and the next one that
    is published catches up: nobody's commit hangs on a process that was stopped. So it is where the disk is full or
    cannot be written: what is committed was accepted, and is not answered as a failure.
    """
    path, mine = head_path(), _Waiting(size, root)
    with _guard:
        _waiting.setdefault(path, []).append(mine)
    with _turn:
        if mine.published:
            return
        together = [mine]
        try:
            with path.with_suffix(".lock").open("a") as lock:
                held = _lock(lock, path)
                with _guard:
                    together += _waiting.pop(path, [])
                newest = max(together, key=lambda one: one.size)
                known = read_head(path) if held else None
                if held and (known is None or known.size < newest.size):
                    _replace(path, {"size": newest.size, "root": newest.root})
        except OSError as error:
            log.error("%s is behind: it cannot be written (%s)", path, error.strerror)  # noqa: TRY400
        for one in together:
            one.published = True


def _lock(lock: IO[str], path: Path) -> bool:
    """Take the lock of the file, waiting `PATIENCE_S` at most; False where another process keeps it."""
    now = time.monotonic()
    patient_until = now if now < _impatient_until.get(path, 0.0) else now + PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < patient_until:
                time.sleep(0.002)
                continue
            _impatient_until[path] = time.monotonic() + TRUST_AGAIN_S
            log.warning("%s is behind: another process holds its lock and does not go on", path)
            return False
        _impatient_until.pop(path, None)
        return True


def _replace(path: Path, document: dict[str, int | str]) -> None:
    """Replace the file as a whole. Its new name need not be on disk: after a loss of power the earlier head is there
    again, which is a prefix as good as any; syncing the folder too would double what every commit waits for."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@dataclass
class _Waiting:
    """A head that a thread of this process has committed, and whether it, a larger one or nobody's is published."""

    size: int
    root: str
    published: bool = False


_guard: Final = threading.Lock()
_turn: Final = threading.Lock()  # who holds it publishes for all that wait
_waiting: Final[dict[Path, list[_Waiting]]] = {}
_impatient_until: Final[dict[Path, float]] = {}  # by file, in seconds of the monotonic clock
