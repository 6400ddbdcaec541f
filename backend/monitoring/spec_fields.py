"""The keys of a model spec, one reader each: a value, or a `BadInput` with key, what was found, what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from backend.errors import BadInput

Kind = Literal["numeric", "categorical"]
Task = Literal["binary", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("numeric", "categorical")
LEFT_ALONE = ("embedding", "id", "text", "time")
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
SIZES = ("1h", "1d", "1w", "1mo")
TIERS = ("low", "medium", "high")
REFERENCES = ("fixed", "rolling", "previous", "seasonal")
SEASONS = ("hour", "weekday", "hour_of_week")
RESERVED = frozenset({"prediction_id", "ts", "score", "prediction", "label", "label_ts", "split"})

QUARTER_DAYS = 365.25 / 4
_PER_QUARTER = {
    "pages_per_day": QUARTER_DAYS, "pages_per_week": QUARTER_DAYS / 7, "pages_per_month": 3.0,
    "pages_per_quarter": 1.0, "pages_per_year": 0.25,
}  # fmt: skip
_TYPES: Mapping[frozenset[str], str] = {
    frozenset({"float", "double", "real", "decimal", "number", "num", "continuous", "quantitative"}):
        "is numeric meant?",
    frozenset({"int", "integer", "long", "bigint", "smallint", "uint", "count"}):
        "is numeric meant, or categorical where the numbers are codes?",
    frozenset({"bool", "boolean", "binary", "category", "cat", "enum", "nominal", "ordinal", "factor", "flag"}):
        "is categorical meant?",
    frozenset({"string", "str", "object", "varchar", "char"}):
        "is categorical meant, text for free text, or id for names of single rows?",
    frozenset({"datetime", "date", "timestamp", "timestamptz", "datetimens", "datetimensutc", "datetimeus"}):
        "is time meant?",
    frozenset({"uuid", "key", "identifier", "index", "pk"}): "is id meant?",
    frozenset({"vector", "array", "list", "ndarray", "tensor", "embeddings"}): "is embedding meant?",
}  # fmt: skip
"""Other tools' names of types, without digits and signs, and what they are called here."""
_DELAY = re.compile(r"^(\d+(?:\.\d+)?)(min|h|d|w)$")
_HOURS = re.compile(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
_DELAY_S = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Column:
    """A named column. The kind is declared, never guessed from values: codes stay categories."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Budget:
    """False pages that are tolerated: per model and quarter, and per 12-hour shift over all models of the rota."""

    pages_per_quarter: float = 1.0
    rota: str = "default"
    rota_pages_per_shift: float = 2.0


@dataclass(frozen=True)
class ReferenceRule:
    """What a window is compared with.

    fixed     the version's reference data
    rolling   the `length_s` that end `offset_s` before the window starts
    previous  the window before it
    seasonal  windows of the same hour, weekday or hour of the week in the `length_s` before it
    """

    kind: Literal["fixed", "rolling", "previous", "seasonal"] = "fixed"
    length_s: float = 0.0
    offset_s: float = 0.0
    season: Literal["hour", "weekday", "hour_of_week"] = "hour_of_week"

    @property
    def text(self) -> str:
        """The rule in one text: by it a window remembers how it was judged."""
        if self.kind == "fixed":
            return self.kind
        if self.kind == "previous":
            return f"{self.kind} {self.offset_s:g}"
        return f"{self.kind} {self.length_s:g} {self.offset_s:g}{f' {self.season}' if self.kind == 'seasonal' else ''}"


KEYS = (
    "task", "features", "window", "timezone", "protected", "favourable", "cutoff", "min_rows", "min_labels", "quiet",
    "live_window", "segments", "positive_label", "classes", "quantile", "costs", "costs_unit", "tier", "budget",
    "reference", "rules", "label_delay", "label_unit", "subject", "pseudonymise", "retraining", "fairness",
    "explanations", "reason_codes",
)  # fmt: skip


def refuse_misspelt(mapping: Mapping[str, Any]) -> None:
    """A key that nobody reads is somebody else's; one that is nearly ours is a mistake."""
    for key in mapping:
        near = get_close_matches(str(key), KEYS, n=1, cutoff=0.8)
        if key not in KEYS and near:
            raise BadInput(f"{key}: there is no such key; is {near[0]} meant?")


def one_of(mapping: Mapping[str, Any], key: str, accepted: tuple[str, ...]) -> str:
    value = mapping.get(key)
    if value not in accepted:
        found = "missing" if value is None else f"{value!r}"
        raise BadInput(f"{key}: {found}; write one of {', '.join(accepted)}")
    return str(value)


def favourable(value: Any, task: str) -> str:
    """Which decision of a binary model is good for whom it is about; empty when the spec does not say."""
    if value is None:
        return ""
    if task != "binary":
        raise BadInput(
            f"favourable: only a binary model decides for or against somebody, not one of task {task}"
        )
    return one_of({"favourable": value}, "favourable", ("positive", "negative"))


def read_features(value: Any) -> tuple[tuple[str, str], ...]:
    """(name, kind) of each feature, from `{name: kind}`, `{name: {kind: ...}}` or `[{name: ..., kind: ...}]`."""
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        value = {entry.get("name"): entry for entry in value}
    if not isinstance(value, Mapping) or not value:
        raise BadInput('features: write a mapping of column to kind, such as {"distance": "numeric"}')
    found: list[tuple[str, str]] = []
    for name, kind in value.items():
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"features: {name!r} is not a column name")
        if name in RESERVED:
            raise BadInput(
                f"features.{name}: this name is kept for the observation store; rename the feature"
            )
        if isinstance(kind, Mapping):
            kind = kind.get("kind", kind.get("type"))  # noqa: PLW2901 - the long form of the same value
        if kind not in (*KINDS, *LEFT_ALONE):
            known = ", ".join((*KINDS, *LEFT_ALONE))
            raise BadInput(f"features.{name}: {kind!r} is not one of {known}{_meant(kind)}")
        found.append((name, str(kind)))
    return tuple(found)


