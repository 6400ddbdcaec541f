"""The trainer contract: a job file and Parquet paths in, one folder out. No database, no MLflow, no network.

A trainer is a program that is started with the path of a job file. Under the job's `out` folder it writes

    artefact/         the model: an MLflow model folder. It appears by a rename, as the very last thing
    result.json       a `TrainingResult`, written before the artefact appears
    metrics.jsonl     one JSON object a line: {"step", "epoch", "time", "metrics": {name: number}}
    checkpoints/      what a later attempt continues from
    heartbeat         touched at least every `limits.heartbeat_s` while the trainer is alive
    log.txt           whatever it prints
    failure.json      {"kind", "message"} in words, where it failed and knows why

This module needs nothing beyond the standard library, so it can be read beside any framework.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

from backend.errors import BadInput

SCHEMA: Final = 1

Task = Literal["binary", "regression", "multiclass"]
ColumnType = Literal["number", "category", "boolean"]
Device = Literal["cpu", "gpu", "gpu-if-present"]

ARTEFACT: Final = "artefact"
CHECKPOINTS: Final = "checkpoints"
METRICS: Final = "metrics.jsonl"
LOG: Final = "log.txt"
HEARTBEAT: Final = "heartbeat"
RESULT: Final = "result.json"
FAILURE: Final = "failure.json"
JOB: Final = "job.json"

LARGEST_RESULT: Final = 1 << 20  # bytes of result.json
MOST_NOTES: Final = 50
LONGEST_TEXT: Final = 500


class BadJob(BadInput):
    """A job file that no trainer can follow; the message names the field."""

    title = "Bad training job"


class BadResult(BadInput):
    """A file of the trainer's that does not read; the message names the file and the place."""

    title = "Bad training result"


