"""A real worker with one more workflow, whose steps leave marks that tests can count.

`arguments`: `folder` (where marks go), `hold` (wait in step two until `<folder>/go` exists), `fail` (step two raises).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from backend import queue
from backend.errors import BadInput

PROBE = queue.Job("probe", "metrics", "Leave marks")
queue.JOBS[PROBE.name] = PROBE

from jobs import runtime, schedules, worker  # noqa: E402

STEPS = ("one", "two", "three")
sys.modules["jobs.probe"] = sys.modules[__name__]


@runtime.workflow(PROBE)
def probe(run: runtime.Run) -> None:
    folder = Path(run.arguments["folder"])
    run.step("one", mark, folder, "one", run)
    run.progress(0.3, "step two")
    run.step("two", hold_and_mark, folder, run)
    if run.arguments.get("undeclared"):
        run.step("four", mark, folder, "four", run)
    run.progress(0.6, "step three")
    run.step("three", mark, folder, "three", run)


def mark(folder: Path, name: str, run: runtime.Run) -> None:
    descriptor = os.open(folder / "marks", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{name} {run.worker_id} {run.attempt}\n".encode())
    os.close(descriptor)


def hold_and_mark(folder: Path, run: runtime.Run) -> None:
    if run.arguments.get("fail"):
        raise BadInput("the reference has no rows; train the version again")
    (folder / f"in-two-{run.worker_id}").touch()
    deadline = time.monotonic() + 60
    while run.arguments.get("hold") and not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.require_owned()
    mark(folder, "two", run)


if __name__ == "__main__":
    schedules.SCHEDULES = ()  # type: ignore[misc]
    code = worker.main()
    os._exit(code)
