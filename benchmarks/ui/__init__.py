"""How soon a page of a large fleet is there, how much comes over the line for it, and what the console takes for that.

Real Chromium on the console with the seeded fleet (`benchmarks.ui.fleet`), on two cores that both share. Beside it, in
the same rounds: one bare Streamlit page, Evidently's UI and MLflow's. What "there" means is written for each page in
`benchmarks.ui.pages`. `WARRANT_UI_ROUNDS` sets how often each is opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.figures import Figure, not_measured

NAME: Final = "ui: navigation to meaningful content, warm, p95 over all pages"
CORES: Final = 2


def measure() -> list[Figure]:
    """Medians of `WARRANT_UI_ROUNDS` (20) unless a name says otherwise."""
    from benchmarks.ui.browser import PROGRAMS
    from benchmarks.ui.measuring import measure_ui

    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        return not_measured(
            NAME, "ms", "chromium is not installed (Debian: apt-get install chromium)", target=700
        )
    with _on_two_cores():
        return measure_ui(program)


@contextmanager
def _on_two_cores() -> Iterator[None]:
    """This process and all that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:CORES]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
