"""A payload becomes a canonical table, or is refused whole with the row, the column and the reason.

Two implementations of one set of rules: `prediction_row` and `label_row` for single JSON objects (the
gateway's path, tens of microseconds) and column expressions for Arrow tables (bulk). A property test holds
them equal. What is accepted for each column:

    prediction_id, environment, role, status    text
    ts, label_ts    a time with a zone (ISO 8601 text, or an Arrow timestamp); kept in microseconds, UTC
    version         a whole number from 1
    score           a finite number; within [0, 1] for a binary task; NaN in a table is null
    prediction, label    text, a number (a whole one is written without ".0"), true or false
    numeric features     finite numbers; NaN is null; infinity is refused
    categorical features    text, whole numbers, true or false (written as text)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from backend.errors import BadInput
from backend.observations import columns
from backend.observations.columns import BadRow as BadRow
from backend.observations.digest import row_digest, table_digests
from backend.observations.schema import (
    KIND_TYPES,
    LABEL_FIELDS,
    PREDICTION_FIELDS,
    ROLES,
    STATUSES,
    Kind,
    Stream,
    Task,
    check_features,
)

MAX_ROWS: Final = 1_000_000
MAX_TEXT: Final = 1024
MAX_AHEAD: Final = timedelta(minutes=5)
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DEFAULTS: Final = {"environment": "production", "role": "champion"}
_MICROSECOND: Final = timedelta(microseconds=1)

Row = dict[str, Any]


def prediction_batch(
    features: Mapping[str, Kind],
    payload: pa.Table | Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    task: Task = "binary",
    max_rows: int = MAX_ROWS,
) -> pa.Table:
    """Canonical predictions: the columns of `PREDICTION_FIELDS`, every feature, and `row_digest`.

    JSON objects give features flat or under "features"; a feature that is absent or null is null. `injected`,
    `score` and `prediction` may be absent (not both of the last two); `environment` defaults to production and
    `role` to champion. Raises `BadRow`, or `BadInput` for a payload that is wrong as a whole.
    """
    check_features(features)
    types = {**PREDICTION_FIELDS, **{name: KIND_TYPES[kind] for name, kind in features.items()}}
    if not isinstance(payload, pa.Table):
        rows = _each_row(payload, lambda row: prediction_row(features, row, now=now, task=task), max_rows)
        flat = [{**row, **row["features"]} for row in rows]
        return _table_of_rows(flat, types)
    _check_shape(payload, types, ("prediction_id", "ts", "version"), max_rows)
    out: dict[str, Any] = {}
    for name in types:
        given = payload.column(name) if name in payload.column_names else None
        if given is None:
            default = pa.scalar(_DEFAULTS.get(name), types[name])
            out[name] = pa.chunked_array([pa.repeat(default, len(payload))], types[name])
        elif name in ("ts", "version"):
            out[name] = columns.times(given, name) if name == "ts" else columns.integers(given, name)
        elif name == "score" or features.get(name) == "numeric":
            out[name] = columns.numbers(given, name)
        elif name in features:
            out[name] = columns.categories(given, name)
        elif name == "prediction":
            out[name] = columns.plain_texts(given, name)
        else:
            out[name] = columns.texts(given, name)
    for name, default in _DEFAULTS.items():
        out[name] = columns.fill(out[name], default)
    columns.require_ids(out["prediction_id"])
    for name in ("ts", "version"):
        columns.require(out[name], name)
    columns.require_between(out["ts"], "ts", EARLIEST, now + MAX_AHEAD, _time_reason)
    columns.require_between(
        out["version"], "version", 1, 2**31 - 1, lambda _: "a version is a whole number from 1"
    )
    out["version"] = out["version"].cast(pa.int32())
    columns.require_member(out["role"], "role", ROLES)
    columns.require_text(out["environment"], "environment")
    columns.require_some(out["score"], out["prediction"], "score", "score and prediction are both missing")
    if task == "binary":
        columns.require_between(
            out["score"], "score", 0.0, 1.0, lambda _: "a binary score lies within 0 and 1"
        )
    for name, kind in types.items():
        if kind == pa.string():
            columns.require_short(out[name], name, MAX_TEXT)
    table = pa.table(out, pa.schema(list(types.items())))
    return table.append_column("row_digest", table_digests("predictions", table, features))


def label_batch(
    payload: pa.Table | Sequence[Mapping[str, Any]], *, now: datetime, max_rows: int = MAX_ROWS
) -> pa.Table:
    """Canonical labels: the columns of `LABEL_FIELDS` and `row_digest`. Raises `BadRow` or `BadInput`.

    `status` is "known" with a label, or "will_not_come" without one.
    """
    if not isinstance(payload, pa.Table):
        return _table_of_rows(_each_row(payload, lambda row: label_row(row, now=now), max_rows), LABEL_FIELDS)
    _check_shape(payload, LABEL_FIELDS, ("prediction_id", "status", "label_ts"), max_rows)
    label = (
        payload.column("label") if "label" in payload.column_names else pa.nulls(len(payload), pa.string())
    )
    out = {
        "prediction_id": columns.texts(payload.column("prediction_id"), "prediction_id"),
        "label": columns.plain_texts(
            pa.chunked_array([label]) if isinstance(label, pa.Array) else label, "label"
        ),
        "status": columns.texts(payload.column("status"), "status"),
        "label_ts": columns.times(payload.column("label_ts"), "label_ts"),
    }
    columns.require_ids(out["prediction_id"])
    columns.require_member(out["status"], "status", STATUSES)
    columns.require_label(out["label"], out["status"])
    columns.require(out["label_ts"], "label_ts")
    columns.require_between(out["label_ts"], "label_ts", EARLIEST, now + MAX_AHEAD, _time_reason)
    for name in ("prediction_id", "label"):
        columns.require_short(out[name], name, MAX_TEXT)
    table = pa.table(out, pa.schema(list(LABEL_FIELDS.items())))
    return table.append_column("row_digest", table_digests("labels", table, {}))


def prediction_row(
    features: Mapping[str, Kind],
    given: Mapping[str, Any],
    *,
    now: datetime,
    task: Task = "binary",
    number: int = 0,
) -> Row:
    """One canonical prediction: supplied fields (times as integer microseconds), `features` without nulls, digest.

    The gateway calls this before `SpoolLog.append`. Raises `BadRow` with `number` as the row number.
    """
    read = _Reader(given, number)
    nested = given.get("features")
    if nested is not None and not isinstance(nested, Mapping):
        raise BadRow(number, "features", "must be an object of feature names and values")
    for name in given:
        if name not in PREDICTION_FIELDS and name not in features and name != "features":
            raise BadRow(number, str(name), unknown_column(features))
    row: Row = {
        "prediction_id": read.needed("prediction_id", _text),
        "ts": read.needed("ts", lambda value: _time(value, now)),
        "version": read.needed("version", _version),
        "environment": read.optional("environment", _text_or_blank) or _DEFAULTS["environment"],
        "role": read.optional("role", _text_or_blank) or _DEFAULTS["role"],
        "injected": read.optional("injected", _text_or_blank),
        "score": read.optional("score", _number),
        "prediction": read.optional("prediction", _plain_text),
    }
    if row["role"] not in ROLES:
        raise BadRow(number, "role", f"{row['role']!r} is not one of {', '.join(ROLES)}")
    if row["score"] is None and row["prediction"] is None:
        raise BadRow(number, "score", "score and prediction are both missing")
    if task == "binary" and row["score"] is not None and not 0.0 <= row["score"] <= 1.0:
        raise BadRow(number, "score", "a binary score lies within 0 and 1")
    values: dict[str, float | str] = {}
    for source in (given, nested or {}):
        for name, value in source.items():
            if name in PREDICTION_FIELDS or (name == "features" and source is given):
                if source is given:
                    continue
                raise BadRow(number, name, 'is not a feature; move it out of "features"')
            kind = features.get(name)
            if kind is None:
                raise BadRow(number, str(name), unknown_column(features))
            if name in values or (source is nested and name in given):
                raise BadRow(number, name, 'is given twice, flat and under "features"')
            if value is not None:
                kept = read.converted(name, value, _number if kind == "numeric" else _category)
                if kept is not None:
                    values[name] = kept
    row["features"] = values
    row["row_digest"] = row_digest("predictions", row, values)
    return row


def label_row(given: Mapping[str, Any], *, now: datetime, number: int = 0) -> Row:
    """One canonical label with its digest; `label_ts` as integer microseconds. Raises `BadRow`."""
    read = _Reader(given, number)
    for name in given:
        if name not in LABEL_FIELDS:
            raise BadRow(number, str(name), f"unknown column; labels have {', '.join(LABEL_FIELDS)}")
    row: Row = {
        "prediction_id": read.needed("prediction_id", _text),
        "label": read.optional("label", _plain_text),
        "status": read.needed("status", _text),
        "label_ts": read.needed("label_ts", lambda value: _time(value, now)),
    }
    if row["status"] not in STATUSES:
        raise BadRow(number, "status", f"{row['status']!r} is not one of {', '.join(STATUSES)}")
    if (row["label"] is not None) != (row["status"] == "known"):
        raise BadRow(number, "label", columns.LABEL_RULE)
    row["row_digest"] = row_digest("labels", row, {})
    return row


def unknown_column(features: Mapping[str, Kind]) -> str:
    """Why an unknown column is refused, naming what there is."""
    return f"unknown column; predictions have {', '.join(PREDICTION_FIELDS)} and the features {', '.join(features)}"


def rows_to_table(stream: Stream, rows: Sequence[Row], extra: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows as `prediction_row` and `label_row` return them, read back from a log, as a table.

    Feature types follow the values: a spec is not needed to read a log. `extra` names further scalar columns.
    """
    types = dict(PREDICTION_FIELDS if stream == "predictions" else LABEL_FIELDS)
    for row in rows:
        for name, value in row.get("features", {}).items():
            types[name] = pa.string() if isinstance(value, str) else pa.float64()
    flat = [{**row, **row.get("features", {})} for row in rows]
    return _table_of_rows(flat, {**types, **extra}, unique=False)


