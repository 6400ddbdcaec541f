"""Who draws when: a few scripts at a time, however many people click.

Every script run is a thread, and threads of Python take the interpreter in turns. Fifty that run at once hand it around
after every answer of the database, and all of them take as long as the slowest; a few at a time, in the order in which
they came, are each done in the time that they need.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AT_A_TIME: Final = 3
"""One computes while the others wait for the database."""

PATIENCE_S: Final = 10.0
"""Nobody waits longer than this for those before them: one of them may wait for something that does not come."""

_turns: Final = threading.BoundedSemaphore(AT_A_TIME)
_mine: Final = threading.local()


@contextmanager
def taking_turns() -> Iterator[None]:
    """Draw while at most `AT_A_TIME` others of this process do. Inside a turn of one's own it does nothing."""
    if getattr(_mine, "drawing", False):
        yield
        return
    taken = _turns.acquire(timeout=PATIENCE_S)
    _mine.drawing = True
    try:
        yield
    finally:
        _mine.drawing = False
        if taken:
            _turns.release()
