"""Who draws when: one script after the other, however many people click.

Every script run is a thread, and threads of Python take the interpreter in turns. Those that run at once hand it around
after every answer of the database, and all of them take far longer than one after the other. Who came first is drawn
first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AT_A_TIME: Final = 1

HELD_S: Final = 1.0
"""Who has drawn for so long waits for something, and holds nobody up from then on."""


class Turns:
    """At most `at_a_time` draw at once, first come, first served. Who has drawn for `held_s` does not count."""

    def __init__(self, at_a_time: int = AT_A_TIME, held_s: float = HELD_S) -> None:
        self._at_a_time, self._held_s = at_a_time, held_s
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._drawing: dict[threading.Event, float] = {}  # since when, by who was called
        self._mine = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A turn, waited for. Inside a turn of one's own it is the same one."""
        if getattr(self._mine, "drawing", False):
            yield
            return
        called = self._wait()
        self._mine.drawing = True
        try:
            yield
        finally:
            self._mine.drawing = False
            self._end(called)

    def _wait(self) -> threading.Event:
        called = threading.Event()
        with self._lock:
            self._waiting.append(called)
            self._call()
        while not called.wait(self._held_s):
            with self._lock:
                self._call()
        return called

    def _end(self, called: threading.Event) -> None:
        with self._lock:
            del self._drawing[called]
            self._call()

    def _call(self) -> None:
        """Call those whose turn it is. Under the lock."""
        now = time.monotonic()
        busy = sum(now - since < self._held_s for since in self._drawing.values())
        while self._waiting and busy < self._at_a_time:
            called = self._waiting.popleft()
            self._drawing[called] = now
            busy += 1
            called.set()


taking_turns: Final = Turns().taken
