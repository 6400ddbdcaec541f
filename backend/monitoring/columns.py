"""What a model reads and how it is looked at: the spec a person writes, as one checked value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from backend.errors import BadInput

Kind = Literal["numeric", "categorical"]
Task = Literal["binary", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("numeric", "categorical")
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
SIZES = ("1h", "1d", "1w", "1mo")

MIN_ROWS = 50
RESERVED = frozenset({"prediction_id", "ts", "score", "prediction", "label", "label_ts", "split"})

_DELAY = re.compile(r"^(\d+(?:\.\d+)?)(min|h|d|w)$")
_HOURS = re.compile(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
_DELAY_S = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Column:
    """A named column. The kind is declared, never guessed from values: codes stay categories."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class ModelSpec:
    """How one model is monitored.

    window       "1h", "1d", "1w", "1mo", or a number of rows written as digits ("5000")
    protected    columns for fairness; they need not be features
    cutoff       binary: a score at or above it is the positive class
    min_rows     fewer rows in a window give *inconclusive*
    quiet        hours of `timezone` in which no traffic is expected ("22:00-05:00"); None when unknown
    live_window  a second, shorter window by the clock ("1h"), computed for the last days only; None: there is none
    label_delay_s  how long after the prediction a label is normally known; None when unknown
    """

    task: Task
    features: tuple[Column, ...]
    window: str
    timezone: str = "UTC"
    protected: tuple[str, ...] = ()
    cutoff: float = 0.5
    min_rows: int = MIN_ROWS
    quiet: str | None = None
    label_delay_s: float | None = None
    live_window: str | None = None

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes of the windows that are computed: the trend's, and the shorter ones on-call looks at."""
        return (self.window,) if self.live_window is None else (self.window, self.live_window)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """The model's own columns that are profiled like features."""
        if self.task == "regression":
            return (Column("prediction", "numeric"),)
        return (Column("score", "numeric"), Column("prediction", "categorical"))

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.features + self.outputs

    @property
    def window_rows(self) -> int | None:
        """The rows of a window when windows are counted, None when they follow the clock."""
        return int(self.window) if self.window.isdigit() else None


def parse_spec(mapping: Mapping[str, Any]) -> ModelSpec:
    """Check a spec and return it as a value.

    Raises `BadInput` that names the key, what was found and what is accepted.
    Keys that monitoring does not read (budget, owner, ...) are left to their readers.
    """
    if not isinstance(mapping, Mapping):
        raise BadInput(f"the model spec must be a mapping of keys, not {type(mapping).__name__}")
    task = _one_of(mapping, "task", TASKS)
    features = _features(mapping.get("features"))
    window = str(mapping.get("window", "1d"))
    if window not in SIZES and not (window.isdigit() and int(window) > 0):
        raise BadInput(f"window: {window!r} is not one of {', '.join(SIZES)} or a positive number of rows")
    return ModelSpec(
        task=cast(Task, task),
        features=features,
        window=window,
        timezone=_timezone(mapping.get("timezone", "UTC")),
        protected=_names(mapping.get("protected", ()), "protected"),
        cutoff=_number(mapping, "cutoff", 0.5),
        min_rows=_whole(mapping, "min_rows", MIN_ROWS),
        quiet=_quiet(mapping.get("quiet")),
        label_delay_s=_delay(mapping.get("label_delay")),
        live_window=_live_window(mapping.get("live_window"), window),
    )


def _live_window(value: Any, window: str) -> str | None:
    if value is None:
        return None
    if value not in SIZES or window not in SIZES or SIZES.index(value) >= SIZES.index(window):
        raise BadInput(
            f"live_window: {value!r} is not one of {', '.join(SIZES)} that is shorter than window {window}"
        )
    return str(value)


def _one_of(mapping: Mapping[str, Any], key: str, accepted: tuple[str, ...]) -> str:
    value = mapping.get(key)
    if value not in accepted:
        found = "missing" if value is None else f"{value!r}"
        raise BadInput(f"{key}: {found}; write one of {', '.join(accepted)}")
    return str(value)


def _features(value: Any) -> tuple[Column, ...]:
    if not isinstance(value, Mapping) or not value:
        raise BadInput('features: write a mapping of column to kind, such as {"distance": "numeric"}')
    columns: list[Column] = []
    for name, kind in value.items():
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"features: {name!r} is not a column name")
        if name in RESERVED:
            raise BadInput(
                f"features.{name}: this name is kept for the observation store; rename the feature"
            )
        if kind not in KINDS:
            raise BadInput(f"features.{name}: {kind!r} is not one of {', '.join(KINDS)}")
        columns.append(Column(name, kind))
    return tuple(columns)


def _names(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadInput(f"{key}: write a list of column names, not {value!r}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str) or not name:
            raise BadInput(f"{key}: {name!r} is not a column name")
    return names


def _number(mapping: Mapping[str, Any], key: str, default: float) -> float:
    value = mapping.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadInput(f"{key}: {value!r} is not a number between 0 and 1")
    return float(value)


def _whole(mapping: Mapping[str, Any], key: str, default: int) -> int:
    value = mapping.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{key}: {value!r} is not a whole number of at least 1")
    return value


def _quiet(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _HOURS.match(value) is None:
        raise BadInput(f"quiet: write the hours without traffic as 22:00-05:00, not {value!r}")
    return value


def _delay(value: Any) -> float | None:
    if value is None:
        return None
    match = _DELAY.match(str(value))
    if match is None:
        raise BadInput(f"label_delay: {value!r} is not a duration; write it as 30min, 12h, 2d or 1w")
    return float(match[1]) * _DELAY_S[match[2]]


def _timezone(value: Any) -> str:
    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder name an OSError
        raise BadInput(f"timezone: {value!r} is not a known zone; write it as Europe/Paris or UTC") from None
    return str(value)