def _meant(kind: Any) -> str:
    """`; is numeric meant?`: what a kind that is no kind of ours is probably called here."""
    word = re.sub(r"[^a-z]", "", str(kind).casefold())
    for names, meant in _TYPES.items():
        if word in names:
            return f"; {meant}"
    near = get_close_matches(word, (*KINDS, *LEFT_ALONE), n=1, cutoff=0.7)
    return f"; is {near[0]} meant?" if near else ""


def names(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadInput(f"{key}: write a list of names, not {value!r}")
    found = tuple(value)
    for name in found:
        if not isinstance(name, str) or not name:
            raise BadInput(f"{key}: {name!r} is not a text")
    return found


def segments(value: Any, known: set[str]) -> tuple[str, ...]:
    found = names(value, "segments")
    for name in found:
        if name not in known:
            raise BadInput(
                f"segments: {name!r} is neither a feature nor protected; there are {sorted(known)}"
            )
    return found


def subject(value: Any, known: Mapping[str, str]) -> str:
    """The column that says whom a row is about: a categorical feature, or one of kind id."""
    if value is None:
        return ""
    if not isinstance(value, str) or known.get(value) not in ("categorical", "id"):
        raise BadInput(
            f"subject: {value!r} is not a feature of kind categorical or id; declare it under features"
        )
    return value


def pseudonymise(value: Any, known: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that are stored as pseudonyms: text, so categorical or id."""
    found = names(value, "pseudonymise")
    for name in found:
        if known.get(name) not in ("categorical", "id"):
            raise BadInput(f"pseudonymise: {name!r} is not a feature of kind categorical or id")
    return found


def classes(value: Any) -> tuple[tuple[str, str], ...]:
    """(class, column of its probability), from `{class: column}` or a list of classes (`score_<class>`)."""
    if value is None:
        return ()
    if isinstance(value, list):
        value = {str(name): f"score_{name}" for name in value}
    if not isinstance(value, Mapping) or len(value) < 2:
        raise BadInput("classes: write a mapping of class to the column of its probability, at least two")
    return tuple((str(name), str(column)) for name, column in value.items())


def costs(value: Any) -> tuple[tuple[str, str, float], ...]:
    """(predicted, true, worth), from {tp, fp, fn, tn} or {predicted: {true: worth}}."""
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not value:
        raise BadInput("costs: write {tp: 10, fp: -2, fn: -20, tn: 0} or {predicted: {true: worth}}")
    cells = {"tp": ("1", "1"), "fp": ("1", "0"), "fn": ("0", "1"), "tn": ("0", "0")}
    if set(value) <= set(cells):
        entries = [(*cells[name], worth) for name, worth in value.items()]
    elif all(isinstance(row, Mapping) for row in value.values()):
        entries = [(str(a), str(b), worth) for a, row in value.items() for b, worth in row.items()]
    else:
        raise BadInput(f"costs: {sorted(map(str, value))} are not tp, fp, fn, tn, nor a mapping of mappings")
    for predicted, true, worth in entries:
        if isinstance(worth, bool) or not isinstance(worth, int | float):
            raise BadInput(f"costs: {worth!r} for predicted {predicted}, true {true} is not a number")
    return tuple((predicted, true, float(worth)) for predicted, true, worth in entries)


def budget(value: Any) -> Budget:
    """From a number of pages per quarter, or {pages_per_week: ..., rota: ..., rota_pages_per_shift: ...}."""
    if value is None:
        return Budget()
    if not isinstance(value, Mapping):
        value = {"pages_per_quarter": value}
    unknown = set(value) - {*_PER_QUARTER, "rota", "rota_pages_per_shift"}
    if unknown:
        known = ", ".join([*_PER_QUARTER, "rota", "rota_pages_per_shift"])
        raise BadInput(f"budget: {', '.join(sorted(map(str, unknown)))} is not one of {known}")
    pages = [_positive(value, key) * factor for key, factor in _PER_QUARTER.items() if key in value]
    return Budget(
        pages_per_quarter=min(pages, default=Budget.pages_per_quarter),
        rota=str(value.get("rota", Budget.rota)),
        rota_pages_per_shift=(
            _positive(value, "rota_pages_per_shift")
            if "rota_pages_per_shift" in value
            else Budget.rota_pages_per_shift
        ),
    )


def reference(value: Any) -> ReferenceRule:
    """From `fixed`, `previous`, or {kind: rolling, length: 4w, offset: 1w}, {kind: seasonal, season: weekday}."""
    if value is None:
        return ReferenceRule()
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise BadInput(f"reference: {value!r} is not one of {', '.join(REFERENCES)}")
    kind = one_of({"reference.kind": value.get("kind")}, "reference.kind", REFERENCES)
    length = delay(value.get("length", "4w"), "reference.length")
    offset = delay(value.get("offset", "0h"), "reference.offset")
    season = one_of({"reference.season": value.get("season", "hour_of_week")}, "reference.season", SEASONS)
    return ReferenceRule(
        kind=cast(Any, kind), length_s=length or 0.0, offset_s=offset or 0.0, season=cast(Any, season)
    )


def share(mapping: Mapping[str, Any], key: str, default: float) -> float:
    value = mapping.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadInput(f"{key}: {value!r} is not a number between 0 and 1")
    return float(value)


def whole(mapping: Mapping[str, Any], key: str, default: int) -> int:
    value = mapping.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{key}: {value!r} is not a whole number of at least 1")
    return value


def quiet_hours(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _HOURS.match(value) is None:
        raise BadInput(f"quiet: write the hours without traffic as 22:00-05:00, not {value!r}")
    return value


def delay(value: Any, key: str = "label_delay") -> float | None:
    """Seconds."""
    if value is None:
        return None
    match = _DELAY.match(str(value))
    if match is None:
        raise BadInput(f"{key}: {value!r} is not a duration; write it as 30min, 12h, 2d or 1w")
    return float(match[1]) * _DELAY_S[match[2]]


def live_window(value: Any, window: str) -> str | None:
    if value is None:
        return None
    if value not in SIZES or window not in SIZES or SIZES.index(value) >= SIZES.index(window):
        raise BadInput(
            f"live_window: {value!r} is not one of {', '.join(SIZES)} that is shorter than window {window}"
        )
    return str(value)


def timezone(value: Any) -> str:
    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder name an OSError
        raise BadInput(f"timezone: {value!r} is not a known zone; write it as Europe/Paris or UTC") from None
    return str(value)


def _positive(mapping: Mapping[str, Any], key: str) -> float:
    value = mapping[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise BadInput(f"budget.{key}: {value!r} is not a number above 0")
    return float(value)
