"""Writes MLflow model folders without MLflow: a description (JSON, which YAML reads) beside plain data.

Nothing in them depends on when or where they were written, so equal models have equal digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from backend.errors import BadInput
from backend.serving.portable import COLUMNS, FLAVOR, LOADER, Encoder, load_portable
from jobs.trainers.contract import TrainingJob
from jobs.trainers.run import versions

CHECKED_ROWS: Final = 512
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first time a zip can hold


def write_portable(
    draft: Path,
    job: TrainingJob,
    encoder: Encoder,
    classes: Sequence[str],
    data: Mapping[str, bytes],
    *,
    format_: str,
) -> None:
    """A folder of our own flavor: `data` are the files beside columns.json."""
    folder = draft / "model"
    folder.mkdir()
    described = {"task": job.task, "classes": list(classes), "columns": encoder.as_document()}
    (folder / COLUMNS).write_text(json.dumps(described, indent=1) + "\n")
    for name, content in data.items():
        (folder / name).write_bytes(content)
    libraries = ("xgboost",) if format_ == "xgboost" else ()
    flavors = {
        "python_function": {"loader_module": LOADER, "data": "model"},
        FLAVOR: {"data": "model", "format": format_},
    }
    write_description(draft, job, flavors, libraries)


def write_description(
    draft: Path, job: TrainingJob, flavors: Mapping[str, Any], libraries: tuple[str, ...]
) -> None:
    """MLmodel and requirements.txt."""
    installed = versions(libraries)
    python = installed.pop("python")
    (draft / "requirements.txt").write_text(
        "".join(f"{name}=={one}\n" for name, one in sorted(installed.items()))
    )
    flavors = dict(flavors)
    flavors["python_function"] = {**flavors["python_function"], "python_version": python}
    described = {
        "artifact_path": "model",
        "flavors": flavors,
        "metadata": {"task": job.task, "trainer": job.trainer},
        "signature": {
            "inputs": json.dumps(
                [
                    {
                        "type": "string" if column.type == "category" else "double",
                        "name": column.name,
                        "required": False,
                    }
                    for column in job.columns
                ]
            ),
            "outputs": json.dumps(
                [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": _shape(job)}}]
            ),
            "params": None,
        },
    }
    (draft / "MLmodel").write_text(json.dumps(described, indent=1) + "\n")


def check_portable(draft: Path, frame: pd.DataFrame, expected: np.ndarray, *, tolerance: float) -> None:
    """Raise unless the written model answers as the trained one did."""
    model = load_portable(draft / "model")
    rows = frame.head(CHECKED_ROWS)
    found = model.predict(rows) if model.task == "regression" else model.predict_proba(rows)
    same_answers(found, expected[: len(rows)], tolerance=tolerance)


def same_answers(found: np.ndarray, expected: np.ndarray, *, tolerance: float) -> None:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    apart = float(np.abs(np.asarray(found, dtype="float64") - expected).max(initial=0.0))
    if not apart <= tolerance * scale:
        raise BadInput(
            f"the written model does not answer as the trained one: they differ by up to {apart:.2g}; nothing was "
            "published"
        )


def settled_skops(content: bytes) -> bytes:
    """The same skops file with nothing of the process that wrote it: no memory addresses, no times.

    skops numbers objects and names the files of arrays by address. Here objects are numbered as they are met, each on
    its own (every occurrence is written in full), and files are named by what they hold.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(held.pop("schema.json"))
    names = {
        name: f"{hashlib.sha256(data).hexdigest()[:20]}{Path(name).suffix}" for name, data in held.items()
    }
    numbers = count(1)

    def settle(node: Any) -> Any:
        if isinstance(node, list):
            return [settle(one) for one in node]
        if not isinstance(node, dict):
            return node
        return {
            key: next(numbers) if key == "__id__" else names[value] if key == "file" else settle(value)
            for key, value in node.items()
        }

    files = {names[name]: data for name, data in held.items()}
    files["schema.json"] = json.dumps(settle(schema)).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _shape(job: TrainingJob) -> list[int]:
    return [-1] if job.task == "regression" else [-1, 2 if job.task == "binary" else -1]
