"""Pseudonyms in place of declared columns: HMAC-SHA256 under a key of the model, which lies outside store and database.

The same value gives the same pseudonym within a model and another one in every other model. The key is a file in
`WARRANT_HOME/keys` that every process that takes rows in reads; who has only the rows cannot go back to the values,
and cannot try values out either.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from backend.audit.keys import create_secret, keys_folder
from backend.errors import Conflict
from backend.observations.columns import BadRow
from backend.observations.schema import check_model

MARK: Final = "psn_"
_DIGITS: Final = 32  # 128 bits: no two people of a model share one by chance
_MADE: Final = re.compile(rf"{MARK}[0-9a-f]{{{_DIGITS}}}")


def pseudonym(model: str, value: str) -> str:
    """What is stored in the place of `value`; a pseudonym stays what it is, so that rows can be sent again."""
    if _MADE.fullmatch(value):
        return value
    return MARK + hmac.digest(_key(_key_path(model)), value.encode(), "sha256").hex()[:_DIGITS]


def require_key(model: str) -> None:
    """`Conflict` where the model has no key here: one that was lost is not made anew to look for people with, since it
    would find nobody and say so as if nobody were there."""
    path = _key_path(model)
    if not path.is_file():
        raise Conflict(
            f"the key of the pseudonyms of {model} is not at {path}: nobody who is stored under it can be found. Bring "
            "it back from a backup of this home"
        )


def conceal_row(model: str, columns: Collection[str], features: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical features with pseudonyms in the declared columns."""
    return {
        name: pseudonym(model, str(value)) if name in columns and value is not None else value
        for name, value in features.items()
    }


def conceal(
    model: str, columns: Sequence[str], payload: pa.Table | Sequence[Mapping[str, Any]]
) -> pa.Table | Sequence[Any]:
    """A payload of predictions with pseudonyms in the declared columns, before anything else looks at it.

    Raises `BadRow` for a value that is neither text nor a whole number: what it would be stored as is not plain.
    """
    if not columns:
        return payload
    if isinstance(payload, pa.Table):
        for name in columns:
            if name in payload.column_names:
                place = payload.column_names.index(name)
                payload = payload.set_column(place, name, _concealed(model, name, payload.column(name)))
        return payload
    if isinstance(payload, str | bytes | Mapping):
        return payload  # refused further on, with its reason
    return [_object(model, columns, number, one) for number, one in enumerate(payload)]


def _object(model: str, columns: Sequence[str], number: int, given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    made = {name: _value(model, columns, number, name, value) for name, value in given.items()}
    if isinstance(made.get("features"), Mapping):
        inner = made["features"].items()
        made["features"] = {name: _value(model, columns, number, name, value) for name, value in inner}
    return made


def _value(model: str, columns: Sequence[str], number: int, name: str, value: Any) -> Any:
    if name not in columns or value is None:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow(number, name, "is a pseudonymised column: send text or a whole number")
    return pseudonym(model, str(value))


def _concealed(model: str, name: str, column: pa.ChunkedArray) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise BadRow(0, name, f"is a pseudonymised column: send text or whole numbers, not {kind}")
    texts = column.cast(pa.string())
    distinct = pc.unique(texts).drop_null()
    made = pa.array([pseudonym(model, one) for one in distinct.to_pylist()], pa.string())
    return made.take(pc.index_in(texts.combine_chunks(), distinct))


def _key_path(model: str) -> Path:
    return keys_folder() / f"pseudonyms-{check_model(model)}.key"


@cache
def _key(path: Path) -> bytes:
    if not path.exists():
        create_secret(path, secrets.token_bytes(32))
    return path.read_bytes()
