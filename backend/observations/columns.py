"""Vectorised reading and checking of Arrow columns. Failures are `BadRow` naming the first bad row.

The scalar rules in `validation` state the same; what both say to the user is here once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import BadInput
from backend.observations.schema import TIME

EXACT: Final = 2.0**53  # whole numbers below are exact in a double
NOT_FINITE: Final = "is infinite; it must be a finite number or null"
NOT_A_CATEGORY: Final = "is a number with a fraction; a category is text, a whole number, true or false"
TIME_RULE: Final = "write a time with its zone, such as 2026-03-01T09:05:00Z"
NO_ZONE: Final = f"has no time zone; {TIME_RULE}"
LABEL_RULE: Final = 'status "known" goes with a label, "will_not_come" without one'


class BadRow(BadInput):
    """One row made the whole batch unacceptable. `row_number` counts from 0."""

    title = "Bad row"

    def __init__(self, row_number: int, column: str, reason: str) -> None:
        super().__init__(
            f"row {row_number} (counted from 0), column {column!r}: {reason}. The whole batch was refused and "
            "nothing was stored",
            row_number=row_number,
            column=column,
            reason=reason,
        )
        self.row_number, self.column, self.reason = row_number, column, reason


def bad(row_number: int, column: str, reason: str) -> NoReturn:
    """Raise `BadRow`."""
    raise BadRow(row_number, column, reason)


def describe(value: Any) -> str:
    """What a JSON value is, for a message."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


def too_long(limit: int) -> str:
    return f"is longer than {limit} characters"


def repeated(prediction_id: str, first: int) -> str:
    return f"{prediction_id!r} is also the id of row {first} of this batch"


def number_text(value: float) -> str:
    """A number with a fraction, or a very large one, as Arrow writes it, so that both paths agree."""
    text: str = pa.scalar(value, pa.float64()).cast(pa.string()).as_py()
    return text


def parse_time(text: str) -> datetime:
    """ISO 8601 to a time. Raises `ValueError` with a reason for the user."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time; {TIME_RULE}") from None


def times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Timestamps with a zone, or ISO 8601 text, as UTC microseconds."""
    type_ = column.type
    if pa.types.is_null(type_):
        return column.cast(TIME)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return _parsed_times(column, name)
    if not pa.types.is_timestamp(type_):
        bad(_first_filled(column), name, f"the column has type {type_}; {TIME_RULE}")
    if type_.tz is None:
        bad(_first_filled(column), name, NO_ZONE)
    try:
        return column.cast(TIME, safe=type_.unit in ("s", "ms"))
    except pa.ArrowInvalid:
        bad(0, name, f"holds times beyond the years that microseconds can express; {TIME_RULE}")


def _parsed_times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    moments: list[datetime | None] = []
    for number, text in enumerate(column.to_pylist()):
        try:
            moment = None if text is None else parse_time(text)
        except ValueError as reason:
            bad(number, name, str(reason))
        if moment is not None and moment.tzinfo is None:
            bad(number, name, NO_ZONE)
        moments.append(moment)
    return pa.chunked_array([pa.array(moments, TIME)], TIME)


def integers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Whole numbers as int64; a float column (a nullable integer column of pandas) must hold whole numbers."""
    type_ = column.type
    if pa.types.is_floating(type_):
        column = numbers(column, name)
        _refuse(pc.not_equal(column, pc.trunc(column)), name, "is not a whole number")
        _refuse(pc.greater_equal(pc.abs(column), EXACT), name, "is too large")
    elif not (pa.types.is_integer(type_) or pa.types.is_null(type_)):
        bad(_first_filled(column), name, f"the column has type {type_}; it must hold whole numbers")
    return column.cast(pa.int64(), safe=not pa.types.is_uint64(type_))


def numbers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Any numeric column as finite doubles; NaN becomes null."""
    type_ = column.type
    numeric = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    if not (numeric or pa.types.is_null(type_)):
        bad(_first_filled(column), name, f"the column has type {type_}; it must hold numbers")
    doubles = column.cast(pa.float64(), safe=False)
    if pa.types.is_floating(type_):
        unknown = pc.is_nan(doubles)
        if pc.any(unknown).as_py():
            doubles = pc.if_else(unknown, pa.scalar(None, pa.float64()), doubles)
        _refuse(pc.is_inf(doubles), name, NOT_FINITE)
    return doubles


def texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A text column as valid UTF-8 `string`."""
    type_ = column.type
    if pa.types.is_dictionary(type_):
        column = column.cast(type_.value_type)
        type_ = column.type
    if not (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
        or pa.types.is_null(type_)
    ):
        bad(_first_filled(column), name, f"the column has type {type_}; it must hold text")
    column = column.cast(pa.string())
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        for number, value in enumerate(column):
            try:
                value.as_py()
            except UnicodeDecodeError:
                bad(number, name, "is not valid UTF-8")
        raise
    return column


def categories(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Text, whole numbers or booleans as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = numbers(column, name)
        fraction = pc.or_(pc.not_equal(column, pc.trunc(column)), pc.greater_equal(pc.abs(column), EXACT))
        _refuse(fraction, name, NOT_A_CATEGORY)
        return column.cast(pa.int64()).cast(pa.string())
    return _discrete_texts(column, name)


def plain_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Predictions and labels: text, numbers or booleans as text; whole numbers without a fraction."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return _discrete_texts(column, name)
    column = numbers(column, name)
    whole = pc.and_(pc.equal(column, pc.trunc(column)), pc.less(pc.abs(column), EXACT))
    as_integer = pc.if_else(whole, column, pa.scalar(0.0, pa.float64())).cast(pa.int64()).cast(pa.string())
    return pc.if_else(whole, as_integer, column.cast(pa.string()))


def _discrete_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return texts(column, name)


def fill(column: pa.ChunkedArray, default: str) -> pa.ChunkedArray:
    """Null and empty text replaced by the default."""
    blank = pc.or_kleene(pc.is_null(column), pc.equal(column, ""))
    return pc.if_else(blank, pa.scalar(default), column) if pc.any(blank).as_py() else column


def require(column: pa.ChunkedArray, name: str) -> None:
    if column.null_count:
        _refuse(pc.is_null(column), name, "is missing")


def require_text(column: pa.ChunkedArray, name: str) -> None:
    require(column, name)
    _refuse(pc.equal(column, ""), name, "is missing")


def require_ids(column: pa.ChunkedArray) -> None:
    """Ids are there, and each once."""
    require_text(column, "prediction_id")
    if len(column) and pc.count_distinct(column).as_py() != len(column):
        seen: dict[str, int] = {}
        for number, prediction_id in enumerate(column.to_pylist()):
            first = seen.setdefault(prediction_id, number)
            if first != number:
                bad(number, "prediction_id", repeated(prediction_id, first))


def require_between(
    column: pa.ChunkedArray, name: str, low: Any, high: Any, reason: Callable[[Any], str]
) -> None:
    """Every value that is not null lies within [low, high]."""
    low, high = (pa.scalar(bound, column.type) for bound in (low, high))
    outside = pc.or_(pc.less(column, low), pc.greater(column, high))
    number = _first(outside)
    if number is not None:
        bad(number, name, reason(column[number].as_py()))


def require_member(column: pa.ChunkedArray, name: str, allowed: Sequence[str]) -> None:
    require_text(column, name)
    number = _first(pc.invert(pc.is_in(column, value_set=pa.array(allowed, pa.string()))))
    if number is not None:
        bad(number, name, f"{column[number].as_py()!r} is not one of {', '.join(allowed)}")


def require_some(first: pa.ChunkedArray, second: pa.ChunkedArray, name: str, reason: str) -> None:
    if first.null_count and second.null_count:
        _refuse(pc.and_(pc.is_null(first), pc.is_null(second)), name, reason)


def require_label(label: pa.ChunkedArray, status: pa.ChunkedArray) -> None:
    _refuse(pc.xor(pc.is_valid(label), pc.equal(status, "known")), "label", LABEL_RULE)


def require_short(column: pa.ChunkedArray, name: str, limit: int) -> None:
    _refuse(pc.greater(pc.utf8_length(column), limit), name, too_long(limit))


def _refuse(mask: pa.ChunkedArray, name: str, reason: str) -> None:
    number = _first(mask)
    if number is not None:
        bad(number, name, reason)


def _first(mask: pa.ChunkedArray) -> int | None:
    """Position of the first true value."""
    if not pc.any(mask).as_py():
        return None
    return int(np.argmax(pc.fill_null(mask, False).to_numpy(zero_copy_only=False)))


def _first_filled(column: pa.ChunkedArray) -> int:
    return _first(pc.is_valid(column)) or 0
