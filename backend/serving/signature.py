"""What an artefact itself says about its inputs: MLflow's model signature, the columns and their types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from backend.observations.columns import EXACT, describe
from backend.observations.schema import Kind
from backend.serving.errors import NotLoadable

Signature = Mapping[str, str]  # column -> MLflow's type: double, long, string ...

WHOLE: Final = frozenset({"integer", "long"})
_TYPES_OF: Final[Mapping[Kind, frozenset[str]]] = {
    "numeric": frozenset({"double", "float", "integer", "long", "boolean"}),
    "categorical": frozenset({"string"}),
}
LONGEST_SHOWN: Final = 40


def read_signature(description: Mapping[str, Any]) -> Signature:
    """From the content of an `MLmodel` file; empty without a signature, or where it is one of tensors."""
    inputs = (description.get("signature") or {}).get("inputs")
    try:
        columns = json.loads(inputs) if isinstance(inputs, str) else inputs or []
        return {str(one["name"]): str(one["type"]) for one in columns if one["type"] != "tensor"}
    except (ValueError, KeyError, TypeError) as failure:
        raise NotLoadable(f"the signature in the artefact's MLmodel does not read: {failure}") from None


def check_signature(signature: Signature, features: Mapping[str, Kind]) -> None:
    """Raise `NotLoadable` where signature and spec contradict each other: the model would get what it refuses."""
    for name, type_ in signature.items():
        kind = features.get(name)
        if kind is None:
            raise NotLoadable(
                f"the artefact's signature has {name}, which the model's spec does not declare as a feature"
            )
        if type_ not in _TYPES_OF[kind]:
            raise NotLoadable(f"the artefact's signature has {name} as {type_}, the model's spec as {kind}")


def whole_columns(signature: Signature) -> frozenset[str]:
    """Numeric columns that hold whole numbers and no nulls: what MLflow's integer types can hold."""
    return frozenset(name for name, type_ in signature.items() if type_ in WHOLE)


def expectation(kind: Kind, *, whole: bool) -> str:
    """What a feature's value has to be, in words."""
    if whole:
        return "a whole number (the model's signature has integers, which cannot be null)"
    return "a number or null" if kind == "numeric" else "text, a whole number, true, false or null"


def why_not_whole(value: float | str | None) -> str | None:
    """Why a checked numeric value is none for a column of integers; None where it is."""
    if value is None:
        return "is null; the model's signature has integers here, which cannot be null"
    if isinstance(value, str) or value != int(value) or abs(value) > EXACT:
        return f"is {value}; the model's signature has integers here"
    return None


def shown(value: Any) -> str:
    """What was given, short enough for an answer."""
    if value is None or isinstance(value, bool | list | dict):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else describe(value)
    text = json.dumps(value, ensure_ascii=False)
    short = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
    return f"text {short}" if isinstance(value, str) else short
