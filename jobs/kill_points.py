"""Where a chaos test may kill a worker: before a step's effect, after it, and after its checkpoint.

A test facility. It acts only when the environment says both

    WARRANT_CHAOS=1
    WARRANT_KILL_AT=execute_change:mirror_alias:after      job:step:when

`before`: the effect has not happened. `after`: it has, and the workflow engine does not know it. `commit`: the
checkpoint is durable, the next step has not begun. A marker file in `WARRANT_HOME/kill/` is made first, so
one point kills one process once, however often the work is run again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator

from backend.settings import settings

MOMENTS = ("before", "after", "commit")


def kill_points(job: str, steps: Iterable[str]) -> Iterator[str]:
    """Every value of `WARRANT_KILL_AT` that these steps of `job` pass; chaos tests enumerate them."""
    for step in steps:
        for moment in MOMENTS:
            yield kill_point(job, step, moment)


def kill_point(job: str, step: str, moment: str) -> str:
    """The value of `WARRANT_KILL_AT` that names this moment."""
    return f"{job}:{step}:{moment}"


def pass_kill_point(job: str, step: str, moment: str) -> None:
    """End this process with SIGKILL if a chaos test asked for it here and it has not happened yet."""
    if os.environ.get("WARRANT_CHAOS") != "1":
        return
    point = kill_point(job, step, moment)
    if os.environ.get("WARRANT_KILL_AT") != point:
        return
    folder = settings().resolved_home() / "kill"
    folder.mkdir(exist_ok=True)
    try:
        descriptor = os.open(folder / point.replace(":", "."), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.fsync(descriptor)
    os.close(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)
