"""One thread for each channel that has something to do: one that hangs holds up itself alone.

A thread cannot be ended from outside. So nobody waits for one: who begins work looks in on what is done by now, and a
lane whose last work has not ended takes no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("warrant.notifications")

MOST: Final = 32  # threads at a time: what begins no work now begins it at the next tick


@dataclass(frozen=True)
class Work:
    """What a lane did: notices sent, and incidents of which something new was heard."""

    sent: int = 0
    heard: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.sent + other.sent, self.heard + other.heard)


class Lanes:
    def __init__(self, *, most: int = MOST) -> None:
        self._most, self._since, self._done = most, dict[str, float](), Work()
        self._changed = threading.Condition()

    def begin(self, name: str, work: Callable[[], Work]) -> bool:
        """Begin this work of the lane `name`; False while its last work goes on, or too many others do."""
        with self._changed:
            if name in self._since or len(self._since) >= self._most:
                return False
            self._since[name] = time.monotonic()
        threading.Thread(target=self._run, args=(name, work), name=f"notices {name}", daemon=True).start()
        return True

    def wait(self, timeout_s: float, *, for_: set[str] | None = None) -> bool:
        """Until these lanes (all) have ended, but no longer than this. Returns whether they have."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._since.keys() if for_ is None else self._since.keys() & for_), timeout_s
            )

    def take(self) -> Work:
        """What was done since this was last asked."""
        with self._changed:
            done, self._done = self._done, Work()
            return done

    def slow(self, longer_than_s: float) -> dict[str, float]:
        """The lanes whose work has gone on for longer than that, each with for how long, in seconds."""
        now = time.monotonic()
        with self._changed:
            return {name: now - since for name, since in self._since.items() if now - since > longer_than_s}

    def _run(self, name: str, work: Callable[[], Work]) -> None:
        done = Work()
        try:
            done = work()
        except Exception:
            log.exception("the work of %s stumbled and is done again", name)
        finally:
            with self._changed:
                del self._since[name]
                self._done += done
                self._changed.notify_all()
