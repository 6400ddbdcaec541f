"""Segments that a version on trial is kept to. Pure.

Written as {column: values} of segment columns that the model's spec declares: a row is of them when one of these
columns has one of its values. Without any, every row is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec

Segments = Mapping[str, Sequence[str]]
MOST_VALUES: Final = 100  # of all columns together


def holds(segments: Segments, features: Mapping[str, Any]) -> bool:
    """Whether a row is of these segments. One whose value is not known is of none."""
    return not segments or any(features.get(column) in values for column, values in segments.items())


def in_words(segments: Segments | None) -> str:
    """`carrier=AA, carrier=UA`, as segments are written everywhere; empty for all rows."""
    return ", ".join(f"{column}={value}" for column, values in (segments or {}).items() for value in values)


def read_segments(written: Sequence[str]) -> dict[str, list[str]]:
    """From `column=value` texts. Raises `BadInput` for one that is something else."""
    found: dict[str, list[str]] = {}
    for text in written:
        column, equals, value = text.partition("=")
        if not (column and equals and value):
            raise BadInput(
                f"{text!r} is no segment; write it as column=value, such as carrier=AA", field="segments"
            )
        found.setdefault(column, []).append(value)
    return found


def check_shape(given: Any) -> dict[str, list[str]]:
    """Segments as somebody wrote them, as plain data. Raises `ValueError` that says what is wrong."""
    if not isinstance(given, Mapping) or not all(isinstance(column, str) for column in given):
        raise ValueError("segments are columns with their values, such as {carrier: [AA, UA]}")
    found: dict[str, list[str]] = {}
    for column, values in given.items():
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"segments: {column} needs a list with at least one value")
        for value in values:
            if not isinstance(value, str) or not value:
                raise ValueError(f"segments: a value of {column} is a text, not {str(value)[:40]!r}")
        found[column] = sorted(set(values))
    if sum(len(values) for values in found.values()) > MOST_VALUES:
        raise ValueError(f"segments name {MOST_VALUES} values at most")
    return dict(sorted(found.items()))


def refuse_unroutable(spec: ModelSpec, segments: Segments) -> None:
    """Raises `BadInput` where a gateway could not tell by a request's row whether it is of these segments."""
    features = {column.name: column.kind for column in spec.features}
    for column in segments:
        why = _why_not(spec, features.get(column), column)
        if why is not None:
            raise BadInput(f"a rollout cannot be kept to {column}: {why}", field="segments")


def routable(spec: ModelSpec) -> list[str]:
    """The columns that a rollout of this model can be kept to."""
    kinds = {column.name: column.kind for column in spec.features}
    return [name for name in spec.segments if _why_not(spec, kinds.get(name), name) is None]


def _why_not(spec: ModelSpec, kind: str | None, column: str) -> str | None:
    if column not in spec.segments:
        declared = f"those are {', '.join(spec.segments)}" if spec.segments else "there is none"
        return f"it is no segment column of the model's spec; {declared}"
    if kind is None:
        return "it is no feature, so a request does not hold it"
    if kind != "categorical":
        return "it is a number; a rollout is kept to values of a categorical column"
    if column in spec.pseudonymise:
        return "it is stored as a pseudonym, and a plan would hold its values as they are"
    return None
