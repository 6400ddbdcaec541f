"""Storing figures of the user's own, and reading them in windows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.monitoring.kpis import KpiValue, aggregate_kpis, read_kpis
from backend.monitoring.monitor_tables import KpiRow
from backend.monitoring.windows import Window, window_of, windows_between
from backend.registry.service import get_model

if TYPE_CHECKING:
    from backend.monitoring.monitors import Figure

MOST_ROWS = 100_000
MOST_NAMED = 100
DAYS_AT_ONCE = 366
"""So many replaced values are written into the audit entry; of more, their number."""
SERIES_COLUMNS = (
    "window_start",
    "window_end",
    "name",
    "segment",
    "rows",
    "total",
    "mean",
    "low",
    "high",
    "reason",
)
_CHUNK = 500


@dataclass(frozen=True)
class Stored:
    """What became of a batch: rows that are new, that were there already, and whose value was replaced."""

    new: int
    known: int
    replaced: int


def store_kpis(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    rows: pa.Table | pd.DataFrame | Iterable[Mapping[str, Any]],
) -> Stored:
    """Store a batch as a whole. Sending it again changes nothing; a row with another value replaces the old one.

    A row is known by its `id`, else by its time, name and segment. Raises `BadInput` that names what is wrong;
    then nothing is stored.
    """
    allow(session, actor, Permission.INGEST)
    get_model(session, actor, model)
    table = read_kpis(rows, now=clock.now())
    if len(table) > MOST_ROWS:
        raise BadInput(f"the batch has {len(table):,} rows; send at most {MOST_ROWS:,} at once")
    wanted = _keyed(table)
    known = _known(session, model, environment, list(wanted))
    now = clock.now()
    new, changed = [], []
    for key, row in wanted.items():
        before = known.get(key)
        if before is None:
            new.append({"model": model, "environment": environment, "row_key": key, "stored_at": now, **row})
        elif any(getattr(before, name) != value for name, value in row.items()):
            changed.append({"name": row["name"], "ts": clock.to_iso(row["ts"]), "segment": row["segment"],
                            "before": before.value, "after": row["value"]})  # fmt: skip
            for name, value in row.items():
                setattr(before, name, value)
            before.stored_at = now
    if new:
        try:
            session.execute(KpiRow.__table__.insert(), new)  # type: ignore[attr-defined]
        except IntegrityError as error:
            raise Conflict("another batch has just stored some of these rows; send yours again") from error
    session.flush()
    stored = Stored(len(new), len(wanted) - len(new) - len(changed), len(changed))
    if new:
        record(
            session, actor, Action.KPIS_INGESTED, object_kind="model", object_id=model,
            payload={"environment": environment, "rows": len(new), "names": sorted({row["name"] for row in new})},
        )  # fmt: skip
    if changed:
        record(
            session, actor, Action.KPIS_REPLACED, object_kind="model", object_id=model,
            payload={"environment": environment, "rows": len(changed), "replaced": changed[:MOST_NAMED]},
        )  # fmt: skip
    return stored


@dataclass(frozen=True)
class Year:
    """From `since` (included) to `until` (excluded); `more`: there are rows before. Both None: there is no row."""

    since: datetime | None
    until: datetime | None
    more: bool


def newest_year(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str,
    until: datetime | None = None,
) -> Year:
    """The 366 days up to the newest row before `until`, from the start of a window on: none is cut in two."""
    spec = parse_spec(get_model(session, viewer, model).spec)
    of_model = select(func.min(KpiRow.ts), func.max(KpiRow.ts)).where(
        KpiRow.model == model, KpiRow.environment == environment
    )
    if until is not None:
        of_model = of_model.where(KpiRow.ts < until)
    ends = cast("tuple[datetime | None, datetime | None]", session.execute(of_model).one())
    first, last = ends
    if first is None or last is None:
        return Year(until, until, more=False)
    begun = last - timedelta(days=DAYS_AT_ONCE)
    since = window_of(begun, size, spec.timezone).start
    return Year(since, until, more=first < since)


def kpi_series(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pd.DataFrame:
    """Every figure in every window from the first row on, of all rows and by segment: `SERIES_COLUMNS`.

    `segment` is "" for all rows; a window without rows has no total (NaN), not zero. Windows are cut on the clock of
    the model's spec; where the model's windows are of N rows, by day.
    """
    found = get_model(session, viewer, model)
    table = _table(session, model, environment, since, until)
    if not len(table):
        return pd.DataFrame(columns=list(SERIES_COLUMNS))
    times = table.column("ts")
    first, last = times[0].as_py(), times[len(table) - 1].as_py()
    spec = parse_spec(found.spec)
    windows = windows_between(first, last + timedelta(microseconds=1), size, spec.timezone)
    return pd.DataFrame([_row(one) for one in aggregate_kpis(table, windows)], columns=list(SERIES_COLUMNS))


def kpi_names(session: ReadSession, model: str, environment: str) -> list[tuple[str, str]]:
    """(name, segment) of every figure that has rows; segment "" is all rows."""
    found = session.execute(
        select(KpiRow.name, KpiRow.segment)
        .where(KpiRow.model == model, KpiRow.environment == environment)
        .distinct()
    ).all()
    return sorted({(row.name, row.segment) for row in found} | {(row.name, "") for row in found})


def kpi_figures(
    session: ReadSession, model: str, environment: str, windows: Sequence[Window], figures: Collection[Figure]
) -> dict[Figure, npt.NDArray[np.float64]]:
    """The `mean`, `total` or `rows` of each figure in each window; NaN without rows. Only figures that have rows."""
    if not figures or not windows:
        return {}
    table = _table(session, model, environment, windows[0].start, windows[-1].end)
    values: dict[tuple[str, str], list[KpiValue]] = {}
    for one in aggregate_kpis(table, windows):
        values.setdefault((one.name, one.segment or ""), []).append(one)
    found = {}
    for figure in figures:
        mine = values.get((figure.column, figure.segment))
        if mine is not None and figure.statistic in ("mean", "total", "rows"):
            read = [getattr(one, figure.statistic) for one in mine]
            found[figure] = np.array([np.nan if x is None else x for x in read], dtype=np.float64)
    return found


def _row(one: KpiValue) -> tuple[Any, ...]:
    return (one.window.start, one.window.end, one.name, one.segment or "", one.rows, one.total, one.mean, one.low,
            one.high, one.reason or "")  # fmt: skip


def _keyed(table: pa.Table) -> dict[str, dict[str, Any]]:
    """The rows by what makes them the same row. Raises `BadInput` where two of them disagree."""
    keyed: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        segment = row["segment"] or ""
        key = f"id:{row['id']}" if row["id"] else _digest(clock.to_iso(row["ts"]), row["name"], segment)
        values = {"ts": row["ts"], "name": row["name"], "segment": segment, "value": row["value"]}
        if keyed.setdefault(key, values) != values:
            raise BadInput(
                f"{row['name']} at {clock.to_iso(row['ts'])} comes twice, as {keyed[key]['value']:g} and "
                f"{row['value']:g}; give each row an id, or send one of them"
            )
    return keyed


def _digest(*parts: str) -> str:
    return "at:" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def _known(session: WriteSession, model: str, environment: str, keys: Sequence[str]) -> dict[str, KpiRow]:
    found: dict[str, KpiRow] = {}
    for begin in range(0, len(keys), _CHUNK):
        for row in session.scalars(
            select(KpiRow)
            .where(
                KpiRow.model == model, KpiRow.environment == environment,
                KpiRow.row_key.in_(keys[begin : begin + _CHUNK]),
            )
            .with_for_update()
        ):  # fmt: skip
            found[row.row_key] = row
    return found


def _table(
    session: ReadSession, model: str, environment: str, since: datetime | None, until: datetime | None
) -> pa.Table:
    query = select(KpiRow.ts, KpiRow.name, KpiRow.value, KpiRow.segment).where(
        KpiRow.model == model, KpiRow.environment == environment
    )
    if since is not None:
        query = query.where(KpiRow.ts >= since)
    if until is not None:
        query = query.where(KpiRow.ts < until)
    rows = session.execute(query.order_by(KpiRow.ts, KpiRow.id)).all()
    return pa.table(
        {
            "ts": pa.array([row.ts for row in rows], pa.timestamp("us", tz="UTC")),
            "name": pa.array([row.name for row in rows], pa.string()),
            "value": pa.array([row.value for row in rows], pa.float64()),
            "segment": pa.array([row.segment or None for row in rows], pa.string()),
        }
    )
