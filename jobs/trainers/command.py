"""Any program of the user's: it reads the job file and writes the same folder.

The program replaces this process, so it is what the supervisor watches and ends. Its path to the job file is the last
argument, or wherever `{job}` stands, and the variable WARRANT_TRAINING_JOB. A line in metrics.jsonl, anything printed,
and a touch of `heartbeat` are its signs of life.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Final

from jobs.trainers.base import Parameter, Trainer, register
from jobs.trainers.contract import JOB, BadJob
from jobs.trainers.run import Run

PARAMETERS: Final = {
    "argv": Parameter([], "the program and its arguments; `{job}` stands for the job file"),
    "settings": Parameter({}, "whatever the program reads from the job file itself"),
}


def train(run: Run) -> None:
    argv = arguments(run.parameters["argv"], str(run.job.out / JOB))
    program = shutil.which(argv[0])
    if program is None:
        raise BadJob(f"parameters.argv: there is no program {argv[0]} on this host")
    sys.stdout.flush()
    os.execv(program, argv)  # noqa: S606 - the program that the job names, without a shell


def arguments(argv: list[Any], job: str) -> list[str]:
    """The command with the job file in its place."""
    if not argv or not all(isinstance(word, str) and word for word in argv):
        raise BadJob('parameters.argv: has to be a list of words, such as ["python3", "/opt/train.py"]')
    placed = [word.replace("{job}", job) for word in argv]
    return placed if placed != argv else [*placed, job]


TRAINER = register(Trainer("command", "A program of yours", train, PARAMETERS, gpu=True))
