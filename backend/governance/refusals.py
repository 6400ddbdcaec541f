"""Why a document is refused, in words that say what to write instead of what a validator checked."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def reason_of(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with one part of a document of `model`, and what could stand there."""
    if error["type"] == "extra_forbidden":
        return _no_such_key(str(error["loc"][-1]), _keys_at(model, error["loc"]))
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] == "too_short":
        return f"it needs at least {error['ctx']['min_length']}"
    if error["type"] == "too_long":
        return f"it has more than {error['ctx']['max_length']}, which is the most"
    message = error["msg"].removeprefix("Value error, ").split(", unable to parse")[0]
    if not message.startswith("Input should be"):
        return message
    given = error["input"]
    told = f", not {given!r}" if isinstance(given, (str, int, float, bool)) else ""
    return message.replace("Input should be", "it has to be", 1) + told


def _no_such_key(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"there is no key {name!r} here; did you mean {near[0]!r}?"
    return f"there is no key {name!r} here" + (f"; there are {', '.join(known)}" if known else "")


def _keys_at(model: type[BaseModel], place: Sequence[object]) -> list[str]:
    """The keys of the mapping in which a path ends; none where that is no mapping of known keys."""
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        below = next((one for name, one in model.model_fields.items() if part in (one.alias, name)), None)
        inner = _model_in(below.annotation) if below is not None else None
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field: itself, or the one in its tuple or union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
