"""`python -m jobs.trainers JOB.json`, or this file's path where Warrant itself is not installed: run one trainer.

Exit 0 when the artefact is in its place; otherwise 1 with `failure.json`, which says in words why.
"""

from __future__ import annotations

import sys
from pathlib import Path

if (
    not __package__
):  # run by its path, by an interpreter that need not have Warrant: its own packages come first
    sys.path.append(str(Path(__file__).resolve().parents[2]))


def main(argv: list[str]) -> int:
    from jobs.trainers.running import run_job

    if len(argv) != 1:
        print("usage: python -m jobs.trainers JOB.json", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    return run_job(Path(argv[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
