"""From `make run` on an installed environment with a loaded demo to the first page.

Two moments: the sign-in page is answered, and the first page behind it has been drawn to its end over the
websocket that a browser uses.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from typing import Final

from benchmarks.figures import Figure, figure, not_measured, percentile
from benchmarks.installation import WARRANT, Installation, NoLoadedHome

TARGET_S: Final = 15.0


def measure(*, repeats: int = 3) -> list[Figure]:
    """Medians of whole starts, each of all processes."""
    try:
        site = Installation()
    except NoLoadedHome as missing:
        return not_measured("start_to_sign_in_page", "s", str(missing), target=TARGET_S)
    command = ("make", "run") if shutil.which("make") else (*WARRANT, "up", "--demo")
    answered, drawn = [], []
    try:
        for _ in range(repeats):
            began = time.perf_counter()
            answered.append(site.start(command))
            with closing(site.sign_in()) as browser:
                site.page(browser)
            drawn.append(time.perf_counter() - began)
            site.stop()
    finally:
        site.remove()
    return [
        figure("start_to_sign_in_page", percentile(answered, 0.5), "s", rows=repeats, target=TARGET_S),
        figure("start_to_first_page_drawn", percentile(drawn, 0.5), "s", rows=repeats, target=TARGET_S),
    ]
