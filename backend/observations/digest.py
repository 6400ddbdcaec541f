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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from backend.observations.schema import LABEL_FIELDS, PREDICTION_FIELDS, Kind, Stream

_SCHEME = {"predictions": "p1|", "labels": "l1|"}
_INTEGERS = {"ts", "label_ts", "version"}
_NUMBERS = {"score"}
_PART_ROWS: Final = 16_384
_PART_BYTES: Final = 256 << 20
_THREADS: Final = 2  # hashing holds the interpreter's lock, so that more do not help
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
    """The same digests for a whole canonical table, in its order. About 0.2 s for 100,000 rows of 12 features."""
    columns = [
        *_supplied(stream),
        *((name, "n" if features[name] == "numeric" else "s") for name in sorted(features)),
    ]
    present = [(name, code) for name, code in columns if table.column(name).null_count < len(table)]
    written = table.select([name for name, _ in present])
    # what the canonical text adds to the values: at most 20 characters of a number, or a length before a text
    added = sum(len(_mark(name).encode()) + 24 for name, _ in present)
    rows = max(1, min(_PART_ROWS, _PART_BYTES // max(added, 1)))
    parts = [part for batch in written.to_batches(max_chunksize=rows) for part in _halved(batch)]
    if len(parts) == 1:
        return pa.chunked_array([_digests(stream, parts[0], present)])
    # Arrow writes the text without the interpreter's lock while another part is hashed
    with ThreadPoolExecutor(min(_THREADS, max(len(parts), 1))) as threads:
        return pa.chunked_array(threads.map(lambda part: _digests(stream, part, present), parts), pa.string())


def _halved(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Parts whose canonical text stays within Arrow's 2 GiB for one array."""
    if batch.nbytes <= _PART_BYTES or len(batch) == 1:
        return [batch]
    middle = len(batch) // 2
    return [*_halved(batch.slice(0, middle)), *_halved(batch.slice(middle))]


def _digests(stream: Stream, part: pa.RecordBatch, columns: Sequence[tuple[str, str]]) -> pa.Array:
    """Digests of a part, from its canonical texts."""
    terms: list[Any] = []
    between = _SCHEME[stream]  # constants between two values are joined beforehand
    for name, code in columns:
        column = part.column(name)
        mark = f"{_mark(name)}{code}"
        if code == "n":
            values = [pc.add(column, 0.0).view(pa.int64()).cast(pa.string())]
        elif code == "i":
            values = [column.cast(pa.int64()).cast(pa.string())]
        else:
            values = [pc.binary_length(column).cast(pa.string()), ":", column]
        if column.null_count:  # a null leaves out its whole term
            if between:
                terms.append(between)
            terms.append(pc.binary_join_element_wise(mark, *values, ";", ""))
            between = ""
        else:
            terms += [between + mark, *values]
            between = ";"
    terms.append(between)
    texts = pc.binary_join_element_wise(*terms, "", null_handling="skip").cast(pa.binary())
    sha256 = hashlib.sha256
    return pa.array([sha256(text).hexdigest()[:32] for text in texts.to_pylist()], pa.string())
