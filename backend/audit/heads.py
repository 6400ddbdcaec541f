"""The last head, kept outside the database: without it a cut tail could not be seen.

`WARRANT_HOME/audit-head.json` holds `{"size", "root"}` of the newest entry this machine has committed. It
only ever grows. A crash between commit and publication leaves it behind, which is consistent: the tree of
the file must be a prefix of the tree in the database.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

from backend.durable import write_json
from backend.settings import settings


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
    """Write the head durably unless a larger one is there. Safe between threads and processes."""
    path = head_path()
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read_head(path)
        if known is not None and known.size >= size:
            return
        write_json(path, {"size": size, "root": root})
