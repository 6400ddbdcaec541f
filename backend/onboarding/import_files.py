"""The rows of an import as one Parquet file of typed columns, in batches, and the files of the version it registers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backend.durable import durable_folder, sync_file, sync_folder, write_text
from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.proposals import group_of
from backend.observations.schema import TIME
from backend.onboarding.document import ROLES, HistoryPart
from backend.onboarding.source_files import names_of, open_rows, quoted
from backend.settings import settings

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS: Final = 20_000
NUMBER: Final = "warrant_row"


@dataclass(frozen=True)
class Prepared:
    """What lies ready. batches: row groups of the file; first, last: times of the oldest and newest row."""

    rows: int
    batches: int


def prepared_path(history: str) -> Path:
    """Where the rows of an import lie until it is over."""
    folder = durable_folder(settings().resolved_home() / "jobs" / "imports")
    return folder / f"{history.removeprefix('sha256:')}.parquet"


def prepare_rows(source: Path, history: HistoryPart, spec: ModelSpec, target: Path) -> Prepared:
    """Write the rows to `target`, `BATCH_ROWS` in a row group and never more in memory. Again: the same file.

    Raises `BadInput` for a column that is not there, or whose values cannot be what the document says.
    """
    table = open_rows(source)
    chosen = table.project(_picks(table, source, history, spec))
    draft = target.with_suffix(".part")
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(chosen):
            typed = _typed(batch, history, source)
            writer = writer or pq.ParquetWriter(draft, typed.schema)
            writer.write_table(typed, row_group_size=BATCH_ROWS)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise BadInput(f"{source.name} has no rows")
    sync_file(draft)
    draft.replace(target)
    sync_folder(target.parent)
    found = pq.ParquetFile(target).metadata
    return Prepared(found.num_rows, found.num_row_groups)


def _picks(table: duckdb.DuckDBPyRelation, source: Path, history: HistoryPart, spec: ModelSpec) -> str:
    there = dict(zip(table.columns, map(str, table.types), strict=True))
    picks: list[str] = []

    def pick(column: str, name: str, what: str, cast: str | None) -> None:
        if column not in there:
            raise BadInput(
                f"{source.name} has no column {column!r} ({what}); there are {names_of(list(there))}"
            )
        value = quoted(column) if cast is None else f"{cast}({quoted(column)} as double)"
        picks.append(f"{value} as {quoted(name)}")

    for role in ROLES:
        column = getattr(history.columns, role)
        if column is not None:
            exact = there.get(column, "").upper().startswith(("DECIMAL", "HUGEINT", "UHUGEINT"))
            pick(column, role, role, "cast" if exact or role == "score" else None)
    for one in spec.features:
        stored_as_text = group_of(there.get(one.name, "")) in ("text", "time")
        pick(
            one.name,
            one.name,
            "feature",
            None if one.kind == "categorical" else "try_cast" if stored_as_text else "cast",
        )
    for name in (*spec.kept_beside, *(column for _, column in spec.classes)):
        if name in there and f"as {quoted(name)}" not in " ".join(picks):
            picks.append(f"{quoted(name)} as {quoted(name)}")
    return ", ".join(picks)


def _batches(chosen: duckdb.DuckDBPyRelation) -> Iterator[pa.Table]:
    """The rows in the order of the file, numbered from 1."""
    number = 0
    waiting: list[pa.RecordBatch] = []
    for batch in chain(chosen.to_arrow_reader(BATCH_ROWS), (None,)):
        if batch is not None:
            waiting.append(batch)
        if waiting and (batch is None or sum(one.num_rows for one in waiting) >= BATCH_ROWS):
            table = pa.Table.from_batches(waiting)
            while table.num_rows and (batch is None or table.num_rows >= BATCH_ROWS):
                part, table = table.slice(0, BATCH_ROWS), table.slice(BATCH_ROWS)
                numbers = pa.array(range(number + 1, number + part.num_rows + 1), pa.int64())
                number += part.num_rows
                yield part.append_column(NUMBER, numbers)
            waiting = table.to_batches()


def _typed(table: pa.Table, history: HistoryPart, source: Path) -> pa.Table:
    """Times with their zone, ids as text; a row without an id is known by its number."""
    for role in ("ts", "label_ts"):
        if role in table.column_names:
            place = table.column_names.index(role)
            table = table.set_column(place, role, _times(table.column(role), role, history.timezone))
    for place, name in enumerate(table.column_names):
        kind = table.schema.field(name).type
        if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and name not in ("ts", "label_ts")):
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
    if "prediction_id" not in table.column_names:
        ids = pc.binary_join_element_wise(source.stem[:200], table.column(NUMBER).cast(pa.string()), "-")
        return table.append_column("prediction_id", ids)
    place = table.column_names.index("prediction_id")
    return table.set_column(place, "prediction_id", table.column("prediction_id").cast(pa.string()))


def _times(column: pa.ChunkedArray, role: str, zone: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        raise BadInput(
            f"history.columns.{role}: it holds {kind}, not times; store it as timestamps, or ISO 8601 in CSV"
        )
    if kind.tz is None:
        column = pc.assume_timezone(
            column.cast(pa.timestamp("us")), zone, ambiguous="earliest", nonexistent="earliest"
        )
    return column.cast(TIME)


def predictions_of(batch: pa.Table, version: int, environment: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """The rows of a batch as the observation store takes predictions, and each one's number in the source."""
    drop = [name for name in ("label", "label_ts", NUMBER) if name in batch.column_names]
    rows = batch.num_rows
    table = (
        batch.drop_columns(drop)
        .append_column("version", pa.repeat(pa.scalar(version, pa.int32()), rows))
        .append_column("environment", pa.repeat(pa.scalar(environment), rows))
        .append_column("role", pa.repeat(pa.scalar("backfill"), rows))
    )
    return table, batch.column(NUMBER)


