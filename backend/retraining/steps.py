"""What the steps of a run leave behind: progress, log lines, a live curve, seconds, memory, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from backend import clock
from backend.addresses import without_credentials
from backend.database.session import WriteSession
from backend.retraining.tables import RetrainingStep

STEPS: Final[dict[str, str]] = {
    "extract": "Take the rows out of the store",
    "validate": "Check the rows",
    "split": "Split them by time",
    "train": "Train",
    "evaluate": "Compare with the champion",
    "explain": "Explain",
    "draft_card": "Draft the card",
    "register": "Register the version",
    "open_promotion": "Ask for the promotion",
    "notify": "Tell those who wait for it",
}
"""The steps of the pipeline in their order, with what people read."""
MOST_LINES: Final = 400
LONGEST_LINE: Final = 500
MOST_POINTS: Final = 1000


def begin_step(session: WriteSession, run_id: str, name: str) -> dict[str, Any] | None:
    """Note that a step begins (again). Gives its result where it has finished already: it is not done twice."""
    step = session.get(RetrainingStep, (run_id, name), with_for_update=True)
    if step is None:
        step = RetrainingStep(
            run_id=run_id, name=name, state="running", started_at=clock.now(), log=[], curve=[], result={}
        )
        session.add(step)
        session.flush()
        return None
    if step.state == "finished":
        return step.result
    step.attempts, step.state, step.started_at, step.finished_at = (
        step.attempts + 1,
        "running",
        clock.now(),
        None,
    )
    step.log = [*step.log, f"begun again, attempt {step.attempts}"][-MOST_LINES:]
    return None


def note_step(
    session: WriteSession,
    run_id: str,
    name: str,
    *,
    lines: Sequence[str] = (),
    progress: float | None = None,
    points: Sequence[dict[str, Any]] = (),
    peak_memory_bytes: int | None = None,
    found: dict[str, Any] | None = None,
    gpu_seconds: float = 0.0,
) -> None:
    """Add what a step that runs has to tell. `found`: part of its result, before it ends."""
    step = session.get_one(RetrainingStep, (run_id, name), with_for_update=True)
    if lines:
        told = [without_credentials(line.rstrip())[:LONGEST_LINE] for line in lines if line.strip()]
        step.log = [*step.log, *told][-MOST_LINES:]
    if progress is not None:
        step.progress = min(max(progress, 0.0), 1.0)
    if points:
        step.curve = thinned([*step.curve, *points])
    if found:
        step.result = {**step.result, **found}
    step.gpu_seconds += gpu_seconds
    if peak_memory_bytes is not None:
        step.peak_memory_bytes = max(peak_memory_bytes, step.peak_memory_bytes or 0)


def end_step(
    session: WriteSession,
    run_id: str,
    name: str,
    state: str,
    *,
    seconds: float,
    result: dict[str, Any] | None = None,
    line: str = "",
) -> None:
    """Close a step. Seconds, and those of GPUs, are added to those of earlier attempts."""
    step = session.get_one(RetrainingStep, (run_id, name), with_for_update=True)
    if step.state == "finished":
        return
    step.state, step.finished_at, step.seconds = state, clock.now(), step.seconds + seconds
    step.gpu_seconds += float((result or {}).get("gpu_seconds", 0.0))
    if line:
        step.log = [*step.log, without_credentials(line)[:LONGEST_LINE]][-MOST_LINES:]
    if result is not None:
        step.result = result
    if state == "finished":
        step.progress = 1.0


def thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_POINTS` points, the last one among them: every second one is left out as often as needed."""
    while len(points) > MOST_POINTS:
        points = points[::-2][::-1]
    return points
