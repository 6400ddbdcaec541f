"""How many sockets of pages are open, by whoever has them: each is a Streamlit session with memory of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PER_ADDRESS: Final = 500
"""Every tab has one, and a whole house may come from one address."""
PER_SESSION: Final = 60


class Sockets:
    """Asked on the event loop alone, so that no lock is needed."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, whose: str, at_most: int) -> Iterator[bool]:
        """Whether there is room for one more of `whose`, which counts as long as the block takes."""
        if self._open.get(whose, 0) >= at_most:
            yield False
            return
        self._open[whose] += 1
        try:
            yield True
        finally:
            self._open[whose] -= 1
            if not self._open[whose]:
                del self._open[whose]
