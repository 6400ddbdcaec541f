"""The rows of a retraining: out of the store as of a time, and split by time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend import clock
from backend.data_rights.extraction import extract_rows
from backend.database.session import reading
from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.observations.reader import Filter
from backend.observations.snapshots import connect, snapshot
from backend.registry.artefacts import file_digest
from backend.settings import settings
from jobs.retraining.work import PARTS, ROWS, Work

if TYPE_CHECKING:
    import pandas as pd

ROLES: Final = ("champion", "canary", "backfill")  # a shadow's answers reached nobody
SHARES: Final = {"train": 0.7, "valid": 0.15, "test": 0.15}
TARGET: Final = "label"


def extract(work: Work) -> dict[str, Any]:
    """Write every row with a label that was known by `as_of` into one file, ordered by time.

    A row counts by when it was stored, so a run for an earlier time sees what could be seen then; what was brought in
    as history counts by its own times. Says how complete the labels are.
    """
    plan = work.plan
    where = Filter(start=plan.from_, end=plan.as_of, environments=[work.retraining.environment], roles=ROLES)
    versions = {stream: _delta_version(work.model.name, stream) for stream in ("predictions", "labels")}
    counts, columns = _write_rows(work, where, plan.as_of, work.file(ROWS))
    if not counts["labelled"]:
        raise BadInput(
            f"no row of {plan.from_:%Y-%m-%d %H:%M} to {plan.as_of:%Y-%m-%d %H:%M} UTC has a label that was known "
            "then: widen the window, or wait for labels"
        )
    complete = counts["labelled"] / counts["rows"]
    work.tell(
        f"{counts['rows']:,} rows, {counts['labelled']:,} of them with a label known by "
        f"{plan.as_of:%Y-%m-%d %H:%M} UTC ({complete:.1%}); of {counts['will_not_come']:,} the label will not come; "
        f"{counts['opted_out']:,} rows of people who opted out were left out"
    )
    return {
        **counts, "completeness": complete, "columns": columns, "digest": file_digest(work.file(ROWS)),
        "bytes": work.file(ROWS).stat().st_size, "store_versions": versions,
    }  # fmt: skip


def ensure_rows(work: Work) -> Path:
    """The file of rows that was taken out; taken out again where this disk lacks it. Never other rows than those."""
    path, digest = work.file(ROWS), work.found["extract"]["digest"]
    if path.is_file() and file_digest(path) == digest:
        return path
    if extract(work)["digest"] != digest:
        path.unlink()
        raise BadInput(
            "the rows that were taken out before are gone, and the store no longer holds the same ones; ask for the "
            "retraining again"
        )
    return path


def split(work: Work) -> dict[str, Any]:
    """Oldest rows to train on, then those that end training early, and the newest held out: 70, 15 and 15 %.

    Rows of one moment stay together, so nothing of the future is among what is learned from.
    """
    import pandas as pd

    frame = pd.read_parquet(ensure_rows(work))
    frame[TARGET] = read_labels(frame[TARGET], work.spec)
    edges, told = _edges(frame["ts"]), {}
    bounds = zip(PARTS, (None, *edges), (*edges, None), strict=True)
    for name, low, high in bounds:
        part = frame
        if low is not None:
            part = part[part["ts"] >= low]
        if high is not None:
            part = part[part["ts"] < high]
        _require_learnable(part, name, work.spec)
        part.to_parquet(work.file(f"{name}.parquet"), index=False)
        told[name] = {
            "rows": len(part), "from": clock.to_iso(part["ts"].iloc[0].to_pydatetime()),
            "to": clock.to_iso(part["ts"].iloc[-1].to_pydatetime()),
            "digest": file_digest(work.file(f"{name}.parquet")),
        }  # fmt: skip
        work.tell(f"{name}: {len(part):,} rows, {told[name]['from']} to {told[name]['to']}")
    return told


def ensure_parts(work: Work) -> None:
    """The files of the split; made again where another worker's disk had them."""
    if not all(work.file(f"{name}.parquet").is_file() for name in PARTS):
        split(work)


def read_labels(labels: pd.Series, spec: ModelSpec) -> pd.Series:
    """Labels as trainers take them: "1" and "0", the class's name, or a number."""
    import pandas as pd

    from backend.monitoring.performance import class_name, read_classes

    if spec.task == "regression":
        return pd.to_numeric(labels, errors="coerce").astype("float64")
    if spec.task == "binary":
        found = read_classes(list(labels), spec.positive, "label")
        return pd.Series(["1" if value == 1 else "0" for value in found], index=labels.index, dtype="object")
    return pd.Series([class_name(value) for value in labels], index=labels.index, dtype="object")


def _write_rows(work: Work, where: Filter, as_of: datetime, path: Path) -> tuple[dict[str, int], list[str]]:
    """Only for a purpose that compliance recorded, and without who opted out (`backend.data_rights.extraction`)."""
    moment = f"TIMESTAMPTZ '{as_of.isoformat()}'"
    known = (
        f"label_status = 'known' AND coalesce(label_ts, label_ingested_at) <= {moment} "
        f"AND (label_ingested_at <= {moment} OR source = 'backfill')"
    )
    with reading() as session:
        extract = extract_rows(
            session, work.run.actor, model=work.model.name, observations=settings().observations, where=where
        )
    with connect() as connection:
        there = connection.from_arrow(extract.rows)
        offered = set(there.columns)
        there = there.filter(f"ingested_at <= {moment} OR source = 'backfill'")
        counted = there.aggregate(
            f"count(*), count(*) FILTER ({known}), count(*) FILTER (label_status = 'will_not_come')"
        ).fetchall()[0]
        names = columns_of(work.spec)
        chosen = [_quoted(name) if name in offered else f"NULL::VARCHAR AS {_quoted(name)}" for name in names]
        rows = there.filter(known).order("ts, prediction_id")
        draft = path.with_suffix(".draft")
        listed = ", ".join(["prediction_id", "ts", *chosen, "label", "label_ts"])
        rows.project(listed).write_parquet(str(draft))
        draft.replace(path)
    counts = dict(zip(("rows", "labelled", "will_not_come"), map(int, counted), strict=True))
    return counts | {"opted_out": extract.opted_out}, names


def columns_of(spec: ModelSpec) -> list[str]:
    """Features, and the columns by which groups and segments are compared."""
    return list(dict.fromkeys([*(column.name for column in spec.features), *spec.segments, *spec.protected]))


def _delta_version(model: str, stream: Any) -> int | None:
    found = snapshot(settings().observations, model, stream)
    return found.version if found is not None else None


def _edges(moments: pd.Series) -> list[Any]:
    """The first moments of the second and the third part."""
    ordered, count = moments.sort_values(ignore_index=True), len(moments)
    first = ordered.iloc[min(int(count * SHARES["train"]), count - 1)]
    second = ordered.iloc[min(int(count * (SHARES["train"] + SHARES["valid"])), count - 1)]
    return [first, second]


def _require_learnable(part: pd.DataFrame, name: str, spec: ModelSpec) -> None:
    words = {"train": "to train on", "valid": "that end training", "test": "held out"}[name]
    if part.empty:
        raise BadInput(f"split by time, no rows are left {words}: the rows are of too few moments")
    if spec.task == "binary" and part[TARGET].nunique() < 2:
        raise BadInput(
            f"split by time, all rows {words} have the label {part[TARGET].iloc[0]}: widen the window"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