class _Reader:
    """Reads the fields of one JSON object; failures become `BadRow`."""

    def __init__(self, given: Mapping[str, Any], number: int) -> None:
        self.given, self.number = given, number

    def converted(self, name: str, value: Any, convert: Callable[[Any], Any]) -> Any:
        try:
            return convert(value)
        except ValueError as reason:
            raise BadRow(self.number, name, str(reason)) from None

    def optional(self, name: str, convert: Callable[[Any], Any]) -> Any:
        value = self.given.get(name)
        return None if value is None else self.converted(name, value, convert)

    def needed(self, name: str, convert: Callable[[Any], Any]) -> Any:
        value = self.given.get(name)
        if value is None:
            raise BadRow(self.number, name, "is missing")
        return self.converted(name, value, convert)


def _text_or_blank(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {columns.describe(value)}; it must be text")  # noqa: TRY004 - a user's error
    if len(value) > MAX_TEXT:
        raise ValueError(columns.too_long(MAX_TEXT))
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is not text") from None
    return value


def _text(value: Any) -> str:
    text = _text_or_blank(value)
    if not text:
        raise ValueError("is missing")
    return text


def _version(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ValueError("a version is a whole number from 1")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {columns.describe(value)}; it must be a number")  # noqa: TRY004 - a user's error
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number != number:
        return None
    if number in (float("inf"), float("-inf")):
        raise ValueError(columns.NOT_FINITE)
    return number


def _whole_as_text(value: float) -> str | None:
    return str(int(value)) if abs(value) < columns.EXACT and value == int(value) else None


def _category(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer_text(value)
    if isinstance(value, float):
        if value != value:
            return None
        text = None if value in (float("inf"), float("-inf")) else _whole_as_text(value)
        if text is None:
            raise ValueError(columns.NOT_A_CATEGORY)
        return text
    return _text_or_blank(value)


def _plain_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer_text(value)
    if isinstance(value, float):
        number = _number(value)
        return None if number is None else _whole_as_text(number) or columns.number_text(number)
    return _text_or_blank(value)


def _integer_text(value: int) -> str:
    if not -(2**63) <= value < 2**63:
        raise ValueError("is a whole number beyond 64 bits")
    return str(value)


def _time(value: Any, now: datetime) -> int:
    if isinstance(value, str):
        value = columns.parse_time(value)
    elif not isinstance(value, datetime):
        raise ValueError(f"is {columns.describe(value)}; {columns.TIME_RULE}")  # noqa: TRY004 - a user's error
    if value.tzinfo is None:
        raise ValueError(columns.NO_ZONE)
    if not EARLIEST <= value <= now + MAX_AHEAD:
        raise ValueError(_time_reason(value))
    moment: datetime = value
    return (moment - _EPOCH) // _MICROSECOND


def _time_reason(value: Any) -> str:
    if value < EARLIEST:
        return f"{value.isoformat()} is before 1990; check the unit"
    return f"{value.isoformat()} is more than 5 minutes in the future"


def _each_row(payload: Any, convert: Callable[[Mapping[str, Any]], Row], max_rows: int) -> list[Row]:
    if isinstance(payload, str | bytes | Mapping) or not isinstance(payload, Sequence):
        raise BadInput("the body must be a list of objects")
    _check_count(len(payload), max_rows)
    rows: list[Row] = []
    for number, given in enumerate(payload):
        if not isinstance(given, Mapping):
            raise BadRow(number, "", f"is {columns.describe(given)}; it must be an object")
        try:
            rows.append(convert(given))
        except BadRow as bad:
            raise BadRow(number, bad.column, bad.reason) from None
    return rows


def _check_count(count: int, max_rows: int) -> None:
    if count > max_rows:
        raise BadInput(
            f"{count:,} rows in one batch; the limit is {max_rows:,}: send it in parts", rows=count
        )


def _check_shape(
    table: pa.Table, known: Mapping[str, pa.DataType], needed: Sequence[str], max_rows: int
) -> None:
    _check_count(len(table), max_rows)
    for name in table.column_names:
        if name not in known:
            raise BadRow(0, name, f"unknown column; there are {', '.join(known)}")
    if len(set(table.column_names)) != len(table.column_names):
        raise BadInput("two columns of the file have the same name")
    for name in needed:
        if name not in table.column_names:
            raise BadRow(0, name, "is missing")


def _table_of_rows(rows: Sequence[Row], types: Mapping[str, pa.DataType], *, unique: bool = True) -> pa.Table:
    if unique:
        seen: dict[str, int] = {}
        for number, row in enumerate(rows):
            first = seen.setdefault(row["prediction_id"], number)
            if first != number:
                raise BadRow(number, "prediction_id", columns.repeated(row["prediction_id"], first))
    types = {**types, "row_digest": pa.string()}
    return pa.table({name: pa.array([row.get(name) for row in rows], type_) for name, type_ in types.items()})
