"""Rows of a job as arrays, read column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from backend.errors import BadInput
from backend.serving.portable import Encoder, as_number, as_text, fitted_encoder
from jobs.trainers.contract import TrainingJob

_BINARY = {"0": 0, "1": 1, "false": 0, "true": 1}


@dataclass(frozen=True)
class Rows:
    """Features as they were stored; `target` as class codes (int64) or values (float64)."""

    frame: pd.DataFrame
    target: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Sets:
    """Training and validation rows, and the classes in the order of their codes (empty for a regression)."""

    train: Rows
    valid: Rows
    classes: tuple[str, ...]

    def encoder(self, job: TrainingJob) -> Encoder:
        """Fitted on the training rows alone."""
        return fitted_encoder(self.train.frame, [(column.name, column.type) for column in job.columns])


def read_sets(job: TrainingJob) -> Sets:
    """Raises `BadInput` that says which file and column does not fit."""
    names = [column.name for column in job.columns]
    train, valid = (_read(path, names, job) for path in (job.train, job.valid))
    classes = _classes(train[job.target], job)
    return Sets(
        _rows(train, names, classes, job, "train"), _rows(valid, names, classes, job, "valid"), classes
    )


def rows_in(path: Path) -> int:
    """From the file's footer."""
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowInvalid) as failure:
        raise BadInput(f"the rows in {path} cannot be read: {failure}") from None


def _read(path: Path, names: Sequence[str], job: TrainingJob) -> pd.DataFrame:
    import pyarrow.parquet

    wanted = [*names, job.target, *([job.weight] if job.weight else [])]
    try:
        held = set(pyarrow.parquet.read_schema(path).names)
        if missing := [name for name in wanted if name not in held]:
            raise BadInput(f"{path} has no column {', '.join(missing)}")
        frame: pd.DataFrame = pyarrow.parquet.read_table(path, columns=wanted).to_pandas()
    except (OSError, pyarrow.ArrowInvalid) as failure:
        raise BadInput(f"the rows in {path} cannot be read: {failure}") from None
    if frame.empty:
        raise BadInput(f"{path} holds no rows")
    if gaps := int(frame[job.target].isna().sum()):
        raise BadInput(f"{path}: {gaps:,} rows have no {job.target}; leave out rows without a label")
    return frame


def _classes(target: pd.Series, job: TrainingJob) -> tuple[str, ...]:
    if job.task == "regression":
        return ()
    found = sorted({str(text) for text in as_text(target).unique()})
    if job.task == "binary":
        if other := [text for text in found if text not in _BINARY]:
            raise BadInput(
                f'target {job.target}: {other[0]!r} is not "0" or "1", which a binary model learns'
            )
        if len({_BINARY[text] for text in found}) < 2:
            raise BadInput(
                f"target {job.target}: the training rows are all {found[0]!r}; a model needs both classes"
            )
        return ("0", "1")
    if len(found) < 2:
        raise BadInput(
            f"target {job.target}: the training rows are all {found[0]!r}; a model needs two classes"
        )
    return tuple(found)


def _rows(
    frame: pd.DataFrame, names: list[str], classes: tuple[str, ...], job: TrainingJob, what: str
) -> Rows:
    if job.task == "regression":
        target = as_number(frame[job.target])
    else:
        texts = as_text(frame[job.target])
        if job.task == "binary":
            texts = texts.replace({"true": "1", "false": "0"})
        target = pd.Index(classes, dtype=object).get_indexer(pd.Index(texts, dtype=object)).astype("int64")
        if (target < 0).any():
            raise BadInput(
                f"target {job.target}: the {what} rows hold {texts[target < 0].iloc[0]!r}, which the training rows lack"
            )
    weight = None
    if job.weight is not None:
        weight = as_number(frame[job.weight])
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise BadInput(
                f"weight {job.weight}: weights are numbers of at least 0, not all 0, in the {what} rows"
            )
    return Rows(frame[names], target, weight)
