"""Small jobs for the tests of trainers: 900 rows with a number, a category, truth and gaps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.trainers.contract import Column, Limits, TrainingJob

COLUMNS = (
    Column("amount", "number"), Column("region", "category"), Column("age", "number"), Column("member", "boolean"),
)  # fmt: skip


def rows(task: str = "binary", count: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=count),
            "region": rng.choice(["north", "south", "west", None], size=count),
            "age": rng.integers(18, 90, size=count).astype("float64"),
            "member": rng.random(count) > 0.5,
            "weight": rng.random(count) + 0.5,
        }
    )
    frame.loc[rng.random(count) < 0.1, "amount"] = np.nan
    signal = frame["amount"].fillna(0) + (frame["region"] == "north") * 1.5 + frame["member"] * 1.0
    signal += np.sin(frame["age"] / 9) + rng.normal(size=count) * 0.5
    if task == "regression":
        frame["label"] = signal
    elif task == "binary":
        frame["label"] = np.where(signal > 1, "1", "0")
    else:
        frame["label"] = np.where(signal > 2, "high", np.where(signal > 0.5, "middle", "low"))
    return frame


def job_in(folder: Path, trainer: str, *, task: Any = "binary", out: str = "out", **more: Any) -> TrainingJob:
    """A job whose rows lie in `folder`."""
    if not (folder / "train.parquet").exists():
        frame = rows(task)
        frame[:600].to_parquet(folder / "train.parquet")
        frame[600:].to_parquet(folder / "valid.parquet")
    more.setdefault("limits", Limits(wall_s=120, memory_mb=4096, heartbeat_s=60))
    return TrainingJob(
        "run-1", trainer, task, "label", COLUMNS, folder / "train.parquet", folder / "valid.parquet", folder / out,
        **more,
    )  # fmt: skip


def program_job(folder: Path, script: str, **more: Any) -> TrainingJob:
    """A job of the trainer `command` that runs this Python text; `out` and `job` are known to it."""
    head = (
        "import json, os, signal, subprocess, sys, time\nfrom pathlib import Path\n"
        "job = json.loads(Path(sys.argv[1]).read_text())\nout = Path(job['out'])\n"
        "def line(step, **metrics):\n"
        "    with (out / 'metrics.jsonl').open('a') as file:\n"
        "        file.write(json.dumps({'step': step, 'metrics': metrics}) + '\\n')\n"
        'def finish(result=\'{"metrics": {"roc_auc": 0.75}}\'):\n'
        "    (out / 'draft').mkdir()\n    (out / 'draft' / 'model.txt').write_text('weights')\n"
        "    (out / 'result.json').write_text(result)\n    (out / 'draft').rename(out / 'artefact')\n"
    )
    (folder / "program.py").write_text(head + script)
    return job_in(
        folder, "command", parameters={"argv": [sys.executable, "-S", str(folder / "program.py")]}, **more
    )
