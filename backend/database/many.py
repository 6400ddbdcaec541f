"""Conditions about any number of names: a database takes so many parameters to a statement, and SQLite an expression of
1,000 levels, of which every `OR` beside another is one."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final, Self

from sqlalchemy import Boolean, ColumnElement, Text, bindparam, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

FEW: Final = 100
"""Up to so many values are bound one by one, which lets a planner count them."""


class _Condition(FunctionElement[bool]):
    """Stands beside `AND` and `OR` as it is: `= 1` after it would keep indexes from being used."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Self:
        return self


class _Among(_Condition):
    """Whether a column is one of the texts of a JSON list, which is one parameter whatever its length."""

    inherit_cache = True
    kind = "TEXT"


class _AmongNumbers(_Among):
    """The same of whole numbers."""

    inherit_cache = True
    kind = "BIGINT"


class _Apart(_Condition):
    """A condition in brackets that `or_` does not take for terms of its own."""

    inherit_cache = True


class FirstPart(FunctionElement[str]):
    """What stands before the first `/` of a text; all of it where there is none."""

    type = Text()
    inherit_cache = True


@compiles(_Among, "sqlite")
def _among_on_sqlite(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"  # noqa: S608 - both are rendered, values bound


@compiles(_Among)
def _among_on_postgresql(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    rows = f"json_array_elements_text(CAST({values} AS json))"
    return f"({column} IN (SELECT CAST(listed AS {element.kind}) FROM {rows} AS listed))"  # noqa: S608


@compiles(_Apart)
def _in_brackets(element: _Apart, compiler: Any, **options: Any) -> str:
    (condition,) = (compiler.process(one, **options) for one in element.clauses)
    return f"({condition})"


@compiles(FirstPart, "sqlite")
def _first_part_on_sqlite(element: FirstPart, compiler: Any, **options: Any) -> str:
    (text,) = (compiler.process(one, **options) for one in element.clauses)
    return f"substr({text}, 1, instr({text} || '/', '/') - 1)"


@compiles(FirstPart)
def _first_part_on_postgresql(element: FirstPart, compiler: Any, **options: Any) -> str:
    (text,) = (compiler.process(one, **options) for one in element.clauses)
    return f"split_part({text}, '/', 1)"


def among(column: Any, values: Collection[str] | Collection[int]) -> ColumnElement[bool]:
    """`column IN values`, for any number of values."""
    if len(values) <= FEW:
        bound: ColumnElement[bool] = column.in_(list(values))
        return bound
    numbers = isinstance(next(iter(values)), int)
    listed = bindparam(None, json.dumps(list(values)), Text, unique=True)
    return (_AmongNumbers if numbers else _Among)(column, listed)


def any_of(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """`or_` of one condition or more, as deep as the logarithm of their number."""
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return or_(_Apart(any_of(conditions[:half])), _Apart(any_of(conditions[half:])))
