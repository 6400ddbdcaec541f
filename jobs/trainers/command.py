"""Any program of the user's: it reads the job file and writes the same folder.

The supervisor starts, watches and ends the program itself. Its path to the job file is the last argument, or wherever
`{job}` stands, and the variable WARRANT_TRAINING_JOB. A line in metrics.jsonl, anything printed, and a touch of
`heartbeat` are its signs of life.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jobs.trainers.base import Parameter, Trainer, register
from jobs.trainers.contract import JOB, BadJob
from jobs.trainers.run import Run

PARAMETERS: Final = {
    "argv": Parameter([], "the program and its arguments; `{job}` stands for the job file"),
    "settings": Parameter({}, "whatever the program reads from the job file itself"),
}


def train(run: Run) -> None:
    """Become the program, where a job is run without the supervisor."""
    argv = program(Path(), run.job.out / JOB, run.parameters)
    os.execv(argv[0], list(argv))  # noqa: S606 - the program that the job names, without a shell


def program(_python: Path, job: Path, chosen: Mapping[str, Any]) -> Sequence[str]:
    """The command with the job file in its place. Raises `BadJob` where there is no such program."""
    argv = chosen["argv"]
    if not argv or not all(isinstance(word, str) and word for word in argv):
        raise BadJob('parameters.argv: has to be a list of words, such as ["python3", "/opt/train.py"]')
    found = shutil.which(argv[0])
    if found is None:
        raise BadJob(f"parameters.argv: there is no program {argv[0]} on this host")
    placed = [found, *(word.replace("{job}", str(job)) for word in argv[1:])]
    return placed if placed[1:] != argv[1:] else [*placed, str(job)]


TRAINER = register(Trainer("command", "A program of yours", train, PARAMETERS, gpu=True, command=program))