def labels_of(batch: pa.Table) -> tuple[pa.Table, pa.ChunkedArray]:
    """The labels of a batch, and the number of each one's row in the source. One whose time the source does not say is
    taken to have come with its prediction."""
    if "label" not in batch.column_names:
        return pa.table({}), batch.column(NUMBER)
    known = batch.filter(pc.is_valid(batch.column("label")))
    came = known.column("ts")
    if "label_ts" in known.column_names:
        came = pc.coalesce(known.column("label_ts"), came)
    table = pa.table({
        "prediction_id": known.column("prediction_id"), "label": known.column("label"),
        "status": pa.repeat(pa.scalar("known"), known.num_rows), "label_ts": came,
    })  # fmt: skip
    return table, known.column(NUMBER)


@dataclass(frozen=True)
class VersionFiles:
    """Where the files of an imported version lie."""

    artefact: Path
    reference: Path
    card: Path


def write_version_files(
    prepared: Path,
    *,
    model: str,
    version: int,
    history: HistoryPart,
    facts: dict[str, Any],
    card: str,
    least: int,
) -> VersionFiles:
    """The reference rows, the card, and a description in place of the artefact, which Warrant does not have: such a
    version is watched, and no gateway can load it. Writing them again gives the same bytes."""
    folder = durable_folder(settings().artefacts / "imported" / model / f"v{version}")
    files = VersionFiles(folder / "artefact", folder / "reference.parquet", folder / "card.md")
    durable_folder(files.artefact)
    since, until = history.reference.since, history.reference.until
    rows = _reference_rows(prepared, since, until)
    if rows.num_rows < least:
        at = f"before {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" + (
            "" if since is None else f" and from {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC on"
        )
        raise BadInput(
            f"history.reference: {rows.num_rows:,} rows are {at}; a reference has at least {least:,}"
        )
    draft = files.reference.with_suffix(".part")
    pq.write_table(rows, draft)
    sync_file(draft)
    draft.replace(files.reference)
    note = "served elsewhere: Warrant has its predictions and none of its files"
    write_text(
        files.artefact / "served-elsewhere.json",
        json.dumps({"note": note, **facts}, sort_keys=True, indent=1),
    )
    write_text(files.card, card)
    return files


def _reference_rows(prepared: Path, since: datetime | None, until: datetime) -> pa.Table:
    file = pq.ParquetFile(prepared)
    parts = []
    for number in range(file.num_row_groups):
        part = file.read_row_group(number)
        chosen = pc.less(part.column("ts"), pa.scalar(until, TIME))
        if since is not None:
            chosen = pc.and_(chosen, pc.greater_equal(part.column("ts"), pa.scalar(since, TIME)))
        parts.append(part.filter(chosen))
    whole = pa.concat_tables(parts).drop_columns([NUMBER])
    for name in ("score", "prediction", "label"):
        if name not in whole.column_names:
            whole = whole.append_column(name, pa.nulls(whole.num_rows, pa.float64()))
    return whole