@dataclass(frozen=True, slots=True)
class Column:
    """A feature: its name in the Parquet files and what its values are."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Limits:
    """What the supervisor ends a trainer for.

    wall_s       seconds of the clock for one attempt
    memory_mb    resident memory of all its processes together, in MiB
    heartbeat_s  seconds without a sign of life
    """

    wall_s: float = 4 * 3600.0
    memory_mb: int = 8192
    heartbeat_s: float = 120.0


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything a trainer is told.

    columns        the features, in the order in which the model takes them
    target         binary: "0"/"1" (also 0/1, true/false); multiclass: any text; regression: numbers
    weight         column of non-negative sample weights; None: every row counts once
    parameters     of the trainer; what is missing takes the trainer's default, what is unknown is refused
    deterministic  the same job gives the same bytes again on the same machine and library versions
    device         "gpu-if-present" is what allows a run on the CPU where no GPU fits
    resume         continue from the checkpoints under `out`; otherwise they are removed first
    """

    run_id: str
    trainer: str
    task: Task
    target: str
    columns: tuple[Column, ...]
    train: Path
    valid: Path
    out: Path
    weight: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7
    deterministic: bool = False
    device: Device = "cpu"
    limits: Limits = field(default_factory=Limits)
    resume: bool = True
    schema: int = SCHEMA

    def write(self, path: Path) -> Path:
        """Write the job file (JSON, replaced at once). Raises `BadJob` for fields that no trainer could follow."""
        text = json.dumps(self.as_document(), indent=1, sort_keys=True)
        _job(json.loads(text), path)
        write_text(path, text + "\n")
        return path

    @staticmethod
    def read(path: Path) -> TrainingJob:
        """The job in a file. Raises `BadJob` that says which field is wrong and how it should be."""
        try:
            document = json.loads(path.read_text())
        except OSError as error:
            raise BadJob(f"the job file {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise BadJob(f"the job file {path} is not JSON: {error}") from None
        return _job(document, path)

    def as_document(self) -> dict[str, Any]:
        """As the job file holds it."""
        return {
            **asdict(self),
            "columns": [asdict(column) for column in self.columns],
            "parameters": dict(self.parameters),
            "train": str(self.train),
            "valid": str(self.valid),
            "out": str(self.out),
        }

    @property
    def artefact(self) -> Path:
        return self.out / ARTEFACT


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a trainer says of a run that finished. `metrics` are those of the validation rows.

    A program of somebody's own has to give `metrics`; the supervisor fills what it measured itself.
    """

    metrics: dict[str, float]
    rows: dict[str, int] = field(default_factory=dict)  # "train", "valid"
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    device: str = "cpu"
    device_seconds: float = 0.0
    device_peak_memory_mb: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)  # as used, defaults included
    versions: dict[str, str] = field(default_factory=dict)  # of Python and the libraries
    notes: list[str] = field(default_factory=list)  # "the checkpoint of step 40 does not read; …"
    resumed_from_step: int | None = None

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @staticmethod
    def read(path: Path) -> TrainingResult:
        """Raises `BadResult` that says what does not read. Metrics that are no finite number are left out."""
        with open_plain(path) as file:
            content = file.read(LARGEST_RESULT + 1)
        if len(content) > LARGEST_RESULT:
            raise BadResult(f"{path.name} has more than {LARGEST_RESULT:,} bytes")
        text = content.decode(errors="replace")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            lines = text.splitlines() or [""]
            line = min(getattr(error, "lineno", 1), len(lines))
            shown = lines[line - 1]
            raise BadResult(f"{path.name} line {line} is not JSON: {shown[:80]!r}") from None
        return _result(document, path)


def open_plain(path: Path) -> BinaryIO:
    """A file that a trainer wrote. `OSError` for anything else of its name: reading from a pipe would wait for ever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is no file", str(path))
    return os.fdopen(handle, "rb")


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def _job(document: Any, path: Path) -> TrainingJob:
    if not isinstance(document, dict):
        raise BadJob(f"the job file {path} holds {_kind(document)}; it has to be one JSON object")
    known = {
        "run_id", "trainer", "task", "target", "columns", "train", "valid", "out", "weight", "parameters", "seed",
        "deterministic", "device", "limits", "resume", "schema",
    }  # fmt: skip
    if unknown := sorted(set(document) - known):
        raise BadJob(
            f"{path.name}: there is no field {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    schema = _given(document, "schema", int)
    if schema != SCHEMA:
        raise BadJob(f"schema: the job is of version {schema}; this trainer reads version {SCHEMA}")
    columns = _columns(_given(document, "columns", list))
    target = _text(document, "target")
    weight = document.get("weight")
    if weight is not None:
        weight = _text(document, "weight")
    for what, name in (("target", target), ("weight", weight)):
        if name in {column.name for column in columns}:
            raise BadJob(f"{what}: {name} is also a feature in columns; take it out of one of the two")
    return TrainingJob(
        schema=schema,
        run_id=_text(document, "run_id"),
        trainer=_text(document, "trainer"),
        task=_one_of(document, "task", Task),
        target=target,
        columns=columns,
        train=Path(_text(document, "train")),
        valid=Path(_text(document, "valid")),
        out=Path(_text(document, "out")),
        weight=weight,
        parameters=_given(document, "parameters", dict, {}),
        seed=_given(document, "seed", int, 7),
        deterministic=_given(document, "deterministic", bool, False),
        device=_one_of(document, "device", Device, "cpu"),
        limits=_limits(_given(document, "limits", dict, {})),
        resume=_given(document, "resume", bool, True),
    )


def _columns(found: list[Any]) -> tuple[Column, ...]:
    if not found:
        raise BadJob("columns: a model needs at least one feature")
    columns = []
    for position, one in enumerate(found):
        where = f"columns[{position}]"
        if not isinstance(one, dict) or set(one) != {"name", "type"}:
            raise BadJob(f'{where}: each is an object {{"name", "type"}}, got {json.dumps(one)[:80]}')
        if not isinstance(one["name"], str) or not one["name"]:
            raise BadJob(f"{where}.name: has to be text, got {_kind(one['name'])}")
        if one["type"] not in get_args(ColumnType):
            raise BadJob(f"{where}.type: {one['type']!r} is none of {', '.join(get_args(ColumnType))}")
        columns.append(Column(one["name"], one["type"]))
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadJob(f"columns: {', '.join(twice)} is named twice")
    return tuple(columns)


def _limits(found: dict[str, Any]) -> Limits:
    defaults = asdict(Limits())
    if unknown := sorted(set(found) - set(defaults)):
        raise BadJob(f"limits: there is no {', '.join(unknown)}; there are {', '.join(defaults)}")
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise BadJob(f"limits.{name}: has to be a number above 0, got {json.dumps(value)}")
    return Limits(**{**defaults, **found})


_WORDS: Final = {str: "text", bool: "true or false", int: "a whole number", dict: "an object", list: "a list"}
_MISSING: Final = object()


def _given(document: dict[str, Any], name: str, kind: type, default: Any = _MISSING) -> Any:
    value = document.get(name, default)
    if value is _MISSING:
        raise BadJob(f"{name}: is missing; it has to be {_WORDS[kind]}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadJob(f"{name}: has to be {_WORDS[kind]}, got {_kind(value)}")
    return value


def _text(document: dict[str, Any], name: str) -> str:
    value: str = _given(document, name, str)
    if not value:
        raise BadJob(f"{name}: is empty")
    return value


def _one_of(document: dict[str, Any], name: str, choices: Any, default: Any = _MISSING) -> Any:
    value = _given(document, name, str, default)
    if value not in get_args(choices):
        raise BadJob(f"{name}: {value!r} is none of {', '.join(get_args(choices))}")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, float):
        return "a number"
    return "null" if value is None else _WORDS.get(type(value), type(value).__name__)


def _result(document: Any, path: Path) -> TrainingResult:
    if not isinstance(document, dict):
        raise BadResult(f"{path.name} holds {_kind(document)}; it has to be one JSON object")
    metrics = document.get("metrics")
    if not isinstance(metrics, dict) or not all(
        _is_number(value) and _keeps(name) for name, value in metrics.items()
    ):
        raise BadResult(
            f'{path.name}: "metrics" has to be an object of numbers, got {json.dumps(metrics)[:80]}'
        )
    kinds = {
        "rows": dict, "seconds": float, "peak_memory_mb": float, "device": str, "device_seconds": float,
        "device_peak_memory_mb": float, "parameters": dict, "versions": dict, "notes": list,
    }  # fmt: skip
    taken: dict[str, Any] = {}
    for name, kind in kinds.items():
        if name in document:
            fits = is_finite(document[name]) if kind is float else isinstance(document[name], kind)
            if not fits or not _keeps(document[name]):
                raise BadResult(f"{path.name}: {name!r} does not read: {json.dumps(document[name])[:80]}")
            taken[name] = document[name]
    if not all(is_finite(count) for count in taken.get("rows", {}).values()):
        raise BadResult(f"{path.name}: 'rows' does not read: {json.dumps(taken['rows'])[:80]}")
    step = document.get("resumed_from_step")
    return TrainingResult(
        metrics={str(name): float(value) for name, value in metrics.items() if is_finite(value)},
        resumed_from_step=step if isinstance(step, int) else None,
        **taken
        | {"notes": [plain_text(str(note), LONGEST_TEXT) for note in taken.get("notes", [])[:MOST_NOTES]]},
    )


def is_finite(value: Any) -> bool:
    """Whether it is a number that JSON can hold: neither NaN nor infinite."""
    return _is_number(value) and bool(-1e300 <= value <= 1e300)


def plain_text(text: str, longest: int) -> str:
    """What people can read of what a program wrote: no control characters, no halves of characters."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text[:longest]
    )


def _keeps(value: Any) -> bool:
    """Whether it is there again after it was written as JSON: no number that is none, no half of a character."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
