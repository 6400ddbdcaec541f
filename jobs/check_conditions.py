"""Asking of what serves whether it still holds what its approval promised."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backend.database.session import reading, writing
from backend.governance.conditions import Checked, evaluate_conditions, note_conditions
from backend.identity.actor import system_actor
from backend.queue import CHECK_CONDITIONS
from jobs.runtime import Run, workflow

STEPS = ("evaluate_conditions", "note_conditions")

ACTOR = system_actor("worker")


@workflow(CHECK_CONDITIONS)
def check_conditions(run: Run) -> None:
    """The conditions of every open deployment of one model."""
    run.progress(0.1, "asking what has to go on holding")
    found = run.step("evaluate_conditions", _evaluate, run.subject)
    run.progress(0.8, "keeping how they stand")
    run.step("note_conditions", _note, run, found)


def _evaluate(model: str) -> list[dict[str, Any]]:
    with reading() as session:
        return [asdict(one) for one in evaluate_conditions(session, model)]


def _note(run: Run, found: list[dict[str, Any]]) -> None:
    with writing() as session:
        run.require_owned(session)
        note_conditions(session, ACTOR, run.subject, [Checked(**one) for one in found])
