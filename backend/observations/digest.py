"""The digest of what a caller supplied: the same for JSON, Parquet and gateway rows of equal values.

Canonical text of a row: a scheme mark, then one part for each column that is not null; supplied columns in
the fixed order of `schema`, then features sorted by name:

    <bytes in name>:<name>i<integer>;            integers; times as microseconds since 1970
    <bytes in name>:<name>n<IEEE 754 bits as a signed 64-bit integer>;      numbers, -0.0 as 0.0
    <bytes in name>:<name>s<bytes in value>:<value>;                        text, UTF-8

Lengths make it unambiguous; leaving nulls out keeps digests stable when the model spec gains a feature. The
digest is the first 32 hex digits of its SHA-256. `ingested_at`, `source` and `day` are not covered.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from functools import cache

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from backend.observations.schema import LABEL_FIELDS, PREDICTION_FIELDS, Kind, Stream

_SCHEME = {"predictions": "p1|", "labels": "l1|"}
_INTEGERS = {"ts", "label_ts", "version"}
_NUMBERS = {"score"}
_PACK_DOUBLE, _UNPACK_INTEGER = struct.Struct("<d").pack, struct.Struct("<q").unpack

Value = str | int | float | None


@cache
def _mark(name: str) -> str:
    return f"{len(name.encode())}:{name}"


@cache
def _supplied(stream: Stream) -> tuple[tuple[str, str], ...]:
    fields = PREDICTION_FIELDS if stream == "predictions" else LABEL_FIELDS
    return tuple((name, "i" if name in _INTEGERS else "n" if name in _NUMBERS else "s") for name in fields)


def row_digest(stream: Stream, row: Mapping[str, Value], features: Mapping[str, float | str | None]) -> str:
    """Digest of one canonical row: times are integer microseconds, `features` hold floats and text."""
    parts = [_SCHEME[stream]]
    for name, code in _supplied(stream):
        value = row.get(name)
        if value is None:
            continue
        if code == "i":
            parts.append(f"{_mark(name)}i{value};")
        elif code == "n":
            parts.append(f"{_mark(name)}n{_bits(value)};")  # type: ignore[arg-type]
        else:
            parts.append(f"{_mark(name)}s{len(value.encode())}:{value};")  # type: ignore[union-attr]
    for name in sorted(features):
        feature = features[name]
        if feature is None:
            continue
        if isinstance(feature, str):
            parts.append(f"{_mark(name)}s{len(feature.encode())}:{feature};")
        else:
            parts.append(f"{_mark(name)}n{_bits(feature)};")
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def _bits(value: float) -> int:
    bits: int = _UNPACK_INTEGER(_PACK_DOUBLE(value + 0.0))[0]
    return bits


def table_digests(stream: Stream, table: pa.Table, features: Mapping[str, Kind]) -> pa.ChunkedArray:
    """The same digests for a whole canonical table, in its order. About 0.3 s for 100,000 rows of 12 features."""
    columns = [
        *_supplied(stream),
        *((name, "n" if features[name] == "numeric" else "s") for name in sorted(features)),
    ]
    arrays: dict[str, pa.ChunkedArray] = {}
    terms = [f"'{_SCHEME[stream]}'"]
    for position, (name, code) in enumerate(columns):
        column = table.column(name)
        if column.null_count == len(column):
            continue
        alias = f"c{position}"
        arrays[alias] = (
            _bit_column(column) if code == "n" else column.cast(pa.int64()) if code == "i" else column
        )
        mark = _mark(name).replace("'", "''")
        part = [f"'{mark}{code}'", f"{alias}::VARCHAR", "';'"]
        if code == "s":
            part = [f"'{mark}s'", f"strlen({alias})::VARCHAR", "':'", alias, "';'"]
        # `||` with a null is null, which concat leaves out; without nulls plain arguments are faster
        terms.extend([" || ".join(part)] if column.null_count else part)
    # batches let DuckDB use every core; it keeps their order
    canonical = pa.Table.from_batches(pa.table(arrays).to_batches(max_chunksize=16_384))
    with duckdb.connect() as connection:
        connection.register("canonical", canonical)
        digests = connection.sql(f"SELECT sha256(concat({', '.join(terms)}))[:32] AS d FROM canonical")  # noqa: S608
        return digests.to_arrow_table().column("d")


def _bit_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    positive_zero = pc.add(column, pa.scalar(0.0, pa.float64()))
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in positive_zero.chunks], pa.int64())
